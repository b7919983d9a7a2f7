"""What a person sees about their own work: today, the week, the record on gold. Ten projects cost as many queries as one. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.utils import timezone

from annotation import eligibility, people, preferences
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Membership,
    Project,
    Role,
    Task,
    TaskKind,
)
from annotation.quality.admission import standings_of
from annotation.quality.gold import GOLD, is_within_gold
from annotation.quality.known_answers import MissedSolution, checked_answers, missed_answers
from trainer.counting import Share

if TYPE_CHECKING:
    from annotation.people import Person

WEEK = 7  # days, today among them
LEAST_GOLD = 10  # answers before a share is shown: fewer mean little, and a labeler could guess which solutions were gold


@dataclass(frozen=True)
class Work:
    """What was labeled in a period."""

    count: int = 0
    active_ms: int = 0

    @property
    def minutes_each(self) -> float | None:
        """Active minutes per solution; None before the first."""
        return self.active_ms / self.count / 60_000 if self.count else None

    @property
    def hours(self) -> float:
        """Active time in hours."""
        return self.active_ms / 3_600_000


@dataclass(frozen=True)
class LabelerRecord:
    """What one person labeled in one project: today and in the last seven days of their time zone, and in total."""

    today: int = 0
    today_ms: int = 0  # active time, milliseconds
    week: int = 0
    week_ms: int = 0
    total: int = 0

    @property
    def this_day(self) -> Work:
        """The work of today."""
        return Work(self.today, self.today_ms)

    @property
    def this_week(self) -> Work:
        """The work of the last seven days."""
        return Work(self.week, self.week_ms)


@dataclass(frozen=True)
class GoldRecord:
    """How often a person's answers were within gold. Only answers old enough to be shown are counted."""

    answers: int
    within: int

    @property
    def share(self) -> float | None:
        """The share of answers within gold, 0 to 1; None while there are too few answers."""
        return self.within / self.answers if self.answers >= LEAST_GOLD else None

    @property
    def percent(self) -> int | None:
        """The share as a whole percentage."""
        return None if self.share is None else round(100 * self.share)

    @property
    def interval(self) -> str:
        """The 95 % interval of the share (Wilson's), in percent."""
        return Share(self.within, self.answers).interval


@dataclass(frozen=True)
class MissedGold:
    """What a labeler sees of their own answers to gold that were not right, once there are enough for a record."""

    record: GoldRecord
    counts: dict[str, int]  # by what happened
    solutions: list[MissedSolution]  # the newest


@dataclass(frozen=True)
class ProjectOfPerson:
    """One card on a person's home page."""

    project: Project
    role: str
    labels: bool  # can label here
    reads: bool  # can open the overview
    writes: bool  # can write messages to labelers
    suspended: bool
    reason: str  # why, in the words of the manager
    waiting: int  # solutions this person could get next
    practice: int  # practice solutions before real work
    screening: int  # screening questions before real work
    standing: str  # why this person gets no work now, in a sentence: the result of the screening, and what happens next. Empty: they do
    in_hand: bool  # this person holds a lease
    record: LabelerRecord
    gold: GoldRecord
    misses_guidelines: bool = False  # they changed since this person opened them

    @property
    def has_work(self) -> bool:
        """Whether this person can label something here now."""
        return bool(self.in_hand or self.practice or self.screening or self.waiting)

    @property
    def is_checked(self) -> bool:
        """Whether gold is mixed into the real work, so that a record on gold will appear."""
        return self.project.gold_percent > 0


def day_of(labeler: "Person") -> Work:
    """Count what a person labeled today, in all projects together, by their time zone. Practice is no work."""
    midnight = preferences.midnight(preferences.preferences_of(labeler), now=timezone.now())
    today = eligibility.counting(Use.WORK).filter(labeler=labeler.pk, revision=1, created_at__gte=midnight)
    counted = today.aggregate(n=Count("pk"), ms=Sum("active_ms", default=0))
    return Work(counted["n"], counted["ms"])


def day_in(cards: Iterable[ProjectOfPerson]) -> Work:
    """Add up what a person labeled today in these projects."""
    days = [card.record.this_day for card in cards]
    return Work(sum(day.count for day in days), sum(day.active_ms for day in days))


def projects_of(person: "Person") -> list[ProjectOfPerson]:
    """Return a person's projects with role, record and waiting work. Projects with something to label now come first."""
    memberships = list(
        Membership.objects.filter(user=person.pk).exclude(role=Role.FORMER).select_related("project").order_by("project__name")
    )
    projects = [membership.project_id for membership in memberships]
    records, gold, waiting = _records(person, projects), gold_records(person, projects), _waiting(person, projects)
    new = [membership for membership in memberships if membership.qualified_at is None and membership.role in people.LABELERS]
    first = _before_work(person, new)
    standings = standings_of(new)
    in_hand = set(Assignment.objects.filter(labeler=person.pk, state=AssignmentState.LEASED).values_list("batch__project", flat=True))
    cards = [
        ProjectOfPerson(
            project=membership.project,
            role=membership.get_role_display(),
            labels=membership.role in people.LABELERS and not membership.project.archived_at,
            reads=membership.role in people.RESEARCHERS,
            writes=membership.role in people.WRITERS,
            suspended=membership.suspended_at is not None,
            reason=membership.reason,
            waiting=0 if standings.get(membership.project_id) else waiting.get(membership.project_id, 0),
            practice=first.get((membership.project_id, BatchKind.PRACTICE), 0),
            screening=first.get((membership.project_id, BatchKind.SCREENING), 0),
            standing=standings.get(membership.project_id, ""),
            in_hand=membership.project_id in in_hand,
            record=records.get(membership.project_id, LabelerRecord()),
            gold=gold.get(membership.project_id, GoldRecord(0, 0)),
            misses_guidelines=people.Access(membership.project, membership.role, membership.guidelines_read).misses_guidelines,
        )
        for membership in memberships
    ]
    return sorted(cards, key=lambda card: (not card.labels, card.suspended, not card.has_work))


def gold_records(labeler: "Person", projects: list[int]) -> dict[int, GoldRecord]:
    """Return a person's record on gold and screening questions by project, without the answers of today and yesterday (UTC).

    So it changes once a day. A figure that changed with a submit would show which solution was gold. It is derived from the answers and
    stored nowhere, so other gold makes another record.
    """
    verdicts: dict[int, list[bool]] = {}
    answers = checked_answers(projects, labeler=labeler.pk, created_at__lt=_first_hidden())
    for project, *verdict in answers.values_list("assignment__batch__project", "finish_reason", "first_mistake", GOLD):
        verdicts.setdefault(project, []).append(is_within_gold(*verdict))
    return {project: GoldRecord(len(within), sum(within)) for project, within in verdicts.items()}


def missed_gold(labeler: "Person", *, project: Project) -> MissedGold:
    """Return what a labeler missed on gold, by the same answers as the record: none of today and yesterday, and none before ten answers."""
    record = gold_records(labeler, [project.pk]).get(project.pk, GoldRecord(0, 0))
    if record.share is None:
        return MissedGold(record, {}, [])
    solutions, counts = missed_answers(project, labeler.pk, before=_first_hidden())
    return MissedGold(record, counts, solutions)


def _records(labeler: "Person", projects: list[int]) -> dict[int, LabelerRecord]:
    """Count by project what a person labeled. Revisions of one annotation count once."""
    midnight = preferences.midnight(preferences.preferences_of(labeler), now=timezone.now())
    today, week = Q(created_at__gte=midnight), Q(created_at__gte=midnight - timedelta(days=WEEK - 1))
    # By the few assignments of this person that are no work: a join would read the assignments of everybody.
    no_work = eligibility.assignments_without_work(labeler.pk)
    annotations = Annotation.objects.filter(labeler=labeler.pk, revision=1, solution__problem__project__in=projects).exclude(
        assignment__in=no_work
    )
    sums = annotations.values_list("solution__problem__project").annotate(
        today=Count("pk", filter=today),
        today_ms=Sum("active_ms", filter=today, default=0),
        week=Count("pk", filter=week),
        week_ms=Sum("active_ms", filter=week, default=0),
        total=Count("pk"),
    )
    return {project: LabelerRecord(*counts) for project, *counts in sums}


def _waiting(person: "Person", projects: list[int]) -> dict[int, int]:
    """Count by project the open solutions of selected batches that this person never had.

    While there are some, gold that this person can still get counts too. Otherwise the count would stay the same when they get gold.
    """
    had = Assignment.objects.filter(task__solution=OuterRef("task__solution"), labeler=person.pk)
    assignments = Assignment.objects.filter(
        ~Exists(had),
        state=AssignmentState.OPEN,
        slot__isnull=False,
        batch__project__in=projects,
        batch__kind=BatchKind.SELECTED,
        batch__state=BatchState.OPEN,
    )
    counted = dict(assignments.values_list("batch__project").annotate(count=Count("task", distinct=True)).order_by())
    gold = Task.objects.filter(
        ~Exists(Assignment.objects.filter(task__solution=OuterRef("solution"), labeler=person.pk)),
        kind=TaskKind.GOLD,
        batch__project__in=counted,
        batch__project__gold_percent__gt=0,
        batch__kind=BatchKind.SELECTED,
        batch__state=BatchState.OPEN,
        solution__withdrawn_at=None,
    )
    for project, count in gold.values_list("batch__project").annotate(count=Count("pk")).order_by():
        counted[project] += count
    for project, count in _calibration(person, projects).items():
        counted[project] = counted.get(project, 0) + count
    return counted


def _calibration(person: "Person", projects: list[int]) -> dict[int, int]:
    """Count by project the solutions of open calibration sets that a person never had."""
    had = Assignment.objects.filter(task__solution=OuterRef("solution"), labeler=person.pk)
    open_sets = Batch.objects.filter(project__in=projects, kind=BatchKind.CALIBRATION, state=BatchState.OPEN)
    left = Task.objects.filter(~Exists(had), batch__in=open_sets, solution__withdrawn_at=None)
    return dict(left.values_list("batch__project").annotate(count=Count("pk")).order_by())


def _before_work(person: "Person", memberships: list[Membership]) -> dict[tuple[int, str], int]:
    """Count by project and kind what newcomers still get before real work. Nobody gets a solution twice. Refused people get nothing."""
    sets = {membership.project_id: -membership.screening_set for membership in memberships if membership.refused_at is None}
    had = Assignment.objects.filter(task__solution=OuterRef("solution"), labeler=person.pk)
    kinds = [BatchKind.PRACTICE, BatchKind.SCREENING]
    left = Task.objects.filter(~Exists(had), batch__project__in=sets, batch__kind__in=kinds, batch__state=BatchState.OPEN)
    counts = left.filter(solution__withdrawn_at=None).values_list("batch__project", "batch__kind", "batch__generation")
    counted = counts.annotate(count=Count("pk")).order_by()
    own = [(project, kind, count) for project, kind, generation, count in counted if generation >= 0 or generation == sets[project]]
    return {(project, kind): sum(n for *at, n in own if at == [project, kind]) for project, kind, _ in own}


def _first_hidden() -> datetime:
    """Return the moment from which answers to gold are not shown yet: the begin of yesterday (UTC)."""
    return _midnight() - timedelta(days=1)


def _midnight() -> datetime:
    """Return when this day began in UTC. Gold keeps to it: nobody can move the moment when their record on gold changes."""
    return timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
