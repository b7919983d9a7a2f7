"""Races of workers who ask for one more opinion with people who label, and with managers who change the batch meanwhile."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from annotation import labels, queue
from annotation.models import Assignment, Batch, MoreOpinions, Project, Solution, Task
from tests import make
from tests.annotation.test_queue_change_races import asking, end_round, errors, overlap_holds, people_of, skip, submit
from tests.racing import after_waiting, rounds

pytestmark = pytest.mark.django_db(transaction=True)

TASKS, PEOPLE = 3, 6


class Rounds:
    """Rounds with a batch each whose tasks one person has labeled, and `people` who label beside the workers."""

    def __init__(self) -> None:
        self.project: Project = make.project()
        self.first, self.people = make.person("first", self.project), people_of(self.project, PEOPLE)
        self.batches: list[Batch] = []

    @property
    def batch(self) -> Batch:
        return self.batches[-1]

    def begin(self, _: int) -> None:
        self.batches.append(make.batch(self.project, make.solutions(self.project, TASKS)))
        for _ in range(TASKS):
            submit(queue.lease_next(self.first, project=self.project), self.first)

    def wanted(self, place: int = 2, why: str = "model") -> list[queue.WantedOpinion]:
        tasks = Task.objects.filter(batch=self.batch).order_by("pk").values_list("pk", flat=True)
        return [queue.WantedOpinion(task, place, why, 0.9, 0.8, {}) for task in tasks]

    def ask(self, _: int) -> list[int]:
        return queue.ask_more(self.batch, self.wanted())

    def rows_hold(self) -> None:
        """Check that each stored reason stands for one place: as many people as it says, those who finished or can finish."""
        for row in MoreOpinions.objects.filter(batch=self.batch):
            places = Assignment.objects.filter(task=row.task, state__in=["open", "reserved", "leased", "done", "closed"])
            assert places.count() == row.place, row.task_id
        asked = MoreOpinions.objects.filter(batch=self.batch).values_list("task", "place")
        assert len(asked) == len(set(asked))


def n_asked(outcomes: list[object]) -> int:
    return sum(len(outcome) for outcome in outcomes if isinstance(outcome, list))


def test_six_workers_who_ask_at_once_open_one_place_for_each_reason() -> None:
    race = Rounds()

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        assert n_asked(outcomes) == TASKS == Assignment.objects.filter(batch=race.batch, state="open").count()
        overlap_holds(race.batch)
        race.rows_hold()
        end_round(race.batch)

    rounds(10, [race.ask] * 6, before=race.begin, after=check)


def test_people_who_ask_skip_and_submit_while_workers_ask_leave_one_place_for_each_reason() -> None:
    race = Rounds()

    def label_next(person: User) -> Callable[[int], object]:
        def act(number: int) -> object:
            lease = queue.lease_next(person, project=race.project)
            return skip(lease, person) if (number + race.people.index(person)) % 3 == 0 else submit(lease, person)

        return act

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        assert n_asked(outcomes) == TASKS
        overlap_holds(race.batch)
        assert set(Task.objects.filter(batch=race.batch).values_list("overlap", flat=True)) == {2}
        end_round(race.batch)

    rounds(10, [race.ask, race.ask, *map(label_next, race.people)], before=race.begin, after=check)


def test_a_batch_that_is_closed_while_workers_ask_has_no_open_place() -> None:
    race = Rounds()

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        assert not Assignment.objects.filter(batch=race.batch, state__in=["open", "reserved"]).exists()
        race.rows_hold()
        Assignment.objects.filter(batch=race.batch, state="leased").update(state="done")

    acts = [race.ask, race.ask, lambda _: queue.close_batch(race.batch, actor=None), *asking(race.people[:2], race.project)]
    rounds(10, acts, before=race.begin, after=check)


def test_a_solution_that_is_withdrawn_while_workers_ask_has_no_open_place() -> None:
    race = Rounds()

    def withdraw(_: int) -> int:
        return queue.withdraw(Solution.objects.filter(task__batch=race.batch), actor=None)

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        assert not Assignment.objects.filter(batch=race.batch).exclude(state__in=["done", "closed"]).exists()
        race.rows_hold()
        end_round(race.batch)

    rounds(10, [race.ask, race.ask, withdraw, *asking(race.people[:2], race.project)], before=race.begin, after=check)


def test_an_overlap_that_is_lowered_while_workers_ask_holds_for_each_task() -> None:
    race = Rounds()

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes, queue.NothingToLabel) == []
        overlap_holds(race.batch)
        race.rows_hold()
        end_round(race.batch)

    acts = [race.ask, race.ask, lambda _: queue.change_overlap(race.batch, 1, actor=None), *asking(race.people[:3], race.project)]
    rounds(10, acts, before=race.begin, after=check)


def test_an_overlap_that_is_raised_while_workers_ask_is_never_passed() -> None:
    race = Rounds()

    def check(_: int, outcomes: list) -> None:
        assert errors(outcomes) == []
        overlap_holds(race.batch)
        assert Assignment.objects.filter(batch=race.batch, state="open").count() == 2 * TASKS
        end_round(race.batch)

    acts = [race.ask, race.ask, lambda _: queue.change_overlap(race.batch, 3, actor=None)]
    rounds(10, acts, before=race.begin, after=check)


def test_a_worker_waits_for_a_skip_and_asks_for_nothing_as_its_place_is_open_again() -> None:
    race = Rounds()
    race.begin(0)
    queue.change_overlap(race.batch, 2, actor=None)
    person = race.people[0]
    lease = queue.lease_next(person, project=race.project)
    wanted = [one for one in race.wanted() if one.task == Assignment.objects.get(pk=lease.assignment_id).task_id]
    asked = after_waiting(lambda: queue.ask_more(race.batch, wanted), first=lambda: skip(lease, person))
    assert asked == []
    overlap_holds(race.batch)


def test_a_late_submit_before_the_worker_changes_what_it_judged_so_it_asks_for_nothing() -> None:
    race = Rounds()
    race.begin(0)
    queue.change_overlap(race.batch, 2, actor=None)
    person = race.people[0]
    lease = queue.lease_next(person, project=race.project)
    queue.release(lease.assignment_id, labeler=person, token=lease.token)
    queue.change_overlap(race.batch, 1, actor=None)  # the place that was given back closes
    assert queue.ask_more(race.batch, race.wanted(place=3)) == []  # judged with another number of labels
    assert queue.ask_more(race.batch, race.wanted(place=2)) != []


def test_a_place_that_was_asked_for_counts_like_any_other_when_it_is_skipped() -> None:
    race = Rounds()
    race.begin(0)
    race.ask(0)
    lease = queue.lease_next(race.people[0], project=race.project)
    labels.skip(lease.assignment_id, labeler=race.people[0], token=lease.token, reason="")
    overlap_holds(race.batch)
    assert Assignment.objects.filter(batch=race.batch, state="open").count() == TASKS
