"""Races of a manager who changes a batch with people who label in it, with an assertion on the whole table after each round."""

import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, F

from annotation import labels, queue
from annotation.models import Annotation, Assignment, Batch, Event, Project, Solution, Task
from tests import make
from tests.racing import after_waiting, rounds

pytestmark = pytest.mark.django_db(transaction=True)

HANDED_OUT = ("leased", "reserved", "done")


def submit(lease: queue.Lease, labeler: User, *, ahead: queue.Claim | None = None) -> Annotation:
    return labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[{"step": 0, "rating": -1}],
        finish_reason="found_error",
        ahead=ahead,
    )


def skip(lease: queue.Lease, labeler: User) -> None:
    labels.skip(lease.assignment_id, labeler=labeler, token=lease.token, reason="")


def asking(people: list[User], project: Project) -> list[Callable[[int], object]]:
    return [lambda _, person=person: queue.lease_next(person, project=project) for person in people]


def people_of(project: Project, count: int) -> list[User]:
    return [make.person(f"labeler{number}", project) for number in range(count)]


def overlap_holds(batch: Batch) -> None:
    """Check that each task has as many assignments as its overlap, more only if they are done, and nobody two at one task."""
    counting = Assignment.objects.filter(batch=batch, slot__isnull=False, state__in=["open", *HANDED_OUT])
    for task in Task.objects.filter(batch=batch, solution__withdrawn_at=None):
        n_done = counting.filter(task=task, state="done").count()
        assert counting.filter(task=task).count() == max(task.overlap, n_done)
    assert not Assignment.objects.exclude(labeler=None).values("task", "labeler").annotate(n=Count("pk")).filter(n__gt=1).exists()


def errors(outcomes: list, *expected: type[Exception]) -> list[object]:
    return [outcome for outcome in outcomes if isinstance(outcome, Exception) and not isinstance(outcome, expected)]


def end_round(batch: Batch) -> None:
    """End what is left, so that the next round begins with its own batch."""
    Assignment.objects.filter(batch=batch, state="leased").update(state="done")
    queue.pause_batch(batch, actor=None)


def test_an_overlap_lowered_while_twelve_people_ask_closes_open_places_only_and_lets_them_finish() -> None:
    project = make.project(overlap=3)
    people, batches = people_of(project, 12), []

    def check(number: int, outcomes: list) -> None:
        *leases, change = outcomes
        assert errors(outcomes, queue.NothingToLabel) == []
        batch = batches[-1]
        overlap_holds(batch)
        at_hand = Counter(Assignment.objects.filter(batch=batch, state="leased").values_list("task", flat=True))
        for person, lease in zip(people, leases, strict=True):
            if isinstance(lease, queue.Lease):
                assert submit(lease, person).revision == 1
        assert Counter(Assignment.objects.filter(batch=batch, state="done").values_list("task", flat=True)) == at_hand
        last = make.person("last", project)
        for _ in range(5 - len(at_hand)):  # only tasks that nobody had are left
            submit(queue.lease_next(last, project=project), last)
        with pytest.raises(queue.NothingToLabel):
            queue.lease_next(last, project=project)
        assert Assignment.objects.filter(batch=batch, state="closed").count() == change.closed
        assert Event.objects.filter(verb="change overlap", subject=f"batch {batch.pk}").count() == 1

    acts = [*asking(people, project), lambda _: queue.change_overlap(batches[-1], 1, actor=None)]
    rounds(10, acts, before=lambda _: batches.append(make.batch(project, make.solutions(project, 5))), after=check)


def test_an_overlap_raised_while_people_ask_skip_and_submit_is_reached_and_never_passed() -> None:
    project, batches, held = make.project(overlap=2), [], {}
    people = people_of(project, 8)

    def begin(_: int) -> None:
        batches.append(make.batch(project, make.solutions(project, 5)))
        held.update({person: queue.lease_next(person, project=project) for person in people[:6]})

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        overlap_holds(batches[-1])
        assert set(Task.objects.filter(batch=batches[-1]).values_list("overlap", flat=True)) == {4}
        end_round(batches[-1])

    acts = [lambda _, person=person: skip(held[person], person) for person in people[:3]]
    acts += [lambda _, person=person: submit(held[person], person) for person in people[3:6]]
    acts += [*asking(people[6:], project), lambda _: queue.change_overlap(batches[-1], 4, actor=None)]
    rounds(10, acts, before=begin, after=check)


def test_two_managers_who_change_one_overlap_at_once_leave_one_of_the_two() -> None:
    project, batches = make.project(overlap=2), []
    people = people_of(project, 6)

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        assert len(set(Task.objects.filter(batch=batches[-1]).values_list("overlap", flat=True))) == 1
        overlap_holds(batches[-1])
        end_round(batches[-1])

    acts = [lambda _, overlap=overlap: queue.change_overlap(batches[-1], overlap, actor=None) for overlap in (1, 4, 1, 3)]
    acts += asking(people, project)
    rounds(10, acts, before=lambda _: batches.append(make.batch(project, make.solutions(project, 4))), after=check)


def test_a_submit_that_takes_what_was_prepared_and_a_lower_overlap_never_hold_each_other_up() -> None:
    project, batches = make.project(overlap=3), []
    people, held = people_of(project, 8), {}

    def begin(_: int) -> None:
        batches.append(make.batch(project, make.solutions(project, 6)))
        for person in people:
            lease, ahead = queue.lease_next(person, project=project), queue.reserve_next(person, project=project)
            held[person] = (lease, ahead and queue.Claim(ahead.assignment_id, ahead.token))

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        overlap_holds(batches[-1])
        end_round(batches[-1])

    acts = [lambda _, person=person: submit(held[person][0], person, ahead=held[person][1]) for person in people]
    rounds(12, [*acts, lambda _: queue.change_overlap(batches[-1], 1, actor=None)], before=begin, after=check)
    assert Annotation.objects.count() == 8 * 12


def test_an_act_that_waits_for_a_submit_lets_go_of_what_the_submit_needs() -> None:
    project = make.project(overlap=2)
    ann, ben = make.ann(project), make.ben(project)
    batch = make.batch(project, make.solutions(project, 2))
    lease, ahead = queue.lease_next(ann, project=project), queue.reserve_next(ann, project=project)
    for _ in range(2):
        submit(queue.lease_next(ben, project=project), ben)
    order = [lease.assignment_id, ahead.assignment_id]

    def lock(place: int) -> Callable[[], object]:
        return Assignment.objects.select_for_update(no_key=True).filter(pk=order[place]).get

    # A submit that has ended its assignment and still needs the prepared one. The act holds or wants both.
    change = after_waiting(lambda: queue.change_overlap(batch, 1, actor=None), first=lock(0), then=lock(1))
    assert change == queue.OverlapChange(0, 1, 1)


def test_a_batch_closed_while_people_ask_skip_and_submit_leaves_no_open_place_and_loses_no_label() -> None:
    project, batches, held = make.project(overlap=2), [], {}
    people = people_of(project, 9)

    def begin(_: int) -> None:
        batches.append(make.batch(project, make.solutions(project, 6)))
        held.update({person: queue.lease_next(person, project=project) for person in people[:6]})

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        assert not Assignment.objects.filter(batch=batches[-1], state__in=["open", "reserved"]).exists()
        for person, lease in zip(people[6:], outcomes[6:9], strict=True):
            if isinstance(lease, queue.Lease):
                assert submit(lease, person).revision == 1
        assert outcomes[9] == Assignment.objects.filter(batch=batches[-1], state="closed").count()

    acts = [lambda _, person=person: skip(held[person], person) for person in people[:3]]
    acts += [lambda _, person=person: submit(held[person], person) for person in people[3:6]]
    acts += [*asking(people[6:], project), lambda _: queue.close_batch(batches[-1], actor=None)]
    rounds(10, acts, before=begin, after=check)


def test_a_batch_paused_while_people_ask_can_be_finished_and_goes_on_when_it_is_resumed() -> None:
    project, people, batches = make.project(), [], []
    people = people_of(project, 8)

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        for person, lease in zip(people, outcomes[:8], strict=True):
            if isinstance(lease, queue.Lease):
                assert submit(lease, person).revision == 1
        left = Assignment.objects.filter(batch=batches[-1], state="open").count()
        assert left + Annotation.objects.filter(assignment__batch=batches[-1]).count() == 10
        with pytest.raises(queue.NothingToLabel, match="is paused"):
            queue.lease_next(people[0], project=project)
        queue.resume_batch(batches[-1], actor=None)
        for _ in range(left):
            submit(queue.lease_next(people[0], project=project), people[0])
        queue.close_batch(batches[-1], actor=None)

    acts = [*asking(people, project), lambda _: queue.pause_batch(batches[-1], actor=None)]
    rounds(10, acts, before=lambda _: batches.append(make.batch(project, make.solutions(project, 10))), after=check)


def test_a_lease_given_back_by_a_manager_and_a_submit_at_the_same_moment_lose_nothing() -> None:
    project, leases = make.project(), []
    ann, ben = make.ann(project), make.ben(project)
    chosen = make.solutions(project, 20)

    def begin(number: int) -> None:
        make.batch(project, [chosen[number]])
        leases.append(queue.lease_next(ann, project=project))

    def check(number: int, outcomes: list) -> None:
        stored, returned, taken = outcomes
        assert errors([returned], queue.BadBatch) == [] and errors([taken], queue.NothingToLabel) == []
        if isinstance(taken, queue.Lease):
            assert isinstance(stored, queue.LeaseLost) and stored.kept
            assert str(stored).startswith("A manager gave this solution back to the queue, and somebody else has it now.")
            submit(taken, ben)
        else:
            assert isinstance(stored, Annotation)

    acts = [
        lambda number: submit(leases[number], ann),
        lambda number: queue.return_lease(leases[number].assignment_id, project=project, actor=None),
        lambda _: queue.lease_next(ben, project=project),
    ]
    rounds(20, acts, before=begin, after=check)
    assert Annotation.objects.count() == Assignment.objects.filter(state="done").count() == 20


def test_an_overlap_raised_and_solutions_withdrawn_at_once_leave_no_open_place_at_a_withdrawn_solution() -> None:
    project, batches = make.project(), []

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        assert not Assignment.objects.filter(task__solution__withdrawn_at__isnull=False, state__in=["open", "leased"]).exists()
        overlap_holds(batches[-1])
        assert queue.change_overlap(batches[-1], 5, actor=None).opened == 2 * 4  # of the four that are left

    def withdraw_half(_: int) -> int:
        keys = list(Task.objects.filter(batch=batches[-1]).order_by("-pk").values_list("solution", flat=True)[:4])
        return queue.withdraw(Solution.objects.filter(pk__in=keys), actor=None)

    acts = [lambda _: queue.change_overlap(batches[-1], 3, actor=None), withdraw_half]
    rounds(10, acts, before=lambda _: batches.append(make.batch(project, make.solutions(project, 8))), after=check)


def test_solutions_put_first_while_people_ask_and_skip_keep_one_priority_for_task_and_assignment() -> None:
    project, batches, held = make.project(), [], {}
    people = people_of(project, 5)

    def begin(_: int) -> None:
        batches.append(make.batch(project, make.solutions(project, 8)))
        held.update({person: queue.lease_next(person, project=project) for person in people[:3]})

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        unended = Assignment.objects.filter(batch=batches[-1]).exclude(state__in=["done", "skipped"])
        assert not unended.exclude(priority=F("task__priority")).exists()
        assert set(Task.objects.filter(batch=batches[-1]).values_list("priority", flat=True)) == {1}
        end_round(batches[-1])

    acts = [lambda _, person=person: skip(held[person], person) for person in people[:3]]
    acts += [*asking(people[3:], project)]
    acts += [lambda _: queue.prioritise(Solution.objects.filter(task__batch=batches[-1]), actor=None)]
    rounds(10, acts, before=begin, after=check)


def test_two_batches_moved_to_the_front_at_once_are_one_behind_the_other() -> None:
    project = make.project()
    batches = [make.batch(project, make.solutions(project, 1)) for _ in range(3)]

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        first, second, behind = Batch.objects.order_by("-priority")
        assert first.priority == second.priority + 1 and behind == batches[0]
        Batch.objects.update(priority=0)

    acts = [lambda _, batch=batch: queue.move_batch(batch, queue.FIRST, actor=None) for batch in batches[1:]]
    rounds(10, acts, before=lambda _: None, after=check)
