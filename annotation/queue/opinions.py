"""Stage: queue, more opinions. One more assignment opens at a task of which all others are done: why it was wanted is stored with it.

Reads and writes Task and Assignment, and writes MoreOpinions. The labels are judged by later stages; here only places are looked at.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from django.db import connection
from django.db.models import Count, Q, QuerySet

from annotation import people
from annotation.models import Assignment, AssignmentState, Batch, BatchKind, BatchState, Membership, MoreOpinions, Project, Task
from annotation.queue.changing import hold, trying
from annotation.queue.statements import ASK_MORE, LOCK_SOLUTIONS, RAISE_OVERLAP


@dataclass(frozen=True, slots=True)
class WantedOpinion:
    """One more person for a task: the number that its people reach with this one, and why (redundancy.Ask). details: for the words."""

    task: int
    place: int
    why: str
    value: float
    threshold: float
    details: dict[str, Any]


def ask_more(batch: Batch, wanted: Collection[WantedOpinion]) -> list[int]:
    """Open one assignment for each wanted opinion of an open batch of work, and store why. Return the tasks that got one.

    A task gets none if anything changed since it was judged: another label, a place that somebody can take, a withdrawal, or the batch is
    not open any more. Nor does it if this place was asked for before, or if nobody is left who can take it: no member who labels, is
    admitted, not paused and not in quarantine, and never had its solution. So the call can be made again, and by several workers at once.
    Raises BadBatch if others hold the locks for long; then nothing was changed.
    """

    def ask() -> list[int]:
        held = hold(batch, None)
        if held.kind != BatchKind.SELECTED or held.state != BatchState.OPEN:
            return []
        given: dict[str, Any] = {"batch": held.pk, "project": held.project_id, "tasks": [one.task for one in wanted]}
        # Tasks before solutions, as in every act on a batch. Held solutions: a withdrawal ends before, or begins after.
        list(Task.objects.filter(batch=held, pk__in=given["tasks"]).order_by("pk").select_for_update(no_key=True).values_list("pk"))
        with connection.cursor() as cursor:
            cursor.execute(LOCK_SOLUTIONS, given)
            rows = cursor.execute(ASK_MORE, given | {"wanted": orjson.dumps([asdict(one) for one in wanted]).decode()}).fetchall()
            for place in sorted({place for _, place in rows}):
                tasks = [task for task, its_place in rows if its_place == place]
                Task.objects.filter(pk__in=tasks).update(overlap=place)
                cursor.execute(RAISE_OVERLAP, {"batch": held.pk, "tasks": tasks, "overlap": place})
        return sorted(task for task, _ in rows)

    return trying(ask) if wanted else []


def complete_tasks(project: Project) -> "QuerySet[Task]":
    """Return the tasks of a project's open batches of work of which somebody has finished a place, and no place is left to finish."""
    here = Task.objects.filter(batch__project=project, batch__kind=BatchKind.SELECTED, batch__state=BatchState.OPEN, kind="normal")
    taken = [AssignmentState.LEASED, AssignmentState.RESERVED]
    waits = Q(assignment__state__in=taken) | Q(assignment__state=AssignmentState.OPEN, assignment__slot__isnull=False)
    counted = here.annotate(
        n_waiting=Count("assignment", filter=waits), n_done=Count("assignment", filter=Q(assignment__state=AssignmentState.DONE))
    )
    return counted.filter(n_waiting=0, n_done__gt=0, solution__withdrawn_at=None)


def labelers_left(project: Project, task: Task | None = None) -> int:
    """Count the people who can label in a project now; with a task, those of them who never had its solution."""
    members = able_members(project)
    if task is not None:
        had = Assignment.objects.filter(task__in=Task.objects.filter(solution=task.solution_id), labeler__isnull=False)
        members = members.exclude(user__in=had.values("labeler"))
    return members.count()


def able_members(project: Project) -> "QuerySet[Membership]":
    """Return the members who can label real work now: admitted if the project has a screening, and neither paused nor in quarantine."""
    members = Membership.objects.filter(
        project=project, role__in=people.LABELERS, suspended_at=None, quarantined_at=None, user__is_active=True
    )
    if Batch.objects.filter(project=project, kind=BatchKind.SCREENING).exclude(state=BatchState.DRAFT).exists():
        members = members.exclude(qualified_at=None)
    return members


def asked_in(batch: Batch) -> "QuerySet[MoreOpinions]":
    """Return the opinions that were asked for in a batch beyond its overlap, the newest first."""
    return MoreOpinions.objects.filter(batch=batch).order_by("-pk")
