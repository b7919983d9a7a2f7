"""Rounds as values for programs, page by page in the order of their numbers. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from django.db.models import F, QuerySet

from active_learning.models import Round, RoundStage
from active_learning.rounds.plan import plan_of
from active_learning.rounds.states import NoSuchRound, how_ended
from annotation.models import Project

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations


class WithModel(TypedDict):
    """What is read of a round beside its columns: the number of its model version."""

    model: int | None


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
    rounds = _rounds(project).filter(number__gt=after)
    if state is not None:
        rounds = rounds.filter(state=state)
    rows = list(rounds.order_by("number")[: limit + 1])
    return _values(rows[:limit]), rows[limit - 1].number if len(rows) > limit else None


def round_row(project: Project, number: int) -> RoundValues:
    """Return a round of a project. Raises NoSuchRound."""
    rows = _rounds(project).filter(number=number)[:1]
    if not rows:
        raise NoSuchRound(f"{project} has no round {number}.")
    return _values(rows)[0]


def _rounds(project: Project) -> "QuerySet[WithAnnotations[Round, WithModel]]":
    # Of its model version a round shows the number alone. The row has the metrics and the config, too, which are large.
    return Round.objects.filter(project=project).defer("findings").annotate(model=F("model_version__number"))


def _values(rows: "Iterable[WithAnnotations[Round, WithModel]]") -> list[RoundValues]:
    stages: dict[int, list[StageRow]] = {row.pk: [] for row in rows}
    # All columns but the log, which can have thousands of lines.
    columns = ("round", "name", "attempt", "began_at", "ended_at", "failure")
    for key, *values in RoundStage.objects.filter(round__in=list(stages)).order_by("pk").values_list(*columns):
        name, attempt, began_at, ended_at, failure = values
        stages[key].append(StageRow(name, attempt, began_at, ended_at, how_ended(failure) if ended_at else "", failure))
    return [_row(row, stages[row.pk]) for row in rows]


def _row(round_: "WithAnnotations[Round, WithModel]", stages: list[StageRow]) -> RoundValues:
    plan = plan_of(round_)
    return RoundValues(
        number=round_.number, generation=round_.generation, state=round_.state, strategy=round_.strategy, size=plan.size,
        per_problem=plan.recipe.per_problem if plan.recipe else None, trains=bool(plan.train), review=plan.review, labels=plan.labels,
        kind=plan.kind, model=round_.model, batch=round_.batch_id, failure=round_.failure, progress=round_.progress,
        created_at=round_.created_at, finished_at=round_.finished_at, stages=stages,
    )  # fmt: skip
