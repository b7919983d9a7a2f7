"""The overview of a project for managers: queue, people, labels per day. Reads only."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, Max, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation import people, queue
from annotation.models import Annotation, BatchKind, FinishReason, Membership, Outcome, Project, Role, Solution

DAYS = 14  # of the overview's chart


@dataclass(frozen=True)
class PersonAtWork:
    """One row of the overview's table of people."""

    name: str
    username: str
    role: str
    labels: bool  # can label here
    can_get_link: bool  # a sign-in link from a manager
    today: int
    total: int
    minutes_each: float | None
    last_at: datetime | None


@dataclass(frozen=True)
class Overview:
    """The overview of a project."""

    queue: dict[str, int]
    days: list[tuple[date, int]]  # solutions labeled per day, oldest first, no gaps
    people: list[PersonAtWork]
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
        people=_people(project),
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


def _people(project: Project) -> list[PersonAtWork]:
    here = Q(user__annotation__solution__problem__project=F("project"), user__annotation__revision=1)
    today = here & Q(user__annotation__created_at__date=timezone.now().date())
    rows = (
        Membership.objects.filter(project=project, user__is_active=True)
        .annotate(
            today=Count("user__annotation", filter=today),
            total=Count("user__annotation", filter=here),
            mean=Avg("user__annotation__active_ms", filter=here),
            last_at=Max("user__annotation__created_at", filter=here),
        )
        .select_related("user")
        .order_by("-today", "-total", "user__username")
    )
    return [
        PersonAtWork(
            name=row.user.get_full_name() or row.user.get_username(),
            username=row.user.get_username(),
            role=row.get_role_display(),
            labels=row.role in people.LABELERS,
            can_get_link=row.role not in (*people.MANAGERS, Role.FORMER) and not row.user.is_staff,
            today=row.today,
            total=row.total,
            minutes_each=_minutes(row.mean),
            last_at=row.last_at,
        )
        for row in rows
    ]


def _minutes(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 60_000
