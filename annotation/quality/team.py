"""The people of a project as its managers see them: who they are, in which state, and what they labeled. Reads only.

Sums are over everybody, so they agree with the overview: also over members who are paused, gone, or whose account is closed. A member's
work is counted as on the overview: first revisions of what counts as work (eligibility.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from django.contrib.auth.models import User
from django.db.models import Count, Max, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation import eligibility, people
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Membership,
    Message,
    Project,
    Role,
)
from annotation.quality.figures import figures_of
from annotation.quality.gold import GOLD, is_within_gold
from annotation.quality.known_answers import checked_answers
from trainer.counting import Share

PAGE = 50  # members
DAYS = 14  # of the chart of one person
LETTERS = 10  # messages on the page of one person


class NoSuchMember(ValueError):
    """The project has no such member."""


class MemberState(StrEnum):
    """What a member can do now."""

    ACTIVE = "active"
    NEWCOMER = "not admitted"  # answers practice and screening only
    REFUSED = "refused"  # did not pass the screening, and a manager decided against it
    PAUSED = "paused"
    CLOSED = "account closed"
    FORMER = "former member"


@dataclass(frozen=True)
class LabeledWork:
    """What one person, or several people, labeled in a project."""

    today: int = 0
    total: int = 0
    active_ms: int = 0
    timed: int = 0  # solutions with a time: loaded labels have none
    last_at: datetime | None = None

    @property
    def minutes_each(self) -> float | None:
        """Active minutes per solution; None without a time."""
        return self.active_ms / self.timed / 60_000 if self.timed else None

    def __add__(self, other: "LabeledWork") -> "LabeledWork":
        moments = [moment for moment in (self.last_at, other.last_at) if moment]
        return LabeledWork(
            self.today + other.today,
            self.total + other.total,
            self.active_ms + other.active_ms,
            self.timed + other.timed,
            max(moments, default=None),
        )


@dataclass(frozen=True)
class Member:
    """One member of a project."""

    number: int  # of the membership
    name: str
    username: str
    role: str
    role_words: str
    state: MemberState
    reason: str  # of the pause
    labels: bool  # can label here
    work: LabeledWork
    gold: Share


@dataclass(frozen=True)
class StateSum:
    """How many members are in a state, and what they labeled."""

    state: str
    count: int
    work: LabeledWork


@dataclass(frozen=True)
class Team:
    """A page of the members of a project, and sums over all of them."""

    members: list[Member]
    found: int  # members that match the search
    page: int  # from 1
    pages: int
    sums: list[StateSum]  # by state
    total: StateSum
    counted_at: datetime  # work is counted with the figures of the overview


@dataclass(frozen=True)
class DayOfWork:
    """What one person labeled on one day (UTC)."""

    day: date
    count: int
    active_ms: int
    timed: int
    last_at: datetime

    @property
    def minutes_each(self) -> float | None:
        """Active minutes per solution; None without a time."""
        return self.active_ms / self.timed / 60_000 if self.timed else None


@dataclass(frozen=True)
class LeaseInHand:
    """A solution that one person holds."""

    solution_id: int
    batch: str
    is_ahead: bool  # prepared: the person has not seen it
    since: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class MemberPage:
    """What managers see of one member."""

    member: Member
    person: User
    days: list[DayOfWork]  # all days with labels, from the oldest
    chart: list[tuple[date, int]]  # the last 14 days, without gaps
    week: LabeledWork  # the last seven days
    leases: list[LeaseInHand]
    letters: list[Message]
    sessions: int
    seen_at: datetime | None
    seen: str  # what a form sends back, so that two managers do not undo each other's work
    can_get_link: bool
    qualified_at: datetime | None
    suspended_at: datetime | None
    quarantined_at: datetime | None


def team_of(project: Project, *, words: str = "", role: str = "", state: str = "", page: int = 1) -> Team:
    """Return a page of the members of a project: who labeled most today first, then who labeled most in total.

    `words` is looked for in names, `role` and `state` (a MemberState) select. The sums are over all members, whatever is looked for.
    """
    rows = list(Membership.objects.filter(project=project).select_related("user"))
    (work, counted_at), is_screened = _work_of(project), has_screening(project)
    states = {row.pk: _state(row, has_screening=is_screened) for row in rows}
    sums: dict[str, StateSum] = {name: StateSum(name, 0, LabeledWork()) for name in MemberState}
    for row in rows:
        before = sums[states[row.pk]]
        sums[before.state] = StateSum(before.state, before.count + 1, before.work + work.get(row.user_id, LabeledWork()))
    needle = words.strip().casefold()
    found = [
        row
        for row in rows
        if (not needle or needle in row.user.username.casefold() or needle in row.user.get_full_name().casefold())
        and role in ("", row.role)
        and state in ("", states[row.pk])
    ]
    none = LabeledWork()
    found.sort(key=lambda row: (-work.get(row.user_id, none).today, -work.get(row.user_id, none).total, row.user.username))
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(page, 1), pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    gold = gold_of(project, [row.user_id for row in shown])
    total = StateSum("all", len(rows), sum((one.work for one in sums.values()), LabeledWork()))
    members = [_member(row, states[row.pk], work.get(row.user_id, none), gold.get(row.user_id, Share(0, 0))) for row in shown]
    return Team(members, len(found), page, pages, [one for one in sums.values() if one.count], total, counted_at)


def members_in_order(project: Project, rows: Sequence[Membership]) -> list[Member]:
    """Return some members of a project with their figures, in the order of the rows."""
    (work, _), is_screened, gold = _work_of(project), has_screening(project), gold_of(project, [row.user_id for row in rows])
    states = [_state(row, has_screening=is_screened) for row in rows]
    return [
        _member(row, state, work.get(row.user_id, LabeledWork()), gold.get(row.user_id, Share(0, 0)))
        for row, state in zip(rows, states, strict=True)
    ]


def member_page(project: Project, number: int) -> MemberPage:
    """Return what managers see of one member. Raises NoSuchMember."""
    row = find_member(project, number)
    days = work_by_day(project, row.user)
    today = timezone.now().date()
    by_day = {one.day: one.count for one in days}
    chart = [(day, by_day.get(day, 0)) for day in (today - timedelta(days=ago) for ago in reversed(range(DAYS)))]
    work = LabeledWork(
        today=by_day.get(today, 0),
        total=sum(by_day.values()),
        active_ms=sum(one.active_ms for one in days),
        timed=sum(one.timed for one in days),
        last_at=days[-1].last_at if days else None,
    )
    week = [one for one in days if one.day > today - timedelta(days=7)]
    sessions = people.sessions_of(row.user, current=None)
    gold = gold_of(project, [row.user_id]).get(row.user_id, Share(0, 0))
    letters = Message.objects.filter(project=project, recipient=row.user).select_related("sender").order_by("-created_at", "-pk")
    state = _state(row, has_screening=has_screening(project))
    return MemberPage(
        member=_member(row, state, work, gold),
        person=row.user,
        days=days,
        chart=chart,
        week=LabeledWork(
            by_day.get(today, 0), sum(one.count for one in week), sum(one.active_ms for one in week), sum(one.timed for one in week)
        ),
        leases=_leases(project, row.user),
        letters=list(letters[:LETTERS]),
        sessions=len(sessions),
        seen_at=max((one.seen_at for one in sessions), default=None),
        seen=seen_of(row),
        can_get_link=row.role != Role.FORMER and row.user.is_active and not people.may_administrate(row.user),
        qualified_at=row.qualified_at,
        suspended_at=row.suspended_at,
        quarantined_at=row.quarantined_at,
    )


def find_member(project: Project, number: int) -> Membership:
    """Return a membership of a project. Raises NoSuchMember."""
    row = Membership.objects.filter(project=project, pk=number).select_related("user", "project").first()
    if row is None:
        raise NoSuchMember(f"{project} has no member {number}.")
    return row


def seen_of(row: Membership) -> str:
    """Return what a form about a member carries: it is another text once somebody has changed the membership."""
    states = (row.suspended_at, row.qualified_at, row.refused_at, row.quarantined_at)
    return "|".join((row.role, *(moment.isoformat() if moment else "" for moment in states), str(row.screening_set)))


def work_by_day(project: Project, person: User) -> list[DayOfWork]:
    """Return what a person labeled in a project on each day (UTC) with labels, from the oldest."""
    # A submission belongs to the person who holds the assignment. Said of both, each table is read by its index of people.
    own = _labeled(project).filter(labeler=person.pk, assignment__labeler=person.pk)
    by_day = own.annotate(day=TruncDate("created_at")).values_list("day").order_by("day")
    sums = by_day.annotate(count=Count("pk"), ms=Sum("active_ms", default=0), timed=Count("active_ms"), last=Max("created_at"))
    return [DayOfWork(*row) for row in sums]


def _labeled(project: Project) -> QuerySet[Annotation]:
    return eligibility.counting(Use.WORK).filter(assignment__batch__project=project, revision=1)


def _work_of(project: Project) -> tuple[dict[int, LabeledWork], datetime]:
    """Return what each person labeled in a project, by account, and when it was counted: from the figures that the overview shows."""
    figures, counted_at = figures_of(project)
    is_today = counted_at.date() == timezone.now().date()
    work = {
        int(labeler): LabeledWork(n_today if is_today else 0, total, active_ms, timed, datetime.fromisoformat(last))
        for labeler, (n_today, total, active_ms, timed, last) in figures.by_person.items()
    }
    return work, counted_at


def gold_of(project: Project, persons: Iterable[int]) -> dict[int, Share]:
    """Return how often each person's answers to gold and screening questions are within gold. Managers see the answers of today, too."""
    answers = checked_answers([project], labeler__in=persons)
    verdicts: dict[int, list[bool]] = {}
    for labeler, *verdict in answers.values_list("labeler", "finish_reason", "first_mistake", GOLD):
        verdicts.setdefault(labeler, []).append(is_within_gold(*verdict))
    return {labeler: Share(sum(within), len(within)) for labeler, within in verdicts.items()}


def _leases(project: Project, person: User) -> list[LeaseInHand]:
    held = Assignment.objects.filter(
        labeler=person, state__in=[AssignmentState.LEASED, AssignmentState.RESERVED], batch__project=project
    ).select_related("task", "batch")
    return [
        LeaseInHand(row.task.solution_id, str(row.batch), row.state == AssignmentState.RESERVED, row.leased_at, row.lease_expires_at)
        for row in held.order_by("state")
    ]


def has_screening(project: Project) -> bool:
    """Tell whether a project screens its newcomers."""
    return Batch.objects.filter(project=project, kind=BatchKind.SCREENING).exclude(state=BatchState.DRAFT).exists()


def _state(row: Membership, *, has_screening: bool) -> MemberState:
    if row.role == Role.FORMER:
        return MemberState.FORMER
    if not row.user.is_active:
        return MemberState.CLOSED
    if row.suspended_at:
        return MemberState.PAUSED
    if row.refused_at:
        return MemberState.REFUSED
    is_waiting = has_screening and row.qualified_at is None and row.role in people.LABELERS
    return MemberState.NEWCOMER if is_waiting else MemberState.ACTIVE


def _member(row: Membership, state: MemberState, work: LabeledWork, gold: Share) -> Member:
    return Member(
        number=row.pk,
        name=row.user.get_full_name() or row.user.username,
        username=row.user.username,
        role=row.role,
        role_words=row.get_role_display().lower(),
        state=state,
        reason=row.reason if row.suspended_at else "",
        labels=row.role in people.LABELERS,
        work=work,
        gold=gold,
    )
