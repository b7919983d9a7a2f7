"""Withdrawn solutions: nobody gets them any more, and no work on them is lost."""

import uuid

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from annotation import labels, quality, queue
from annotation.models import Annotation, Assignment, BatchKind, Draft, Event, GoldAnswer, Project, Solution
from tests import make
from tests.clients import shown_claim

pytestmark = pytest.mark.django_db

MINE = [{"step": 0, "rating": 1, "flagged": False, "ms": 5}, {"step": 1, "rating": -1, "flagged": False, "ms": 5}]


def hand_in(lease: queue.Lease, labeler: User, ahead: queue.Lease | None = None) -> Annotation:
    return labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[one | {"position": 0} for one in MINE],
        finish_reason="found_error",
        ahead=ahead and queue.Claim(ahead.assignment_id, ahead.token),
    )


def withdrawn(*keys: int, project: Project) -> int:
    return queue.withdraw(Solution.objects.filter(pk__in=keys), actor=make.olga(project))


def test_a_withdrawn_solution_is_handed_to_nobody() -> None:
    project = make.project()
    first, second = make.solutions(project, 2)
    make.batch(project, [first, second])
    assert withdrawn(first.pk, project=project) == 1
    assert queue.lease_next(make.ann(project), project=project).solution_id == second.pk
    assert queue.counts(project)["open"] == 0


def test_a_submit_of_a_withdrawn_solution_is_refused_and_its_ratings_are_kept() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    withdrawn(lease.solution_id, project=project)
    with pytest.raises(queue.Withdrawn, match="withdrawn from labeling.* kept as a draft"):
        hand_in(lease, ann)
    assert [one["rating"] for one in Draft.objects.get(labeler=ann).ratings] == [1, -1]
    assert not Annotation.objects.exists()


@pytest.mark.parametrize("act", ["draft", "skip", "extend"])
def test_a_labeler_with_it_on_the_page_gets_an_error(act: str) -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)
    withdrawn(lease.solution_id, project=project)
    shown = shown_claim(lease.assignment_id, lease.token)
    body = {"token": shown["token"]} | {"draft": {"revision": 3, "ratings": MINE}, "skip": {"reason": "no"}, "extend": {}}[act]
    client = Client()
    client.force_login(make.ann())
    answer = client.post(f"/assignments/{shown['assignment']}/{act}/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "withdrawn")
    assert Draft.objects.exists() is (act == "draft")


def test_an_error_says_that_it_was_submitted_in_another_window() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)
    hand_in(lease, make.ann())
    with pytest.raises(queue.LeaseLost, match="submitted this solution already, in another window"):
        labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=9, ratings=MINE)


def test_what_was_prepared_behind_is_replaced() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 3))
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    ahead = queue.reserve_next(ann, project=project)
    assert ahead
    withdrawn(ahead.solution_id, project=project)
    hand_in(lease, ann, ahead)
    assert queue.lease_next(ann, project=project).solution_id not in (lease.solution_id, ahead.solution_id)


def test_what_was_labeled_before_stays() -> None:
    project = make.project(overlap=2)
    make.batch(project, make.solutions(project, 1))
    lease = queue.lease_next(make.ann(project), project=project)
    hand_in(lease, make.ann())
    withdrawn(lease.solution_id, project=project)
    assert Annotation.objects.count() == 1
    assert sorted(Assignment.objects.values_list("state", flat=True)) == ["closed", "done"]
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ben(project), project=project)


def test_a_withdrawn_screening_question_is_asked_of_nobody() -> None:
    project = make.project()
    asked, gone = make.solutions(project, 2)
    make.batch(project, [gone, asked], kind=BatchKind.SCREENING)
    withdrawn(gone.pk, project=project)
    assert queue.lease_next(make.ann(project), project=project).solution_id == asked.pk


def test_a_screening_ends_without_the_question_that_was_withdrawn() -> None:
    project = make.project(qualify_rate=1.0)
    asked, gone = make.solutions(project, 2)
    make.batch(project, [gone, asked], kind=BatchKind.SCREENING)
    make.batch(project, make.solutions(project, 1))
    GoldAnswer.objects.create(solution=asked, acceptable_first_errors=[1])
    ann = make.ann(project)
    hand_in(queue.lease_next(ann, project=project), ann)
    withdrawn(gone.pk, project=project)
    hand_in(quality.lease_next(ann, project=project), ann)
    assert quality.lease_next(ann, project=project).generation == 0


def test_withdrawing_again_changes_nothing() -> None:
    project = make.project()
    (one,) = make.solutions(project, 1)
    assert withdrawn(one.pk, project=project) == 1
    moment = Solution.objects.get().withdrawn_at
    assert withdrawn(one.pk, project=project) == 0
    assert Solution.objects.get().withdrawn_at == moment
    assert list(Event.objects.values_list("verb", "subject")) == [("withdraw", f"solution {one.pk}")]


def staff(*permissions: str) -> Client:
    person = make.person("sam")
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


def test_the_administration_withdraws_all_solutions_of_a_problem() -> None:
    project = make.project()
    problem, other = make.problem(project), make.problem(project)
    for one in (problem, problem, other):
        make.solution(one)
    client = staff("view_problem", "change_solution")
    chosen = {"action": "withdraw", "_selected_action": [problem.pk]}
    page = client.post("/admin/annotation/problem/", chosen, follow=True).content.decode()
    assert "2 solutions were withdrawn" in page
    assert Solution.objects.filter(withdrawn_at=None).get().problem == other


def test_staff_without_the_permission_withdraw_nothing() -> None:
    problem = make.problem(make.project())
    make.solution(problem)
    staff("view_problem").post("/admin/annotation/problem/", {"action": "withdraw", "_selected_action": [problem.pk]}, follow=True)
    assert Solution.objects.get().withdrawn_at is None
