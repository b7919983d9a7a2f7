"""The overview of a project for managers: queue, labels per day. Reads only."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Avg, Count, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation import queue
from annotation.models import Annotation, BatchKind, FinishReason, Outcome, Project, Solution

DAYS = 14  # of the overview's chart


@dataclass(frozen=True)
class Overview:
    """The overview of a project."""

    queue: dict[str, int]
    days: list[tuple[date, int]]  # solutions labeled per day, oldest first, no gaps
    finished: dict[str, int]  # annotations by finish reason
    outcomes: dict[str, int]  # solutions by outcome of grading
    minutes_each: float | None
    wrong_labeled: int  # labeled solutions with a wrong final answer
    wrong_confirmed: int  # those of them where a mistake was found

    @property
    def labeled(self) -> int:
        """The number of labeled solutions."""
        return sum(self.finished.values())

    @property
    def solutions(self) -> int:
        """The number of loaded solutions."""
        return sum(self.outcomes.values())


def overview(project: Project) -> Overview:
    """Return the overview of a project."""
    annotations = Annotation.objects.filter(solution__problem__project=project, revision=1).exclude(
        assignment__batch__kind=BatchKind.PRACTICE
    )
    wrong = annotations.filter(solution__outcome=Outcome.WRONG)
    return Overview(
        queue=queue.counts(project),
        days=_labeled_by_day(annotations),
        finished=_counted(annotations, "finish_reason", FinishReason.values),
        outcomes=_counted(Solution.objects.filter(problem__project=project, withdrawn_at=None), "outcome", Outcome.values),
        minutes_each=_minutes(annotations.aggregate(mean=Avg("active_ms"))["mean"]),
        wrong_labeled=wrong.count(),
        wrong_confirmed=wrong.filter(finish_reason=FinishReason.FOUND_ERROR).count(),
    )


def _labeled_by_day(annotations: QuerySet[Annotation]) -> list[tuple[date, int]]:
    first = timezone.now().date() - timedelta(days=DAYS - 1)
    recent = annotations.filter(created_at__date__gte=first).annotate(day=TruncDate("created_at")).values_list("day")
    counts = dict(recent.annotate(count=Count("pk")))
    return [(day, counts.get(day, 0)) for day in (first + timedelta(days=offset) for offset in range(DAYS))]


def _counted(rows: QuerySet[Any], field: str, names: list[str]) -> dict[str, int]:
    counts = dict(rows.order_by().values_list(field).annotate(count=Count("pk")))
    return {name: counts[name] for name in names if name in counts}


def _minutes(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 60_000
