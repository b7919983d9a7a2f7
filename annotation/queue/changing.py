"""Stage: queue, changing. A manager changes a batch while people work in it: publish, pause, resume, close, move, another overlap, a
lease given back. Reads and writes Batch, Task and Assignment, and writes an Event for each act.

What somebody labels at that moment can be finished, whatever changes. Each act is one transaction. It locks the batch first, then tasks,
then solutions, then assignments. Labelers lock their assignments in an order of their own. So an act that waits long for one lets go of
all its locks and begins again: nobody is stuck, and no labeler waits longer than one such try.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.db.models import Max, Min, QuerySet
from django.db.models.functions import Coalesce, Now
from psycopg.errors import DeadlockDetected, LockNotAvailable

from annotation.models import Assignment, AssignmentState, Batch, BatchKind, BatchState, Event, Project, Solution, Task, TaskKind
from annotation.queue.batches import FOR_NEWCOMERS, BadBatch, Chosen, refuse_unfit
from annotation.queue.leases import RETURN, let_go
from annotation.queue.statements import COPY_PRIORITY, LOCK_SOLUTIONS, LOWER_OVERLAP, OVERLAP_EFFECT, PRIORITISE, RAISE_OVERLAP

MOST_PEOPLE = 99  # the largest overlap, as for a project
TRIES, TRY_MS = 25, 200
FIRST, LAST, IN_ORDER = "first", "last", "in order"
UNFINISHED = (BatchState.DRAFT, BatchState.OPEN, BatchState.PAUSED)

Answer = TypeVar("Answer")


class ChangedMeanwhile(BadBatch):
    """Somebody changed the batch after this person saw it. The message says who and what."""


@dataclass(frozen=True, slots=True)
class OverlapChange:
    """What another overlap does: places opened, open places closed, and leases that can be finished although fewer are needed."""

    opened: int = 0
    closed: int = 0
    in_hand: int = 0

    def __add__(self, other: "OverlapChange") -> "OverlapChange":
        return OverlapChange(self.opened + other.opened, self.closed + other.closed, self.in_hand + other.in_hand)


def last_change(batch: Batch) -> Event | None:
    """Return the last change of a batch by a person. A form carries its id as `seen`."""
    return Event.objects.filter(subject=_subject(batch.pk)).select_related("actor").order_by("-pk").first()


def publish_draft(batch: Batch, *, actor: User | None, seen: int | None = None) -> None:
    """Hand out a draft from now on. Raises BadBatch: it is no draft."""
    _turn(
        batch, {BatchState.DRAFT}, BatchState.OPEN, verb="publish batch", refusal="Only a draft can be published.", actor=actor, seen=seen
    )


def pause_batch(batch: Batch, *, actor: User | None, seen: int | None = None) -> None:
    """Stop handing out a batch until it is resumed. Leases and reservations can be finished. Raises BadBatch: it is not open."""
    _turn(
        batch, {BatchState.OPEN}, BatchState.PAUSED, verb="pause batch", refusal="Only an open batch can be paused.", actor=actor, seen=seen
    )


def resume_batch(batch: Batch, *, actor: User | None, seen: int | None = None) -> None:
    """Hand out a paused batch again. Raises BadBatch: it is not paused."""
    _turn(
        batch,
        {BatchState.PAUSED},
        BatchState.OPEN,
        verb="resume batch",
        refusal="Only a paused batch can be resumed.",
        actor=actor,
        seen=seen,
    )


def close_batch(batch: Batch, *, actor: User | None, seen: int | None = None) -> int:
    """Stop handing out a batch for good and close its open and reserved assignments. Return how many were closed.

    Leased ones can still be submitted, and so can those whose lease lapsed and which nobody took since. Raises BadBatch if closed already.
    """

    def close() -> int:
        held = hold(batch, seen)
        if held.state not in UNFINISHED:
            raise BadBatch(f"The {held} is closed already.")
        # Keeps skips waiting: a skip opens another assignment as long as the batch is not closed.
        list(Task.objects.filter(batch=held).order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        Batch.objects.filter(pk=held.pk).update(state=BatchState.CLOSED, closed_at=Now())
        places = Assignment.objects.filter(batch=held)
        # Without a join, so that each UPDATE looks at the state again after it waited for a claim or a submit.
        closed = places.filter(state=AssignmentState.OPEN, lapsed=None).update(state=AssignmentState.CLOSED)
        closed += _close(places.filter(state=AssignmentState.RESERVED))
        _note(held, "close batch", actor, old={"state": held.state}, new={"state": BatchState.CLOSED}, closed=closed)
        return closed

    return trying(close)


def move_batch(batch: Batch, to: str, *, actor: User | None, seen: int | None = None) -> None:
    """Hand out a batch before all others (FIRST), after all others (LAST), or in the order of generations (IN_ORDER).

    Raises BadBatch: practice, screening, an imported or a closed batch. These have no order.
    """

    def move() -> None:
        Project.objects.select_for_update(no_key=True).get(pk=batch.project_id)  # two moves at once would both be first
        held = hold(batch, seen)
        if held.kind != BatchKind.SELECTED or held.state not in UNFINISHED:
            raise BadBatch(f"The {held} has no place in the order. Only open batches of work have one.")
        others = Batch.objects.filter(project=held.project_id, kind=BatchKind.SELECTED, state__in=UNFINISHED).exclude(pk=held.pk)
        ends = others.aggregate(most=Max("priority", default=0), least=Min("priority", default=0))
        priority = {FIRST: max(ends["most"] + 1, 0), LAST: min(ends["least"] - 1, 0), IN_ORDER: 0}[to]
        if priority == held.priority:
            raise BadBatch("The batch has this place in the order already.")
        Batch.objects.filter(pk=held.pk).update(priority=priority)
        _note(held, "move batch", actor, old={"priority": held.priority}, new={"priority": priority}, to=to)

    trying(move)


def change_overlap(
    where: Project | Batch, overlap: int, *, actor: User | None, tasks: Collection[int] | None = None, seen: int | None = None
) -> OverlapChange:
    """Change how many people label each solution of a batch, of some of its `tasks`, or of all unfinished batches of a project.

    More people: assignments open for the missing ones, first places before second ones, each in order of priority. Those of withdrawn
    solutions stay closed. Fewer people: surplus open and reserved assignments close. Labels that are done stay, and leases can be
    finished: a surplus one loses its slot, so that nobody else gets it when it is given back. Gold, practice and screening are made for
    each person and have no overlap. Raises BadBatch: a number below 1 or above 99, a closed batch, tasks of another batch.
    """
    if not 1 <= overlap <= MOST_PEOPLE:
        raise BadBatch(f"The overlap is {overlap}. Choose 1 to {MOST_PEOPLE} people.")

    def change() -> OverlapChange:
        if isinstance(where, Batch):
            return _change_overlap(hold(where, seen), overlap, actor=actor, tasks=tasks)
        batches = Batch.objects.filter(project=where, kind=BatchKind.SELECTED, state__in=UNFINISHED).order_by("pk")
        done = (_change_overlap(batch, overlap, actor=actor, tasks=None) for batch in batches.select_for_update(no_key=True))
        return sum(done, OverlapChange())

    return trying(change)


def overlap_effect(where: Project | Batch, overlap: int) -> OverlapChange:
    """Return what `change_overlap` would do now. Changes nothing."""
    if isinstance(where, Batch):
        batches = [where.pk]
    else:
        unfinished = Batch.objects.filter(project=where, kind=BatchKind.SELECTED, state__in=UNFINISHED)
        batches = list(unfinished.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        row = cursor.execute(OVERLAP_EFFECT, {"batches": batches, "overlap": overlap}).fetchone()
    return OverlapChange(*row)


def add_gold(batch: Batch, solutions: Collection[int], *, actor: User | None) -> None:
    """Add gold tasks to an unfinished batch of work. People get them at their gold turns, as long as the batch is open.

    Raises BadBatch: a batch of another kind or a closed one, or a solution that is in the batch already, withdrawn or of the test split.
    """

    def add() -> None:
        project = Project.objects.select_for_update(no_key=True).get(pk=batch.project_id)
        held = hold(batch, None)
        if held.kind != BatchKind.SELECTED or held.state not in UNFINISHED:
            raise BadBatch(f"The {held} takes no gold. Only batches of work that are not closed do.")
        refuse_unfit(project, [Chosen(key, kind=TaskKind.GOLD) for key in solutions], for_newcomers=False)
        if Task.objects.filter(batch=held, solution__in=solutions).exists():
            raise BadBatch(f"Some of these solutions are in the {held} already. Choose others.")
        Task.objects.bulk_create(
            Task(batch=held, solution_id=key, kind=TaskKind.GOLD, overlap=project.overlap) for key in sorted(set(solutions))
        )
        _note(held, "add gold", actor, solutions=len(set(solutions)))

    trying(add)


def return_lease(assignment_id: int, *, project: Project, actor: User | None) -> User:
    """Give back what somebody holds, a lease or a reservation. Return the person.

    As after a lapsed lease, their late submit counts until somebody takes the assignment; then they are told that it was given back.
    Raises BadBatch: nobody holds it any more.
    """

    def give_back() -> User:
        held = Assignment.objects.filter(pk=assignment_id, batch__project=project).select_for_update(of=["self"], no_key=True)
        row = held.select_related("labeler").first()
        if row is None or row.labeler is None or row.state not in (AssignmentState.LEASED, AssignmentState.RESERVED):
            raise BadBatch("Nobody holds this solution any more. It was submitted or given back in the meantime.")
        let_go(Assignment.objects.filter(pk=row.pk))
        since = row.leased_at.isoformat(timespec="seconds") if row.leased_at else None
        details = {"labeler": row.labeler_id, "token": row.token, "state": row.state, "since": since, "batch": row.batch_id}
        Event.objects.create(actor=actor, project=project, verb=RETURN, subject=f"assignment {row.pk}", details=details)
        return row.labeler

    return trying(give_back)


def prioritise(solutions: QuerySet[Solution], *, actor: User | None) -> int:
    """Hand out these solutions before the others of their batches. Return how many are in an unfinished batch.

    The copies of the priority in their assignments change with it. What is done or skipped keeps the old one.
    """

    def put_first() -> int:
        keys = list(solutions.values_list("pk", flat=True))
        tasks = Task.objects.filter(solution__in=keys, batch__kind=BatchKind.SELECTED, batch__state__in=UNFINISHED)
        rows = list(tasks.order_by("batch", "pk").values_list("batch", "pk", "solution", "batch__project"))
        list(Batch.objects.filter(pk__in={batch for batch, *_ in rows}).order_by("pk").select_for_update(no_key=True))
        with connection.cursor() as cursor:
            for statement in (PRIORITISE, COPY_PRIORITY):
                cursor.execute(statement, {"tasks": [task for _, task, *_ in rows]})
        named = sorted({(solution, project) for *_, solution, project in rows})
        Event.objects.bulk_create(
            Event(actor=actor, project_id=project, verb="prioritise", subject=f"solution {key}") for key, project in named
        )
        return len(named)

    return trying(put_first)


# --- one act --------------------------------------------------------------------------------------------------------------


def trying(act: Callable[[], Answer]) -> Answer:
    """Do an act in a transaction that waits at most TRY_MS for each lock; then it lets go of all its locks and begins again.

    A labeler's submit locks two assignments, and it can hold one that the act needs while it waits for one that the act holds.
    """
    for _ in range(TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                before = cursor.execute("SELECT current_setting('lock_timeout')").fetchone()[0]
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(TRY_MS)])
                answer = act()
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])  # the caller's transaction goes on
            return answer
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                raise
    raise BadBatch("Other people are changing these solutions at this moment. Try again in a few seconds. Nothing was changed.")


def _subject(batch_id: int) -> str:
    return f"batch {batch_id}"


def hold(batch: Batch, seen: int | None) -> Batch:
    """Lock a batch and read it again. Raises ChangedMeanwhile if its last change is not the one that the person saw (0: none)."""
    held = Batch.objects.select_for_update(no_key=True).get(pk=batch.pk)
    if seen is not None and (event := last_change(held)) is not None and event.pk != seen:
        who = event.actor.get_username() if event.actor else "Somebody at the command line"
        raise ChangedMeanwhile(
            f"{who} changed this batch after you opened the page ({event.verb}). Nothing was changed now. The page shows the new state."
        )
    return held


def _note(batch: Batch, verb: str, actor: User | None, **details: Any) -> None:
    Event.objects.create(actor=actor, project_id=batch.project_id, verb=verb, subject=_subject(batch.pk), details=details)


def _turn(batch: Batch, before: Collection[str], after: str, *, verb: str, refusal: str, actor: User | None, seen: int | None) -> None:
    def turn() -> None:
        held = hold(batch, seen)
        if held.state not in before:
            raise BadBatch(f"The {held} is {held.state}. {refusal}")
        Batch.objects.filter(pk=held.pk).update(state=after)
        _note(held, verb, actor, old={"state": held.state}, new={"state": after})

    trying(turn)


def _close(assignments: QuerySet[Assignment]) -> int:
    return assignments.update(
        state=AssignmentState.CLOSED, lapsed=Coalesce("labeler", "lapsed"), labeler=None, leased_at=None, lease_expires_at=None
    )


def _change_overlap(batch: Batch, overlap: int, *, actor: User | None, tasks: Collection[int] | None) -> OverlapChange:
    if batch.kind != BatchKind.SELECTED:
        why = ": every newcomer labels all of it" if batch.kind in FOR_NEWCOMERS else ""
        raise BadBatch(f"The {batch} has no overlap{why}. Only batches of work have one.")
    if batch.state not in UNFINISHED:
        raise BadBatch(f"The {batch} is closed. Its overlap cannot be changed.")
    normal = Task.objects.filter(batch=batch, kind=TaskKind.NORMAL)
    if tasks is not None and normal.filter(pk__in=tasks).count() != len(set(tasks)):
        raise BadBatch("Some of these solutions are not in this batch, or they are gold. Reload the page and choose again.")
    scope = normal if tasks is None else normal.filter(pk__in=tasks)
    before = scope.aggregate(least=Min("overlap"), most=Max("overlap"))
    if before["least"] == before["most"] in (overlap, None):
        return OverlapChange()
    keys = list(scope.exclude(overlap=overlap).order_by("pk").values_list("pk", flat=True))
    # Keeps skips of these tasks waiting: a skip opens another assignment.
    Task.objects.filter(pk__in=keys).update(overlap=overlap)
    given: dict[str, Any] = {"batch": batch.pk, "tasks": keys, "overlap": overlap}
    closed = in_hand = 0
    with connection.cursor() as cursor:
        # Again until no surplus is left: a claim, a release or a submit can change what the statement has read.
        while (row := cursor.execute(LOWER_OVERLAP, given).fetchone())[0]:
            closed, in_hand = closed + row[1], in_hand + row[2]
        cursor.execute(LOCK_SOLUTIONS, given)  # a withdrawal ends before or begins after
        opened = cursor.execute(RAISE_OVERLAP, given).fetchone()[0]
    change = OverlapChange(opened, closed, in_hand)
    details = {"old": {"overlap": before}, "new": {"overlap": overlap}, "opened": opened, "closed": closed, "in_hand": in_hand}
    _note(batch, "change overlap", actor, tasks=None if tasks is None else sorted(tasks), **details)
    return change
