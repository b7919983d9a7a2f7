"""Stage labels: submits and skips, what is refused, and what happens to late work."""

import uuid
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from annotation import labels, queue
from annotation.models import Annotation, Assignment, Draft, Event, Membership, StepLabel, TaskKind
from tests import make
from tests.assignments import assignment_of, lapse, rated, submit, sums

pytestmark = pytest.mark.django_db


# --- submitting ---------------------------------------------------------------------------------------------------------


def test_a_submit_stores_every_label_and_closes_the_assignment() -> None:
    project = sums()
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    annotation = submit(lease, ann, rated(1, 0, -1, flagged=(1,)))
    assert (assignment_of(lease).state, assignment_of(lease).labeler) == ("done", ann)
    assert (annotation.solution_id, annotation.revision, annotation.active_ms, annotation.total_ms) == (lease.solution_id, 1, 5000, 9000)
    assert isinstance(annotation.created_at, datetime)
    stored = StepLabel.objects.filter(annotation=annotation).order_by("step_index")
    assert list(stored.values_list("step_index", "position", "rating", "flagged", "rated_ms", "chosen", "shown_at")) == [
        (0, 0, 1, None, 1000, True, 0),
        (1, 0, 0, True, 1001, True, 0),
        (2, 0, -1, None, 1002, False, 0),
    ]


def test_steps_after_the_first_negative_stay_unlabeled() -> None:
    project = sums()
    submit(queue.lease_next(make.ann(project), project=project), make.ann(), rated(-1))
    assert list(StepLabel.objects.values_list("step_index", "rating")) == [(0, -1)]


def test_ratings_may_come_in_any_order() -> None:
    project = sums()
    submit(queue.lease_next(make.ann(project), project=project), make.ann(), rated(1, 1, -1)[::-1])
    assert list(StepLabel.objects.order_by("step_index").values_list("rating", flat=True)) == [1, 1, -1]


def test_an_unsure_step_may_go_without_a_rating() -> None:
    project = sums()
    submit(queue.lease_next(make.ann(project), project=project), make.ann(), rated(1, None, 1, flagged=(1,)), finish_reason="solution")
    assert StepLabel.objects.values_list("rating", "flagged", "chosen").get(step_index=1) == (None, True, True)


def test_a_solution_was_not_continued_from_the_unsure_step_it_was_given_up_at() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    submit(lease, make.ann(), rated(1, None, flagged=(1,)), finish_reason="give_up", reason="too hard")
    assert list(StepLabel.objects.order_by("step_index").values_list("chosen", flat=True)) == [True, False]


@pytest.mark.parametrize("finish_reason", ["give_up", "bad_problem"])
@pytest.mark.parametrize("ratings", [(), (1,), (1, -1)], ids=["none", "some", "negative"])
def test_a_sitting_that_ends_early_keeps_its_ratings(finish_reason: str, ratings: tuple[int, ...]) -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    annotation = submit(lease, make.ann(), rated(*ratings), finish_reason=finish_reason, reason="The picture is missing: 图")
    assert (annotation.finish_reason, annotation.reason) == (finish_reason, "The picture is missing: 图")
    assert StepLabel.objects.count() == len(ratings)


def test_a_submit_takes_few_statements_whatever_the_length(django_assert_num_queries) -> None:
    project = make.project()
    make.batch(project, [make.solution(make.problem(project), [f"step {number}" for number in range(200)])])
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    with django_assert_num_queries(2 + 2):  # and the savepoint inside a test's transaction
        submit(lease, ann, rated(*[1] * 200), finish_reason="solution")


def test_a_submit_never_reads_the_texts() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with CaptureQueriesContext(connection) as caught:
        submit(lease, make.ann())
    statements = [query["sql"].replace("jsonb_array_length(n.steps)", "") for query in caught.captured_queries]
    assert not any("annotation_problem" in statement or "n.steps" in statement for statement in statements)


# --- what is refused ----------------------------------------------------------------------------------------------------

LONG = "x" * (labels.LONGEST_REASON + 1)


@pytest.mark.parametrize(
    ("code", "ratings", "other"),
    [
        ("unknown_step", [{"step": 3, "rating": 1}], {}),
        ("unknown_step", [{"step": -1, "rating": 1}], {}),
        ("unknown_step", [{"step": "0", "rating": 1}], {}),
        ("unknown_step", [{"step": True, "rating": 1}], {}),
        ("unknown_step", [{"rating": 1}], {}),
        ("unknown_step", [{"step": 0, "position": 1, "rating": 1}], {}),
        ("bad_rating", [{"step": 0, "rating": 2}], {}),
        ("bad_rating", [{"step": 0, "rating": "1"}], {}),
        ("bad_rating", [{"step": 0, "rating": True}], {}),
        ("bad_rating", [{"step": 0, "rating": 1.0}], {}),
        ("bad_rating", [{"step": 0, "rating": 1, "flagged": 1}], {}),
        ("bad_rating", [{"step": 0, "rating": 1, "ms": "9"}], {}),
        ("bad_rating", [{"step": 0, "rating": 1, "ms": 1.5}], {}),
        ("bad_rating", [{"step": 0, "rating": 1}, {"step": 0, "rating": 1}], {}),
        ("bad_rating", ["1"], {}),
        ("rating_after_negative", rated(1, -1, 1), {}),
        ("rating_after_negative", rated(-1, -1), {}),
        ("rating_after_negative", rated(-1, 1), {"finish_reason": "give_up", "reason": "hard"}),
        ("unrated_step", rated(1, None, 1), {"finish_reason": "solution"}),
        ("unrated_step", [{"step": 0, "rating": 1}, {"step": 2, "rating": -1}], {}),
        ("unrated_step", [{"step": 1, "rating": 1}], {"finish_reason": "bad_problem", "reason": "no picture"}),
        ("empty", [], {"finish_reason": "solution"}),
        ("empty", [], {"finish_reason": "found_error"}),
        ("bad_finish_reason", rated(1, 1, 1), {"finish_reason": "done"}),
        ("bad_finish_reason", rated(1, 1, -1), {"finish_reason": "solution"}),
        ("unfinished", rated(1, 1), {"finish_reason": "solution"}),
        ("no_negative", rated(1, 1, 1), {"finish_reason": "found_error"}),
        ("no_reason", rated(1), {"finish_reason": "give_up"}),
        ("no_reason", rated(1), {"finish_reason": "bad_problem", "reason": " \n"}),
        ("too_long", rated(1), {"finish_reason": "give_up", "reason": LONG}),
        ("bad_text", rated(1), {"finish_reason": "give_up", "reason": "a\0b"}),
        ("bad_text", rated(1), {"finish_reason": "give_up", "reason": "a\ud800b"}),
        ("bad_time", rated(-1), {"active_ms": None}),
        ("bad_time", rated(-1), {"total_ms": "9000"}),
    ],
)
def test_a_bad_submission_is_refused_with_its_code_and_changes_nothing(code: str, ratings: list, other: dict) -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(labels.BadSubmission) as caught:
        submit(lease, make.ann(), ratings, **other)
    assert caught.value.code == code
    assert str(caught.value).endswith((".", "give_up"))
    assert (assignment_of(lease).state, Annotation.objects.count(), StepLabel.objects.count()) == ("leased", 0, 0)


def test_a_wrong_clock_never_refuses_a_submission() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    annotation = submit(lease, make.ann(), [{"step": 0, "rating": -1, "ms": 2**40}], active_ms=-5, total_ms=2**31)
    assert (annotation.active_ms, annotation.total_ms) == (0, 2**31 - 1)
    assert StepLabel.objects.get(annotation=annotation).rated_ms == 2**31 - 1


# --- retries ------------------------------------------------------------------------------------------------------------


def test_the_same_submission_again_is_one_annotation() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    first, second = (submit(lease, make.ann(), submission_id=uuid.UUID(int=7)) for _ in range(2))
    assert first.pk == second.pk
    assert (Annotation.objects.count(), StepLabel.objects.count(), Draft.objects.count()) == (1, 3, 0)


@pytest.mark.parametrize(
    "other",
    [{"ratings": rated(1, 1, -1)}, {"ratings": rated(1, 1, 1), "finish_reason": "solution"}, {"total_ms": 9001}, {"reason": "a note"}],
    ids=["rating", "finish_reason", "time", "reason"],
)
def test_the_same_submission_with_another_body_is_a_conflict(other: dict) -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    first = submit(lease, make.ann(), submission_id=uuid.UUID(int=7))
    with pytest.raises(labels.SubmissionConflict):
        submit(lease, make.ann(), **{"submission_id": uuid.UUID(int=7), **other})
    assert Annotation.objects.get() == first


def test_a_submission_id_used_for_another_solution_is_a_conflict_and_leaves_that_assignment_leased() -> None:
    project = sums(count=2)
    submit(queue.lease_next(make.ann(project), project=project), make.ann(), submission_id=uuid.UUID(int=7))
    lease = queue.lease_next(make.ann(), project=project)
    with pytest.raises(labels.SubmissionConflict):
        submit(lease, make.ann(), submission_id=uuid.UUID(int=7))
    assert (assignment_of(lease).state, Annotation.objects.count()) == ("leased", 1)


def test_another_persons_submission_id_reveals_nothing() -> None:
    project = sums(overlap=2)
    submit(queue.lease_next(make.ann(project), project=project), make.ann(), submission_id=uuid.UUID(int=7))
    with pytest.raises(labels.SubmissionConflict):
        submit(queue.lease_next(make.ben(project), project=project), make.ben(), submission_id=uuid.UUID(int=7))


# --- late work ----------------------------------------------------------------------------------------------------------


def test_late_submit_is_good_while_the_assignment_is_free() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    lapse(lease)
    submit(lease, make.ann())
    assert (assignment_of(lease).state, assignment_of(lease).labeler) == ("done", make.ann())


def test_a_lease_past_its_end_but_not_yet_offered_again_is_good() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    Assignment.objects.update(lease_expires_at=Now() - timedelta(days=1))
    submit(lease, make.ann())
    assert assignment_of(lease).state == "done"


def test_late_submit_of_a_taken_assignment_is_lost_with_the_work_kept_as_a_draft() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    lapse(lease)
    taken = queue.lease_next(make.ben(project), project=project)
    with pytest.raises(queue.LeaseLost, match="kept as a draft") as caught:
        submit(lease, make.ann(), rated(1, -1))
    assert caught.value.kept
    assert Draft.objects.values_list("assignment", "labeler", "token").get() == (lease.assignment_id, make.ann().pk, lease.token)
    assert [one["rating"] for one in Draft.objects.get().ratings] == [1, -1]
    assert (assignment_of(taken).state, assignment_of(taken).labeler, Annotation.objects.count()) == ("leased", make.ben(), 0)


def test_late_work_overwrites_its_own_draft() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=5, ratings=rated(1))
    lapse(lease)
    queue.lease_next(make.ben(project), project=project)
    with pytest.raises(queue.LeaseLost):
        submit(lease, make.ann(), rated(1, -1))
    assert (Draft.objects.get().revision, len(Draft.objects.get().ratings)) == (6, 2)


def test_kept_work_is_shown_when_the_assignment_comes_back() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    lapse(lease)
    taken = queue.lease_next(make.ben(project), project=project)
    with pytest.raises(queue.LeaseLost):
        submit(lease, make.ann(), rated(1, -1))
    queue.release(taken.assignment_id, labeler=make.ben(), token=taken.token)
    again = queue.lease_next(make.ann(), project=project)
    assert [one["rating"] for one in again.draft["ratings"]] == [1, -1]


def test_a_draft_is_shown_to_its_own_labeler_only() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    labels.save_draft(lease.assignment_id, labeler=make.ann(), token=lease.token, revision=1, ratings=rated(1))
    lapse(lease)
    assert queue.lease_next(make.ben(project), project=project).draft is None


def test_a_late_submit_after_taking_the_same_task_again_is_kept() -> None:
    project = sums(overlap=2)
    old = queue.lease_next(make.ann(project), project=project)
    lapse(old)
    Assignment.objects.filter(pk=old.assignment_id).update(priority=-1)
    new = queue.lease_next(make.ann(), project=project)  # the other assignment of the same task
    assert (new.solution_id, new.assignment_id == old.assignment_id) == (old.solution_id, False)
    with pytest.raises(queue.LeaseLost) as caught:
        submit(old, make.ann())
    assert caught.value.kept
    assert (assignment_of(old).state, assignment_of(new).state) == ("open", "leased")


@pytest.mark.parametrize("who", ["ben", "eve"])
def test_nobody_submits_for_somebody_else(who: str) -> None:
    project = sums()
    make.ben(project)
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(queue.LeaseLost):
        submit(lease, make.person(who))
    assert (assignment_of(lease).state, assignment_of(lease).labeler, Annotation.objects.count()) == ("leased", make.ann(), 0)


def test_a_stranger_leaves_no_draft() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(queue.LeaseLost) as caught:
        submit(lease, make.eve())
    assert (caught.value.kept, Draft.objects.count()) == (False, 0)


def test_an_assignment_is_submitted_once() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    submit(lease, make.ann())
    with pytest.raises(queue.LeaseLost):
        submit(lease, make.ann(), rated(-1))
    assert (Annotation.objects.count(), Draft.objects.count()) == (1, 0)


def test_an_assignment_that_does_not_exist_is_lost() -> None:
    with pytest.raises(queue.LeaseLost):
        labels.submit(
            0, labeler=make.ann(), token=1, submission_id=uuid.uuid4(), ratings=[], finish_reason="solution", active_ms=0, total_ms=0
        )


# --- skipping -----------------------------------------------------------------------------------------------------------


def test_skip_keeps_the_overlap_whole() -> None:
    project = sums(overlap=2)
    for person in (make.ann(project), make.ben(project)):
        lease = queue.lease_next(person, project=project)
        labels.skip(lease.assignment_id, labeler=person, token=lease.token, reason="not my field")
    assert sorted(Assignment.objects.values_list("slot", "state")) == [(0, "skipped"), (1, "skipped"), (2, "open"), (3, "open")]


def test_a_skipped_solution_does_not_come_back_to_the_same_person() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="")
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(), project=project)
    assert queue.lease_next(make.ben(project), project=project).solution_id == lease.solution_id


def test_the_fresh_assignment_keeps_the_priority() -> None:
    project = make.project()
    high, low = make.solutions(project, 2)
    queue.open_batch(project, [queue.Chosen(high.pk, priority=5), queue.Chosen(low.pk, priority=1)])
    lease = queue.lease_next(make.ann(project), project=project)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="")
    assert queue.lease_next(make.ben(project), project=project).solution_id == high.pk


def test_skipping_gold_opens_no_assignment() -> None:
    project = make.project(gold_percent=100)
    queue.open_batch(project, [queue.Chosen(make.solutions(project, 1)[0].pk, kind=TaskKind.GOLD)])
    lease = queue.lease_next(make.ann(project), project=project)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="")
    assert Assignment.objects.get().state == "skipped"


def test_the_reason_of_a_skip_is_on_record() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="unreadable")
    event = Event.objects.get()
    assert (event.actor, event.project, event.verb, event.subject) == (make.ann(), project, "skip", f"assignment {lease.assignment_id}")
    assert event.details == {"reason": "unreadable"}


def test_a_lost_assignment_cannot_be_skipped() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    lapse(lease)
    queue.lease_next(make.ben(project), project=project)
    with pytest.raises(queue.LeaseLost):
        labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason="")
    assert (Assignment.objects.count(), Event.objects.count()) == (1, 0)


@pytest.mark.parametrize(("code", "reason"), [("too_long", "x" * 151), ("bad_text", "\0")])
def test_a_bad_reason_skips_nothing(code: str, reason: str) -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    with pytest.raises(labels.BadSubmission) as caught:
        labels.skip(lease.assignment_id, labeler=make.ann(), token=lease.token, reason=reason)
    assert (caught.value.code, assignment_of(lease).state) == (code, "leased")


# --- what is written stays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["annotation_annotation", "annotation_steplabel"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id + 1", "DELETE FROM {}"], ids=["update", "delete"])
def test_labels_are_append_only(table: str, change: str) -> None:
    project = sums()
    submit(queue.lease_next(make.ann(project), project=project), make.ann())
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table))
    assert (Annotation.objects.count(), StepLabel.objects.count()) == (1, 3)


def test_work_in_hand_may_be_finished_after_a_suspension() -> None:
    project = sums(count=2)
    lease = queue.lease_next(make.ann(project), project=project)
    Membership.objects.update(suspended_at=Now())
    submit(lease, make.ann())
    with pytest.raises(queue.NotQualified):
        queue.lease_next(make.ann(), project=project)
