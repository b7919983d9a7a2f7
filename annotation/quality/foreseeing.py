"""What thresholds of redundancy would have asked for in the past month, from the labels that are stored. Before a project changes them, its
managers see how many more labels that means, and how much work.

A small project is counted at each view. Of a large one a worker stores a sample of the newest labels, from which each view computes.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timedelta
from statistics import fmean

from django.db.models import Count
from django.utils import timezone

from annotation.eligibility import Use, counting
from annotation.models import Assignment, AssignmentState, BatchKind, FinishReason, OpinionsLook, Project, Task, TaskKind
from annotation.quality.asking import WORDS, Judge, Known
from annotation.redundancy import Foreseen, PastLabel, Thresholds, foresee

MONTH = timedelta(days=30)
SAMPLE = 2_000  # labels of the past month that a preview is computed from
SMALL = 400  # a project with fewer labels is counted at each view
FRESH = timedelta(hours=1)


@dataclass(frozen=True)
class PastMonth:
    """A sample of what was labeled in the past 30 days, and how many solutions it stands for."""

    labels: Sequence[PastLabel]
    solutions: int  # labeled in the month
    minutes: float | None  # active minutes for one solution; None without a time
    judge: str  # whose verdicts it has; empty: no model serves
    at: datetime

    @property
    def scale(self) -> float:
        """How many solutions one of the sample stands for."""
        return self.solutions / len(self.labels) if self.labels else 0.0


@dataclass(frozen=True)
class Preview:
    """What thresholds would have asked for in the past month. Numbers are of the month; `foreseen` is of the sample."""

    month: PastMonth
    foreseen: Foreseen
    second: int
    third: int | None
    reasons: Sequence[tuple[str, int]]

    @property
    def more(self) -> int:
        """More labels, as far as they can be foreseen."""
        return self.second + (self.third or 0)

    @property
    def hours(self) -> float | None:
        """Hours of work for them; None without a time."""
        return None if self.month.minutes is None else self.more * self.month.minutes / 60

    @property
    def percent(self) -> int:
        """More labels in percent of the solutions that were labeled."""
        return round(100 * self.more / self.month.solutions) if self.month.solutions else 0


def month_of(project: Project, judge: Judge | None) -> tuple[PastMonth | None, bool]:
    """Return what was labeled in the past month, and whether a worker has to count it again. None: a worker has not counted it yet."""
    if not _is_large(project):
        return count_month(project, judge), False
    look = OpinionsLook.objects.filter(project=project).exclude(sampled_at=None).first()
    if look is None or look.sampled_at is None:
        return None, True
    sample = look.sample
    month = PastMonth(
        [PastLabel(*label) for label in sample["labels"]], sample["solutions"], sample["minutes"], sample["judge"], look.sampled_at
    )
    return month, timezone.now() - look.sampled_at > FRESH


def count_month(project: Project, judge: Judge | None) -> PastMonth:
    """Count what was labeled in a project in the past month: solutions of work that somebody judged to the end. Of many, the newest."""
    now = timezone.now()
    labels = counting(Use.CONSENSUS).filter(
        assignment__batch__project=project,
        assignment__batch__kind=BatchKind.SELECTED,
        assignment__task__kind=TaskKind.NORMAL,
        finish_reason__in=[FinishReason.SOLUTION, FinishReason.FOUND_ERROR],
        created_at__gte=now - MONTH,
    )
    rows = list(labels.order_by("-pk").values_list("assignment__task", "solution", "active_ms")[:SAMPLE])
    tasks = {task: solution for task, solution, _ in rows}
    asked = Task.objects.filter(pk__in=list(tasks)).annotate(n_asked=Count("moreopinions"))
    by_hand = {task: max(1, overlap - n_asked) for task, overlap, n_asked in asked.values_list("pk", "overlap", "n_asked")}
    known = Known(project, set(tasks.values()), judge, {})
    past = [
        PastLabel(
            by_hand[task],
            known.against(solution),
            known.gold(solution),
            known.entropies.get(solution),
            len(set(known.marks[solution][:2])) > 1 if len(known.marks[solution]) > 1 else None,
        )
        for task, solution in tasks.items()
        if solution in known.marks and solution not in known.settled
    ]
    n_solutions = labels.order_by().values("solution").distinct().count() if len(rows) == SAMPLE else len(past)
    times = [active_ms for *_, active_ms in rows if active_ms is not None]
    return PastMonth(past, n_solutions, fmean(times) / 60_000 if times else None, judge.name if judge else "", now)


def store_month(project: Project, judge: Judge | None) -> None:
    """Count the past month of a large project and store it for its page."""
    month = count_month(project, judge)
    sample = asdict(month) | {"labels": [astuple(label) for label in month.labels]}
    del sample["at"]
    OpinionsLook.objects.update_or_create(project=project, defaults={"sample": sample, "sampled_at": month.at})


def preview(month: PastMonth, thresholds: Thresholds) -> Preview:
    """Return what thresholds would have asked for in a month."""
    foreseen = foresee(month.labels, thresholds)
    return Preview(
        month=month,
        foreseen=foreseen,
        second=round(month.scale * foreseen.second),
        third=None if foreseen.third is None else round(month.scale * foreseen.third),
        reasons=[(WORDS[why], round(month.scale * count)) for why, count in foreseen.reasons.items()],
    )


def _is_large(project: Project) -> bool:
    done = Assignment.objects.filter(batch__project=project, state=AssignmentState.DONE)
    return done.values_list("pk", flat=True)[SMALL : SMALL + 1].exists()
