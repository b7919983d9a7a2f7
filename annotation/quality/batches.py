"""The batches of a project for managers: how far each is, who holds what, when it ends. Reads only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from statistics import fmean, variance
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation import eligibility, queue
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Event,
    Project,
    Solution,
    Split,
    Task,
    TaskKind,
)
from annotation.quality.adjudicating import gold_in
from annotation.quality.asking import asked_in_batch

PAGE = 20  # batches listed at a time, and open batches with a forecast
HOLDERS = 200  # people named on the page of a batch
EVENTS = 20
PACE_DAYS = 14  # complete days that the pace is taken from
FEWEST_DAYS = 3
CHART_DAYS = 14
Z90 = 1.645  # of a normal distribution: nine of ten values are within so many standard deviations
LONGEST_DAYS = 3650

# Index-only counts of the rows that matter, each by an index of its own: a batch can have thousands of closed and skipped ones.
COUNTS = """
SELECT b.id,
       (SELECT count(*) FROM annotation_task t WHERE t.batch_id = b.id),
       (SELECT count(*) FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state = 'open' AND s.slot IS NOT NULL),
       (SELECT count(*) FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state = 'done')
  FROM unnest(%(batches)s::bigint[]) AS b(id)
"""


class NoSuchBatch(LookupError):
    """This project has no such batch."""


@dataclass(frozen=True)
class DailyPace:
    """Labels per day, over the last complete days (UTC)."""

    mean: float
    variance: float
    days: int


@dataclass(frozen=True)
class Forecast:
    """When a batch ends at the recent pace. Nine of ten times between `earliest` and `latest`, if the days go on as they were."""

    expected: datetime
    earliest: datetime
    latest: datetime | None  # None: the pace changes too much from day to day to say


@dataclass(frozen=True)
class Holder:
    """Somebody who holds an assignment."""

    assignment_id: int
    name: str
    username: str
    is_reserved: bool
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class BatchRow:
    """One batch with its figures. Places are assignments: one for each person that a solution needs."""

    batch: Batch
    solutions: int
    open: int
    done: int
    holders: Sequence[Holder]
    n_holders: int
    place: int | None  # in the order of handing out, from 1; None: it is not handed out as work
    forecast: Forecast | None

    @property
    def is_for_each(self) -> bool:
        """Whether everybody whom it is for labels all of it, so that it has no fixed number of places."""
        return self.batch.kind in queue.ON_DEMAND

    @property
    def total(self) -> int:
        """The number of places: done, in hand and open. In a closed batch, those that were not closed."""
        return self.done + self.n_holders + (0 if self.batch.state == BatchState.CLOSED else self.open)

    @property
    def percent(self) -> int:
        """The share that is done, rounded down: 100 only if all is."""
        return 100 * self.done // self.total if self.total else 0

    @property
    def n_more(self) -> int:
        """How many holders are not named."""
        return self.n_holders - len(self.holders)


def forecast(left: int, pace: DailyPace, *, now: datetime) -> Forecast | None:
    """Return when `left` labels are done. None: nobody labeled in the days of the pace.

    The labels of T days are taken as normal with mean m·T and variance s²·T + s²·T²/n, where m and s² are mean and variance of the n days
    of the pace: the days vary, and so does their mean. The interval holds every T for which `left` is within 90% of that distribution.
    """
    if pace.mean <= 0:
        return None

    def reaches(days: float, z: float) -> bool:
        spread = math.sqrt(pace.variance * days + pace.variance * days * days / pace.days)
        return pace.mean * days + z * spread >= left

    def first_day(z: float) -> float | None:
        low, high = 0.0, float(LONGEST_DAYS)
        if not reaches(high, z):
            return None
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if reaches(middle, z) else (middle, high)
        return high

    expected, earliest, latest = left / pace.mean, first_day(Z90), first_day(-Z90)
    if expected > LONGEST_DAYS or earliest is None:
        return None
    return Forecast(
        now + timedelta(days=expected), now + timedelta(days=earliest), None if latest is None else now + timedelta(days=latest)
    )


def queue_forecast(project: Project, *, left: int) -> Forecast | None:
    """Return when all work of a project is done of which `left` places are left, by the rule of the list of batches."""
    pace = pace_of(project) if left else None
    return forecast(left, pace, now=timezone.now()) if pace else None


def pace_of(project: Project) -> DailyPace | None:
    """Return the recent pace of a project's work, without today. None: fewer than three complete days since its first label."""
    counts = _labels_by_day(project.pk, timezone.now().date())
    return DailyPace(fmean(counts), variance(counts), len(counts)) if len(counts) >= FEWEST_DAYS else None


@lru_cache(maxsize=256)
def _labels_by_day(project_id: int, today: date) -> tuple[int, ...]:
    """Count the labels of the complete days before today. Labels are append-only, so the counts of a day that has ended stay."""
    first = datetime.combine(today - timedelta(days=PACE_DAYS), datetime.min.time(), UTC)
    work = eligibility.counting(Use.WORK).filter(revision=1, created_at__gte=first, created_at__lt=first + timedelta(days=PACE_DAYS))
    work = work.filter(assignment__batch__project=project_id, assignment__batch__kind=BatchKind.SELECTED)
    counts = dict(work.annotate(day=TruncDate("created_at", tzinfo=UTC)).values_list("day").annotate(count=Count("pk")))
    begin = min(counts, default=today)
    return tuple(counts.get(begin + timedelta(days=offset), 0) for offset in range((today - begin).days))


def batches_of(project: Project, *, before: int | None = None) -> tuple[list[BatchRow], int | None]:
    """Return a page of the batches of a project, the newest first, and where the next page begins (None at the end).

    A fixed number of queries. The first open batches have a forecast: what is left in them and in those before them, at the recent pace.
    """
    listed = Batch.objects.filter(project=project).order_by("-pk")
    if before is not None:
        listed = listed.filter(pk__lt=before)
    batches = list(listed[: PAGE + 1])
    rows = _rows(project, batches[:PAGE], named=3)
    return rows, batches[PAGE - 1].pk if len(batches) > PAGE else None


def find_batch(project: Project, batch_id: int) -> Batch:
    """Return a batch of this project. Raises NoSuchBatch."""
    batch = Batch.objects.filter(project=project, pk=batch_id).first()
    if batch is None:
        raise NoSuchBatch(f"{project} has no batch {batch_id}.")
    return batch


def batch_page(project: Project, batch: Batch) -> dict[str, Any]:
    """Return what the page of a batch shows: its figures, who holds what, what was changed, and the labels of the last days."""
    [row] = _rows(project, [batch], named=HOLDERS)
    tasks = Task.objects.filter(batch=batch).aggregate(
        least=Min("overlap", filter=Q(kind=TaskKind.NORMAL)), most=Max("overlap", filter=Q(kind=TaskKind.NORMAL)),
        gold=Count("pk", filter=Q(kind=TaskKind.GOLD)),
    )  # fmt: skip
    events = list(Event.objects.filter(subject=f"batch {batch.pk}").select_related("actor").order_by("-pk")[:EVENTS])
    return {
        "batch": batch,
        "row": row,
        "overlaps": tasks,
        "changes": [(event, words_of(event)) for event in events],
        "seen": events[0].pk if events else 0,
        "days": _done_by_day(batch),
        "gold": gold_in(batch),
        "opinions": asked_in_batch(project, batch),
    }


def words_of(event: Event) -> str:
    """Say what an event changed in a batch."""
    details = event.details
    match event.verb:
        case "change overlap":
            least, most = details["old"]["overlap"]["least"], details["old"]["overlap"]["most"]
            old = str(least) if least == most else f"{least} to {most}"
            counts = f"{details['opened']:,} places opened, {details['closed']:,} closed, {details['in_hand']:,} can still be finished"
            return f"Overlap from {old} to {details['new']['overlap']}: {counts}."
        case "close batch":
            return f"Closed. {details['closed']:,} places were still open."
        case "move batch":
            place = {queue.FIRST: "before all others", queue.LAST: "after all others"}.get(details["to"], "in the order of generations")
            return f"Handed out {place}."
        case "open practice" | "open screening":
            made = "Published" if details["state"] == BatchState.OPEN else "Kept as a draft"
            return f"{made}: {_counted(details['solutions'], 'solution', 'solutions')} with the labels of {details['by']}."
        case "open calibration":
            made = "Published" if details["state"] == BatchState.OPEN else "Kept as a draft"
            return f"{made}: {_counted(details['solutions'], 'solution', 'solutions')}."
        case "remark":
            return "A remark was written about one of its solutions."
        case "add gold":
            return f"Gold added: {_counted(details['solutions'], 'solution', 'solutions')}."
        case "publish batch":
            return "Published."
        case "pause batch":
            return "Paused."
        case "resume batch":
            return "Resumed."
    return event.verb


def consequences(batch: Batch, act: str, *, overlap: int | None = None) -> list[str]:
    """Say in numbers what an act would do now, one sentence each. Changes nothing."""
    [row] = _rows(batch.project, [batch], named=0)
    held = "Nobody holds a solution of it now."
    if row.n_holders:
        they = "It" if row.n_holders == 1 else "They"
        held = f"{_counted(row.n_holders, 'solution is', 'solutions are')} in hand now. {they} can be finished."
    match act:
        case "publish":
            if row.is_for_each:
                is_repeat = batch.kind == BatchKind.SCREENING and (batch.generation or 0) < -1
                who = "People who get another attempt get" if is_repeat else "Newcomers get"
                if batch.kind == BatchKind.CALIBRATION:
                    who = "Everybody who labels here gets"
                return [f"{who} its {_counted(row.solutions, 'solution', 'solutions')} from now on."]
            return [f"{_counted(row.open, 'place is', 'places are')} handed out from now on."]
        case "pause":
            return [f"{_counted(row.open, 'open place is', 'open places are')} not handed out until you resume the batch.", held]
        case "close":
            return [f"{_counted(row.open, 'open place closes', 'open places close')} for good. This cannot be undone.", held]
        case "overlap" if overlap is not None:
            effect = queue.overlap_effect(batch, overlap)
            lines = [f"This opens {_counted(effect.opened, 'place', 'places')}."] if effect.opened else []
            lines += [f"This closes {_counted(effect.closed, 'open place', 'open places')}."] if effect.closed else []
            if effect.in_hand:
                lines.append(
                    f"{_counted(effect.in_hand, 'lease is', 'leases are')} more than the new overlap needs. They can be finished, and "
                    "nobody else gets them."
                )
            return [*(lines or ["This opens and closes nothing."]), "Labels that are done stay."]
    return []


def can_begin(project: Project) -> bool:
    """Tell whether a project has no batch of work yet, and solutions for a first one."""
    if Batch.objects.filter(project=project, kind=BatchKind.SELECTED).exists():
        return False
    return Solution.objects.filter(problem__project=project, problem__split=Split.TRAIN, withdrawn_at=None).exists()


def _counted(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"


def _rows(project: Project, batches: Sequence[Batch], *, named: int) -> list[BatchRow]:
    in_order = list(
        Batch.objects.filter(project=project, kind=BatchKind.SELECTED, state=BatchState.OPEN)
        .order_by("-priority", "generation", "pk")
        .values_list("pk", flat=True)[:PAGE]
    )
    wanted = list(dict.fromkeys([*(batch.pk for batch in batches), *in_order]))
    with connection.cursor() as cursor:
        counts = {key: figures for key, *figures in cursor.execute(COUNTS, {"batches": wanted}).fetchall()}
    held = Assignment.objects.filter(
        batch__in=wanted, state__in=[AssignmentState.LEASED, AssignmentState.RESERVED], batch__project=project
    ).select_related("labeler")
    holders: dict[int, list[Holder]] = {}
    for assignment in held.order_by("state", "leased_at", "pk"):
        assert assignment.labeler is not None  # the schema says so
        holders.setdefault(assignment.batch_id, []).append(
            Holder(
                assignment_id=assignment.pk,
                name=assignment.labeler.get_full_name() or assignment.labeler.get_username(),
                username=assignment.labeler.get_username(),
                is_reserved=assignment.state == AssignmentState.RESERVED,
                since=assignment.leased_at,
                until=assignment.lease_expires_at,
            )
        )
    pace, now, left, ends = pace_of(project) if in_order else None, timezone.now(), 0, {}
    for key in in_order:
        left += counts[key][1] + len(holders.get(key, ()))
        ends[key] = forecast(left, pace, now=now) if pace and counts[key][1] + len(holders.get(key, ())) else None
    return [
        BatchRow(
            batch=batch,
            solutions=counts[batch.pk][0],
            open=counts[batch.pk][1],
            done=counts[batch.pk][2],
            holders=holders.get(batch.pk, [])[:named],
            n_holders=len(holders.get(batch.pk, ())),
            place=in_order.index(batch.pk) + 1 if batch.pk in in_order else None,
            forecast=ends.get(batch.pk),
        )
        for batch in batches
    ]


def _done_by_day(batch: Batch) -> list[tuple[date, int]]:
    today = timezone.now().date()
    first = today - timedelta(days=CHART_DAYS - 1)
    labels = Annotation.objects.filter(
        assignment__task__in=Task.objects.filter(batch=batch), revision=1, created_at__gte=datetime.combine(first, datetime.min.time(), UTC)
    )
    counts = dict(labels.annotate(day=TruncDate("created_at", tzinfo=UTC)).values_list("day").annotate(count=Count("pk")))
    return [(day, counts.get(day, 0)) for day in (first + timedelta(days=offset) for offset in range(CHART_DAYS))]
