"""No page asks the database more often when there are more rows: every page that a GET opens, and the administration.

The pages come from Django's resolver, so a new page is counted without an entry here. A page that no person here can open fails.

Each page is asked twice: with more rows, then with few. What is read once in a process makes the first count too high, never the second. So
a page that asks more often is seen, and only a page that seems to is asked again.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

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

Counts = dict[tuple[str, str], tuple[int, int]]  # (who, address): status, statements
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


def count(places: Iterable[Place], clients: dict[str, Client]) -> Counts:
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


def people_of(full: FullProject) -> dict[str, Client]:
    return {"olga": signed_in(full.olga), "ann": signed_in(full.ann), "nobody": Client()}


class Counted(NamedTuple):
    """Pages, who asked them, and what they answered with few rows and with more."""

    places: list[Place]
    clients: dict[str, Client]
    few: Counts
    more: Counts

    @classmethod
    def of(cls, full: FullProject, places: Iterable[Place], clients: dict[str, Client]) -> "Counted":
        places = list(places)
        with grown(full, MORE):
            more = count(places, clients)
        return cls(places, clients, count(places, clients), more)

    def statuses(self, place: Place) -> set[int]:
        return {self.few[who, place.address][0] for who in self.clients}

    def growth(self, full: FullProject) -> list[str]:
        """Return a sentence for each page that asks more often when there are more rows."""
        seeming = [key for key, (status, n) in self.few.items() if status == 200 and not is_as_cheap(self.more[key], n)]
        with grown(full, MORE) if seeming else nullcontext():
            again = {(who, address): ask(self.clients[who], address) for who, address in seeming}
        return [
            f"{words_of(address)} for {who}: {n} statements, {after[1]} with {MORE} more rows of each kind"
            for (who, address), after in again.items()
            for n in [self.few[who, address][1]]
            if not is_as_cheap(after, n)
        ]


def is_as_cheap(answer: tuple[int, int], n: int) -> bool:
    return answer[0] == 200 and answer[1] <= n


@pytest.fixture(scope="module")
def pages(full: FullProject, django_db_blocker: Any) -> Counted:
    with django_db_blocker.unblock():
        return Counted.of(full, full.pages(), people_of(full))


@pytest.fixture(scope="module")
def administration(full: FullProject, django_db_blocker: Any) -> Counted:
    with django_db_blocker.unblock():
        return Counted.of(full, full.administration(), {"olga": signed_in(full.olga)})


def test_no_page_asks_more_often_when_there_are_more_rows(full: FullProject, pages: Counted) -> None:
    assert pages.growth(full) == []


def test_every_page_that_a_get_opens_is_counted(pages: Counted) -> None:
    statuses = {place: pages.statuses(place) for place in pages.places}
    wanted = {name for name, row in TABLE.items() if row.get == 200}
    opened = {place.name for place, answers in statuses.items() if 200 in answers}
    assert sorted(wanted - opened) == [], "Nobody in tests/full_project.py can open these pages. Give them rows there."
    queries = {place.address: answers for place, answers in statuses.items() if "?" in place.address}
    assert [address for address, answers in queries.items() if not answers & {200, 302}] == []


def test_no_page_of_the_administration_asks_more_often_when_there_are_more_rows(full: FullProject, administration: Counted) -> None:
    assert administration.growth(full) == []


def test_every_table_of_the_administration_opens(administration: Counted) -> None:
    statuses = {words_of(place.address): administration.few["olga", place.address][0] for place in administration.places}
    refused = {address: status for address, status in statuses.items() if status != 200 and not address.endswith("/add/")}
    assert refused == {}  # rows that only stages write have no form for new ones


def test_a_page_that_asks_for_each_row_is_seen(full: FullProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SolutionAdmin, "get_queryset", ReadOnly.get_queryset)
    monkeypatch.setattr(SolutionAdmin, "list_select_related", ())
    counted = Counted.of(full, [Place("", "/admin/annotation/solution/")], {"olga": signed_in(full.olga)})
    (sentence,) = counted.growth(full)
    assert sentence.startswith("/admin/annotation/solution/ for olga: ")
