"""What a manager changes in a batch while people work in it: what is handed out then, what still counts, and what is written down."""

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from annotation import labels, quality, queue
from annotation.models import Annotation, Assignment, Batch, BatchKind, Draft, Event, Membership, Project, Solution, Task, TaskKind
from tests import make
from tests.clients import rated

pytestmark = pytest.mark.django_db

WHOLE: dict[str, Any] = {"ratings": rated(1, -1), "finish_reason": "found_error", "active_ms": 5, "total_ms": 5}


def submit(lease: queue.Lease, labeler: User, *, ahead: queue.Claim | None = None) -> Annotation:
    return labels.submit(lease.assignment_id, labeler=labeler, token=lease.token, submission_id=uuid4(), ahead=ahead, **WHOLE)


def lease(name: str, project: Project) -> tuple[queue.Lease, User]:
    person = make.person(name, project)
    return queue.lease_next(person, project=project), person


def states(batch: Batch) -> dict[str, int]:
    return dict(Counter(Assignment.objects.filter(batch=batch).values_list("state", flat=True)))


def batch_of(project: Project, count: int, **options: Any) -> Batch:
    return make.batch(project, make.solutions(project, count), **options)


def has_nothing(name: str, project: Project) -> str:
    with pytest.raises(queue.NothingToLabel) as refused:
        lease(name, project)
    return str(refused.value)


# --- another overlap --------------------------------------------------------------------------------------------------------


def test_a_higher_overlap_opens_the_missing_places_first_ones_first_in_order_of_priority() -> None:
    project = make.project()
    low, high = make.solutions(project, 2)
    batch = queue.open_batch(project, [queue.Chosen(low.pk), queue.Chosen(high.pk, priority=3)])
    assert queue.change_overlap(batch, 3, actor=None) == queue.OverlapChange(opened=4)
    new = Assignment.objects.filter(slot__gte=1).order_by("pk").values_list("slot", "task__solution", "priority", "state")
    assert list(new) == [(1, high.pk, 3, "open"), (1, low.pk, 0, "open"), (2, high.pk, 3, "open"), (2, low.pk, 0, "open")]


def test_a_higher_overlap_lets_that_many_people_label_and_no_more() -> None:
    project = make.project()
    batch = batch_of(project, 1)
    submit(*lease("ann", project))
    queue.change_overlap(batch, 3, actor=None)
    for name in ("ben", "cleo"):
        submit(*lease(name, project))
    assert has_nothing("dora", project) and Annotation.objects.count() == 3


def test_a_lower_overlap_closes_what_nobody_began_and_keeps_what_is_done() -> None:
    project = make.project(overlap=3)
    batch = batch_of(project, 4)
    for _ in range(2):
        submit(*lease("ann", project))
    assert queue.change_overlap(batch, 1, actor=None) == queue.OverlapChange(closed=8)
    assert states(batch) == {"done": 2, "open": 2, "closed": 8} and Annotation.objects.count() == 2


def test_a_lower_overlap_lets_everybody_finish_and_nobody_begin() -> None:
    project = make.project(overlap=3)
    batch = batch_of(project, 1)
    held = [lease(name, project) for name in ("ann", "ben", "cleo")]
    assert queue.change_overlap(batch, 1, actor=None) == queue.OverlapChange(in_hand=2)
    assert [submit(*one).revision for one in held] == [1, 1, 1]
    assert has_nothing("dora", project)


def test_a_surplus_lease_that_is_given_back_goes_to_nobody_else_and_its_late_submit_counts() -> None:
    project = make.project(overlap=2)
    batch = batch_of(project, 1)
    submit(*lease("ann", project))
    held, ben = lease("ben", project)
    queue.change_overlap(batch, 1, actor=None)
    queue.release(held.assignment_id, labeler=ben, token=held.token)
    assert has_nothing("cleo", project)
    assert submit(held, ben).revision == 1


def test_a_surplus_lease_that_is_skipped_opens_no_other_place() -> None:
    project = make.project(overlap=2)
    batch = batch_of(project, 1)
    submit(*lease("ann", project))
    held, ben = lease("ben", project)
    queue.change_overlap(batch, 1, actor=None)
    labels.skip(held.assignment_id, labeler=ben, token=held.token, reason="")
    assert states(batch) == {"done": 1, "skipped": 1}


def test_a_skip_opens_no_other_place_when_a_surplus_lease_gave_the_label_that_is_needed() -> None:
    project = make.project(overlap=2)
    batch = batch_of(project, 1)
    (first, ann), (second, ben) = lease("ann", project), lease("ben", project)
    queue.change_overlap(batch, 1, actor=None)
    submit(second, ben)
    labels.skip(first.assignment_id, labeler=ann, token=first.token, reason="")
    assert states(batch) == {"done": 1, "skipped": 1}


def test_a_skip_opens_another_place_while_a_surplus_lease_can_still_be_given_up() -> None:
    project = make.project(overlap=2)
    batch = batch_of(project, 1)
    (first, ann), _ = lease("ann", project), lease("ben", project)
    queue.change_overlap(batch, 1, actor=None)
    labels.skip(first.assignment_id, labeler=ann, token=first.token, reason="")
    assert states(batch) == {"leased": 1, "skipped": 1, "open": 1}


def test_an_overlap_lowered_and_raised_again_takes_back_what_was_closed_and_makes_nothing_twice() -> None:
    project = make.project(overlap=3)
    batch = batch_of(project, 2)
    held = [lease(name, project) for name in ("ann", "ben")]
    before = set(Assignment.objects.values_list("pk", "task"))
    for _ in range(3):
        queue.change_overlap(batch, 1, actor=None)
        queue.change_overlap(batch, 3, actor=None)
    assert set(Assignment.objects.values_list("pk", "task")) == before and states(batch) == {"leased": 2, "open": 4}
    assert [submit(*one).revision for one in held] == [1, 1]


def test_a_label_of_a_surplus_lease_counts_when_the_overlap_is_raised_again() -> None:
    project = make.project(overlap=2)
    batch = batch_of(project, 1)
    held = [lease(name, project) for name in ("ann", "ben")]
    queue.change_overlap(batch, 1, actor=None)
    for one in held:
        submit(*one)
    assert queue.change_overlap(batch, 2, actor=None) == queue.OverlapChange()
    assert has_nothing("cleo", project)


def test_late_work_at_a_place_that_was_closed_is_kept_and_told_why() -> None:
    project = make.project(overlap=2)
    batch = batch_of(project, 1)
    (held, ann), other = lease("ann", project), lease("ben", project)
    queue.release(held.assignment_id, labeler=ann, token=held.token)
    submit(*other)
    queue.change_overlap(batch, 1, actor=None)
    with pytest.raises(queue.LeaseLost, match="fewer people are needed for it now. Your ratings are kept as a draft") as refused:
        submit(held, ann)
    assert not isinstance(refused.value, queue.Withdrawn) and Draft.objects.get().labeler == ann


def test_the_overlap_of_single_solutions_leaves_the_others_alone() -> None:
    project = make.project()
    batch = batch_of(project, 3)
    task = Task.objects.order_by("pk")[1]
    assert queue.change_overlap(batch, 4, actor=None, tasks=[task.pk]).opened == 3
    assert list(Task.objects.order_by("pk").values_list("overlap", flat=True)) == [1, 4, 1]


def test_the_overlap_of_a_project_changes_in_every_unfinished_batch_of_work() -> None:
    project = make.project()
    batches = {state: batch_of(project, 1) for state in ("open", "paused", "draft", "closed")}
    practice = batch_of(project, 1, kind=BatchKind.PRACTICE)
    for state, batch in batches.items():
        Batch.objects.filter(pk=batch.pk).update(state=state)
    other = batch_of(make.project("words"), 1)
    assert queue.change_overlap(project, 2, actor=None) == queue.overlap_effect(project, 3).__class__(opened=3)
    changed = set(Task.objects.filter(overlap=2).values_list("batch", flat=True))
    assert changed == {batches[state].pk for state in ("open", "paused", "draft")}
    assert states(practice) == {} and states(other) == {"open": 1}


def test_gold_gets_no_places_from_a_higher_overlap() -> None:
    project = make.project(gold_percent=10)
    normal, gold = make.solutions(project, 2)
    batch = queue.open_batch(project, [queue.Chosen(normal.pk), queue.Chosen(gold.pk, kind=TaskKind.GOLD)])
    assert queue.change_overlap(batch, 2, actor=None).opened == 1
    assert not Assignment.objects.filter(task__solution=gold).exists()


def test_a_withdrawn_solution_gets_no_places_from_a_higher_overlap() -> None:
    project = make.project()
    solutions = make.solutions(project, 2)
    batch = make.batch(project, solutions)
    queue.withdraw(Solution.objects.filter(pk=solutions[0].pk), actor=None)
    assert queue.overlap_effect(batch, 3) == queue.change_overlap(batch, 3, actor=None) == queue.OverlapChange(opened=2)
    assert Assignment.objects.get(task__solution=solutions[0]).state == "closed"


def test_a_higher_overlap_is_reached_in_a_batch_with_skips() -> None:
    project = make.project()
    batch = batch_of(project, 1)
    held, ann = lease("ann", project)
    labels.skip(held.assignment_id, labeler=ann, token=held.token, reason="")
    assert queue.change_overlap(batch, 2, actor=None).opened == 1
    assert states(batch) == {"skipped": 1, "open": 2}


@pytest.mark.parametrize("overlap", [0, -1, 100])
def test_an_impossible_overlap_is_refused_and_changes_nothing(overlap: int) -> None:
    batch = batch_of(make.project(), 1)
    with pytest.raises(queue.BadBatch, match=f"overlap is {overlap}. Choose 1 to 99"):
        queue.change_overlap(batch, overlap, actor=None)
    assert Task.objects.get().overlap == 1 and not Event.objects.exists()


@pytest.mark.parametrize("kind", [BatchKind.PRACTICE, BatchKind.SCREENING])
def test_a_batch_for_newcomers_has_no_overlap_to_change(kind: str) -> None:
    batch = batch_of(make.project(), 2, kind=kind)
    with pytest.raises(queue.BadBatch, match="has no overlap: every newcomer"):
        queue.change_overlap(batch, 3, actor=None)
    assert states(batch) == {}


def test_tasks_of_another_batch_are_refused_and_nothing_changes() -> None:
    project = make.project()
    here, there = batch_of(project, 1), batch_of(project, 1)
    tasks = list(Task.objects.values_list("pk", flat=True))
    with pytest.raises(queue.BadBatch, match="are not in this batch"):
        queue.change_overlap(here, 2, actor=None, tasks=tasks)
    assert set(Task.objects.values_list("overlap", flat=True)) == {1} and states(there) == {"open": 1}


def test_the_same_overlap_changes_nothing_and_writes_nothing_down() -> None:
    batch = batch_of(make.project(overlap=2), 1)
    assert queue.change_overlap(batch, 2, actor=None) == queue.OverlapChange() and not Event.objects.exists()


def test_a_changed_overlap_leaves_the_time_limits_of_the_caller_as_they_were() -> None:
    def limit() -> tuple[str, ...]:
        with connection.cursor() as cursor:
            return cursor.execute("SHOW lock_timeout").fetchone()

    before = limit()
    queue.change_overlap(batch_of(make.project(), 1), 2, actor=None)
    assert limit() == before


# --- pause, resume, close, publish ------------------------------------------------------------------------------------------


def test_of_a_paused_batch_nothing_is_handed_out_and_everything_in_hand_can_be_finished() -> None:
    project = make.project()
    batch = batch_of(project, 4)
    held, ann = lease("ann", project)
    ahead = queue.reserve_next(ann, project=project)
    queue.pause_batch(batch, actor=None)
    assert "Work in Sums is paused" in has_nothing("ben", project)
    submit(held, ann, ahead=queue.Claim(ahead.assignment_id, ahead.token))
    assert queue.lease_next(ann, project=project).assignment_id == ahead.assignment_id
    assert queue.reserve_next(ann, project=project) is None
    submit(queue.lease_next(ann, project=project), ann)
    assert has_nothing("ann", project) and states(batch) == {"done": 2, "open": 2}


def test_a_resumed_batch_is_handed_out_again() -> None:
    project = make.project()
    batch = batch_of(project, 1)
    queue.pause_batch(batch, actor=None)
    queue.resume_batch(batch, actor=None)
    assert lease("ann", project)


def test_a_paused_screening_admits_nobody_and_says_that_it_is_paused() -> None:
    project = make.project()
    batch_of(project, 1)
    screening = batch_of(project, 1, kind=BatchKind.SCREENING)
    queue.pause_batch(screening, actor=None)
    ann = make.ann(project)
    with pytest.raises(queue.NotQualified, match="The screening of Sums is paused. You can go on when a manager resumes it."):
        quality.lease_next(ann, project=project)
    queue.resume_batch(screening, actor=None)
    assert quality.lease_next(ann, project=project).kind == BatchKind.SCREENING


def test_gold_of_a_paused_batch_is_not_handed_out() -> None:
    project = make.project(gold_percent=100)
    gold, normal = make.solutions(project, 2)
    paused = queue.open_batch(project, [queue.Chosen(gold.pk, kind=TaskKind.GOLD)])
    make.batch(project, [normal])
    queue.pause_batch(paused, actor=None)
    assert lease("ann", project)[0].solution_id == normal.pk


def test_a_closed_batch_closes_open_places_and_reservations_and_says_how_many() -> None:
    project = make.project()
    batch = batch_of(project, 5)
    held, ann = lease("ann", project)
    queue.reserve_next(ann, project=project)
    assert queue.close_batch(batch, actor=None) == 4
    assert states(batch) == {"leased": 1, "closed": 4} and Batch.objects.get().closed_at
    assert submit(held, ann).revision == 1


def test_a_submit_that_names_a_reservation_of_a_closed_batch_counts() -> None:
    project = make.project()
    batch = batch_of(project, 2)
    held, ann = lease("ann", project)
    ahead = queue.reserve_next(ann, project=project)
    queue.close_batch(batch, actor=None)
    assert submit(held, ann, ahead=queue.Claim(ahead.assignment_id, ahead.token)).revision == 1
    assert states(batch) == {"done": 1, "closed": 1}


def test_a_lease_that_lapses_after_the_batch_was_closed_can_still_be_submitted() -> None:
    project = make.project()
    batch = batch_of(project, 1)
    held, ann = lease("ann", project)
    queue.close_batch(batch, actor=None)
    Assignment.objects.update(lease_expires_at=Now())
    queue.release_expired()
    assert has_nothing("ben", project)
    assert submit(held, ann).revision == 1


def test_work_that_lapsed_before_the_batch_was_closed_can_still_be_submitted() -> None:
    project = make.project()
    batch = batch_of(project, 2)
    held, ann = lease("ann", project)
    queue.release(held.assignment_id, labeler=ann, token=held.token)
    assert queue.close_batch(batch, actor=None) == 1
    assert has_nothing("ben", project)
    assert submit(held, ann).revision == 1


def test_a_skip_in_a_closed_batch_opens_no_other_place() -> None:
    project = make.project()
    batch = batch_of(project, 1)
    held, ann = lease("ann", project)
    queue.close_batch(batch, actor=None)
    labels.skip(held.assignment_id, labeler=ann, token=held.token, reason="")
    assert states(batch) == {"skipped": 1}


def test_a_suspended_person_can_finish_what_they_hold_in_a_paused_batch() -> None:
    project = make.project()
    batch = batch_of(project, 2)
    held, ann = lease("ann", project)
    Membership.objects.update(suspended_at=Now())
    queue.pause_batch(batch, actor=None)
    assert submit(held, ann).revision == 1


def test_a_draft_is_handed_out_once_it_is_published() -> None:
    project = make.project()
    batch = batch_of(project, 1, state="draft")
    has_nothing("ann", project)
    queue.publish_draft(batch, actor=None)
    assert lease("ann", project)


TURNS = {"publish": queue.publish_draft, "pause": queue.pause_batch, "resume": queue.resume_batch, "close": queue.close_batch}
ALLOWED = {("draft", "publish"), ("draft", "close"), ("open", "pause"), ("open", "close"), ("paused", "resume"), ("paused", "close")}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("state", ["draft", "open", "paused", "closed"])
def test_an_act_that_does_not_fit_the_state_is_refused_and_changes_nothing(state: str, turn: str) -> None:
    batch = batch_of(make.project(), 1, state=state)
    if (state, turn) in ALLOWED:
        TURNS[turn](batch, actor=None)
        assert Batch.objects.get().state != state and Event.objects.count() == 1
    else:
        with pytest.raises(queue.BadBatch, match=f" is {state}| is closed already"):
            TURNS[turn](batch, actor=None)
        assert Batch.objects.get().state == state and not Event.objects.exists() and states(batch) == {"open": 1}


# --- the order of batches and of solutions ------------------------------------------------------------------------------------


def next_batch(name: str, project: Project) -> int:
    held, person = lease(name, project)
    queue.release(held.assignment_id, labeler=person, token=held.token)
    Assignment.objects.update(lapsed=None)
    return Assignment.objects.get(pk=held.assignment_id).batch_id


def test_a_batch_moved_to_the_front_is_handed_out_before_all_others() -> None:
    project = make.project()
    first, second, third = (batch_of(project, 1) for _ in range(3))
    assert next_batch("ann", project) == first.pk
    queue.move_batch(third, queue.FIRST, actor=None)
    assert next_batch("ann", project) == third.pk
    queue.move_batch(second, queue.FIRST, actor=None)
    assert next_batch("ann", project) == second.pk
    queue.move_batch(second, queue.LAST, actor=None)
    assert next_batch("ann", project) == third.pk
    queue.move_batch(third, queue.IN_ORDER, actor=None)
    assert next_batch("ann", project) == first.pk


def test_what_somebody_holds_stays_theirs_when_another_batch_comes_first() -> None:
    project = make.project()
    batch_of(project, 1)
    later = batch_of(project, 1)
    held, ann = lease("ann", project)
    queue.move_batch(later, queue.FIRST, actor=None)
    assert queue.lease_next(ann, project=project).assignment_id == held.assignment_id


@pytest.mark.parametrize("kind", [BatchKind.PRACTICE, BatchKind.SCREENING])
def test_a_batch_for_newcomers_has_no_place_in_the_order(kind: str) -> None:
    with pytest.raises(queue.BadBatch, match="has no place in the order"):
        queue.move_batch(batch_of(make.project(), 1, kind=kind), queue.FIRST, actor=None)


def test_a_solution_put_first_is_handed_out_before_the_others_of_its_batch() -> None:
    project = make.project(overlap=2)
    solutions = make.solutions(project, 3)
    make.batch(project, solutions)
    assert queue.prioritise(Solution.objects.filter(pk=solutions[2].pk), actor=make.olga(project)) == 1
    assert lease("ann", project)[0].solution_id == lease("ben", project)[0].solution_id == solutions[2].pk
    assert Event.objects.get().subject == f"solution {solutions[2].pk}" and Event.objects.get().actor == make.olga()


def test_what_a_skip_opens_has_the_new_priority() -> None:
    project = make.project()
    solutions = make.solutions(project, 2)
    make.batch(project, solutions)
    held, ann = lease("ann", project)
    queue.prioritise(Solution.objects.filter(pk=solutions[0].pk), actor=None)
    labels.skip(held.assignment_id, labeler=ann, token=held.token, reason="")
    assert Assignment.objects.order_by("pk").last().priority == 1


def test_a_solution_of_a_closed_batch_cannot_be_put_first() -> None:
    project = make.project()
    queue.close_batch(batch_of(project, 1), actor=None)
    assert queue.prioritise(Solution.objects.all(), actor=None) == 0
    assert Event.objects.count() == 1


# --- a lease given back -------------------------------------------------------------------------------------------------------


def test_a_lease_given_back_goes_to_the_next_person() -> None:
    project = make.project()
    batch_of(project, 1)
    held, ann = lease("ann", project)
    assert queue.return_lease(held.assignment_id, project=project, actor=None) == ann
    assert lease("ben", project)[0].assignment_id == held.assignment_id


def test_late_work_counts_until_somebody_takes_what_was_given_back() -> None:
    project = make.project()
    batch_of(project, 1)
    held, ann = lease("ann", project)
    queue.return_lease(held.assignment_id, project=project, actor=None)
    assert submit(held, ann).revision == 1


def test_late_work_after_somebody_took_what_was_given_back_is_kept_and_told_why() -> None:
    project = make.project()
    batch_of(project, 1)
    held, ann = lease("ann", project)
    queue.return_lease(held.assignment_id, project=project, actor=None)
    lease("ben", project)
    with pytest.raises(queue.LeaseLost) as refused:
        submit(held, ann)
    expected = "A manager gave this solution back to the queue, and somebody else has it now. Your ratings are kept as a draft."
    assert str(refused.value) == expected and refused.value.kept


def test_a_reservation_given_back_goes_to_the_next_person() -> None:
    project = make.project()
    batch_of(project, 2)
    _, ann = lease("ann", project)
    ahead = queue.reserve_next(ann, project=project)
    queue.return_lease(ahead.assignment_id, project=project, actor=None)
    assert lease("ben", project)[0].assignment_id == ahead.assignment_id


def test_what_nobody_holds_cannot_be_given_back() -> None:
    project = make.project()
    batch_of(project, 1)
    with pytest.raises(queue.BadBatch, match="Nobody holds this solution any more"):
        queue.return_lease(Assignment.objects.get().pk, project=project, actor=None)


def test_a_lease_of_another_project_cannot_be_given_back() -> None:
    project = make.project()
    batch_of(project, 1)
    held, _ = lease("ann", project)
    with pytest.raises(queue.BadBatch):
        queue.return_lease(held.assignment_id, project=make.project("words"), actor=None)
    assert Assignment.objects.get().state == "leased"


def test_a_person_who_sends_the_work_of_another_is_told_that_it_is_not_theirs() -> None:
    project = make.project()
    batch_of(project, 1)
    held, _ = lease("ann", project)
    with pytest.raises(queue.LeaseLost, match="This solution is not yours. It was handed out to somebody else."):
        submit(held, make.rolf(project))
    with pytest.raises(queue.LeaseLost, match="is not yours"):
        labels.skip(held.assignment_id, labeler=make.rolf(), token=held.token, reason="")


# --- who changed what -----------------------------------------------------------------------------------------------------------


def test_each_act_is_written_down_with_its_person_and_its_values() -> None:
    project = make.project()
    olga = make.olga(project)
    batch = batch_of(project, 2, state="draft")
    queue.publish_draft(batch, actor=olga)
    queue.pause_batch(batch, actor=olga)
    queue.resume_batch(batch, actor=olga)
    queue.change_overlap(batch, 2, actor=olga)
    queue.move_batch(batch, queue.FIRST, actor=olga)
    held, ann = lease("ann", project)
    queue.return_lease(held.assignment_id, project=project, actor=olga)
    queue.close_batch(batch, actor=olga)
    events = list(Event.objects.order_by("pk"))
    assert [event.verb for event in events] == [
        "publish batch", "pause batch", "resume batch", "change overlap", "move batch", "return lease", "close batch",
    ]  # fmt: skip
    assert {(event.actor, event.project) for event in events} == {(olga, project)}
    assert {event.subject for event in events} == {f"batch {batch.pk}", f"assignment {held.assignment_id}"}
    assert events[3].details["old"] == {"overlap": {"least": 1, "most": 1}} and events[3].details["opened"] == 2
    assert events[5].details["labeler"] == ann.pk
    assert (events[6].details["old"], events[6].details["new"]) == ({"state": "open"}, {"state": "closed"})


def test_an_act_on_a_batch_that_somebody_changed_meanwhile_is_refused_with_that_person() -> None:
    project = make.project()
    batch = batch_of(project, 2)
    queue.pause_batch(batch, actor=make.olga(project), seen=0)
    with pytest.raises(
        queue.ChangedMeanwhile, match=r"olga changed this batch after you opened the page \(pause batch\). Nothing was chang"
    ):
        queue.change_overlap(batch, 3, actor=make.ann(project), seen=0)
    assert states(batch) == {"open": 2}
    seen = queue.last_change(batch)
    assert seen and queue.change_overlap(batch, 3, actor=None, seen=seen.pk).opened == 4
