"""A reviewer's decision on a solution: an annotation of its own, that takes part in nothing that counts work."""

import io
import uuid
from pathlib import Path

import orjson
import pytest
from django.db.models import F

from annotation import export, labels, quality, queue
from annotation.eligibility import Use
from annotation.models import Annotation, Assignment, Batch, Draft, Event, Membership, Project, Role, Solution, Task
from annotation.queue.leases import _labeler_state
from tests import make
from tests.assignments import rated
from tests.reviews import NONE, at, decide, disputed, read_all, sent

pytestmark = pytest.mark.django_db


def test_a_decision_is_an_annotation_of_the_reviewer_in_the_batch_of_reviews() -> None:
    project, [solution] = disputed((at(1), at(2)))
    decision = decide(project, solution, make.rolf(project), (1, -1))
    place = decision.assignment
    assert (decision.labeler, decision.solution, decision.revision, decision.supersedes) == (make.rolf(), solution, 1, None)
    assert (place.slot, place.state, place.batch.kind, place.batch.state, place.batch.generation) == (None, "done", "review", "closed", 0)
    assert list(decision.steplabel_set.order_by("step_index").values_list("rating", "chosen")) == [(1, True), (-1, False)]
    assert quality.adjudications(project) == {solution.pk: 1}
    event = Event.objects.get(verb="adjudicate")
    assert (event.actor, event.subject, event.details) == (make.rolf(), f"solution {solution.pk}", {"closed": 0})


def test_decisions_of_one_generation_share_a_batch_and_keep_the_score_that_chose_the_solution() -> None:
    project, solutions = disputed((at(1), at(2)), (at(0), NONE))
    Task.objects.filter(solution=solutions[0]).update(verifier_score=0.25)
    for solution in solutions:
        decide(project, solution, make.rolf(project), at(1))
    reviews = Task.objects.filter(batch__kind="review").order_by("solution")
    assert list(reviews.values_list("batch", "verifier_score")) == [(Batch.objects.get(kind="review").pk, score) for score in (0.25, None)]


def test_a_correction_of_a_decision_supersedes_it() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    first = decide(project, solution, rolf, at(1))
    second = decide(project, solution, rolf, NONE, seen=first.pk)
    assert (second.revision, second.supersedes, second.assignment) == (2, first, first.assignment)
    assert quality.adjudications(project) == {solution.pk: None}


def test_another_reviewer_replaces_a_decision_at_a_place_of_their_own() -> None:
    project, [solution] = disputed((at(1), at(2)))
    first = decide(project, solution, make.rolf(project), at(1))
    second = decide(project, solution, make.olga(project), at(2), seen=first.pk)
    assert (second.revision, second.supersedes, second.labeler) == (1, first, make.olga())
    assert second.assignment.task == first.assignment.task and second.assignment != first.assignment
    assert quality.adjudications(project) == {solution.pk: 2}


def test_a_decision_sent_twice_is_stored_once() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf, key = make.rolf(project), uuid.uuid4()
    first, second = (decide(project, solution, rolf, at(1), submission_id=key) for _ in range(2))
    assert first == second
    with pytest.raises(labels.SubmissionConflict):
        decide(project, solution, rolf, at(2), submission_id=key)


def test_of_two_reviewers_one_wins_and_the_ratings_of_the_other_are_kept() -> None:
    project, [solution] = disputed((at(1), at(2)))
    olga = make.olga(project)
    won = decide(project, solution, make.rolf(project), at(1))
    with pytest.raises(labels.DecidedMeanwhile, match="rolf decided on this solution after you opened it. .* Your ratings are kept"):
        decide(project, solution, olga, at(2))
    assert labels.decision_on(solution.pk) == won
    assert [rating["rating"] for rating in labels.kept_ratings(solution.pk, reviewer=olga)] == [1, 1, -1]
    decide(project, solution, olga, at(2), seen=won.pk)
    assert labels.kept_ratings(solution.pk, reviewer=olga) == [] and not Draft.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_reviewers_at_the_same_moment_are_one_decision_and_one_draft() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf, olga = make.rolf(project), make.olga(project)
    outcomes = make.at_once([lambda person=person: decide(project, solution, person, at(1)) for person in (rolf, olga)])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Annotation", "DecidedMeanwhile"]
    assert Annotation.objects.filter(assignment__batch__kind="review").count() == 1 and Draft.objects.count() == 1
    assert Batch.objects.filter(kind="review").count() == 1


def test_nobody_decides_on_a_solution_that_they_labeled() -> None:
    project, [solution] = disputed((at(1), at(2)))
    make.ann().membership_set.update(role=Role.REVIEWER)
    with pytest.raises(labels.CannotAdjudicate, match="nobody reviews their own work"):
        decide(project, solution, make.ann(), at(1))
    assert not Batch.objects.filter(kind="review").exists()


def test_nobody_decides_while_labelers_can_still_get_the_solution() -> None:
    project = make.project(overlap=2)
    make.batch(project, [solution := make.solutions(project, 1)[0]])
    read_all(project, make.ann(project), at(1))
    with pytest.raises(labels.CannotAdjudicate, match="still handed out to labelers"):
        decide(project, solution, make.rolf(project), at(1))


def test_a_withdrawn_solution_and_one_that_nobody_labeled_are_not_decided() -> None:
    project, [solution] = disputed((at(1), at(2)))
    with pytest.raises(labels.CannotAdjudicate, match="Nobody has labeled this solution"):
        decide(project, make.solutions(project, 1)[0], make.rolf(project), at(1))
    queue.withdraw(Solution.objects.filter(pk=solution.pk), actor=None)
    with pytest.raises(labels.CannotAdjudicate, match="was withdrawn"):
        decide(project, solution, make.rolf(project), at(1))


def test_an_interactive_project_has_nothing_to_review() -> None:
    project, [solution] = disputed((at(1), at(2)))
    Project.objects.update(step_source="interactive")
    project.refresh_from_db()
    with pytest.raises(labels.CannotAdjudicate, match="different paths"):
        decide(project, solution, make.rolf(project), at(1))
    assert quality.review_queue(project, reviewer=make.rolf()).is_interactive


@pytest.mark.parametrize(("ratings", "other", "code"), [
    ((1,), {}, "unfinished"),
    ((1, 1, 1), {"finish_reason": "found_error"}, "no_negative"),
    ((-1, 1), {"finish_reason": "found_error"}, "rating_after_negative"),
    ((), {"finish_reason": "give_up"}, "no_reason"),
])  # fmt: skip
def test_a_decision_keeps_the_rules_of_labels(ratings: tuple[int, ...], other: dict[str, str], code: str) -> None:
    project, [solution] = disputed((at(1), at(2)))
    with pytest.raises(labels.BadSubmission) as refused:
        decide(project, solution, make.rolf(project), ratings, **other)
    assert refused.value.code == code


def test_giving_up_is_no_verdict_and_another_reviewer_can_decide() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    gave_up = decide(project, solution, rolf, (), finish_reason="give_up", reason="Too long.")
    assert quality.adjudications(project) == {}
    assert quality.review_queue(project, reviewer=rolf).conflicts == []
    assert [row.solution for row in quality.review_queue(project, reviewer=make.olga(project)).conflicts] == [solution]
    decide(project, solution, make.olga(project), at(1), seen=gave_up.pk)
    assert quality.adjudications(project) == {solution.pk: 1}


def test_giving_up_takes_back_the_own_decision_and_never_that_of_somebody_else() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf, olga = make.rolf(project), make.olga(project)
    first = decide(project, solution, rolf, at(1))
    with pytest.raises(labels.CannotAdjudicate, match="does not replace the decision of rolf"):
        decide(project, solution, olga, (), seen=first.pk, finish_reason="give_up", reason="Too long.")
    assert quality.adjudications(project) == {solution.pk: 1}
    decide(project, solution, rolf, (), seen=first.pk, finish_reason="give_up", reason="I was wrong.")
    assert quality.adjudications(project) == {}
    assert [row.solution for row in quality.review_queue(project, reviewer=olga).conflicts] == [solution]
    assert queue.overlap_effect(project, 3).opened == 1, "More people can label it again."


def test_nobody_decides_on_a_solution_that_they_can_still_submit() -> None:
    project = make.project(overlap=2)
    batch = make.batch(project, [solution := make.solutions(project, 1)[0]])
    read_all(project, make.ann(project), at(1))
    rolf = make.rolf(project)
    lease = queue.lease_next(rolf, project=project)
    Assignment.objects.filter(pk=lease.assignment_id).update(state="open", labeler=None, lapsed=rolf, lease_expires_at=None)
    Batch.objects.filter(pk=batch.pk).update(state="paused")
    with pytest.raises(labels.CannotAdjudicate, match="nobody reviews their own work"):
        decide(project, solution, rolf, at(1))


@pytest.mark.parametrize("end", ["skipped", "given back"])
def test_a_place_that_was_held_at_the_decision_goes_to_nobody_else(end: str) -> None:
    project = make.project(overlap=2)
    batch = make.batch(project, [solution := make.solutions(project, 1)[0]])
    read_all(project, make.ann(project), at(1))
    ben, rolf = make.ben(project), make.rolf(project)
    lease = queue.lease_next(ben, project=project)
    Batch.objects.filter(pk=batch.pk).update(state="paused")
    decide(project, solution, rolf, at(1))
    Batch.objects.filter(pk=batch.pk).update(state="open")
    if end == "skipped":
        labels.skip(lease.assignment_id, labeler=ben, token=lease.token, reason="")
    else:
        queue.give_back(ben, project=project, states=["leased"])
        assert labels.submit(lease.assignment_id, labeler=ben, token=lease.token, **sent(at(2))), "Its holder can finish."
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(rolf, project=project)


def test_giving_up_closes_no_place_and_lets_more_people_label() -> None:
    project, [solution] = disputed((at(1), at(2)))
    decide(project, solution, make.rolf(project), (), finish_reason="give_up", reason="Too long.")
    assert queue.overlap_effect(project, 3).opened == 1


def test_the_decision_of_a_reviewer_in_quarantine_does_not_settle_a_solution() -> None:
    project, [solution] = disputed((at(1), at(2)))
    decide(project, solution, make.rolf(project), at(1))
    Membership.objects.filter(user=make.rolf()).update(quarantined_at="2026-01-01T00:00Z")
    assert quality.adjudications(project) == {}
    assert [row.solution for row in quality.review_queue(project, reviewer=make.olga(project)).conflicts] == [solution]
    review = quality.review_of(project, solution.pk, reviewer=make.olga())
    assert review.decision is not None and not review.is_settled and not review.is_verdict


# --- what counts tasks, batches and work --------------------------------------------------------------------------------


def test_a_decision_is_no_work_of_the_reviewer() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    decide(project, solution, rolf, at(1))
    assert quality.projects_of(rolf)[0].record.total == 0 and quality.day_of(rolf).count == 0
    assert list(labels.reopenable(rolf, project=project)) == [] and list(labels.drafts_of(rolf, project=project)) == []


def test_a_decision_does_not_move_the_gold_turns_of_a_reviewer_who_labels() -> None:
    project, [solution] = disputed((at(1), at(2)), gold_percent=10)
    rolf = make.rolf(project)
    before = _labeler_state(rolf, project=project).turns
    decide(project, solution, rolf, at(1))
    assert _labeler_state(rolf, project=project).turns == before == 0


def test_a_decision_is_corrected_only_where_it_was_made() -> None:
    project, [solution] = disputed((at(1), at(2)))
    rolf = make.rolf(project)
    decision = decide(project, solution, rolf, at(1))
    with pytest.raises(labels.NothingToRevise):
        labels.assignment_of(decision.pk, labeler=rolf)


def test_the_batch_of_reviews_is_not_handed_out_and_has_no_forecast() -> None:
    project, [solution] = disputed((at(1), at(2)))
    decide(project, solution, make.rolf(project), at(1))
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.rolf(), project=project)
    rows, _ = quality.batches_of(project)
    [row] = [row for row in rows if row.batch.kind == "review"]
    assert (row.place, row.forecast, row.done, row.total) == (None, None, 1, 1)
    assert queue.counts(project)["done"] == 2


def test_a_raised_overlap_opens_no_place_at_a_decided_solution() -> None:
    project, [first, second] = disputed((at(1), at(2)), (at(0), at(1)))
    decide(project, first, make.rolf(project), at(1))
    assert queue.overlap_effect(project, 3).opened == 1
    queue.change_overlap(project, 3, actor=None)
    assert list(Assignment.objects.filter(state="open").values_list("task__solution", flat=True)) == [second.pk]


def test_a_paused_batch_loses_its_open_places_at_a_decided_solution() -> None:
    project = make.project(overlap=2)
    batch = make.batch(project, [solution := make.solutions(project, 1)[0]])
    read_all(project, make.ann(project), at(1))
    Batch.objects.filter(pk=batch.pk).update(state="paused")
    decide(project, solution, make.rolf(project), at(1))
    assert list(Assignment.objects.filter(batch=batch).order_by("slot").values_list("state", flat=True)) == ["done", "closed"]
    assert Event.objects.get(verb="adjudicate").details == {"closed": 1}


def test_models_learn_from_the_decision_instead_of_the_other_labels() -> None:
    project, [first, second] = disputed((at(1), at(2)), (at(0), at(1)))
    decide(project, first, make.rolf(project), NONE)
    learned = list(export.labeled_solutions(export.take_snapshot(project, use=Use.TRAINING)))
    assert sorted((row.solution_id, row.ratings) for row in learned) == sorted(
        [(first.pk, (1, 1, 1)), (second.pk, (-1, None, None)), (second.pk, (1, -1, None))]
    )


# --- exports ------------------------------------------------------------------------------------------------------------


def exported(project: Project, folder: Path) -> list[dict[str, object]]:
    export.export_prm800k(project, folder / "labels.jsonl", overwrite=True)
    assert export.check_prm800k(folder / "labels.jsonl").violations == []
    return [orjson.loads(line) for line in (folder / "labels.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("choice", ["beside", "instead", "without"])
def test_an_export_with_decisions_is_loaded_and_exported_as_the_same_records(choice: str, tmp_path: Path) -> None:
    from django.core.management import call_command

    project, solutions = disputed(*[(at(1), at(2))] * 5, adjudications=choice)
    rolf = make.rolf(project)
    first = decide(project, solutions[0], rolf, at(1))
    decide(project, solutions[0], make.olga(project), at(2), seen=first.pk)
    decide(project, solutions[1], rolf, NONE)
    decide(project, solutions[2], rolf, (1,), finish_reason="give_up", reason="Too long.")
    decide(project, solutions[3], rolf, (), finish_reason="bad_problem", reason="Bad.")
    records = exported(project, tmp_path)
    other = make.project("other", adjudications=choice)
    call_command("load_solutions", str(tmp_path / "labels.jsonl"), project="other", stdout=io.StringIO())
    (tmp_path / "again").mkdir()
    assert sorted(map(orjson.dumps, exported(other, tmp_path / "again"))) == sorted(map(orjson.dumps, records))
    marked = [record["label"]["finish_reason"] for record in records if record["is_quality_control_question"]]  # type: ignore[index]
    expected = [] if choice == "without" else ["bad_problem", "found_error", "solution"]
    assert sorted(marked) == expected, "Giving up settles nothing, so it has no mark."


@pytest.mark.parametrize(("choice", "count", "decisions"), [("beside", 3, 1), ("instead", 1, 1), ("without", 2, 0)])
def test_an_export_has_decisions_as_the_project_says(choice: str, count: int, decisions: int, tmp_path: Path) -> None:
    project, [solution] = disputed((at(1), at(2)), adjudications=choice)
    rolf = make.rolf(project)
    decide(project, solution, rolf, at(1))
    records = exported(project, tmp_path)
    marked = [record for record in records if record["is_quality_control_question"]]
    assert (len(records), len(marked)) == (count, decisions)
    pseudonym = str(rolf.membership_set.get().export_uuid)
    assert [record["labeler"] for record in marked] == [pseudonym] * decisions


def test_a_loaded_decision_becomes_a_label_for_quality_control(tmp_path: Path) -> None:
    from django.core.management import call_command

    project, [solution] = disputed((at(1), at(2)), adjudications="instead")
    decide(project, solution, make.rolf(project), at(1))
    exported(project, tmp_path)
    other = make.project("other")
    call_command("load_solutions", str(tmp_path / "labels.jsonl"), project="other", stdout=io.StringIO())
    loaded = Annotation.objects.filter(assignment__batch__project=other).annotate(kind=F("assignment__batch__kind"))
    assert [(row.kind, row.finish_reason) for row in loaded] == [("imported_gold", "found_error")]


def test_ratings_that_a_page_sends_are_those_of_the_labeling_page() -> None:
    project, [solution] = disputed((at(1), at(2)))
    body = {**sent(at(1)), "ratings": rated(0, -1, flagged=(0,))}
    decision = labels.adjudicate(project, solution.pk, reviewer=make.rolf(project), seen=0, **body)
    stored = decision.steplabel_set.order_by("step_index").values_list("rating", "flagged", "rated_ms")
    assert list(stored) == [(0, True, 1000), (-1, None, 1001)]
