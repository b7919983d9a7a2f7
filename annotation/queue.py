"""The queue: who labels what next, and whose work still counts.

Reads Membership, Solution and Project policy; writes Batch, Task and Assignment. An assignment is one seat of a task, and a
lease is a seat somebody holds for now. Only the database's clock is asked, and time alone decides nothing but when a seat
may be offered again: whether work is accepted is decided by the token, which every claim raises.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, DurationField, F, Func, Max, Min, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Now
from django.utils.crypto import salted_hmac

from annotation.models import (
    Assignment,
    Batch,
    BatchKind,
    BatchState,
    Project,
    SeatState,
    Solution,
    Split,
    Task,
    TaskKind,
)

MAX_BATCH = 10_000  # tasks; the hand-out stays an index scan over what is open
ATTEMPTS = 4  # a second tab, or leases that lapse while we look, make the first one void

# Where a labeler stands: one row, or none for a stranger. Raw, as what follows: on the labeler's path, building the like of
# this in the ORM cost more than running it.
STANDING = """
SELECT u.is_active, m.suspended_at IS NOT NULL, m.qualified_at IS NOT NULL,
       EXISTS (SELECT 1 FROM annotation_batch b WHERE b.project_id = m.project_id AND b.kind = 'screening' AND b.state <> 'draft'),
       (SELECT s.id FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
         WHERE s.labeler_id = u.id AND s.state IN ('leased', 'reserved') AND b.project_id = m.project_id
         ORDER BY s.state LIMIT 1),                 -- a lease before a reservation
       (SELECT s.id FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
         WHERE s.labeler_id = u.id AND s.state = 'reserved' AND b.project_id = m.project_id),
       EXISTS (SELECT 1 FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
                WHERE s.labeler_id = u.id AND s.state = 'leased' AND b.project_id <> m.project_id),
       ARRAY(SELECT b.id FROM annotation_batch b
              WHERE b.project_id = m.project_id AND b.state = 'open' AND b.kind = 'selected'
                AND EXISTS (SELECT 1 FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state = 'open')
              ORDER BY b.generation, b.id),
       CASE WHEN %(gold_percent)s > 0 THEN          -- turns taken; not counted where nothing depends on it
            (SELECT count(*) FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
              WHERE s.labeler_id = u.id AND s.state IN ('done', 'skipped') AND b.project_id = m.project_id) END
  FROM annotation_membership m JOIN auth_user u ON u.id = m.user_id
 WHERE m.project_id = %(project)s AND m.user_id = %(labeler)s
"""

# Hands out one seat. MATERIALIZED: the choice runs once and locks one row, where `IN (SELECT .. LIMIT 1 .. SKIP LOCKED)` may
# run again and claim several. SKIP LOCKED: labelers never wait for each other. OFFSET 0 keeps the NOT EXISTS one index probe
# per row: without it, statistics older than the labeler's own work turn it into a sequential scan of all seats, hundreds of
# times slower (a test EXPLAINs this). A seat without a slot was made for one person and is never handed to another.
NEXT_SEAT = """
WITH next AS MATERIALIZED (
  SELECT s.id FROM annotation_assignment s
   WHERE s.batch_id = %(batch)s AND s.state = 'open' AND s.slot IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM annotation_assignment o
                      WHERE o.task_id = s.task_id AND o.labeler_id = %(labeler)s OFFSET 0)
   ORDER BY s.priority DESC, s.id LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
UPDATE annotation_assignment
   SET state = %(state)s, labeler_id = %(labeler)s, lapsed_id = NULL, token = token + 1,
       leased_at = CASE %(state)s WHEN 'leased' THEN now() END, lease_expires_at = now() + make_interval(mins => %(minutes)s)
 WHERE id = (SELECT id FROM next) RETURNING id
"""
# Asked only when the first finds nothing: what it skipped may be given back, by a second tab whose claim the rules undo.
NEXT_SEAT_WAITING = NEXT_SEAT.replace(" SKIP LOCKED", "")

# Gives a labeler a seat of their own (slot NULL) at a gold or screening task whose solution they never had in any batch; one
# they let go before is taken up again, its drafts with it. Two tabs at once meet in seat_one_lease.
SEAT_ON_DEMAND = """
WITH next AS MATERIALIZED (
  SELECT t.id, t.batch_id, t.priority,
         (SELECT s.id FROM annotation_assignment s
           WHERE s.task_id = t.id AND s.slot IS NULL AND s.state = 'open' AND s.lapsed_id = %(labeler)s LIMIT 1) AS seat
    FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
   WHERE b.project_id = %(project)s AND b.state = 'open' AND b.kind = %(kind)s AND (t.kind = 'gold' OR b.kind = 'screening')
     AND NOT EXISTS (SELECT 1 FROM annotation_task p JOIN annotation_assignment o ON o.task_id = p.id
                      WHERE p.solution_id = t.solution_id AND o.labeler_id = %(labeler)s OFFSET 0)
   ORDER BY b.generation, t.priority DESC, t.id LIMIT 1),
again AS (
  UPDATE annotation_assignment s
     SET state = %(state)s, labeler_id = %(labeler)s, lapsed_id = NULL, token = token + 1,
         leased_at = CASE %(state)s WHEN 'leased' THEN now() END, lease_expires_at = now() + make_interval(mins => %(minutes)s)
    FROM next WHERE s.id = next.seat AND s.state = 'open' RETURNING s.id),
fresh AS (
  INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token, leased_at, lease_expires_at)
  SELECT id, NULL, batch_id, priority, %(state)s, %(labeler)s, 1,
         CASE %(state)s WHEN 'leased' THEN now() END, now() + make_interval(mins => %(minutes)s)
    FROM next WHERE seat IS NULL RETURNING id)
SELECT id FROM again UNION ALL SELECT id FROM fresh
"""

# What the labeler sees: the seat with its texts and their newest draft of it.
READ_LEASE = """
SELECT s.token, s.lease_expires_at, n.id, p.statement, {answer}, n.steps, d.revision, d.ratings, b.generation
  FROM annotation_assignment s
  JOIN annotation_batch b ON b.id = s.batch_id
  JOIN annotation_task t ON t.id = s.task_id
  JOIN annotation_solution n ON n.id = t.solution_id
  JOIN annotation_problem p ON p.id = n.problem_id
  LEFT JOIN LATERAL (SELECT revision, ratings FROM annotation_draft
                      WHERE assignment_id = s.id AND labeler_id = %(labeler)s ORDER BY saved_at DESC, id DESC LIMIT 1) d ON true
 WHERE s.id = %(assignment)s AND s.state = %(state)s AND s.labeler_id = %(labeler)s
"""

# Turns what a page rendered ahead into the lease, inside the transaction that ends the seat before it. Who is paused gets no more,
# and who holds a lease in another tab keeps that one.
LEASE_RESERVED = """
UPDATE annotation_assignment s
   SET state = 'leased', leased_at = now(), lease_expires_at = now() + make_interval(mins => p.lease_minutes)
  FROM annotation_batch b
  JOIN annotation_project p ON p.id = b.project_id
  JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = %(labeler)s AND m.suspended_at IS NULL
 WHERE s.id = %(assignment)s AND s.token = %(token)s AND s.state = 'reserved' AND s.labeler_id = %(labeler)s AND b.id = s.batch_id
   AND NOT EXISTS (SELECT 1 FROM annotation_assignment o WHERE o.labeler_id = %(labeler)s AND o.state = 'leased')
"""

# One seat per slot. All first slots before all second ones: within one priority a batch is covered once before anything is
# labeled twice, and a labeler alone never has to step over the second seats of tasks already done.
MAKE_SEATS = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, token)
SELECT t.id, slot, t.batch_id, t.priority, 'open', 0
  FROM annotation_task t CROSS JOIN LATERAL generate_series(0, t.overlap - 1) AS slot
 WHERE t.batch_id = %(batch)s AND t.kind = 'normal' ORDER BY slot, t.priority DESC, t.id
"""


class NothingToLabel(Exception):
    """The queue holds nothing this labeler may take."""


class NotQualified(Exception):
    """This person may not label in this project, or not yet; the message says why."""


class LeaseLost(Exception):
    """The seat is no longer this labeler's. `kept`: the work was stored as a draft."""

    def __init__(
        self, message: str = "This solution is no longer yours: its time ran out and it was given on.", *, kept: bool = False
    ) -> None:
        super().__init__(message + (" Your ratings were kept as a draft." if kept else ""))
        self.kept = kept


class BadBatch(ValueError):
    """These solutions cannot be published; the message says which and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One solution to publish. Gold ones get no seats in advance: each labeler's is made at a gold turn."""

    solution_id: int
    priority: int = 0
    verifier_score: float | None = None
    kind: str = TaskKind.NORMAL


@dataclass(frozen=True, slots=True)
class Claim:
    """One seat as the browser names it."""

    assignment_id: int
    token: int


@dataclass(frozen=True, slots=True)
class Lease:
    """What one labeler has before them. `draft`: their newest one of this seat, {"revision", "ratings"}."""

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


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a labeler stands in a project: the columns of STANDING."""

    is_active: bool
    is_suspended: bool
    is_qualified: bool
    has_screening: bool
    held: int | None  # the lease, else the reservation
    reserved: int | None
    holds_elsewhere: bool
    batches: list[int]  # open ones with an open seat, oldest generation first
    turns: int | None

    @property
    def is_leasing(self) -> bool:
        return self.held is not None and self.held != self.reserved

    @property
    def is_screened(self) -> bool:
        return self.has_screening and not self.is_qualified


def broken_rule(error: IntegrityError) -> str | None:
    """Return the name of the constraint that refused a statement."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


def fence(assignment_id: int, *, labeler: User, token: int) -> Q:
    """Return the condition under which this claim still counts: leased, or lapsed and not yet taken by anybody."""
    return Q(pk=assignment_id, token=token) & (Q(state=SeatState.LEASED, labeler=labeler) | Q(state=SeatState.OPEN, lapsed=labeler))


# --- batches ------------------------------------------------------------------------------------------------------------


def open_batch(
    project: Project,
    chosen: Iterable[Chosen],
    *,
    kind: str = BatchKind.SELECTED,
    generation: int | None = None,
    overlap: int | None = None,
    state: str = BatchState.OPEN,
) -> Batch:
    """Publish solutions as the tasks and seats of a new batch, all or none.

    generation: the next one (screening: -1); overlap: the project's. A screening batch has no seats in advance, since every
    newcomer goes through the whole of it. Raises BadBatch: nothing or more than 10,000 chosen, a solution twice, of another
    project, of the test split, withdrawn, or queued before.
    """
    rows = list(chosen)
    if not rows:
        raise BadBatch("No solution was chosen, so there is no batch to open. Choose at least one.")
    if len(rows) > MAX_BATCH:
        raise BadBatch(f"{len(rows):,} solutions are too many for one batch. Choose at most {MAX_BATCH:,}.")
    try:
        with transaction.atomic():
            # One publisher at a time: the next generation and "not queued before" must stay true until we commit.
            project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
            _refuse_unfit(project, rows, screening=kind == BatchKind.SCREENING)
            if generation is None:
                newest = Batch.objects.filter(project=project, kind=kind).aggregate(newest=Max("generation"))["newest"]
                generation = -1 if kind == BatchKind.SCREENING else 0 if newest is None else newest + 1
            batch = Batch.objects.create(project=project, generation=generation, kind=kind, state=state)
            seats = project.overlap if overlap is None else overlap
            Task.objects.bulk_create(
                Task(batch=batch, overlap=seats, **{name: getattr(one, name) for name in Chosen.__slots__}) for one in rows
            )
            if kind != BatchKind.SCREENING:
                with connection.cursor() as cursor:
                    cursor.execute(MAKE_SEATS, {"batch": batch.pk})
    except IntegrityError as error:
        match broken_rule(error):
            case "task_once_per_batch":
                reason = "A solution was chosen twice. Choose each one once."
            case "batch_generation_once":
                reason = f"A {kind} batch of generation {generation} exists already. Name another generation, or none for the next one."
            case "task_overlap_positive":
                reason = f"An overlap of {overlap} gives nobody a seat. Use 1 or more."
            case _:
                raise
        raise BadBatch(reason) from error
    return batch


def _refuse_unfit(project: Project, rows: list[Chosen], *, screening: bool) -> None:
    ids = {one.solution_id for one in rows}
    here = Solution.objects.filter(pk__in=ids, problem__project=project)
    test, withdrawn = Q(problem__split=Split.TEST), Q(withdrawn_at__isnull=False)
    found = here.aggregate(
        known=Count("pk"),
        test=Count("pk", filter=test),
        first_test=Min("pk", filter=test),
        withdrawn=Count("pk", filter=withdrawn),
        first_withdrawn=Min("pk", filter=withdrawn),
    )
    if found["known"] < len(ids):
        raise BadBatch(f"{len(ids) - found['known']:,} of {len(ids):,} chosen solutions do not exist in {project}. Choose among its own.")
    if found["test"]:
        raise BadBatch(
            f"{found['test']:,} chosen solutions answer problems of the test split (the first is solution {found['first_test']}). "
            "These are never labeled: choose from the train split."
        )
    if found["withdrawn"]:
        raise BadBatch(
            f"{found['withdrawn']:,} chosen solutions were withdrawn (the first is solution {found['first_withdrawn']}). Leave them out."
        )
    # Gold and screening questions are labeled solutions put before other people, so these may have been queued before.
    once = {one.solution_id for one in rows if one.kind == TaskKind.NORMAL and not screening}
    queued = Task.objects.filter(solution__in=once).aggregate(count=Count("solution", distinct=True), first=Min("solution"))
    if queued["count"]:
        raise BadBatch(
            f"{queued['count']:,} chosen solutions were queued before (the first is solution {queued['first']}). Leave them out."
        )


def close_batch(batch: Batch) -> None:
    """Hand out no more of a batch, nor what is reserved. What is leased may still be submitted. Raises BadBatch if it is closed already."""
    going = Batch.objects.filter(pk=batch.pk, state__in=[BatchState.DRAFT, BatchState.OPEN])
    with transaction.atomic():
        if going.update(state=BatchState.CLOSED, closed_at=Now()) != 1:
            raise BadBatch(f"The {batch} is closed already.")
        _let_go(Assignment.objects.filter(batch=batch, state=SeatState.RESERVED))


def has_batch(project: Project) -> bool:
    """Tell whether anything was ever published for labeling."""
    return Batch.objects.filter(project=project, kind=BatchKind.SELECTED).exists()


def counts(project: Project) -> dict[str, int]:
    """Count the seats of a project's selected batches: open (in open batches), leased, done, skipped; and its open batches.

    Seats rendered ahead count as leased; gold seats, made on demand, count once they are taken.
    """
    state = {name: Q(state=name) for name in SeatState.values}
    counted = Assignment.objects.filter(batch__project=project, batch__kind=BatchKind.SELECTED).aggregate(
        open=Count("pk", filter=state["open"] & Q(batch__state=BatchState.OPEN, slot__isnull=False)),
        leased=Count("pk", filter=state["leased"] | state["reserved"]),
        done=Count("pk", filter=state["done"]),
        skipped=Count("pk", filter=state["skipped"]),
    )
    return counted | {"open_batches": Batch.objects.filter(project=project, state=BatchState.OPEN).count()}


# --- leases -------------------------------------------------------------------------------------------------------------


def lease_next(labeler: User, *, project: Project) -> Lease:
    """Return the labeler's lease: the one they hold, else their reserved seat, else the next free seat.

    Asking again, in a second tab too, returns the same lease, renewed. A lease in another project is let go first, its
    draft kept. Raises NotQualified (stranger, suspended, deactivated, screening not passed), NothingToLabel.
    """
    for _ in range(ATTEMPTS):
        standing = _standing(labeler, project=project)
        try:
            with transaction.atomic():
                seat = _take(labeler, project=project, standing=standing)
        except IntegrityError as error:
            if broken_rule(error) not in ("seat_one_lease", "seat_labeler_once"):
                raise
            continue  # another tab of this labeler was quicker: look again and return what it took
        if seat is not None:
            if lease := _read(seat, labeler=labeler, project=project):
                return lease
            continue  # another tab ended it between the two statements
        # A stopped sweeper must not starve the queue, and another tab of this labeler may have taken the last one just now.
        if not release_expired() and not _standing(labeler, project=project).held:
            if standing.is_screened:
                raise NotQualified(f"No screening question is left for you in {project}. You go on once a manager has admitted you.")
            break
    raise NothingToLabel(f"There is nothing left for you to label in {project} right now. Look again when the next batch is published.")


def reserve_next(labeler: User, *, project: Project) -> Lease | None:
    """Reserve the seat that comes after the one this labeler holds, to be rendered ahead; None when there is none, or nothing in hand.

    Asking again returns the same reservation, renewed; one in another project is let go. It is chosen as `lease_next` will choose,
    gold turns and screening included. Raises NotQualified.
    """
    for _ in range(ATTEMPTS):
        standing = _standing(labeler, project=project)
        try:
            with transaction.atomic():
                seat = _take_ahead(labeler, project=project, standing=standing)
        except IntegrityError as error:
            match broken_rule(error):
                case "seat_one_reserved":  # in another project, or in another tab just now
                    elsewhere = Assignment.objects.filter(labeler=labeler, state=SeatState.RESERVED)
                    _let_go(elsewhere.exclude(batch__project=project))
                case "seat_labeler_once":
                    pass
                case _:
                    raise
            continue
        if seat is None:
            return None
        if lease := _read(seat, labeler=labeler, project=project, state=SeatState.RESERVED):
            return lease
    return None


def lease_reserved(claim: Claim, *, labeler: User) -> bool:
    """Turn a reservation into the lease, in the caller's transaction; False: it is no longer theirs, or they hold another lease."""
    with connection.cursor() as cursor:
        cursor.execute(LEASE_RESERVED, {"labeler": labeler.pk, "assignment": claim.assignment_id, "token": claim.token})
        return cursor.rowcount == 1


def lease_end(claim: Claim, *, labeler: User) -> datetime | None:
    """Return when this claim's lease ends by itself; None: it is not leased under this token."""
    return _leased(claim.assignment_id, labeler=labeler).filter(token=claim.token).values_list("lease_expires_at", flat=True).first()


def release_reserved(assignment_id: int, *, labeler: User, token: int) -> bool:
    """Give back a seat rendered ahead and not used; one that has become the lease meanwhile stays."""
    return _let_go(Assignment.objects.filter(pk=assignment_id, labeler=labeler, token=token, state=SeatState.RESERVED)) == 1


def _standing(labeler: User, *, project: Project) -> Standing:
    with connection.cursor() as cursor:
        cursor.execute(STANDING, {"project": project.pk, "labeler": labeler.pk, "gold_percent": project.gold_percent})
        row = cursor.fetchone()
    if row is None:
        raise NotQualified(f"You are not a member of {project}. Ask its owner for an invitation.")
    standing = Standing(*row)
    if not standing.is_active:
        raise NotQualified("This account is deactivated.")
    if standing.is_suspended:
        raise NotQualified(f"Your work in {project} is paused. Ask the project's manager why.")
    return standing


def _take(labeler: User, *, project: Project, standing: Standing) -> int | None:
    if standing.holds_elsewhere:
        _let_go(Assignment.objects.filter(labeler=labeler, state=SeatState.LEASED).exclude(batch__project=project))
    if standing.held and _renew(standing.held, labeler=labeler, project=project):
        return standing.held
    return _claim(labeler, project=project, standing=standing, state=SeatState.LEASED, turn=standing.turns)


def _take_ahead(labeler: User, *, project: Project, standing: Standing) -> int | None:
    # Takes turns with a submit of the seat in hand: else that one, not seeing the reservation, would lease a solution further on.
    if not standing.is_leasing or not _leased(standing.held, labeler=labeler).select_for_update().exists():
        return None
    if standing.reserved:
        mine = Assignment.objects.filter(pk=standing.reserved, labeler=labeler, state=SeatState.RESERVED)
        if mine.update(lease_expires_at=Now() + _minutes(Value(project.lease_minutes))) == 1:
            return standing.reserved
    # The turn in hand is not taken yet, so the one rendered ahead is the turn after it.
    turn = None if standing.turns is None else standing.turns + standing.is_leasing
    return _claim(labeler, project=project, standing=standing, state=SeatState.RESERVED, turn=turn)


def _claim(labeler: User, *, project: Project, standing: Standing, state: str, turn: int | None) -> int | None:
    claim = {"labeler": labeler.pk, "project": project.pk, "minutes": project.lease_minutes, "state": str(state)}
    with connection.cursor() as cursor:

        def first_of(query: str, **more: object) -> int | None:
            row = cursor.execute(query, claim | more).fetchone()
            return row[0] if row else None

        if standing.is_screened:
            return first_of(SEAT_ON_DEMAND, kind=BatchKind.SCREENING)
        if is_gold_turn(labeler, project=project, turn=turn) and (seat := first_of(SEAT_ON_DEMAND, kind=BatchKind.SELECTED)):
            return seat
        tries = ((query, batch) for query in (NEXT_SEAT, NEXT_SEAT_WAITING) for batch in standing.batches)
        return next((seat for query, batch in tries if (seat := first_of(query, batch=batch))), None)


def is_gold_turn(labeler: User, *, project: Project, turn: int | None) -> bool:
    """Tell whether this turn of this labeler is a gold one: unforeseeable to them, the same on every reload."""
    if not project.gold_percent:
        return False
    digest = salted_hmac("annotation.queue.gold", f"{project.pk}:{labeler.pk}:{turn}", algorithm="sha256").digest()
    return int.from_bytes(digest[:8], "big") % 100 < project.gold_percent


def _renew(assignment_id: int, *, labeler: User, project: Project) -> bool:
    mine = Assignment.objects.filter(pk=assignment_id, labeler=labeler, state__in=[SeatState.LEASED, SeatState.RESERVED])
    end = Now() + _minutes(Value(project.lease_minutes))
    return mine.update(state=SeatState.LEASED, leased_at=Coalesce(F("leased_at"), Now()), lease_expires_at=end) == 1


def _leased(assignment_id: int | None, *, labeler: User) -> QuerySet[Assignment]:
    return Assignment.objects.filter(pk=assignment_id, labeler=labeler, state=SeatState.LEASED)


def _minutes(count: Value | Subquery) -> Func:
    return Func(count, function="make_interval", template="%(function)s(mins => %(expressions)s)", output_field=DurationField())


def _read(assignment_id: int, *, labeler: User, project: Project, state: str = SeatState.LEASED) -> Lease | None:
    # A hidden answer is not read at all, so that no later mistake can show it.
    query = READ_LEASE.format(answer="p.answer" if project.show_reference_answer else "NULL")
    with connection.cursor() as cursor:
        row = cursor.execute(query, {"assignment": assignment_id, "labeler": labeler.pk, "state": str(state)}).fetchone()
    if row is None:
        return None
    token, expires_at, solution_id, problem, answer, steps, revision, ratings, generation = row
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
    )


def extend_lease(assignment_id: int, *, labeler: User, token: int) -> datetime:
    """Renew a lease, and what is reserved behind it, and return its new end. Raises LeaseLost.

    A lease that lapsed comes back as long as nobody took the seat.
    """
    seats = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token))
    minutes = Subquery(Project.objects.filter(batch__assignment=assignment_id).values("lease_minutes")[:1])
    try:
        with transaction.atomic():
            if seats.update(state=SeatState.LEASED, labeler=labeler, lapsed=None, lease_expires_at=Now() + _minutes(minutes)) != 1:
                raise LeaseLost
            Assignment.objects.filter(labeler=labeler, state=SeatState.RESERVED).update(lease_expires_at=Now() + _minutes(minutes))
            return Assignment.objects.values_list("lease_expires_at", flat=True).get(pk=assignment_id)
    except IntegrityError as error:
        if broken_rule(error) in ("seat_one_lease", "seat_labeler_once"):  # they went on to another seat meanwhile
            raise LeaseLost from error
        raise


def release(assignment_id: int, *, labeler: User, token: int) -> None:
    """Give a seat back, for somebody else or for later. Raises LeaseLost."""
    if _let_go(_leased(assignment_id, labeler=labeler).filter(token=token)) != 1:
        raise LeaseLost


def release_expired() -> int:
    """Offer again every seat whose lease or reservation is past its end; return how many. Safe to run at any time, twice too."""
    expired = Assignment.objects.filter(state__in=[SeatState.LEASED, SeatState.RESERVED], lease_expires_at__lt=Now())
    with transaction.atomic():  # SKIP LOCKED: a seat that is being submitted this moment is left alone, and sweepers cannot deadlock
        return _let_go(expired.filter(pk__in=expired.select_for_update(skip_locked=True).values("pk")))


def _let_go(seats: QuerySet[Assignment]) -> int:
    # `lapsed` remembers the last holder: with the same token, their late work is good until somebody takes the seat.
    return seats.update(state=SeatState.OPEN, lapsed=F("labeler"), labeler=None, leased_at=None, lease_expires_at=None)
