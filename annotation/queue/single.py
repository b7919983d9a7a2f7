"""Stage: queue, one solution: what a manager does with it on its page, and what that changes."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Count, Q

from annotation.models import Annotation, Assignment, AssignmentState, BatchKind, Project, Solution, Task
from annotation.queue.batches import withdraw
from annotation.queue.changing import UNFINISHED, prioritise


class NoSuchSolution(LookupError):
    """This project has no such solution."""


@dataclass(frozen=True, slots=True)
class WithdrawalEffect:
    """What withdrawing a solution does: open places that close, people who work on it now, stored labels that stay."""

    open: int
    in_hand: int
    labels: int


def find_solution(project: Project, solution_id: int) -> Solution:
    """Return a solution of a project with its problem and its gold. Raises NoSuchSolution."""
    solution = Solution.objects.select_related("problem", "goldanswer").filter(pk=solution_id, problem__project=project).first()
    if solution is None:
        raise NoSuchSolution(f"{project} has no solution {solution_id}.")
    return solution


def withdrawal_effect(solution: Solution) -> WithdrawalEffect:
    """Return what `withdraw` would do with a solution now. Changes nothing."""
    places = Assignment.objects.filter(task__in=Task.objects.filter(solution=solution))
    held = Q(state__in=[AssignmentState.LEASED, AssignmentState.RESERVED])
    counted = places.aggregate(open=Count("pk", filter=Q(state=AssignmentState.OPEN)), in_hand=Count("pk", filter=held))
    return WithdrawalEffect(**counted, labels=Annotation.objects.newest().filter(solution=solution).count())


def withdraw_one(project: Project, solution_id: int, *, actor: User) -> bool:
    """Withdraw one solution for good. Return whether it was not withdrawn before. Raises NoSuchSolution."""
    solution = find_solution(project, solution_id)
    return withdraw(Solution.objects.filter(pk=solution.pk), actor=actor) == 1


def waits_in_queue(solution: Solution) -> bool:
    """Tell whether a solution has an open place in an unfinished batch of work: then it can be handed out first."""
    places = Assignment.objects.filter(state=AssignmentState.OPEN, task__in=Task.objects.filter(solution=solution))
    return places.filter(batch__kind=BatchKind.SELECTED, batch__state__in=UNFINISHED).exists()


def prioritise_one(project: Project, solution_id: int, *, actor: User) -> bool:
    """Hand out one solution before the others of its batch. Return whether it waits in the queue: if not, nothing changes.

    Raises NoSuchSolution, and BadBatch if other people are changing it at this moment.
    """
    solution = find_solution(project, solution_id)
    return waits_in_queue(solution) and prioritise(Solution.objects.filter(pk=solution.pk), actor=actor) == 1
