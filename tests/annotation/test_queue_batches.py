"""Stage queue: what is published."""

from collections import Counter

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from annotation import queue
from annotation.models import Assignment, Batch, BatchKind, Project, Task, TaskKind
from tests import make
from tests.assignments import published

pytestmark = pytest.mark.django_db


def test_a_batch_has_one_assignment_per_slot_of_every_task() -> None:
    project = make.project(overlap=3)
    batch = make.batch(project, make.solutions(project, 4))
    assert Counter(Assignment.objects.filter(batch=batch, state="open").values_list("task", flat=True)) == dict.fromkeys(
        Task.objects.values_list("pk", flat=True), 3
    )


def test_the_next_batch_has_the_next_generation() -> None:
    project = make.project()
    assert [make.batch(project, make.solutions(project, 1)).generation for _ in range(3)] == [0, 1, 2]


def test_a_screening_batch_has_generation_minus_one() -> None:
    project = make.project()
    assert make.batch(project, make.solutions(project, 1), kind=BatchKind.SCREENING).generation == -1


def test_priority_and_verifier_score_are_kept_with_the_task() -> None:
    project = make.project()
    [one] = make.solutions(project, 1)
    queue.open_batch(project, [queue.Chosen(one.pk, priority=7, verifier_score=0.25)])
    assert Task.objects.values_list("priority", "verifier_score").get() == (7, 0.25)


def refused(project: Project, chosen: list[queue.Chosen], **options: object) -> str:
    """Return why the batch is refused. Check that nothing was written."""
    before = Batch.objects.count(), Task.objects.count(), Assignment.objects.count()
    with pytest.raises(queue.BadBatch) as caught:
        queue.open_batch(project, chosen, **options)
    assert (Batch.objects.count(), Task.objects.count(), Assignment.objects.count()) == before
    return str(caught.value)


def test_a_test_split_problem_is_never_queued() -> None:
    project = make.project()
    good, planted = make.solution(make.problem(project)), make.solution(make.problem(project, split="test"))
    assert f"the first is solution {planted.pk}" in refused(project, [queue.Chosen(good.pk), queue.Chosen(planted.pk)])


def test_a_test_split_problem_is_no_screening_question_either() -> None:
    project = make.project()
    planted = make.solution(make.problem(project, split="test"))
    assert "test split" in refused(project, [queue.Chosen(planted.pk)], kind=BatchKind.SCREENING)


def test_a_withdrawn_solution_is_not_queued() -> None:
    project = make.project()
    gone = make.solution(make.problem(project), withdrawn_at=Now())
    assert "withdrawn" in refused(project, [queue.Chosen(gone.pk)])


def test_a_solution_is_queued_once_in_a_project() -> None:
    project = make.project()
    [one] = published(project, 1)
    assert "queued before" in refused(project, [queue.Chosen(one.pk)])


def test_a_labeled_solution_may_become_a_gold_question() -> None:
    project = make.project()
    [one] = published(project, 1)
    batch = queue.open_batch(project, [queue.Chosen(one.pk, kind=TaskKind.GOLD)])
    assert not Assignment.objects.filter(batch=batch).exists()


def test_a_solution_of_another_project_is_refused() -> None:
    project, other = make.project(), make.project("other")
    assert "1 of 1 chosen solutions do not exist in Sums" in refused(project, [queue.Chosen(make.solutions(other, 1)[0].pk)])


def test_a_solution_chosen_twice_is_refused() -> None:
    project = make.project()
    [one] = make.solutions(project, 1)
    assert "chosen twice" in refused(project, [queue.Chosen(one.pk), queue.Chosen(one.pk)])


def test_an_empty_batch_is_refused() -> None:
    assert "No solution was chosen" in refused(make.project(), [])


def test_more_than_ten_thousand_tasks_are_refused() -> None:
    assert "10,001 solutions are too many" in refused(make.project(), [queue.Chosen(key) for key in range(10_001)])


def test_an_overlap_of_zero_is_refused() -> None:
    project = make.project()
    assert "overlap of 0" in refused(project, [queue.Chosen(make.solutions(project, 1)[0].pk)], overlap=0)


def test_a_generation_is_published_once() -> None:
    project = make.project()
    published(project, 1, generation=4)
    assert "generation 4 exists already" in refused(project, [queue.Chosen(make.solutions(project, 1)[0].pk)], generation=4)


def test_publishing_costs_the_same_few_statements_for_any_size() -> None:
    project = make.project(overlap=2)
    costs = []
    for size in (2, 200):
        problem = make.problem(project)
        chosen = [queue.Chosen(make.solution(problem, [f"{size} {number}"]).pk) for number in range(size)]
        with CaptureQueriesContext(connection) as caught:
            queue.open_batch(project, chosen)
        costs.append(len(caught))
    assert costs[0] == costs[1] <= 12


def test_a_closed_batch_hands_out_nothing_but_lets_a_lease_end() -> None:
    project = make.project()
    batch = make.batch(project, make.solutions(project, 2))
    lease = queue.lease_next(make.ann(project), project=project)
    queue.close_batch(batch, actor=None)
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ben(project), project=project)
    assert queue.lease_next(make.ann(), project=project).assignment_id == lease.assignment_id


def test_a_batch_is_closed_once() -> None:
    project = make.project()
    batch = make.batch(project, make.solutions(project, 1))
    queue.close_batch(batch, actor=None)
    with pytest.raises(queue.BadBatch, match="closed already"):
        queue.close_batch(batch, actor=None)


def test_a_draft_batch_is_not_handed_out() -> None:
    project = make.project()
    published(project, 1, state="draft")
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)
