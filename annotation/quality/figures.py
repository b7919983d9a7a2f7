"""The figures of a project: one query for one rule. A small project is counted at each view.

A count over millions of rows takes seconds. So the figures of a large project are stored, and a worker counts them again when somebody has
looked at figures older than a minute. Without a worker a page counts by itself after a quarter of an hour. Every page says when it was.
"""

import logging
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from celery import current_app
from django.db.models import Avg, Count, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerUnreachable

from annotation import queue
from annotation.models import Annotation, FinishReason, Outcome, Project, ProjectFigures, Solution

log = logging.getLogger(__name__)

DAYS = 14  # of the chart
LARGE = 20_000  # solutions and annotations: of fewer, each view counts anew
FRESH, OLDEST = timedelta(minutes=1), timedelta(minutes=15)


@dataclass(frozen=True)
class Figures:
    """What the overview of a project and its page of people count. Practice counts nowhere."""

    queue: dict[str, int]
    days: list[tuple[str, int]]  # ISO day, solutions labeled for the first time; oldest first, no gaps
    finished: dict[str, int]  # annotations by finish reason, as they stand after corrections
    outcomes: dict[str, int]  # solutions by outcome of grading, without withdrawn ones
    active_ms: float | None  # mean of a solution
    wrong_labeled: int  # labeled solutions with a wrong final answer
    wrong_confirmed: int  # those of them where a mistake was found
    by_person: dict[str, tuple[int, int, int, int, str]]  # by account: today, total, active ms, solutions with a time, the last one (ISO)


def figures_of(project: Project) -> tuple[Figures, datetime]:
    """Return the figures of a project, and when they were counted."""
    stored = ProjectFigures.objects.filter(project=project).first()
    if stored is None:
        return count_figures(project)
    age = timezone.now() - stored.counted_at
    if age > OLDEST:
        return count_figures(project)
    if age > FRESH:
        _ask_worker(project)
    lists = {
        "days": [(day, count) for day, count in stored.values["days"]],
        "by_person": {person: tuple(row) for person, row in stored.values["by_person"].items()},
    }
    values = stored.values | lists
    return Figures(**values), stored.counted_at


def count_again(project_id: int) -> bool:
    """Count the figures of a project, unless somebody else has done so within the last minute. Return whether they were counted."""
    stored = ProjectFigures.objects.filter(project=project_id).select_related("project").first()
    if stored is None or timezone.now() - stored.counted_at < FRESH:
        return False
    count_figures(stored.project)
    return True


def count_figures(project: Project) -> tuple[Figures, datetime]:
    """Count the figures of a project now. Those of a large one are stored."""
    now = timezone.now()
    here = Annotation.objects.filter(solution__problem__project=project).work()
    newest = here.newest()
    wrong = newest.filter(solution__outcome=Outcome.WRONG)
    figures = Figures(
        queue=queue.counts(project),
        days=_by_day(here.filter(revision=1), today=now.date()),
        finished=_counted(newest, "finish_reason", FinishReason.values),
        outcomes=_counted(Solution.objects.filter(problem__project=project, withdrawn_at=None), "outcome", Outcome.values),
        active_ms=newest.aggregate(mean=Avg("active_ms"))["mean"],
        wrong_labeled=wrong.count(),
        wrong_confirmed=wrong.filter(finish_reason=FinishReason.FOUND_ERROR).count(),
        by_person=_by_person(here.filter(revision=1), today=now.date()),
    )
    if sum(figures.outcomes.values()) + sum(figures.finished.values()) >= LARGE:
        ProjectFigures.objects.update_or_create(project=project, defaults={"counted_at": now, "values": asdict(figures)})
    return figures, now


def _ask_worker(project: Project) -> None:
    try:
        current_app.send_task("annotation.tasks.count_figures", [project.pk], ignore_result=True, expires=60)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked to count the figures of %s (%s).", project.slug, error)


def _by_day(annotations: QuerySet[Annotation], *, today: date) -> list[tuple[str, int]]:
    first = today - timedelta(days=DAYS - 1)
    recent = annotations.filter(created_at__date__gte=first).annotate(day=TruncDate("created_at")).values_list("day")
    counts = dict(recent.annotate(count=Count("pk")))
    return [(day.isoformat(), counts.get(day, 0)) for day in (first + timedelta(days=offset) for offset in range(DAYS))]


def _by_person(annotations: QuerySet[Annotation], *, today: date) -> dict[str, tuple[int, int, int, int, str]]:
    rows = (
        annotations.order_by()
        .values_list("labeler")
        .annotate(
            today=Count("pk", filter=Q(created_at__date=today)),
            total=Count("pk"),
            ms=Sum("active_ms", default=0),
            timed=Count("active_ms"),
            last=Max("created_at"),
        )
    )
    return {str(labeler): (n_today, total, ms, timed, last.isoformat()) for labeler, n_today, total, ms, timed, last in rows}


def _counted(rows: QuerySet[Any], field: str, names: list[str]) -> dict[str, int]:
    counts = dict(rows.order_by().values_list(field).annotate(count=Count("pk")))
    return {name: counts[name] for name in names if name in counts}
