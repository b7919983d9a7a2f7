"""The audit: every event of a project or of the site, found, paged and downloaded, without a text that somebody wrote to somebody."""

import csv
from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import audit, labels, people, projects, quality, queue
from annotation.audit import AuditFilter
from annotation.models import Event, Project, Role, Solution
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project("sums", name="Sums")


def note(project: Project | None, verb: str = "withdraw", subject: str = "solution 12", **fields: Any) -> Event:
    return Event.objects.create(project=project, verb=verb, subject=subject, **fields)


def shown(project: Project | None, **wanted: Any) -> list[tuple[str, str, str, str]]:
    rows, _ = audit.events_of(project, AuditFilter(**wanted))
    return [(row.who, row.verb, row.thing, row.details) for row in rows]


def test_a_project_shows_its_own_events_and_the_site_shows_all(project: Project) -> None:
    other = make.project("other")
    note(project, actor=make.ann())
    note(other, "archive", "project other")
    note(None, "set password", "person 7", actor=make.ann())
    assert shown(project) == [("ann", "withdraw", "solution 12", "")]
    assert [verb for _, verb, _, _ in shown(None)] == ["set password", "archive", "withdraw"]
    assert [row.project for row in audit.events_of(None, AuditFilter())[0]] == ["", "other", "sums"]


def test_each_filter_keeps_what_it_asks_for(project: Project) -> None:
    events = [
        note(project, actor=make.ann(), at="2026-11-25T23:59:59Z"),
        note(project, "skip", "assignment 1: I am tired", actor=make.ben(), at="2026-11-26T00:00:00Z"),
        note(project, "correct", "problem 12: answer: '4' becomes '5'", at="2026-11-26T23:59:59Z"),
        note(project, "correct", "problem 120: answer: '4' becomes '5'", at="2026-11-27T00:00:00Z"),
    ]

    def numbers(**wanted: Any) -> list[int]:
        return [events.index(Event.objects.get(pk=row.number)) for row in audit.events_of(project, AuditFilter(**wanted))[0]]

    assert numbers(person="ann") == [0] and numbers(person="nobody-else") == []
    assert numbers(person="the site") == [3, 2]
    assert numbers(verb="correct") == [3, 2]
    assert numbers(day=date(2026, 11, 26)) == [2, 1]
    assert numbers(thing="problem 12") == [2] and numbers(thing="problem 1") == [] and numbers(thing="problem%") == []
    assert numbers(verb="correct", day=date(2026, 11, 27)) == [3]


def test_no_text_that_people_write_to_people_is_shown(project: Project) -> None:
    make.batch(project, make.solutions(project, 2))
    lease = queue.lease_next(make.ann(project), project=project)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="secret-reason")
    quality.send_message(project, sender=make.olga(project), recipient="ann", text="secret-message")
    note(project, "skip", "assignment 1: secret-old-reason")
    note(project, "pause", "membership 1", details={"reason": "secret-pause", "old": {"reason": "secret-a"}, "new": {"reason": "secret-b"}})
    page = signed_in(make.olga()).get(reverse("audit", args=["sums"])).content.decode()
    assert "secret" not in page and page.count(">skip<") >= 2 and ">pause<" in page
    download = signed_in(make.olga()).get(reverse("audit", args=["sums"]), {"csv": "1"})
    assert "secret" not in b"".join(download).decode()


def test_old_and_new_values_are_shown_in_words(project: Project) -> None:
    note(project, details={"old": {"overlap": 1, "show": True}, "new": {"overlap": 2, "show": False}, "outcomes": {"wrong -> correct": 3}})
    note(project, details={"old": "labeler", "new": "manager"})
    note(project, details={"old": {"text_kind": ""}, "new": {"text_kind": "x" * 500}})
    words = [details for *_, details in shown(project)]
    assert words == [
        f"text kind: nothing becomes {'x' * 80}…",
        "labeler becomes manager",
        "show: yes becomes no; overlap: 1 becomes 2; outcomes: wrong -> correct 3",
    ]


def test_what_people_do_names_its_project(project: Project) -> None:
    (solution,) = make.solutions(project, 1)
    person = make.olga(project)
    projects.change_settings(project, {"overlap": 2}, version=projects.version_of(project), actor=person)
    queue.withdraw(Solution.objects.filter(pk=solution.pk), actor=person)
    projects.archive_project(project, actor=person)
    projects.open_project_again(project, actor=person)
    people.set_password(person, "a good long one")
    assert [verb for _, verb, _, _ in shown(project)] == ["open again", "archive", "withdraw", "change settings"]


def test_an_event_outlives_its_project(project: Project) -> None:
    projects.delete_project(project, name="Sums", actor=make.olga(project))
    (row,) = audit.events_of(None, AuditFilter())[0]
    assert (row.verb, row.thing, row.project) == ("delete project", "project sums", f"deleted project {project.pk}")


def test_pages_follow_each_other_without_a_gap(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 3)
    monkeypatch.setattr(audit, "CHUNK", 2)
    numbers = [note(project).pk for _ in range(7)]
    before, pages = None, []
    while True:
        rows, before = audit.events_of(project, AuditFilter(), before=before)
        pages.append([row.number for row in rows])
        if before is None:
            break
    assert [len(page) for page in pages] == [3, 3, 1] and sum(pages, []) == numbers[::-1]
    assert [row.number for row in audit.all_events(project, AuditFilter())] == numbers[::-1]


def test_the_kinds_are_those_that_happened(project: Project) -> None:
    assert audit.verbs() == []
    for verb in ("skip", "archive", "skip", "correct"):
        note(project, verb)
    assert audit.verbs() == ["archive", "correct", "skip"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_spreadsheet_runs_nothing_of_the_download(project: Project, start: str) -> None:
    actor = User.objects.create(username=f"{start}cmd|calc")
    note(project, actor=actor, subject="=1+1", details={"=1": 1})
    text = b"".join(signed_in(make.olga(project)).get(reverse("audit", args=["sums"]), {"csv": "1"})).decode()
    header, row = list(csv.reader(StringIO(text, newline="")))
    assert header == ["at", "who", "what", "object", "project", "details"]
    assert row[1:] == [f"'{start}cmd|calc", "withdraw", "'=1+1", "sums", "'=1: 1"]


def test_the_download_follows_the_filter(project: Project) -> None:
    note(project, actor=make.ann())
    note(project, actor=make.ben())
    answer = signed_in(make.olga(project)).get(reverse("audit", args=["sums"]), {"csv": "1", "person": "ben"})
    rows = list(csv.reader(StringIO(b"".join(answer).decode())))
    assert [row[1] for row in rows[1:]] == ["ben"] and answer["Content-Disposition"] == 'attachment; filename="audit-sums.csv"'


@pytest.mark.parametrize(("field", "value"), [("day", "26.11."), ("day", "2026-02-30"), ("verb", "fly"), ("person", "x" * 151)])
def test_a_filter_that_cannot_be_is_named_beside_its_field(project: Project, field: str, value: str) -> None:
    answer = signed_in(make.olga(project)).get(reverse("audit", args=["sums"]), {field: value})
    assert answer.status_code == 400 and f'id="audit-{field}_error"' in answer.content.decode()


@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, Role.RESEARCHER, Role.FORMER])
def test_only_managers_see_who_did_what(project: Project, role: str) -> None:
    assert signed_in(make.person("ann", project, role)).get(reverse("audit", args=["sums"])).status_code == 404


def test_only_superusers_see_the_whole_site(project: Project) -> None:
    assert signed_in(make.olga(project)).get(reverse("site-audit")).status_code == 404
    boss = User.objects.create_superuser("boss")
    client = signed_in(boss)
    assert client.get(reverse("site-audit")).status_code == 200
    assert reverse("site-audit") in client.get(reverse("home")).content.decode()


def test_the_page_costs_as_many_queries_with_many_rows_as_with_few(project: Project, django_assert_num_queries: Any) -> None:
    client = signed_in(make.olga(project))
    note(project, actor=make.ann())
    address = reverse("audit", args=["sums"])
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for n in range(60):
        note(project, f"verb {n}", actor=make.person(f"p{n}"))
    with django_assert_num_queries(len(few) + len([query for query in few if "RECURSIVE" in query["sql"]]) - 1):
        client.get(address)
