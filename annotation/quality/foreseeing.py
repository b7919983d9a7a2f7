"""What thresholds of redundancy would have asked for in the past month, from the labels that are stored. Before a project changes them, its
managers see how many more labels that means, and how much work.

A small project is counted at each view. Of a large one a worker stores a sample of the newest labels, from which each view computes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timedelta
from statistics import fmean

from django.db.models import Count, Q
from django.utils import timezone

from annotation.eligibility import Use, counting
from annotation.models import Assignment, AssignmentState, BatchKind, MoreOpinions, OpinionsLook, Project, Task, TaskKind
from annotation.quality.asking import WORDS, Judge, Known
from annotation.quality.reviewing import VERDICTS
from annotation.redundancy import Foreseen, LabelsSoFar, PastLabel, Thresholds, Why, foresee

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
    certain: int  # third labels that are sure: people whom the overlap asked contradict each other
    third: int | None
    reasons: Sequence[tuple[str, int]]

    @property
    def more(self) -> int:
        """More labels, as far as they can be foreseen."""
        return self.second + (self.certain if self.third is None else self.third)

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
        [PastLabel(LabelsSoFar(*so_far), conflict) for so_far, conflict in sample["labels"]],
        sample["solutions"],
        sample["minutes"],
        sample["judge"],
        look.sampled_at,
    )
    return month, timezone.now() - look.sampled_at > FRESH


def count_month(project: Project, judge: Judge | None) -> PastMonth:
    """Count what was labeled in a project in the past month: solutions of work that somebody judged to the end. Of many, the newest.

    Labels of people in quarantine are among them, since somebody is asked in their place. Withdrawn solutions are not.
    """
    now = timezone.now()
    labels = (
        counting(Use.WORK)
        .newest()
        .filter(
            assignment__batch__project=project,
            assignment__batch__kind=BatchKind.SELECTED,
            assignment__task__kind=TaskKind.NORMAL,
            finish_reason__in=VERDICTS,
            created_at__gte=now - MONTH,
            solution__withdrawn_at=None,
        )
    )
    rows = list(labels.order_by("-pk").values_list("assignment__task", "solution", "active_ms")[:SAMPLE])
    tasks = {task: solution for task, solution, _ in rows}
    past = _past_labels(tasks, Known(project, set(tasks.values()), judge, {}))
    n_solutions = labels.order_by().values("solution").distinct().count() if len(rows) == SAMPLE else len(past)
    times = [active_ms for *_, active_ms in rows if active_ms is not None]
    return PastMonth(past, n_solutions, fmean(times) / 60_000 if times else None, judge.name if judge else "", now)


def _past_labels(tasks: Mapping[int, int], known: Known) -> list[PastLabel]:
    """Return what was known of the solution of each task when all places of its overlap were done."""
    more: dict[int, dict[int, MoreOpinions]] = {}
    for row in MoreOpinions.objects.filter(task__in=list(tasks)):
        more.setdefault(row.task_id, {})[row.place] = row
    counted = Task.objects.filter(pk__in=list(tasks)).annotate(n_done=Count("assignment", filter=Q(assignment__state=AssignmentState.DONE)))
    places = {task: (overlap, n_done) for task, overlap, n_done in counted.values_list("pk", "overlap", "n_done")}
    past = []
    for task, solution in tasks.items():
        marks, quarantined = known.marks.get(solution, []), known.quarantined.get(solution, 0)
        if not marks and not quarantined:
            continue
        by_hand, n_done = places[task]
        while by_hand > 1 and by_hand in more.get(task, {}):  # a place that was asked for raised the overlap by one
            by_hand -= 1
        conflict = len(set(marks[:2])) > 1 if len(marks) > 1 else None
        if n_done < by_hand:  # the overlap is not reached, so nobody was asked yet
            past.append(PastLabel(LabelsSoFar([], n_done), conflict))
            continue
        marks = marks[: max(len(marks) - (n_done - by_hand), 0 if quarantined else 1)]  # before anybody was asked
        first_ask = more.get(task, {}).get(by_hand + 1)
        # The consensus forgets how undecided the first of several labels left it. What was stored with the place still says it.
        stored = first_ask.value if first_ask and first_ask.why == Why.SPREAD else None
        so_far = LabelsSoFar(
            marks=marks,
            people=max(by_hand, len(marks)),
            against=known.against(solution),
            gold=known.gold(solution),
            entropy=known.entropies.get(solution, stored),
            is_settled=solution in known.settled,
            quarantined=quarantined,
        )
        past.append(PastLabel(so_far, conflict))
    return past


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
        certain=round(month.scale * foreseen.certain),
        third=None if foreseen.third is None else round(month.scale * foreseen.third),
        reasons=[(WORDS[why], round(month.scale * count)) for why, count in foreseen.reasons.items() if count or why != Why.QUARANTINE],
    )


def _is_large(project: Project) -> bool:
    done = Assignment.objects.filter(batch__project=project, state=AssignmentState.DONE)
    return done.values_list("pk", flat=True)[SMALL : SMALL + 1].exists()
