"""Researchers, managers and owners see gold, scores and what others labeled, and do not label. What they held as labelers is not lost."""

import importlib
import re
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from annotation import labels, quality, queue
from annotation.models import Annotation, Assignment, Draft, Event, Membership, Project, Role
from tests import make
from tests.clients import claim, page, post, rated, refusal, shown_claim, signed_in, submission

pytestmark = pytest.mark.django_db
ROLES = [Role.RESEARCHER, Role.MANAGER, Role.OWNER]


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.batch(made, make.solutions(made, 4))
    return made


def text(answer: Any) -> str:
    return " ".join(re.sub("<[^>]+>", " ", answer.content.decode()).split())


def promote(project: Project, role: str) -> str:
    """Change ann's role as an owner does on her page; return what the page says."""
    row = Membership.objects.get(project=project, user=make.ann())
    return quality.change_role(
        project, row.pk, actor=make.olga(project), role=role, seen=quality.member_page(project, row.pk).seen
    )  # fmt: skip


def body_of(name: str, token: int) -> dict[str, Any]:
    return submission(token, rated(1, -1)) if name == "submit" else {"token": token, "revision": 7, "ratings": rated(1, -1)}


@pytest.mark.parametrize("role", ROLES)
def test_the_queue_gives_them_nothing_and_says_why(project: Project, role: str) -> None:
    person = make.person("max", project, role)
    why = f"You are {role} of Sums. Researchers, managers and owners see gold, scores and what others labeled."
    for ask in (quality.lease_next, queue.lease_next, queue.reserve_next):
        with pytest.raises(queue.NotQualified, match=why):
            ask(person, project=project)
    assert not Assignment.objects.exclude(state="open").exists()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ["label", "recent", "reopen"])
def test_a_labeling_page_says_why_not_and_where_to_go(project: Project, role: str, name: str) -> None:
    person = signed_in(make.person("max", project, role))
    answer = person.get(reverse(name, args=["sums", 1] if name == "reopen" else ["sums"]))
    assert answer.status_code == 403 and f"You are {role} of Sums." in text(answer)
    html = answer.content.decode()
    places = {"people": role != Role.RESEARCHER, "batches": role != Role.RESEARCHER, "solutions": True, "guidelines": True}
    main = html.split("<main")[1]
    assert {place: f'href="{reverse(place, args=["sums"])}"' in main for place in places} == places
    assert "Ratings that you did not submit" not in html


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ["draft", "submit"])
def test_what_a_labeler_typed_before_the_role_changed_is_kept_as_a_draft(project: Project, name: str, role: str) -> None:
    ann = signed_in(make.ann(project))
    held = claim(page(ann, project))
    promote(project, role)
    answer = post(ann, name, held["assignment"], body_of(name, held["token"]))
    assert refusal(answer) == (409, "sees_labels")
    assert answer.json()["message"] == (
        f"You are {role} of Sums. Researchers, managers and owners see gold, scores and what others labeled. "
        "So they do not label in their own project. Your ratings are kept as a draft."
    )
    assert [one["rating"] for one in Draft.objects.get().ratings] == [1, -1] and not Annotation.objects.exists()
    shown = ann.get(reverse("label", args=["sums"])).content.decode()
    solution = Draft.objects.get().assignment.task.solution_id
    assert "Ratings that you did not submit" in shown and reverse("project-solution", args=["sums", solution]) in shown


def test_the_draft_comes_back_with_the_role_of_a_labeler(project: Project) -> None:
    ann = signed_in(make.ann(project))
    held = claim(page(ann, project))
    promote(project, Role.MANAGER)
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, -1)))
    promote(project, Role.REVIEWER)
    lease = queue.lease_next(make.ann(), project=project)
    assert [one["rating"] for one in lease.draft["ratings"]] == [1, -1]


def test_a_submission_that_is_stored_already_says_so_and_leaves_no_draft(project: Project) -> None:
    ann = signed_in(make.ann(project))
    held = claim(page(ann, project))
    body = submission(held["token"], rated(1, -1))
    assert post(ann, "submit", held["assignment"], body).status_code == 200
    promote(project, Role.MANAGER)
    answer = post(ann, "submit", held["assignment"], body)
    assert "You have submitted this solution already" in answer.json()["message"] and not Draft.objects.exists()


@pytest.mark.parametrize("name", ["skip", "ahead", "release", "extend", "completions"])
def test_every_other_request_of_an_open_page_says_why_too(project: Project, name: str) -> None:
    ann = signed_in(make.ann(project))
    held = claim(page(ann, project))
    promote(project, Role.MANAGER)
    more = {"skip": {"reason": ""}, "completions": {"path": []}}.get(name, {})
    answer = post(ann, name, held["assignment"], {} if name == "ahead" else {"token": held["token"], **more})
    assert refusal(answer) == (409, "sees_labels") and "You are manager of Sums." in answer.json()["message"]
    assert not Assignment.objects.exclude(state="open").exists()


def test_a_correction_is_refused_with_the_reason(project: Project) -> None:
    ann = signed_in(make.ann(project))
    held = claim(page(ann, project))
    post(ann, "submit", held["assignment"], submission(held["token"], rated(1, -1)))
    promote(project, Role.MANAGER)
    body = submission(0, rated(1, 1, 1))
    del body["token"]
    assert refusal(post(ann, "revise", Annotation.objects.get().pk, body)) == (409, "sees_labels")
    assert Annotation.objects.count() == 1


def test_nobody_keeps_drafts_of_what_they_never_held(project: Project) -> None:
    lease = queue.lease_next(make.ann(project), project=project)
    held = shown_claim(lease.assignment_id, lease.token)
    for name in ("draft", "submit"):
        answer = post(signed_in(make.olga(project)), name, held["assignment"], body_of(name, held["token"]))
        assert refusal(answer) == (409, "sees_labels") and "kept" not in answer.json()["message"]
    assert not Draft.objects.exists()


def test_a_submit_in_flight_leads_a_new_manager_to_no_next_solution(project: Project) -> None:
    ann = make.ann(project)
    lease, ahead = queue.lease_next(ann, project=project), queue.reserve_next(ann, project=project)
    Membership.objects.update(role=Role.MANAGER)
    claimed = queue.Claim(ahead.assignment_id, ahead.token)
    body = submission(lease.token, rated(1, -1))
    labels.submit(lease.assignment_id, labeler=ann, ahead=claimed, **body)
    assert not Assignment.objects.filter(labeler=ann, state="leased").exists()
    assert queue.go_on(claimed, labeler=ann, project=project) is None


def test_the_person_who_changes_a_role_reads_what_became_of_the_work_in_hand(project: Project) -> None:
    ann = make.ann(project)
    queue.lease_next(ann, project=project), queue.reserve_next(ann, project=project)
    assert promote(project, Role.MANAGER) == (
        "ann is manager now. 2 solutions went back to the queue, and what was rated is kept as a draft."
    )  # fmt: skip
    assert promote(project, Role.REVIEWER) == "ann is reviewer now."


def test_the_upgrade_gives_back_what_they_hold_and_keeps_drafts_and_labels(project: Project) -> None:
    held = {name: queue.lease_next(make.person(name, project), project=project) for name in ("ann", "ben", "cleo")}
    ahead = queue.reserve_next(make.ann(), project=project)
    labels.save_draft(held["ann"].assignment_id, labeler=make.ann(), token=held["ann"].token, revision=1, ratings=rated(1))
    labels.submit(held["cleo"].assignment_id, labeler=make.person("cleo"), **submission(held["cleo"].token, rated(1, -1)))
    Membership.objects.exclude(user=make.ben()).update(role=Role.MANAGER)
    migration = importlib.import_module("annotation.migrations.0023_managers_do_not_label")
    with connection.cursor() as cursor:
        cursor.execute(migration.GIVE_BACK)
    states = dict(Assignment.objects.values_list("pk", "state"))
    assert [states[lease.assignment_id] for lease in (*held.values(), ahead)] == ["open", "leased", "done", "open"]
    assert Assignment.objects.get(pk=held["ann"].assignment_id).lapsed == make.ann()
    assert Draft.objects.get().labeler == make.ann() and Annotation.objects.count() == 1
    given = Event.objects.filter(verb="return lease").values_list("subject", "details__labeler")
    assert set(given) == {(f"assignment {lease.assignment_id}", make.ann().pk) for lease in (held["ann"], ahead)}
