"""Versions of the guidelines: every changed text is kept, each label knows its version, and people are told of a new one."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotation import labels, projects, queue
from annotation.models import Annotation, Event, GuidelinesReader, GuidelinesVersion, Membership, Notification, Project, Role
from annotation.projects import DiffLine, compare_texts
from annotation.tasks import notify_people
from tests import make
from tests.clients import claim, page, post, rated, signed_in, submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project("sums", guidelines="Rate each step.\n\nBe kind.")


def change(project: Project, text: str) -> None:
    actor = make.olga(project)
    projects.change_settings(project, {"guidelines": text}, version=projects.version_of(Project.objects.get(pk=project.pk)), actor=actor)
    project.refresh_from_db()


def versions(project: Project) -> list[tuple[int, str]]:
    return list(GuidelinesVersion.objects.filter(project=project).order_by("number").values_list("number", "text"))


# --- what is kept -----------------------------------------------------------------------------------------------------------------


def test_a_new_project_has_the_first_version(project: Project) -> None:
    assert (project.guidelines_version, versions(project)) == (1, [(1, "Rate each step.\n\nBe kind.")])


def test_each_changed_text_is_a_version_with_its_author(project: Project) -> None:
    change(project, "Rate each line.")
    change(project, "Rate all lines.")
    assert project.guidelines_version == 3
    assert versions(project)[1:] == [(2, "Rate each line."), (3, "Rate all lines.")]
    assert [version.author_id for version in projects.guidelines_versions(project)] == [make.olga().pk, make.olga().pk, None]


def test_other_settings_and_the_same_text_make_no_version(project: Project) -> None:
    change(project, project.guidelines)
    Project.objects.filter(pk=project.pk).update(overlap=2)
    project.save()
    assert versions(project) == [(1, project.guidelines)]


def test_a_text_is_kept_whoever_writes_the_row(project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(guidelines="By an update.")
    stale = project  # read before; its number must not come back
    stale.guidelines = "By a save."
    stale.save()
    project.refresh_from_db()
    assert (project.guidelines_version, [text for _, text in versions(project)][1:]) == (3, ["By an update.", "By a save."])


def test_the_person_who_makes_a_project_wrote_its_first_version() -> None:
    made = projects.create_project("new", name="New", owners=[make.olga().username], actor=make.olga(), guidelines="So.")
    assert projects.find_version(made, 1).author == make.olga()


# --- labels know their version ------------------------------------------------------------------------------------------------------


def submit(project: Project, person: Any) -> Annotation:
    lease = queue.lease_next(person, project=project)
    end = {"finish_reason": "solution", "active_ms": 5, "total_ms": 5}
    return labels.submit(lease.assignment_id, labeler=person, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(1, 1, 1), **end)


def test_a_label_knows_the_version_that_held_at_its_submit(project: Project) -> None:
    make.batch(project, make.solutions(project, 2))
    ann = make.ann(project)
    first = submit(project, ann)
    change(project, "Rate all lines.")
    second = submit(project, ann)
    end = {"finish_reason": "solution", "active_ms": 5, "total_ms": 5}
    corrected = labels.revise(first.pk, labeler=ann, submission_id=uuid.uuid4(), ratings=rated(1, 0, 1), **end)
    stored = Annotation.objects.in_bulk([first.pk, second.pk, corrected.pk])
    assert [stored[one.pk].guidelines_version for one in (first, second, corrected)] == [1, 2, 2]


def test_the_page_of_a_label_names_its_version(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    stored = submit(project, make.ann(project))
    change(project, "Rate all lines.")
    html = signed_in(make.rita(project)).get(reverse("annotation", args=["sums", stored.pk])).content.decode()
    assert "?a=1&amp;b=2" in html and "version 1 of the guidelines" in html


def test_a_submit_needs_no_further_statement_for_the_version(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    end = {"finish_reason": "solution", "active_ms": 5, "total_ms": 5}
    with CaptureQueriesContext(
        connection,
    ) as asked:
        labels.submit(lease.assignment_id, labeler=ann, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(1, 1, 1), **end)
    statements = [query["sql"] for query in asked if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) == 2  # what is rated, and the labels


# --- who is told --------------------------------------------------------------------------------------------------------------------


def test_a_labeler_is_told_of_a_new_version_until_it_is_opened(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    ann = signed_in(make.ann(project))
    told = 'Guidelines <span class="chip">changed</span>'
    assert told not in page(ann, project)  # the first version is new to everybody
    ann.get(reverse("guidelines", args=["sums"]))
    change(project, "Rate all lines.")
    assert told in page(ann, project) and told in ann.get("/").content.decode()
    part = ann.get(reverse("guidelines", args=["sums"]), headers={"HX-Request": "true"}).content.decode()
    assert "It changed since you read it." in part and "?a=1&amp;b=2" in part
    assert told not in page(ann, project) and told not in ann.get("/").content.decode()
    assert "It changed since you read it." not in ann.get(reverse("guidelines", args=["sums"])).content.decode()


def test_the_labeling_page_asks_no_more_statements_after_a_change(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    ann = signed_in(make.ann(project))
    page(ann, project)

    def statements() -> int:
        with CaptureQueriesContext(connection) as asked:
            page(ann, project)
        return len(asked)

    before = statements()
    change(project, "Rate all lines.")
    assert statements() == before


def test_the_next_solution_is_the_same_bytes_after_a_change(project: Project) -> None:
    make.batch(project, make.solutions(project, 2))
    ann = signed_in(make.ann(project))
    held = claim(page(ann, project))
    change(project, "Rate all lines.")
    answer = post(ann, "submit", held["assignment"], submission(held["token"], rated(1, 1, 1)))
    assert "changed" not in answer.content.decode()


def test_opening_the_guidelines_is_noted_once(project: Project) -> None:
    client = signed_in(make.ann(project))
    for _ in range(2):
        client.get(reverse("guidelines", args=["sums"]))
    assert GuidelinesReader.objects.count() == 1 and Membership.objects.get(user=make.ann()).guidelines_read == 1
    signed_in(make.olga(project)).get(reverse("guidelines", args=["sums"]))
    assert GuidelinesReader.objects.count() == 1  # managers do not label


# --- the page of versions ---------------------------------------------------------------------------------------------------------


def shown(client: Client, query: str = "") -> str:
    answer = client.get(reverse("guidelines-versions", args=["sums"]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_shows_what_changed_between_two_versions(project: Project) -> None:
    change(project, "Rate all lines.\n\nBe kind.")
    change(project, "Rate all lines.\n\nBe strict.")
    html = shown(signed_in(make.ann(project)))
    assert "<del>Be kind.</del>" in html and "<ins>Be strict.</ins>" in html and "<ins>Rate all lines.</ins>" not in html
    whole = shown(signed_in(make.ann(project)), "?a=1&b=3")
    assert "<del>Rate each step.</del>" in whole and "<ins>Be strict.</ins>" in whole


def test_a_text_of_a_version_is_never_html(project: Project) -> None:
    change(project, "<script>alert(1)</script>")
    assert "<ins>&lt;script&gt;" in shown(signed_in(make.ann(project)))


@pytest.mark.parametrize("query", ["?a=9", "?b=99999999999999999", "?a=1&b=77"])
def test_a_version_that_does_not_exist_is_not_found(project: Project, query: str) -> None:
    assert signed_in(make.ann(project)).get(reverse("guidelines-versions", args=["sums"]) + query).status_code == 404


def test_managers_read_who_opened_which_version_and_labelers_do_not(project: Project) -> None:
    signed_in(make.ann(project)).get(reverse("guidelines", args=["sums"]))
    change(project, "Rate all lines.")
    signed_in(make.ben(project)).get(reverse("guidelines", args=["sums"]))
    readers = [(reader.name, reader.number, reader.is_newest) for reader in projects.readers_of(project)]
    assert readers == [("ann", 1, False), ("ben", 2, True)]
    assert "Who opened which version" in shown(signed_in(make.olga(project)))
    assert "ben" not in shown(signed_in(make.ann(project)))


def test_a_manager_notes_why_a_version_came(project: Project) -> None:
    change(project, "Rate all lines.")
    olga = signed_in(make.olga(project))
    assert olga.post(reverse("guidelines-versions", args=["sums"]), {"number": "2", "note": "Lines  were unclear."}).status_code == 302
    assert "Lines were unclear." in shown(signed_in(make.ann(project)))
    assert Event.objects.filter(verb="note guidelines", details__new="Lines were unclear.", actor=make.olga()).exists()


@pytest.mark.parametrize(
    ("number", "note", "words"), [("2", "x" * 501, "at most 500"), ("7", "So.", "no version 7"), ("2", "a\0b", "note")]
)
def test_a_note_that_cannot_be_stored_is_refused_with_a_reason(project: Project, number: str, note: str, words: str) -> None:
    change(project, "Rate all lines.")
    answer = signed_in(make.olga(project)).post(reverse("guidelines-versions", args=["sums"]), {"number": number, "note": note})
    assert answer.status_code == 400 and words in answer.content.decode()
    assert projects.find_version(project, 2).note == ""


def test_a_page_shows_the_first_lines_of_a_very_long_comparison(project: Project) -> None:
    change(project, "\n".join(f"line {n}" for n in range(4_000)))
    html = shown(signed_in(make.ann(project)))
    assert html.count("<ins>") < 3_001 and "1,003 more lines differ." in html


# --- comparing ----------------------------------------------------------------------------------------------------------------------


def test_equal_lines_far_from_a_change_are_left_out() -> None:
    old = "\n".join(f"line {n}" for n in range(20))
    lines = compare_texts(old, old.replace("line 10", "other"))
    assert [line.text for line in lines] == [
        "8 equal lines", "line 8", "line 9", "line 10", "other", "line 11", "line 12", "7 equal lines"
    ]  # fmt: skip
    assert [line.kind for line in lines if line.kind not in ("same", "gap")] == ["removed", "added"]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("", "", []), ("a", "a", []), ("", "a", ["added"]), ("a", "", ["removed"]), ("a", "a\nb", ["same", "added"]),
        ("a\nb", "b", ["removed", "same"]), ("a\na", "a", ["same", "removed"]),
    ],
)  # fmt: skip
def test_short_texts_are_compared(old: str, new: str, kinds: list[str]) -> None:
    assert [line.kind for line in compare_texts(old, new)] == kinds


def test_very_different_long_texts_are_shown_as_removed_and_added() -> None:
    old, new = ("\n".join(f"{word} {n % 7}" for n in range(50_000)) for word in ("old", "new"))
    lines = compare_texts(old, new)
    assert lines[0] == DiffLine("removed", "old 0") and lines[-1].kind == "added" and len(lines) == 100_000


# --- who is notified ------------------------------------------------------------------------------------------------------------


def aged(project: Project, minutes: int = 6) -> None:
    """Let the versions be some minutes older."""
    GuidelinesVersion.objects.filter(project=project).update(created_at=F("created_at") - timedelta(minutes=minutes))


def unread(person: User) -> list[str]:
    return list(Notification.objects.filter(person=person, read_at=None).values_list("sentence", flat=True))


def test_who_labels_is_notified_once_of_new_guidelines(project: Project) -> None:
    ann, rolf = make.ann(project), make.rolf(project)
    change(project, "Rate each line.")
    assert projects.notify_of_versions() == 0, "The text can still change again."
    aged(project)
    assert (projects.notify_of_versions(), projects.notify_of_versions()) == (2, 0)
    assert unread(ann) == unread(rolf) == ["The guidelines of Sums changed."] and unread(make.olga()) == []


def test_a_text_that_changes_twice_in_a_minute_is_one_notification_with_the_note(project: Project) -> None:
    ann = make.ann(project)
    change(project, "Rate each line.")
    change(project, "Rate all lines.")
    projects.note_version(project, 3, "Lines, not steps.", actor=make.olga())
    aged(project)
    assert projects.notify_of_versions() == 1
    assert unread(ann) == ["The guidelines of Sums changed. Lines, not steps."]


def test_news_of_a_later_version_replaces_unread_news_of_an_older_one(project: Project) -> None:
    ann = make.ann(project)
    for text in ("Rate each line.", "Rate all lines."):
        change(project, text)
        aged(project)
        projects.notify_of_versions()
    assert len(unread(ann)) == 1 and Notification.objects.filter(person=ann).count() == 2


def test_who_has_opened_the_new_guidelines_needs_no_news_of_them(project: Project) -> None:
    ann, rolf = make.ann(project), make.rolf(project)
    change(project, "Rate each line.")
    signed_in(ann).get(reverse("guidelines", args=[project.slug]))
    aged(project)
    assert projects.notify_of_versions() == 1 and unread(ann) == []
    signed_in(rolf).get(reverse("guidelines", args=[project.slug]))
    assert unread(rolf) == [], "Opening the guidelines marks the notification as read."


def test_who_is_paused_refused_or_a_former_member_gets_no_news_of_guidelines(project: Project) -> None:
    now = timezone.now()
    for name, state in {"ann": {"suspended_at": now}, "ben": {"refused_at": now}, "cleo": {"role": Role.FORMER}}.items():
        Membership.objects.filter(user=make.person(name, project)).update(**state)
    change(project, "Rate each line.")
    aged(project)
    assert projects.notify_of_versions() == 0


def test_who_joins_after_the_news_gets_none(project: Project) -> None:
    change(project, "Rate each line.")
    aged(project)
    projects.notify_of_versions()
    ann = make.ann(project)
    assert projects.notify_of_versions() == 0 and unread(ann) == []


def test_the_worker_notifies_of_screenings_and_guidelines(project: Project) -> None:
    make.ann(project)
    change(project, "Rate each line.")
    aged(project)
    assert notify_people() == (0, 1)
