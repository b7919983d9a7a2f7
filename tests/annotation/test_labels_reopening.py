"""Stage labels: corrections, and what can be corrected."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from annotation import labels, queue
from annotation.models import Annotation, Assignment, Project
from tests import make
from tests.assignments import rated, revise, submit, sums

pytestmark = pytest.mark.django_db


# --- revising -----------------------------------------------------------------------------------------------------------


def test_a_correction_is_a_new_revision_and_the_first_one_stays() -> None:
    project = sums()
    first = submit(queue.lease_next(make.ann(project), project=project), make.ann(), rated(1, 0, -1))
    second = revise(first, make.ann(), rated(-1))
    assert (second.revision, second.supersedes, second.assignment_id, second.solution_id) == (
        2,
        first,
        first.assignment_id,
        first.solution_id,
    )
    assert list(first.steplabel_set.order_by("step_index").values_list("rating", flat=True)) == [1, 0, -1]
    assert list(second.steplabel_set.values_list("rating", flat=True)) == [-1]


def test_a_correction_sent_twice_is_one_revision() -> None:
    project = sums()
    first = submit(queue.lease_next(make.ann(project), project=project), make.ann())
    one, two = (revise(first, make.ann(), rated(-1), submission_id=uuid.UUID(int=8)) for _ in range(2))
    assert one == two
    with pytest.raises(labels.SubmissionConflict):
        revise(first, make.ann(), rated(1, -1), submission_id=uuid.UUID(int=8))


def test_only_the_newest_revision_is_corrected() -> None:
    project = sums()
    first = submit(queue.lease_next(make.ann(project), project=project), make.ann())
    second = revise(first, make.ann(), rated(-1))
    with pytest.raises(labels.SubmissionConflict, match="newest revision"):
        revise(first, make.ann(), rated(1, -1))
    assert revise(second, make.ann(), rated(1, -1)).revision == 3


def test_nobody_corrects_somebody_elses_work() -> None:
    project = sums()
    first = submit(queue.lease_next(make.ann(project), project=project), make.ann())
    with pytest.raises(labels.NothingToRevise):
        revise(first, make.ben(project), rated(-1))
    assert Annotation.objects.count() == 1


def test_a_bad_correction_is_refused() -> None:
    project = sums()
    first = submit(queue.lease_next(make.ann(project), project=project), make.ann())
    with pytest.raises(labels.BadSubmission) as caught:
        revise(first, make.ann(), rated(1, 1, 1, 1))
    assert (caught.value.code, Annotation.objects.count()) == ("unknown_step", 1)


# --- reopening ----------------------------------------------------------------------------------------------------------


def work_through(project: Project, labeler: User) -> list[Annotation]:
    made = []
    while True:
        try:
            made.append(submit(queue.lease_next(labeler, project=project), labeler))
        except queue.NothingToLabel:
            return made


def test_the_last_ten_submissions_can_be_reopened_the_newest_first() -> None:
    project = sums(count=labels.REOPEN_LAST + 2)
    made = work_through(project, make.ann(project))
    assert list(labels.reopenable(make.ann(), project=project)) == made[:1:-1]
    assert list(labels.reopenable(make.ben(project), project=project)) == []


def test_a_corrected_submission_is_reopened_at_its_newest_revision() -> None:
    project = sums()
    [first] = work_through(project, make.ann(project))
    body = {"ratings": rated(-1, flagged=(0,)), "finish_reason": "found_error", "active_ms": 1, "total_ms": 1}
    second = labels.revise(first.pk, labeler=make.ann(), submission_id=uuid.uuid4(), **body)
    assert list(labels.reopenable(make.ann(), project=project)) == [second]
    assert labels.reopen(second.pk, labeler=make.ann(), project=project) == (second, rated(-1, flagged=(0,)))
    with pytest.raises(labels.NothingToRevise):
        labels.reopen(first.pk, labeler=make.ann(), project=project)


def test_a_submission_of_long_ago_is_not_reopened() -> None:
    project = sums()
    lease = queue.lease_next(make.ann(project), project=project)
    old = Now() - timedelta(minutes=labels.REOPEN_MINUTES, seconds=1)
    assignments = Assignment.objects.filter(pk=lease.assignment_id)
    assignments.update(state="done")
    Annotation.objects.create(
        assignment=assignments.get(),
        labeler=make.ann(),
        solution_id=lease.solution_id,
        finish_reason="give_up",
        reason="x",
        submission_id=uuid.uuid4(),
        body_hash=b"",
        created_at=old,
    )
    assert Annotation.objects.count() == 1
    assert list(labels.reopenable(make.ann(), project=project)) == []


def test_an_answer_to_a_screening_question_stays_as_it_was_given() -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1), kind="screening")
    answer = submit(queue.lease_next(make.ann(project), project=project), make.ann())
    assert list(labels.reopenable(make.ann(), project=project)) == []
    with pytest.raises(labels.NothingToRevise):
        labels.assignment_of(answer.pk, labeler=make.ann())
