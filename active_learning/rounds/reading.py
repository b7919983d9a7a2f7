"""Rounds as values for programs, page by page in the order of their numbers. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from active_learning.models import Round
from active_learning.rounds.plan import plan_of
from active_learning.rounds.states import NoSuchRound, how_ended
from annotation.models import Project


@dataclass(frozen=True, slots=True)
class StageRow:
    """One attempt at one stage of a round. ended: done, cancelled, stopped or failed; empty: it runs."""

    name: str
    attempt: int
    began_at: datetime
    ended_at: datetime | None
    ended: str
    failure: str


@dataclass(frozen=True, slots=True)
class RoundValues:
    """A round: what it was asked to do, how far it is, and what it made. model: number of the version that it trained."""

    number: int
    generation: int
    state: str
    strategy: str
    size: int
    per_problem: int | None
    trains: bool
    review: bool
    labels: str
    kind: str
    model: int | None
    batch: int | None
    failure: str
    progress: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    stages: list[StageRow]


def rounds_of(project: Project, *, after: int, limit: int, state: str | None = None) -> tuple[list[RoundValues], int | None]:
    """Return a page of the rounds of a project after a number, and the number after which the next page begins (None at the end)."""
    rounds = Round.objects.filter(project=project, number__gt=after)
    if state is not None:
        rounds = rounds.filter(state=state)
    rows = list(rounds.select_related("model_version").prefetch_related("stages").order_by("number")[: limit + 1])
    return [_row(row) for row in rows[:limit]], rows[limit - 1].number if len(rows) > limit else None


def round_row(project: Project, number: int) -> RoundValues:
    """Return a round of a project. Raises NoSuchRound."""
    row = Round.objects.filter(project=project, number=number).select_related("model_version").prefetch_related("stages").first()
    if row is None:
        raise NoSuchRound(f"{project} has no round {number}.")
    return _row(row)


def _row(round_: Round) -> RoundValues:
    plan = plan_of(round_)
    stages = [
        StageRow(
            stage.name, stage.attempt, stage.began_at, stage.ended_at, how_ended(stage.failure) if stage.ended_at else "", stage.failure
        )
        for stage in round_.stages.all()
    ]
    return RoundValues(
        number=round_.number, generation=round_.generation, state=round_.state, strategy=round_.strategy, size=plan.size,
        per_problem=plan.recipe.per_problem if plan.recipe else None, trains=bool(plan.train), review=plan.review, labels=plan.labels,
        kind=plan.kind, model=round_.model_version.number if round_.model_version else None, batch=round_.batch_id,
        failure=round_.failure, progress=round_.progress, created_at=round_.created_at, finished_at=round_.finished_at, stages=stages,
    )  # fmt: skip
