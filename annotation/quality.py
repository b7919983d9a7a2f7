"""Stage of quality: who is admitted to a project, and what the labels say of the work so far.

Reads memberships, annotations, gold answers and the queue's counts; writes GoldAnswer and Membership.qualified_at, which the queue
reads. It stands right of `labels`, so pages, rounds and exports may ask it, and it may ask all that lies left of it.
"""

import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Avg, Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Now, TruncDate
from django.utils import timezone

from annotation import people, queue
from annotation.models import (
    Annotation,
    Batch,
    BatchKind,
    FinishReason,
    GoldAnswer,
    Membership,
    Outcome,
    Project,
    Snapshot,
    Solution,
    Split,
    Task,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from annotation.people import Person

DAYS = 14  # of the overview's chart


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


# --- screening ----------------------------------------------------------------------------------------------------------------


class BadScreening(ValueError):
    """A screening that cannot be opened; the message says why and what to do."""


@dataclass(frozen=True)
class Screening:
    """How a newcomer did on the screening questions."""

    asked: int
    within: int  # first mistake, or its absence, within gold's set
    needed: int

    @property
    def is_passed(self) -> bool:
        return self.within >= self.needed


def open_screening(project: Project, *, by: str, size: int | None = None, seed: int = 0) -> Batch:
    """Make solutions that a trusted person labeled (`by`, a user name) the screening every newcomer goes through.

    Their first mistake becomes gold's only acceptable one; more may be added to the set afterwards. `size` defaults to the project's.
    Raises BadScreening: too few labels of that person, or a screening is there already.
    """
    size = project.screening_size if size is None else size
    trusted = _newest(project).filter(
        labeler__username=by, finish_reason__in=[FinishReason.SOLUTION, FinishReason.FOUND_ERROR],
        solution__problem__split=Split.TRAIN, solution__withdrawn_at__isnull=True,
    )  # fmt: skip
    first_mistakes = dict(trusted.order_by("pk").values_list("solution", "first_mistake"))
    if not 0 < size <= len(first_mistakes):
        raise BadScreening(
            f"{by} has labeled {len(first_mistakes):,} solutions of {project.slug} to a first mistake or to the end, and {size:,} are "
            "asked for. Choose a smaller --size, or somebody who labeled more."
        )
    chosen = random.Random(seed).sample(sorted(first_mistakes), size)
    try:
        with transaction.atomic():
            for solution in chosen:
                mistake = first_mistakes[solution]
                # A set made richer by hand is worth more than this one.
                gold = {"acceptable_first_errors": [] if mistake is None else [mistake], "note": f"labeled by {by}"}
                GoldAnswer.objects.get_or_create(solution_id=solution, defaults=gold)
            return queue.open_batch(project, [queue.Chosen(solution) for solution in chosen], kind=BatchKind.SCREENING)
    except queue.BadBatch as error:
        raise BadScreening(str(error)) from error


def lease_next(labeler: "User", *, project: Project) -> queue.Lease:
    """Return what `queue.lease_next` gives; a newcomer who has answered the last screening question is judged and goes on to real work.

    Raises NotQualified with the result and with what happens next for one who did not pass; the rest as `queue.lease_next`.
    """
    try:
        return queue.lease_next(labeler, project=project)
    except queue.NotQualified:
        result = screening_of(labeler, project=project)
        if result is None:
            raise
        waiting = Membership.objects.filter(project=project, user=labeler, qualified_at__isnull=True, suspended_at__isnull=True)
        if not result.is_passed:
            raise queue.NotQualified(
                f"You have answered all {result.asked} screening questions of {project}. In {result.within} of them you saw the first "
                f"mistake where it is, or rightly saw none; {result.needed} are needed. Your work is kept. The project's manager decides "
                "whether you are admitted all the same; there is nothing more for you to do here until then."
            ) from None
        if not waiting.update(qualified_at=Now()):
            raise
    return queue.lease_next(labeler, project=project)


def screening_of(labeler: "User", *, project: Project) -> Screening | None:
    """Return a newcomer's result once no screening question is left for them; None before that, and where there is no screening."""
    questions = Task.objects.filter(batch__project=project, batch__kind=BatchKind.SCREENING)
    asked, ended = questions.count(), questions.filter(assignment__labeler=labeler, assignment__state__in=["done", "skipped"]).count()
    if not asked or ended < asked:
        return None
    answers = _newest(project).filter(labeler=labeler, assignment__batch__kind=BatchKind.SCREENING)
    rows = answers.values_list("finish_reason", "first_mistake", "solution__goldanswer__acceptable_first_errors")
    return Screening(
        asked=asked,
        within=sum(is_within_gold(reason, mistake, acceptable or []) for reason, mistake, acceptable in rows),
        needed=math.ceil(project.qualify_rate * asked),
    )


def is_within_gold(finish_reason: str, first_mistake: int | None, acceptable: Collection[int]) -> bool:
    """Say whether a person's verdict is one of gold's: its set holds the steps that may be called the first mistake; empty: no mistake.

    Giving up, or calling the problem bad, is no verdict. Source: "Let's Verify Step by Step", appendix B.
    """
    if finish_reason == FinishReason.FOUND_ERROR:
        return first_mistake in acceptable
    return finish_reason == FinishReason.SOLUTION and not acceptable


def _newest(project: Project) -> "QuerySet[Annotation]":
    """Return the newest revision of each annotation, with the index of its first mistake."""
    first_mistake = Min("steplabel__step_index", filter=Q(steplabel__rating=-1, steplabel__position=0))
    return Annotation.objects.filter(solution__problem__project=project, superseded_by__isnull=True).annotate(first_mistake=first_mistake)


# --- what pages ask -----------------------------------------------------------------------------------------------------------


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
            labels=membership.role in people.LABELERS,
            reads=membership.role in people.RESEARCHERS,
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
