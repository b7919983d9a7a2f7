"""Stage of quality: who may do what in a project, and what the labels say of the work so far.

Reads memberships, annotations and the queue's counts; writes nothing yet. It stands right of `labels`, so pages, rounds and
exports may ask it, and it may ask all that lies left of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Avg, Count, F, Max, Q, Sum
from django.db.models.functions import TruncDate
from django.http import Http404
from django.utils import timezone

from annotation import queue
from annotation.models import Annotation, FinishReason, Membership, Outcome, Project, Role, Snapshot, Solution

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Person = AbstractBaseUser | AnonymousUser

MANAGERS = frozenset({Role.OWNER, Role.MANAGER})  # publish, start rounds, see people
RESEARCHERS = MANAGERS | {Role.RESEARCHER}  # see the whole project, download its labels
LABELERS = MANAGERS | {Role.LABELER, Role.REVIEWER}  # rate solutions
DAYS = 14  # of the overview's chart


class NotMember(Http404):
    """This person has no such role in such a project. A page shows it as a missing one: a stranger learns nothing."""


@dataclass(frozen=True)
class LabelerRecord:
    """What one person has done in one project."""

    today: int
    week: int
    total: int
    today_ms: int  # active time, milliseconds

    @property
    def minutes_each(self) -> float | None:
        """Active minutes per solution today; None before the first."""
        return self.today_ms / self.today / 60_000 if self.today else None

    @property
    def hours_today(self) -> float:
        return self.today_ms / 3_600_000


@dataclass(frozen=True)
class ProjectOfPerson:
    """One card of a person's home."""

    project: Project
    role: str
    labels: bool  # may rate here
    reads: bool  # may open the overview
    suspended: bool
    waiting: int  # seats nobody has taken
    record: LabelerRecord


@dataclass(frozen=True)
class PersonAtWork:
    name: str
    role: str
    today: int
    total: int
    minutes_each: float | None
    last_at: datetime | None


@dataclass(frozen=True)
class Overview:
    """What a manager sees of a project at a glance."""

    queue: dict[str, int]
    days: list[tuple[date, int]]  # solutions labeled a day, oldest first, no gaps
    people: list[PersonAtWork]
    finished: dict[str, int]  # annotations by finish reason
    outcomes: dict[str, int]  # solutions by outcome of grading
    minutes_each: float | None
    wrong_labeled: int  # labeled solutions whose answer is wrong
    wrong_confirmed: int  # of these, where a person found the mistake
    snapshots: list[Snapshot]

    @property
    def labeled(self) -> int:
        return sum(self.finished.values())

    @property
    def solutions(self) -> int:
        return sum(self.outcomes.values())


def require_role(person: "Person", slug: str, roles: Collection[str]) -> Project:
    """Return the project, if the person holds one of the roles in it; else raise NotMember."""
    if person.is_authenticated and (project := Project.objects.filter(slug=slug, membership__in=_memberships(person, roles)).first()):
        return project
    raise NotMember("There is no such project, or it is not open to you.")


def has_role(person: "Person", project: Project, roles: Collection[str]) -> bool:
    """Say whether the person holds one of the roles in the project."""
    return person.is_authenticated and _memberships(person, roles).filter(project=project).exists()


def project_of_seat(person: "Person", assignment_id: int) -> Project:
    """Return the project of a seat the person may label in; else raise NotMember."""
    memberships = _memberships(person, LABELERS)
    if project := Project.objects.filter(batch__assignment=assignment_id, membership__in=memberships).first():
        return project
    raise NotMember("There is no such solution to label, or it is not open to you.")


def _memberships(person: "Person", roles: Collection[str]):  # noqa: ANN202 - a QuerySet
    return Membership.objects.filter(user=person.pk, role__in=roles)


def labeler_record(labeler: "Person", *, project: Project) -> LabelerRecord:
    """Count what a person has labeled: today and in the last seven days (UTC), and in all. A revision counts once."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    today = Q(created_at__gte=midnight)
    sums = Annotation.objects.filter(labeler=labeler.pk, revision=1, solution__problem__project=project).aggregate(
        total=Count("pk"),
        week=Count("pk", filter=Q(created_at__gte=midnight - timedelta(days=6))),
        today=Count("pk", filter=today),
        today_ms=Sum("active_ms", filter=today),
    )
    return LabelerRecord(today=sums["today"], week=sums["week"], total=sums["total"], today_ms=sums["today_ms"] or 0)


def projects_of(person: "Person") -> list[ProjectOfPerson]:
    """Return the person's projects with role, record and waiting work, those to label in first."""
    memberships = Membership.objects.filter(user=person.pk).select_related("project").order_by("project__name")
    cards = [
        ProjectOfPerson(
            project=membership.project,
            role=membership.get_role_display(),
            labels=membership.role in LABELERS,
            reads=membership.role in RESEARCHERS,
            suspended=membership.suspended_at is not None,
            waiting=queue.counts(membership.project)["open"],
            record=labeler_record(person, project=membership.project),
        )
        for membership in memberships
    ]
    return sorted(cards, key=lambda card: not card.labels)


def overview(project: Project) -> Overview:
    """Gather what the manager's page shows of queue, people and labels."""
    annotations = Annotation.objects.filter(solution__problem__project=project, revision=1)
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
        snapshots=list(Snapshot.objects.filter(project=project).order_by("-number")[:5]),
    )


def _labeled_by_day(annotations) -> list[tuple[date, int]]:  # noqa: ANN001 - a QuerySet
    first = timezone.now().date() - timedelta(days=DAYS - 1)
    recent = annotations.filter(created_at__date__gte=first).annotate(day=TruncDate("created_at")).values_list("day")
    found = dict(recent.annotate(count=Count("pk")))
    return [(day, found.get(day, 0)) for day in (first + timedelta(days=offset) for offset in range(DAYS))]


def _counted(rows, field: str, names: list[str]) -> dict[str, int]:  # noqa: ANN001 - a QuerySet
    found = dict(rows.order_by().values_list(field).annotate(count=Count("pk")))
    return {name: found[name] for name in names if name in found}


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
            name=row.user.get_full_name() or row.user.get_username(), role=row.get_role_display(), today=row.today, total=row.total,
            minutes_each=_minutes(row.mean), last_at=row.last_at,
        )
        for row in rows
    ]


def _minutes(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 60_000
