"""Batches, consensus and people of a project, page by page in the order of their keys, for programs. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from annotation.models import Batch, Membership, Project, SolutionConsensus, StepConsensus
from annotation.quality.batches import COUNTS, NoSuchBatch
from annotation.quality.team import Member, members_in_order


class NoConsensusYet(LookupError):
    """The project has no such solution, or nobody has judged it to its end."""


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """A batch and how far it is. Places are assignments: one for each person that a solution needs."""

    id: int
    generation: int | None
    kind: str
    state: str
    priority: int
    solutions: int
    open_places: int
    done_places: int
    created_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class SettledStep:
    """What all readers say together of one step, counted from 0. Probabilities are None where the consensus has none."""

    step: int
    label: int | None
    p_first: float | None
    p_negative: float | None
    p_neutral: float
    n_votes: int


@dataclass(frozen=True, slots=True)
class SettledSolution:
    """What all readers of one solution say together."""

    solution: int
    first_mistake: int | None
    p_none: float | None
    entropy: float | None
    n_readings: int
    is_adjudicated: bool
    settled_at: datetime
    steps: list[SettledStep]


def batch_figures(
    project: Project, *, after: int, limit: int, state: str | None = None, kind: str | None = None, generation: int | None = None
) -> tuple[list[BatchFigures], int | None]:
    """Return a page of the batches of a project after a key, and the key after which the next page begins (None at the end)."""
    filters = {name: value for name, value in (("state", state), ("kind", kind), ("generation", generation)) if value is not None}
    rows = list(Batch.objects.filter(project=project, pk__gt=after, **filters).order_by("pk")[: limit + 1])
    return _figures(rows[:limit]), rows[limit - 1].pk if len(rows) > limit else None


def find_batch_figures(project: Project, number: int) -> BatchFigures:
    """Return one batch of a project. Raises NoSuchBatch."""
    rows = list(Batch.objects.filter(project=project, pk=number))
    if not rows:
        raise NoSuchBatch(f"{project} has no batch {number}.")
    return _figures(rows)[0]


def consensus_of(project: Project, *, after: int, limit: int) -> tuple[list[SettledSolution], int | None]:
    """Return a page of the settled solutions of a project after a key, and the key after which the next page begins."""
    rows = list(SolutionConsensus.objects.filter(project=project, solution__gt=after).order_by("project", "solution")[: limit + 1])
    return _consensus(rows[:limit]), rows[limit - 1].pk if len(rows) > limit else None


def find_consensus(project: Project, solution: int) -> SettledSolution:
    """Return the consensus on one solution. Raises NoConsensusYet."""
    rows = list(SolutionConsensus.objects.filter(project=project, solution=solution))
    if not rows:
        raise NoConsensusYet(f"{project} has no consensus on solution {solution}. Nobody judged it to its end, or it is not settled yet.")
    return _consensus(rows)[0]


def members_of(project: Project, *, after: int, limit: int) -> tuple[list[Member], int | None]:
    """Return a page of the members of a project with their figures, and the key after which the next page begins."""
    rows = list(Membership.objects.filter(project=project, pk__gt=after).select_related("user").order_by("pk")[: limit + 1])
    return members_in_order(project, rows[:limit]), rows[limit - 1].pk if len(rows) > limit else None


def _figures(batches: list[Batch]) -> list[BatchFigures]:
    with connection.cursor() as cursor:
        keys = [batch.pk for batch in batches]
        counts = {key: figures for key, *figures in cursor.execute(COUNTS, {"batches": keys}).fetchall()}
    return [
        BatchFigures(
            id=batch.pk, generation=batch.generation, kind=batch.kind, state=batch.state, priority=batch.priority,
            solutions=counts[batch.pk][0], open_places=counts[batch.pk][1], done_places=counts[batch.pk][2],
            created_at=batch.created_at, closed_at=batch.closed_at,
        )
        for batch in batches
    ]  # fmt: skip


def _consensus(rows: list[SolutionConsensus]) -> list[SettledSolution]:
    steps: dict[int, list[SettledStep]] = {row.pk: [] for row in rows}
    columns = ("solution", "step_index", "label", "p_first", "p_negative", "p_neutral", "n_votes")
    for solution, *values in (
        StepConsensus.objects.filter(solution__in=list(steps)).order_by("solution", "step_index").values_list(*columns)
    ):
        steps[solution].append(SettledStep(*values))
    return [
        SettledSolution(
            solution=row.pk, first_mistake=row.first_mistake, p_none=row.p_none, entropy=row.entropy, n_readings=row.n_readings,
            is_adjudicated=row.is_adjudicated, settled_at=row.settled_at, steps=steps[row.pk],
        )
        for row in rows
    ]  # fmt: skip
