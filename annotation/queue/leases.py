"""Stage: queue, handing out. It decides who labels what next, and whose work still counts.

Reads Membership, Batch and the project's policies. Writes Assignment. A lease is an assignment that somebody holds for now. Only the
database's clock counts, and it decides only when an assignment may be offered again. The token decides whether work is accepted:
every claim raises it.
"""

from collections.abc import Iterable
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

from annotation import people
from annotation.models import (
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Event,
    Membership,
    Project,
    SiteCount,
    broken_rule,
)
from annotation.queue.statements import (
    ASSIGNMENT_AHEAD,
    ASSIGNMENT_ON_DEMAND,
    GOLD_AHEAD,
    GOLD_ON_DEMAND,
    LABELER_STATE,
    LEASE_RESERVED,
    LOOK_FOR_GOLD,
    LOOK_FOR_OPEN,
    NEXT_ASSIGNMENT,
    NEXT_ASSIGNMENT_WAITING,
    RENEW,
    RENEW_RESERVED,
)

RETURN = "return lease"  # the verb of an event
ATTEMPTS = 4  # an attempt fails if a second tab is faster, or if a lease lapses at that moment
Parameter = int | str | None  # of a statement


class NothingToLabel(Exception):
    """The queue has nothing that this labeler can take."""


class NotQualified(Exception):
    """This person cannot label in this project, or not yet. The message says why."""


class LeaseLost(Exception):
    """The assignment is no longer this labeler's. `kept`: the work was stored as a draft."""

    code = "lease_lost"

    def __init__(
        self, message: str = "This solution is no longer yours. Your time ran out, and it went back to the queue.", *, kept: bool = False
    ) -> None:
        super().__init__(message + (" Your ratings are kept as a draft." if kept else ""))
        self.kept = kept


class Withdrawn(LeaseLost):
    """The solution was withdrawn while somebody was labeling it. `kept` as in LeaseLost."""

    code = "withdrawn"


class RoleSeesLabels(LeaseLost):
    """The person became researcher, manager or owner while the solution was open. `kept` as in LeaseLost."""

    code = "sees_labels"


def lost(assignment_id: int, *, labeler: User, token: int, kept: bool = False) -> LeaseLost:
    """Return the error that says why this assignment is not, or no longer, the labeler's."""
    fields = ("state", "labeler", "lapsed", "token", "task__solution__withdrawn_at", "batch__state")
    row = Assignment.objects.filter(pk=assignment_id).values_list(*fields).first()
    if row is None:
        return LeaseLost(kept=kept)
    state, holder, last_holder, newest_token, withdrawn_at, batch_state = row
    if state in (AssignmentState.DONE, AssignmentState.SKIPPED) and holder == labeler.pk:
        return LeaseLost("You have submitted this solution already, in another window.", kept=kept)
    if membership := people.other_membership(labeler, assignment_id):
        return RoleSeesLabels(people.why_no_labeling(membership.role, membership.project), kept=kept)
    if state == AssignmentState.CLOSED and withdrawn_at:
        return Withdrawn("This solution was withdrawn from labeling, because its problem or its text is not suitable.", kept=kept)
    if state == AssignmentState.CLOSED:
        reason = "its batch was closed" if batch_state == BatchState.CLOSED else "fewer people are needed for it now"
        return LeaseLost(f"This solution is no longer yours: you did not hold it any more, and {reason}.", kept=kept)
    if labeler.pk in (holder, last_holder):
        return LeaseLost(kept=kept)
    if not 0 < token < newest_token:  # this claim was never theirs
        where = "It was handed out to somebody else." if holder else "It waits in the queue."
        return LeaseLost(f"This solution is not yours. {where}", kept=kept)
    if Event.objects.filter(verb=RETURN, subject=f"assignment {assignment_id}", details__labeler=labeler.pk, details__token=token).exists():
        return LeaseLost("A manager gave this solution back to the queue, and somebody else has it now.", kept=kept)
    now = "Somebody else has this solution now." if holder else "This solution waits in the queue now."
    return LeaseLost(f"{now} If you held it before, your time ran out.", kept=kept)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of an assignment, as the browser names it."""

    assignment_id: int
    token: int


@dataclass(frozen=True, slots=True)
class Lease:
    """What one labeler sees. `draft`: their newest draft of this assignment, {"revision", "ratings"}."""

    assignment_id: int
    token: int
    expires_at: datetime
    project: Project
    solution_id: int
    problem: str
    reference_answer: str | None  # None: unknown, or hidden by the project; a hidden one is never read
    steps: list[str]
    draft: dict[str, Any] | None
    generation: int | None
    kind: str  # of the batch


@dataclass(frozen=True, slots=True)
class LabelerState:
    """What a labeler may do in a project, and what they hold: the columns of LABELER_STATE."""

    is_active: bool
    is_suspended: bool
    is_qualified: bool
    has_screening: bool
    has_practice: bool  # a newcomer has practice left
    has_calibration: bool  # a calibration set has solutions that this person never had
    is_practicing: bool | None  # the lease is in a practice batch
    leased: int | None
    token: int | None  # of the lease, in any project
    expires_at: datetime | None
    reserved: int | None
    leases_elsewhere: bool | None
    reserves_elsewhere: bool | None
    batches: list[int]  # open batches with an open assignment, oldest generation first
    turns: int | None  # solutions done or skipped; None: the project has no gold turns
    screening_set: int  # which screening questions a newcomer gets
    is_refused: bool

    @property
    def held(self) -> int | None:
        """The assignment to show next: the lease, else the reservation."""
        return self.leased or self.reserved

    @property
    def is_screened(self) -> bool:
        """Whether the labeler gets screening questions only."""
        return self.has_screening and not self.is_qualified


def fence(assignment_id: int, *, labeler: User, token: int) -> Q:
    """Return the condition under which this claim still counts: leased, or lapsed and taken by nobody since."""
    return Q(pk=assignment_id, token=token) & (
        Q(state=AssignmentState.LEASED, labeler=labeler) | Q(state=AssignmentState.OPEN, lapsed=labeler)
    )


def one_statement() -> AbstractContextManager[object]:
    """Guard a statement that may violate a constraint. Alone it is its own transaction; inside another one it needs a savepoint."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def lease_next(labeler: User, *, project: Project) -> Lease:
    """Return the labeler's lease: the one they hold, else their reserved assignment, else the next free assignment.

    The next call returns the same lease, renewed, also in a second tab. A lease in another project is given back first, and its
    draft is kept. Raises NotQualified (not a member, suspended, deactivated, screening not passed), NothingToLabel.
    """
    if project.archived_at:
        raise NothingToLabel(f"{project} is archived, so there is nothing left to label. Everything you submitted is saved.")
    for _ in range(ATTEMPTS):
        state = _labeler_state(labeler, project=project)
        try:
            with one_statement():
                lease = _take(labeler, project=project, state=state)
        except IntegrityError as error:
            if broken_rule(error) not in ("assignment_one_lease", "assignment_labeler_once"):
                raise
            continue  # another tab of this labeler was faster: try again and return what it took
        if lease:
            return lease
        # Expired leases may be left if the sweeper has stopped, and another tab of this labeler may have just taken the last one.
        if not release_expired() and not _labeler_state(labeler, project=project).held:
            paused = Batch.objects.filter(project=project, state=BatchState.PAUSED)
            if state.is_screened:
                if paused.filter(kind=BatchKind.SCREENING).exists():
                    raise NotQualified(f"The screening of {project} is paused. You can go on when a manager resumes it.")
                raise NotQualified(f"No screening question is left for you in {project}. You can label once a manager admits you.")
            if paused.filter(kind=BatchKind.SELECTED).exists():
                raise NothingToLabel(
                    f"Work in {project} is paused. You can go on when a manager resumes it. Everything you submitted is saved."
                )
            break
    raise NothingToLabel(f"There is nothing left for you to label in {project} right now. Come back when the next batch is published.")


def reserve_next(labeler: User, *, project: Project) -> Lease | None:
    """Reserve the assignment after the one this labeler holds, to be rendered ahead. None: there is none, or they hold no lease.

    The next call returns the same reservation, renewed. A reservation in another project is given back. The choice is the one that
    `lease_next` will make, gold turns and screening included. Raises NotQualified.
    """
    if project.archived_at:
        return None
    return _reserve(labeler, project=project, state=_labeler_state(labeler, project=project))


def go_on(claim: Claim, *, labeler: User, project: Project) -> tuple[datetime, Lease | None] | None:
    """Return the end of the lease into which a submit turned this reservation, and the assignment reserved after it.

    None: the claim is not the lease, or the labeler gets no more solutions. Then `lease_next` says what holds.
    """
    try:
        state = _labeler_state(labeler, project=project)
        if (state.leased, state.token) != (claim.assignment_id, claim.token) or state.expires_at is None:
            return None
        return state.expires_at, _reserve(labeler, project=project, state=state)
    except NotQualified:
        return None


def lease_reserved(claim: Claim, *, labeler: User, after: int) -> bool:
    """Turn a reservation into the lease, in the caller's transaction, in which the assignment `after` was ended.

    Return False if the reservation is no longer the labeler's, or if they hold another lease.
    """
    with connection.cursor() as cursor:
        reserved = {"labeler": labeler.pk, "assignment": after, "ahead": claim.assignment_id, "ahead_token": claim.token}
        cursor.execute(LEASE_RESERVED, reserved)
        count: int = cursor.rowcount
    return count == 1


def release_reserved(assignment_id: int, *, labeler: User, token: int) -> bool:
    """Give back a reserved assignment and return whether it was one. If it is the lease by now, it stays."""
    return let_go(Assignment.objects.filter(pk=assignment_id, labeler=labeler, token=token, state=AssignmentState.RESERVED)) == 1


def _labeler_state(labeler: User, *, project: Project) -> LabelerState:
    row = _first(LABELER_STATE, project=project.pk, labeler=labeler.pk, gold_percent=project.gold_percent)
    if row is None:
        membership = Membership.objects.filter(project=project, user=labeler, role__in=people.RESEARCHERS).first()
        if membership:
            raise NotQualified(people.why_no_labeling(membership.role, project))
        raise NotQualified(f"You are not a member of {project}. Ask its owner for an invitation.")
    state = LabelerState(*row)
    if not state.is_active:
        raise NotQualified("This account is deactivated. Ask the project's owner why.")
    if state.is_suspended:
        reason = Membership.objects.values_list("reason", flat=True).get(project=project, user=labeler)
        why = f"The reason: {reason}" if reason else "Ask the project's manager why."
        raise NotQualified(f"Your work in {project} is paused. {why}")
    if state.is_refused:
        raise NotQualified(f"A manager decided that you do not label in {project}.")
    return state


def _take(labeler: User, *, project: Project, state: LabelerState) -> Lease | None:
    if state.leases_elsewhere:
        _leave(labeler, project=project, state=AssignmentState.LEASED)
    if state.held and (row := _first(RENEW, assignment=state.held, labeler=labeler.pk, minutes=project.lease_minutes)):
        return _lease(row, project=project)
    return _claim(labeler, project=project, state=state, into=AssignmentState.LEASED, turn=state.turns)


def _reserve(labeler: User, *, project: Project, state: LabelerState) -> Lease | None:
    for _ in range(ATTEMPTS):
        try:
            with one_statement():
                return _take_ahead(labeler, project=project, state=state)
        except IntegrityError as error:
            if broken_rule(error) not in ("assignment_one_reserved", "assignment_labeler_once"):
                raise  # otherwise another tab of this labeler was faster
        state = _labeler_state(labeler, project=project)
    return None


def _take_ahead(labeler: User, *, project: Project, state: LabelerState) -> Lease | None:
    leased, reserved = state.leased, state.reserved
    if leased is None or state.is_practicing:  # the answer to a practice submit is feedback, not the next solution
        return None
    if state.reserves_elsewhere:
        _leave(labeler, project=project, state=AssignmentState.RESERVED)
    minutes = project.lease_minutes
    if reserved and (row := _first(RENEW_RESERVED, assignment=reserved, leased=leased, labeler=labeler.pk, minutes=minutes)):
        return _lease(row, project=project)
    # The turn of the lease is not taken yet, so the reservation is for the turn after it.
    turn = None if state.turns is None else state.turns + 1
    return _claim(labeler, project=project, state=state, into=AssignmentState.RESERVED, turn=turn, leased=leased)


def _claim(
    labeler: User, *, project: Project, state: LabelerState, into: AssignmentState, turn: int | None, leased: int | None = None
) -> Lease | None:
    """Claim the next assignment into the state `into`; `leased`: the lease that must still be held when a reservation is made."""
    claim: dict[str, Parameter] = {"labeler": labeler.pk, "minutes": project.lease_minutes, "state": str(into), "leased": leased}
    claim["set"] = state.screening_set

    def first_of(statement: str, **more: Parameter) -> Lease | None:
        row = _first(statement, **claim, **more)
        return None if row is None else _lease(row, project=project)

    on_demand, of_gold = (ASSIGNMENT_ON_DEMAND, GOLD_ON_DEMAND) if leased is None else (ASSIGNMENT_AHEAD, GOLD_AHEAD)
    if state.has_practice and (practice := first_of(on_demand, project=project.pk, kind=str(BatchKind.PRACTICE))):
        return practice
    if state.is_screened:
        return first_of(on_demand, project=project.pk, kind=str(BatchKind.SCREENING))
    if state.has_calibration and (calibration := first_of(on_demand, project=project.pk, kind=str(BatchKind.CALIBRATION))):
        return calibration
    is_gold = is_gold_turn(labeler, project=project, turn=turn)
    if project.gold_percent and state.batches:
        other = {"batch": state.batches[0]} if is_gold else {"project": project.pk}
        _first(LOOK_FOR_OPEN if is_gold else LOOK_FOR_GOLD, **claim, **other)
    if is_gold and (gold := first_of(of_gold, project=project.pk)):
        return gold
    tries = ((statement, batch) for statement in (NEXT_ASSIGNMENT, NEXT_ASSIGNMENT_WAITING) for batch in state.batches)
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


def _first(statement: str, **parameters: Parameter) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def is_gold_turn(labeler: User, *, project: Project, turn: int | None) -> bool:
    """Tell whether this turn of this labeler is a gold turn. They cannot predict it, and a reload does not change it."""
    if not project.gold_percent:
        return False
    digest = salted_hmac("annotation.queue.gold", f"{project.pk}:{labeler.pk}:{turn}", algorithm="sha256").digest()
    return int.from_bytes(digest[:8], "big") % 100 < project.gold_percent


def _minutes(count: Subquery) -> Func:
    return Func(count, function="make_interval", template="%(function)s(mins => %(expressions)s)", output_field=DurationField())


def extend_lease(assignment_id: int, *, labeler: User, token: int) -> datetime:
    """Renew a lease and the reservation after it, and return the new end of the lease. Raises LeaseLost.

    A lapsed lease can be renewed as long as nobody took the assignment.
    """
    assignments = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token))
    minutes = Subquery(Project.objects.filter(batch__assignment=assignment_id).values("lease_minutes")[:1])
    try:
        with transaction.atomic():
            end = Now() + _minutes(minutes)
            if assignments.update(state=AssignmentState.LEASED, labeler=labeler, lapsed=None, lease_expires_at=end) != 1:
                raise lost(assignment_id, labeler=labeler, token=token)
            Assignment.objects.filter(labeler=labeler, state=AssignmentState.RESERVED).update(lease_expires_at=end)
            new_end = Assignment.objects.values_list("lease_expires_at", flat=True).get(pk=assignment_id)
            assert new_end is not None  # it was just written
            return new_end
    except IntegrityError as error:
        if broken_rule(error) in ("assignment_one_lease", "assignment_labeler_once"):  # they have another lease by now
            raise LeaseLost from error
        raise


def release(assignment_id: int, *, labeler: User, token: int) -> None:
    """Give a leased assignment back. Raises LeaseLost."""
    leased = Assignment.objects.filter(pk=assignment_id, labeler=labeler, token=token, state=AssignmentState.LEASED)
    if let_go(leased) != 1:
        raise LeaseLost


def release_expired() -> int:
    """Open every assignment whose lease or reservation is past its end. Return how many. It is safe to run this at any time."""
    expired = Assignment.objects.filter(state__in=[AssignmentState.LEASED, AssignmentState.RESERVED], lease_expires_at__lt=Now())
    # SKIP LOCKED: an assignment that is being submitted right now is left alone, and two runs cannot deadlock.
    with transaction.atomic():
        count = let_go(expired.filter(pk__in=expired.select_for_update(skip_locked=True).values("pk")))
    SiteCount.objects.add({"lease_expiries": count})
    return count


def give_back(labeler: User, *, project: Project, states: Iterable[str]) -> int:
    """Offer what a person holds in a project to others, for somebody who no longer labels there. Return how many. Drafts stay."""
    # Without a join, for the reason that `_leave` names.
    return let_go(Assignment.objects.filter(labeler=labeler, state__in=states, batch__in=Batch.objects.filter(project=project)))


def _leave(labeler: User, *, project: Project, state: str) -> None:
    # Without a join, so that the UPDATE looks at the state again after it waited for a submit: Django puts a join into a subquery.
    let_go(Assignment.objects.filter(labeler=labeler, state=state).exclude(batch__in=Batch.objects.filter(project=project)))


def let_go(assignments: QuerySet[Assignment]) -> int:
    """Open assignments again and return how many. With the same token, late work of the last holder counts until somebody takes one."""
    return assignments.update(state=AssignmentState.OPEN, lapsed=F("labeler"), labeler=None, leased_at=None, lease_expires_at=None)
