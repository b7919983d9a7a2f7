"""Calibration sets: the same few solutions for everybody who labels, and the verdicts on them once a person has finished."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from annotation import labels, quality, queue
from annotation.models import Annotation, Batch, BatchKind, BatchState, Event, Membership, Project, Remark, Task
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db

SECOND, THIRD, RIGHT = (1, -1), (1, 1, -1), (1, 1, 1)


@pytest.fixture
def project() -> Project:
    """Two solutions of calibration, and two of other work."""
    made = make.project("sums", overlap=2)
    make.batch(made, make.solutions(made, 2))
    calibration(made, 2)
    return made


def calibration(project: Project, count: int, **options: Any) -> Batch:
    solutions = [solution.pk for solution in make.solutions(project, count)]
    return quality.publish_calibration(project, solutions=solutions, actor=make.olga(project), **{"is_draft": False} | options)


def answer(project: Project, person: User, ratings: tuple[int, ...] = SECOND) -> queue.Lease:
    lease = quality.lease_next(person, project=project)
    submit(lease, person, ratings)
    return lease


def submit(lease: queue.Lease, person: User, ratings: tuple[int, ...]) -> Annotation:
    end = "found_error" if -1 in ratings else "solution"
    given = {"finish_reason": end, "active_ms": 1, "total_ms": 1, "submission_id": uuid.uuid4(), "ratings": rated(*ratings)}
    return labels.submit(lease.assignment_id, labeler=person, token=lease.token, **given)


def calibration_of(project: Project) -> Batch:
    return Batch.objects.get(project=project, kind=BatchKind.CALIBRATION)


def page(client: Client, batch: Batch) -> str:
    shown = client.get(reverse("calibration-set", args=["sums", batch.pk]))
    assert shown.status_code == 200
    return shown.content.decode()


# --- handing out ------------------------------------------------------------------------------------------------------------------


def test_everybody_gets_the_same_solutions_before_other_work(project: Project) -> None:
    wanted = list(Task.objects.filter(batch__kind="calibration").order_by("pk").values_list("solution", flat=True))
    for person in (make.ann(project), make.ben(project), make.rolf(project)):
        leases = [answer(project, person) for _ in range(3)]
        assert [lease.solution_id for lease in leases[:2]] == wanted and leases[2].kind == "selected"


def test_a_calibration_solution_is_prepared_ahead_like_other_work(project: Project) -> None:
    ann = make.ann(project)
    first = quality.lease_next(ann, project=project)
    ahead = queue.reserve_next(ann, project=project)
    assert ahead is not None and (ahead.kind, ahead.solution_id != first.solution_id) == ("calibration", True)


def test_newcomers_get_no_calibration_before_they_are_admitted(project: Project) -> None:
    rolf = make.rolf(project)
    for _ in range(4):
        answer(project, rolf)
    quality.open_screening(project, by="rolf", size=1)
    ann = make.ann(project)
    assert quality.lease_next(ann, project=project).kind == "screening"
    Membership.objects.filter(user=ann).update(qualified_at=Now())
    lease = quality.lease_next(ann, project=project)
    submit(lease, ann, SECOND)
    assert quality.lease_next(ann, project=project).kind == "calibration"


@pytest.mark.parametrize("act", [queue.pause_batch, queue.close_batch])
def test_a_set_that_is_paused_or_closed_is_not_handed_out(project: Project, act: Any) -> None:
    act(calibration_of(project), actor=make.olga())
    assert quality.lease_next(make.ann(project), project=project).kind == "selected"


def test_a_draft_is_handed_out_once_it_is_published() -> None:
    project = make.project("sums")
    make.batch(project, make.solutions(project, 1))
    draft, ann = calibration(project, 1, is_draft=True), make.ann(project)
    lease = quality.lease_next(ann, project=project)
    assert lease.kind == "selected"
    queue.publish_draft(draft, actor=make.olga())
    submit(lease, ann, SECOND)
    assert quality.lease_next(ann, project=project).kind == "calibration"


def test_a_skipped_calibration_solution_is_over_for_that_person_alone(project: Project) -> None:
    ann = make.ann(project)
    lease = quality.lease_next(ann, project=project)
    labels.skip(lease.assignment_id, labeler=ann, token=lease.token, reason="")
    assert quality.lease_next(ann, project=project).solution_id != lease.solution_id
    assert quality.lease_next(make.ben(project), project=project).solution_id == lease.solution_id


def test_a_withdrawn_solution_asks_nobody_and_keeps_nobody_waiting(project: Project) -> None:
    ann, batch = make.ann(project), calibration_of(project)
    answer(project, ann)
    second = Task.objects.filter(batch=batch).order_by("pk")[1]
    queue.withdraw_one(project, second.solution_id, actor=make.olga())
    assert quality.lease_next(ann, project=project).kind == "selected"
    assert quality.calibration_page(project, batch.pk, person=ann, sees_all=False, by_name=False).is_shown


def test_a_calibration_answer_cannot_be_reopened(project: Project) -> None:
    ann = make.ann(project)
    answer(project, ann)
    assert list(labels.reopenable(ann, project=project)) == []
    with pytest.raises(labels.NothingToRevise):
        labels.reopen(Annotation.objects.get().pk, labeler=ann, project=project)


def test_the_home_page_counts_calibration_as_waiting_work(project: Project) -> None:
    [card] = quality.projects_of(make.ann(project))
    assert card.waiting == 4
    answer(project, make.ann())
    assert quality.projects_of(make.ann())[0].waiting == 3


# --- who sees what, and when --------------------------------------------------------------------------------------------------------


def test_a_labeler_sees_the_verdicts_only_after_the_own_answers(project: Project) -> None:
    ann, ben, batch = make.ann(project), make.ben(project), calibration_of(project)
    for _ in range(2):
        answer(project, ben, THIRD)
    client = signed_in(ann)
    assert "2 solutions of this set are left for you" in page(client, batch)
    answer(project, ann, SECOND)
    half = page(client, batch)
    assert "1 solution of this set is left for you" in half and "step 3" not in half
    answer(project, ann, SECOND)
    whole = page(client, batch)
    assert "First mistake at step 3" in whole and "1 of 2" in whole and 'First mistake at step 2 <span class="chip">yours</span>' in whole


def test_somebody_who_answered_nothing_of_a_closed_set_sees_nothing(project: Project) -> None:
    batch = calibration_of(project)
    answer(project, make.ben(project), THIRD)
    queue.close_batch(batch, actor=make.olga())
    assert "You answered no solution of this set" in page(signed_in(make.ann(project)), batch)
    assert "First mistake at step 3" in page(signed_in(make.ben()), batch)  # one answer, and nothing is left


def test_managers_read_names_researchers_pseudonyms_and_labelers_neither(project: Project) -> None:
    ann, ben, batch = make.ann(project), make.ben(project), calibration_of(project)
    for person in (ann, ben):
        for _ in range(2):
            answer(project, person)
    pseudonym = str(Membership.objects.get(user=ben).export_uuid)[:8]
    seen = {name: page(signed_in(person), batch) for name, person in (("olga", make.olga()), ("rita", make.rita(project)), ("ann", ann))}
    assert ["ann, ben" in seen[name] for name in ("olga", "rita", "ann")] == [True, False, False]
    assert [pseudonym in seen[name] for name in ("olga", "rita", "ann")] == [False, True, False]


def test_first_submissions_are_shown_of_people_whose_labels_count(project: Project) -> None:
    ann, ben, batch = make.ann(project), make.ben(project), calibration_of(project)
    answer(project, ann, SECOND), answer(project, ben, THIRD)
    Membership.objects.filter(user=ben).update(quarantined_at=Now())
    shown = quality.calibration_page(project, batch.pk, person=make.olga(), sees_all=True, by_name=True)
    assert [(verdict.words, verdict.count) for verdict in shown.solutions[0].verdicts] == [("first mistake at step 2", 1)]
    assert [(step.negative, step.neutral, step.positive) for step in shown.solutions[0].steps] == [(0, 0, 1), (1, 0, 0), (0, 0, 0)]


def test_other_ends_are_verdicts_of_their_own(project: Project) -> None:
    ann, ben, batch = make.ann(project), make.ben(project), calibration_of(project)
    answer(project, ann, RIGHT)
    lease = quality.lease_next(ben, project=project)
    given = {"finish_reason": "give_up", "reason": "Unclear.", "active_ms": 1, "total_ms": 1, "submission_id": uuid.uuid4(), "ratings": []}
    labels.submit(lease.assignment_id, labeler=ben, token=lease.token, **given)
    shown = quality.calibration_page(project, batch.pk, person=make.olga(), sees_all=True, by_name=True)
    assert [verdict.words for verdict in shown.solutions[0].verdicts] == ["gave up", "no mistake"]


def test_the_list_says_how_far_a_person_is(project: Project) -> None:
    ann = make.ann(project)
    answer(project, ann)
    calibration(project, 1, is_draft=True)
    [row] = quality.calibration_sets(project, person=ann)
    assert (row.solutions, row.people, row.answered, row.left) == (2, 1, 1, 1)
    assert "(1 left)" in signed_in(ann).get(reverse("calibration", args=["sums"])).content.decode()


def test_a_set_of_another_kind_project_or_state_is_not_found(project: Project) -> None:
    other = make.project("other")
    draft = calibration(project, 1, is_draft=True)
    for batch in (calibration(other, 1), draft, Batch.objects.filter(kind="selected")[0]):
        assert signed_in(make.ann(project)).get(reverse("calibration-set", args=["sums", batch.pk])).status_code == 404


# --- remarks ----------------------------------------------------------------------------------------------------------------------


def write(person: User, batch: Batch, task: Task, text: str) -> Any:
    return signed_in(person).post(reverse("calibration-set", args=["sums", batch.pk]), {"task": task.pk, "text": text})


def test_a_manager_writes_a_remark_that_all_who_finished_can_read(project: Project) -> None:
    ann, batch = make.ann(project), calibration_of(project)
    task = Task.objects.filter(batch=batch).order_by("pk")[0]
    for _ in range(2):
        answer(project, ann)
    assert write(make.olga(), batch, task, "The sign changes in step 2.").status_code == 302
    stored = write(ann, batch, task, "I see.")
    assert stored.status_code == 302 and stored["Location"].endswith(f"/calibration/{batch.pk}/#task-{task.pk}")
    html = page(signed_in(ann), batch)
    assert "<b>olga</b>" in html and "The sign changes in step 2." in html and "<b>You</b>" in html
    assert "<b>ann</b>" in page(signed_in(make.olga()), batch)
    assert "<b>A labeler</b>" in page(signed_in(make.rita(project)), batch)
    assert list(Event.objects.filter(verb="remark").order_by("pk").values_list("details", flat=True)) == [
        {"characters": 27},
        {"characters": 6},
    ]


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001])
def test_a_remark_that_cannot_be_stored_is_refused_and_not_lost(project: Project, text: str) -> None:
    batch = calibration_of(project)
    refused = write(make.olga(), batch, Task.objects.filter(batch=batch)[0], text)
    assert refused.status_code == 400 and "remark" in refused.content.decode() and not Remark.objects.exists()


def test_nobody_writes_about_a_solution_before_the_own_answer(project: Project) -> None:
    batch = calibration_of(project)
    task = Task.objects.filter(batch=batch)[0]
    assert write(make.ann(project), batch, task, "It is step 2.").status_code == 400
    assert write(make.olga(), batch, Task.objects.filter(batch__kind="selected")[0], "Elsewhere.").status_code == 400
    assert not Remark.objects.exists()


# --- composing --------------------------------------------------------------------------------------------------------------------


def test_a_set_is_drawn_from_solutions_that_nobody_was_given_and_published(project: Project) -> None:
    fresh = make.solutions(project, 4) + make.solutions(project, 4, outcome="correct")
    make.solutions(project, 3, withdrawn_at=Now())
    drawn = quality.drawn_for_calibration(project, size=6, seed=1)
    assert {one.pk for one in drawn} <= {one.pk for one in fresh} and len({one.problem_id for one in drawn}) == 6
    assert drawn == quality.drawn_for_calibration(project, size=6, seed=1) != quality.drawn_for_calibration(project, size=6, seed=2)
    client, address = signed_in(make.olga()), reverse("compose-calibration", args=["sums"])
    assert client.get(address, {"size": "6", "seed": "1"}).content.decode().count('name="keep"') == 6
    assert client.post(address, {"size": "6", "keep": [one.pk for one in drawn[:5]]}).status_code == 302
    made = Batch.objects.latest("pk")
    assert (made.kind, made.state, made.task_set.count(), made.generation) == ("calibration", BatchState.OPEN, 5, 1)
    assert Event.objects.filter(verb="open calibration", subject=f"batch {made.pk}").exists()


def test_about_half_of_a_set_has_a_wrong_final_answer() -> None:
    project = make.project("sums")
    for _ in range(10):
        problem = make.problem(project)
        make.solution(problem, outcome="wrong"), make.solution(problem, outcome="correct")
    drawn = quality.drawn_for_calibration(project, size=10)
    assert sum(one.outcome == "wrong" for one in drawn) == 5


@pytest.mark.parametrize(
    ("size", "words"), [("9", "Choose a smaller size"), ("51", "from 1 to 50"), ("0", "from 1 to 50"), ("x", "from 1 to 50")]
)
def test_a_set_that_cannot_be_drawn_is_refused_with_a_reason(project: Project, size: str, words: str) -> None:
    answer_ = signed_in(make.olga()).get(reverse("compose-calibration", args=["sums"]), {"size": size})
    assert answer_.status_code == 400 and words in answer_.content.decode()


def test_a_solution_that_was_queued_meanwhile_is_refused(project: Project) -> None:
    queued = Task.objects.filter(batch__kind="selected")[0].solution_id
    with pytest.raises(quality.BadCalibration, match="queued before"):
        quality.publish_calibration(project, solutions=[queued], is_draft=False, actor=make.olga())
    with pytest.raises(quality.BadCalibration, match="Keep at least one"):
        quality.publish_calibration(project, solutions=[], is_draft=False, actor=make.olga())


def test_an_interactive_project_has_no_calibration() -> None:
    project = make.project("walks", step_source="interactive")
    make.solutions(project, 2)
    with pytest.raises(quality.BadCalibration, match="different paths"):
        quality.drawn_for_calibration(project, size=1)
