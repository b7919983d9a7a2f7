"""No page asks the database more often when there are more rows: every page that a GET opens, and the administration.

The pages come from Django's resolver, so a new page is counted without an entry here. A page that no person here can open fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import celery
import pytest
from django.db import connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from annotation.admin import ReadOnly, SolutionAdmin
from tests.clients import signed_in
from tests.full_project import FullProject, Place, words_of
from tests.test_access import TABLE

pytestmark = pytest.mark.django_db

MORE = 7  # rows of each kind that are added; with more, a labeler could no longer reopen the first submission


def ask(client: Client, address: str) -> tuple[int, int]:
    """Open a page and undo what that did; return its status and the number of its statements."""
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(address)
            if answer.streaming:
                b"".join(answer)
        transaction.set_rollback(True)
    return answer.status_code, len(queries)


def count(full: FullProject, places: list[Place], clients: dict[str, Client]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(who, place.address): ask(client, place.address) for place in places for who, client in clients.items()}


@pytest.fixture(scope="module")
def full(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullProject]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), override_settings(STEPMARK_HOME=home), transaction.atomic():
        patch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
        yield FullProject(home)
        transaction.set_rollback(True)


@contextmanager
def grown(full: FullProject, by: int) -> Iterator[None]:
    """Let the project have more rows for a while."""
    n_people = full.n_people
    with transaction.atomic():
        full.grow(by)
        yield
        transaction.set_rollback(True)
    full.n_people = n_people


def growth(full: FullProject, places: list[Place], clients: dict[str, Client]) -> list[str]:
    """Return a sentence for each page that asks more often when there are more rows."""
    count(full, places, clients)  # what is read once in a process is not counted
    before = count(full, places, clients)
    with grown(full, MORE):
        after = count(full, places, clients)
    return [
        f"{words_of(address)} for {who}: {n} statements, {after[who, address][1]} with {MORE} more rows of each kind"
        for (who, address), (status, n) in before.items()
        if status == 200 and (after[who, address][0] != 200 or after[who, address][1] > n)
    ]


def people_of(full: FullProject) -> dict[str, Client]:
    return {"olga": signed_in(full.olga), "ann": signed_in(full.ann), "nobody": Client()}


def test_no_page_asks_more_often_when_there_are_more_rows(full: FullProject) -> None:
    assert growth(full, list(full.pages()), people_of(full)) == []


def test_every_page_that_a_get_opens_is_counted(full: FullProject) -> None:
    clients = people_of(full)
    statuses = {place: {ask(client, place.address)[0] for client in clients.values()} for place in full.pages()}
    wanted = {name for name, row in TABLE.items() if row.get == 200}
    opened = {place.name for place, answers in statuses.items() if 200 in answers}
    assert sorted(wanted - opened) == [], "Nobody in tests/full_project.py can open these pages. Give them rows there."
    queries = {place.address: answers for place, answers in statuses.items() if "?" in place.address}
    assert [address for address, answers in queries.items() if not answers & {200, 302}] == []


def test_no_page_of_the_administration_asks_more_often_when_there_are_more_rows(full: FullProject) -> None:
    assert growth(full, list(full.administration()), {"olga": signed_in(full.olga)}) == []


def test_every_table_of_the_administration_opens(full: FullProject) -> None:
    client = signed_in(full.olga)
    statuses = {words_of(place.address): ask(client, place.address)[0] for place in full.administration()}
    refused = {address: status for address, status in statuses.items() if status != 200 and not address.endswith("/add/")}
    assert refused == {}  # rows that only stages write have no form for new ones


def test_a_page_that_asks_for_each_row_is_seen(full: FullProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SolutionAdmin, "get_queryset", ReadOnly.get_queryset)
    monkeypatch.setattr(SolutionAdmin, "list_select_related", ())
    (sentence,) = growth(full, [Place("", "/admin/annotation/solution/")], {"olga": signed_in(full.olga)})
    assert sentence.startswith("/admin/annotation/solution/ for olga: ")
