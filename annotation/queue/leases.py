"""Stage: queue, handing out. Who labels what next, and whose work still counts.

Reads Membership, Batch and Project policy; writes Assignment: one place at a task. A lease is an assignment that somebody
holds for now. Only the database's clock is asked, and time alone decides nothing but when an assignment may be offered again: whether
work is accepted is decided by the token, which every claim raises.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import DurationField, F, Func, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from annotation.models import Assignment, AssignmentState, BatchKind, Project
from annotation.queue.statements import (
    ASSIGNMENT_ON_DEMAND,
    LEASE_RESERVED,
    NEXT_ASSIGNMENT,
    NEXT_ASSIGNMENT_WAITING,
    RENEW,
    RENEW_RESERVED,
    STANDING,
)

ATTEMPTS = 4  # a second tab, or leases that lapse while we look, make the first one void


class NothingToLabel(Exception):
    """The queue holds nothing this labeler may take."""


class NotQualified(Exception):
    """This person may not label in this project, or not yet; the message says why."""


class LeaseLost(Exception):
    """The assignment is no longer this labeler's. `kept`: the work was stored as a draft."""

    code = "lease_lost"

    def __init__(
        self, message: str = "This solution is no longer yours: its time ran out and it was given on.", *, kept: bool = False
    ) -> None:
        super().__init__(message + (" Your ratings were kept as a draft." if kept else ""))
        self.kept = kept


class Withdrawn(LeaseLost):
    """The solution was taken out of labeling while somebody was at it. `kept` as in LeaseLost."""

    code = "withdrawn"


def lost(assignment_id: int, *, labeler: User, kept: bool = False) -> LeaseLost:
    """Return the error that says why this assignment is not the labeler's any more."""
    match Assignment.objects.filter(pk=assignment_id).values_list("state", "labeler").first():
        case AssignmentState.CLOSED, _:
            return Withdrawn("This solution was withdrawn from labeling: its problem or its text is not fit for it.", kept=kept)
        case AssignmentState.DONE | AssignmentState.SKIPPED, labeler.pk:
            return LeaseLost("You have submitted this solution already, in another window.", kept=kept)
    return LeaseLost(kept=kept)


@dataclass(frozen=True, slots=True)
class Claim:
    """One assignment as the browser names it."""

    assignment_id: int
    token: int


@dataclass(frozen=True, slots=True)
class Lease:
    """What one labeler has before them. `draft`: their newest one of this assignment, {"revision", "ratings"}."""

    assignment_id: int
    token: int
    expires_at: datetime
    project: Project
    solution_id: int
    problem: str
    reference_answer: str | None  # None: unknown, or hidden by the project and then never read
    steps: list[str]
    draft: dict[str, Any] | None
    generation: int | None
    kind: str  # of the batch


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a labeler stands in a project: the columns of STANDING."""

    is_active: bool
    is_suspended: bool
    is_qualified: bool
    has_screening: bool
    has_practice: bool  # for a newcomer: some of it is left
    is_practicing: bool | None  # the lease is of a practice batch
    leased: int | None
    token: int | None  # of the lease, in whichever project
    expires_at: datetime | None
    reserved: int | None
    leases_elsewhere: bool | None
    reserves_elsewhere: bool | None
    batches: list[int]  # open ones with an open assignment, oldest generation first
    turns: int | None

    @property
    def held(self) -> int | None:
        return self.leased or self.reserved

    @property
    def is_screened(self) -> bool:
        return self.has_screening and not self.is_qualified


def broken_rule(error: IntegrityError) -> str | None:
    """Return the name of the constraint that refused a statement."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


def fence(assignment_id: int, *, labeler: User, token: int) -> Q:
    """Return the condition under which this claim still counts: leased, or lapsed and not yet taken by anybody."""
    return Q(pk=assignment_id, token=token) & (
        Q(state=AssignmentState.LEASED, labeler=labeler) | Q(state=AssignmentState.OPEN, lapsed=labeler)
    )


def one_statement() -> AbstractContextManager[object]:
    """Guard a statement that a constraint may refuse: alone it is its own transaction, inside another one it needs a savepoint."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def lease_next(labeler: User, *, project: Project) -> Lease:
    """Return the labeler's lease: the one they hold, else their reserved assignment, else the next free assignment.

    Asking again, in a second tab too, returns the same lease, renewed. A lease in another project is let go first, its
    draft kept. Raises NotQualified (stranger, suspended, deactivated, screening not passed), NothingToLabel.
    """
    for _ in range(ATTEMPTS):
        standing = _standing(labeler, project=project)
        try:
            with one_statement():
                lease = _take(labeler, project=project, standing=standing)
        except IntegrityError as error:
            if broken_rule(error) not in ("assignment_one_lease", "assignment_labeler_once"):
                raise
            continue  # another tab of this labeler was quicker: look again and return what it took
        if lease:
            return lease
        # A stopped sweeper must not starve the queue, and another tab of this labeler may have taken the last one just now.
        if not release_expired() and not _standing(labeler, project=project).held:
            if standing.is_screened:
                raise NotQualified(f"No screening question is left for you in {project}. You go on once a manager has admitted you.")
            break
    raise NothingToLabel(f"There is nothing left for you to label in {project} right now. Look again when the next batch is published.")


def reserve_next(labeler: User, *, project: Project) -> Lease | None:
    """Reserve the assignment after the one this labeler holds, to be rendered ahead; None if there is none, or nothing in hand.

    Asking again returns the same reservation, renewed; one in another project is let go. It is chosen as `lease_next` will choose,
    gold turns and screening included. Raises NotQualified.
    """
    return _reserve(labeler, project=project, standing=_standing(labeler, project=project))


def go_on(claim: Claim, *, labeler: User, project: Project) -> tuple[datetime, Lease | None] | None:
    """Return the end of the lease that a submit made of this reservation, and the assignment reserved behind it.

    None: the claim is not the lease, or its labeler gets no more; `lease_next` says what is.
    """
    try:
        standing = _standing(labeler, project=project)
        if (standing.leased, standing.token) != (claim.assignment_id, claim.token) or standing.expires_at is None:
            return None
        return standing.expires_at, _reserve(labeler, project=project, standing=standing)
    except NotQualified:
        return None


def lease_reserved(claim: Claim, *, labeler: User, after: int) -> bool:
    """Turn a reservation into the lease, in the transaction of the caller, who ended the assignment `after` in it.

    False: it is no longer theirs, or they hold another lease.
    """
    with connection.cursor() as cursor:
        reserved = {"labeler": labeler.pk, "assignment": after, "ahead": claim.assignment_id, "ahead_token": claim.token}
        return cursor.execute(LEASE_RESERVED, reserved).rowcount == 1


def release_reserved(assignment_id: int, *, labeler: User, token: int) -> bool:
    """Give back an assignment rendered ahead and not used; one that has become the lease meanwhile stays."""
    return let_go(Assignment.objects.filter(pk=assignment_id, labeler=labeler, token=token, state=AssignmentState.RESERVED)) == 1


def _standing(labeler: User, *, project: Project) -> Standing:
    row = _first(STANDING, project=project.pk, labeler=labeler.pk, gold_percent=project.gold_percent)
    if row is None:
        raise NotQualified(f"You are not a member of {project}. Ask its owner for an invitation.")
    standing = Standing(*row)
    if not standing.is_active:
        raise NotQualified("This account is deactivated.")
    if standing.is_suspended:
        raise NotQualified(f"Your work in {project} is paused. Ask the project's manager why.")
    return standing


def _take(labeler: User, *, project: Project, standing: Standing) -> Lease | None:
    if standing.leases_elsewhere:
        _leave(labeler, project=project, state=AssignmentState.LEASED)
    mine = {"assignment": standing.held, "labeler": labeler.pk, "minutes": project.lease_minutes}
    if standing.held and (row := _first(RENEW, **mine)):
        return _lease(row, project=project)
    return _claim(labeler, project=project, standing=standing, state=AssignmentState.LEASED, turn=standing.turns)


def _reserve(labeler: User, *, project: Project, standing: Standing) -> Lease | None:
    for _ in range(ATTEMPTS):
        try:
            with one_statement():
                return _take_ahead(labeler, project=project, standing=standing)
        except IntegrityError as error:
            if broken_rule(error) not in ("assignment_one_reserved", "assignment_labeler_once"):
                raise  # else another tab of this labeler was quicker
        standing = _standing(labeler, project=project)
    return None


def _take_ahead(labeler: User, *, project: Project, standing: Standing) -> Lease | None:
    hand = standing.leased
    if hand is None or standing.is_practicing:  # a practice submit is answered with feedback, not with the next solution
        return None
    if standing.reserves_elsewhere:
        _leave(labeler, project=project, state=AssignmentState.RESERVED)
    mine = {"assignment": standing.reserved, "hand": hand, "labeler": labeler.pk, "minutes": project.lease_minutes}
    if standing.reserved and (row := _first(RENEW_RESERVED, **mine)):
        return _lease(row, project=project)
    # The turn in hand is not taken yet, so the one rendered ahead is the turn after it.
    turn = None if standing.turns is None else standing.turns + 1
    return _claim(labeler, project=project, standing=standing, state=AssignmentState.RESERVED, turn=turn, hand=hand)


def _claim(labeler: User, *, project: Project, standing: Standing, state: str, turn: int | None, hand: int | None = None) -> Lease | None:
    claim = {"labeler": labeler.pk, "minutes": project.lease_minutes, "state": str(state), "hand": hand}

    def first_of(statement: str, **more: object) -> Lease | None:
        row = _first(statement, **claim, **more)
        return row and _lease(row, project=project)

    if standing.has_practice and (practice := first_of(ASSIGNMENT_ON_DEMAND, project=project.pk, kind=str(BatchKind.PRACTICE))):
        return practice
    if standing.is_screened:
        return first_of(ASSIGNMENT_ON_DEMAND, project=project.pk, kind=str(BatchKind.SCREENING))
    is_gold = is_gold_turn(labeler, project=project, turn=turn)
    if is_gold and (gold := first_of(ASSIGNMENT_ON_DEMAND, project=project.pk, kind=str(BatchKind.SELECTED))):
        return gold
    tries = ((statement, batch) for statement in (NEXT_ASSIGNMENT, NEXT_ASSIGNMENT_WAITING) for batch in standing.batches)
    return next((lease for statement, batch in tries if (lease := first_of(statement, batch=batch))), None)


def _lease(row: tuple[Any, ...], *, project: Project) -> Lease:
    assignment_id, token, expires_at, solution_id, problem, answer, steps, revision, ratings, generation, kind = row
    return Lease(
        assignment_id=assignment_id,
        token=token,
        expires_at=expires_at,
        project=project,
        solution_id=solution_id,
        problem=problem,
        reference_answer=answer,
        steps=orjson.loads(steps),
        draft=None if revision is None else {"revision": revision, "ratings": orjson.loads(ratings)},
        generation=generation,
        kind=kind,
    )


def _first(statement: str, **values: object) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        return cursor.execute(statement, values).fetchone()


def is_gold_turn(labeler: User, *, project: Project, turn: int | None) -> bool:
    """Tell whether this turn of this labeler is a gold one: unforeseeable to them, the same on every reload."""
    if not project.gold_percent:
        return False
    digest = salted_hmac("annotation.queue.gold", f"{project.pk}:{labeler.pk}:{turn}", algorithm="sha256").digest()
    return int.from_bytes(digest[:8], "big") % 100 < project.gold_percent


def _leased(assignment_id: int | None, *, labeler: User) -> QuerySet[Assignment]:
    return Assignment.objects.filter(pk=assignment_id, labeler=labeler, state=AssignmentState.LEASED)


def _minutes(count: Subquery) -> Func:
    return Func(count, function="make_interval", template="%(function)s(mins => %(expressions)s)", output_field=DurationField())


def extend_lease(assignment_id: int, *, labeler: User, token: int) -> datetime:
    """Renew a lease, and what is reserved behind it, and return its new end. Raises LeaseLost.

    A lease that lapsed comes back as long as nobody took the assignment.
    """
    assignments = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token))
    minutes = Subquery(Project.objects.filter(batch__assignment=assignment_id).values("lease_minutes")[:1])
    try:
        with transaction.atomic():
            end = Now() + _minutes(minutes)
            if assignments.update(state=AssignmentState.LEASED, labeler=labeler, lapsed=None, lease_expires_at=end) != 1:
                raise lost(assignment_id, labeler=labeler)
            Assignment.objects.filter(labeler=labeler, state=AssignmentState.RESERVED).update(lease_expires_at=end)
            return Assignment.objects.values_list("lease_expires_at", flat=True).get(pk=assignment_id)
    except IntegrityError as error:
        if broken_rule(error) in ("assignment_one_lease", "assignment_labeler_once"):  # they went on to another assignment meanwhile
            raise LeaseLost from error
        raise


def release(assignment_id: int, *, labeler: User, token: int) -> None:
    """Give an assignment back, for somebody else or for later. Raises LeaseLost."""
    if let_go(_leased(assignment_id, labeler=labeler).filter(token=token)) != 1:
        raise LeaseLost


def release_expired() -> int:
    """Offer again every assignment whose lease or reservation is past its end; return how many. Safe to run at any time, twice too."""
    expired = Assignment.objects.filter(state__in=[AssignmentState.LEASED, AssignmentState.RESERVED], lease_expires_at__lt=Now())
    with transaction.atomic():  # SKIP LOCKED: an assignment that is being submitted this moment is left alone, and sweepers cannot deadlock
        return let_go(expired.filter(pk__in=expired.select_for_update(skip_locked=True).values("pk")))


def _leave(labeler: User, *, project: Project, state: str) -> None:
    let_go(Assignment.objects.filter(labeler=labeler, state=state).exclude(batch__project=project))


def let_go(assignments: QuerySet[Assignment]) -> int:
    # `lapsed` remembers the last holder: with the same token, their late work is good until somebody takes the assignment.
    return assignments.update(state=AssignmentState.OPEN, lapsed=F("labeler"), labeler=None, leased_at=None, lease_expires_at=None)
