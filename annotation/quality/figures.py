"""The figures of a project: one query for one rule. A small project is counted at each view.

A count over millions of rows takes seconds. So the figures of a large project are stored, and a worker counts them again when somebody has
looked at figures older than a minute. Without a worker a page counts by itself after a quarter of an hour. Every page says when it was.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any

from celery import current_app
from django.contrib.postgres.fields import ArrayField
from django.db.models import Aggregate, Count, F, FloatField, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerUnreachable

from annotation import eligibility, queue
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Batch,
    BatchKind,
    FinishReason,
    Membership,
    Outcome,
    Premise,
    Project,
    ProjectFigures,
    Solution,
    Task,
)

log = logging.getLogger(__name__)

DAYS = 14  # of the charts
RECENTLY = timedelta(hours=2)
LARGE = 5_000  # solutions and labels: of fewer, each view counts anew, which takes at most as long as seven simple pages
FRESH, OLDEST = timedelta(minutes=1), timedelta(minutes=15)
_asked: dict[int, float] = {}  # by project, when this process last asked a worker to count


@dataclass(frozen=True)
class Figures:
    """What the overview of a project and its page of people count, as eligibility.py says."""

    queue: dict[str, int]
    days: list[tuple[str, int]]  # ISO day, solutions labeled for the first time; oldest first, no gaps
    finished: dict[str, int]  # annotations by finish reason, as they stand after corrections
    outcomes: dict[str, int]  # solutions by outcome of grading, without withdrawn ones
    times: list[tuple[str, int, float | None, float | None, float | None]]  # by day, as `days`: solutions with a time, quartiles in ms
    quartiles: tuple[float, float, float] | None  # active ms of a solution over these days; None without a time
    recent: int  # places of work filled within the last RECENTLY
    wrong_labeled: int  # labeled solutions with a wrong final answer
    wrong_confirmed: int  # those of them where a mistake was found
    convincing_judged: int  # solutions that a round chose as convincing wrong answers, and that somebody judged completely
    convincing_confirmed: int  # those of them where at least half of these people found a mistake
    left_out: dict[str, int]  # newest annotations that do not count for every use, by their mark (eligibility)
    by_person: dict[str, tuple[int, int, int, int, str]]  # by account: today, total, active ms, solutions with a time, the last one (ISO)


class Quartiles(Aggregate):
    """The quartiles of a column, between two values where they lie there. None without a value."""

    function = "percentile_cont"
    template = "%(function)s(ARRAY[0.25, 0.5, 0.75]::float8[]) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = ArrayField(FloatField())


def figures_of(project: Project) -> tuple[Figures, datetime]:
    """Return the figures of a project, and when they were counted."""
    stored = ProjectFigures.objects.filter(project=project).first()
    if stored is None or stored.values.keys() != {field.name for field in fields(Figures)}:  # an older version stored fewer
        return count_figures(project)
    age = timezone.now() - stored.counted_at
    if age > OLDEST:
        return count_figures(project)
    if age > FRESH:
        _ask_worker(project)
    return _read(stored.values), stored.counted_at


def _read(values: Mapping[str, Any]) -> Figures:
    """Return figures as they were before JSON made lists of their tuples."""
    rows = {name: [tuple(row) for row in values[name]] for name in ("days", "times")}
    by_person = {person: tuple(row) for person, row in values["by_person"].items()}
    quartiles = values["quartiles"] and tuple(values["quartiles"])
    return Figures(**{**values, **rows, "by_person": by_person, "quartiles": quartiles})


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
    work = eligibility.counting(Use.WORK).filter(solution__problem__project=project)
    first, newest = work.filter(revision=1), work.newest()
    verdicts = eligibility.counting(Use.CONSENSUS).filter(solution__problem__project=project)
    confirmed = Count("pk", filter=Q(finish_reason=FinishReason.FOUND_ERROR))
    wrong = verdicts.filter(solution__outcome=Outcome.WRONG).aggregate(labeled=Count("pk"), confirmed=confirmed)
    chart = first.filter(created_at__gte=_midnight(now.date() - timedelta(days=DAYS - 1)))
    days, times = _by_day(chart, today=now.date())
    quartiles = chart.aggregate(quartiles=Quartiles("active_ms"))["quartiles"]
    convincing = _convincing(verdicts)
    figures = Figures(
        queue=queue.counts(project),
        days=days,
        finished=_counted(newest, "finish_reason", FinishReason.values),
        outcomes=_counted(Solution.objects.filter(problem__project=project, withdrawn_at=None), "outcome", Outcome.values),
        times=times,
        quartiles=quartiles and tuple(quartiles),
        recent=first.filter(created_at__gte=now - RECENTLY, assignment__batch__kind=BatchKind.SELECTED).count(),
        wrong_labeled=wrong["labeled"],
        wrong_confirmed=wrong["confirmed"],
        convincing_judged=convincing["judged"],
        convincing_confirmed=convincing["confirmed"],
        left_out=_left_out(project),
        by_person=_by_person(first, today=now.date()),
    )
    if sum(figures.outcomes.values()) + sum(figures.finished.values()) >= LARGE:
        ProjectFigures.objects.update_or_create(project=project, defaults={"counted_at": now, "values": asdict(figures)})
    return figures, now


def _ask_worker(project: Project) -> None:
    """Ask a worker to count, once a minute and process: a message is for a minute, and a busy page or program looks many times."""
    if monotonic() < _asked.get(project.pk, float("-inf")) + FRESH.total_seconds():
        return
    _asked[project.pk] = monotonic()
    try:
        current_app.send_task("annotation.tasks.count_figures", [project.pk], ignore_result=True, expires=FRESH.total_seconds())
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked to count the figures of %s (%s).", project.slug, error)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def _by_day(annotations: QuerySet[Annotation], *, today: date) -> tuple[list[tuple[str, int]], list[tuple[Any, ...]]]:
    """Return the counts of the last days without gaps, and the times of the solutions on these days."""
    by_day = annotations.annotate(day=TruncDate("created_at", tzinfo=UTC)).values_list("day").order_by()
    rows = by_day.annotate(count=Count("pk"), timed=Count("active_ms"), quartiles=Quartiles("active_ms"))
    found = {day: (count, timed, quartiles or (None,) * 3) for day, count, timed, quartiles in rows}
    days = [today - timedelta(days=DAYS - 1 - offset) for offset in range(DAYS)]
    each = [(day.isoformat(), *found.get(day, (0, 0, (None,) * 3))) for day in days]
    return [(day, count) for day, count, _, _ in each], [(day, timed, *quartiles) for day, _, timed, quartiles in each]


def _convincing(verdicts: QuerySet[Annotation]) -> dict[str, int]:
    """Count the convincing wrong answers that people judged, and those that they confirmed, by the rule of the pages of rounds."""
    ends = (FinishReason.FOUND_ERROR, FinishReason.SOLUTION)
    judged = verdicts.filter(assignment__task__premise=Premise.WRONG, finish_reason__in=ends)
    each = judged.values("solution").annotate(found=Count("pk", filter=Q(finish_reason=FinishReason.FOUND_ERROR)), n=Count("pk")).order_by()
    return each.aggregate(judged=Count("solution"), confirmed=Count("solution", filter=Q(n__lte=2 * F("found"))))


def _left_out(project: Project) -> dict[str, int]:
    """Count what is marked, by its mark: in the batches of newcomers and reviews, of adjudicated solutions, and of people in quarantine."""
    newest = Annotation.objects.newest().filter(assignment__batch__project=project)
    small = newest.filter(assignment__batch__kind__in=[BatchKind.PRACTICE, BatchKind.SCREENING, BatchKind.REVIEW])
    review = Batch.objects.filter(project=project, kind=BatchKind.REVIEW)
    fixed = newest.filter(solution__in=Task.objects.filter(batch__in=review).values("solution"))
    members = Membership.objects.filter(project=project, quarantined_at__isnull=False)
    quarantined = newest.filter(labeler__in=members.values("user"))
    marks = {
        key: mark
        for rows in (small, fixed, quarantined)
        for key, mark in eligibility.marked(rows, project=project.pk).values_list("pk", "mark")
    }
    counts = Counter(mark for mark in marks.values() if mark)
    return {str(mark): counts[mark] for mark in eligibility.LeftOut if counts[mark]}


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
