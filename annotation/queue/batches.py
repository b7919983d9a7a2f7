"""Stage: queue, publishing. Reads the solutions chosen; writes Batch, Task and the assignments that wait for somebody."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Max, Min, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from annotation.models import Assignment, AssignmentState, Batch, BatchKind, BatchState, Event, Project, Solution, Split, Task, TaskKind
from annotation.queue.leases import broken_rule, let_go
from annotation.queue.statements import MAKE_ASSIGNMENTS

MAX_BATCH = 10_000  # tasks; the hand-out stays an index scan over what is open
FOR_NEWCOMERS = frozenset({BatchKind.PRACTICE, BatchKind.SCREENING})


class BadBatch(ValueError):
    """These solutions cannot be published; the message says which and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One solution to publish. Gold ones get no assignments in advance: each labeler's is made at a gold turn."""

    solution_id: int
    priority: int = 0
    verifier_score: float | None = None
    kind: str = TaskKind.NORMAL


def open_batch(
    project: Project,
    chosen: Iterable[Chosen],
    *,
    kind: str = BatchKind.SELECTED,
    generation: int | None = None,
    overlap: int | None = None,
    state: str = BatchState.OPEN,
) -> Batch:
    """Publish solutions as the tasks and assignments of a new batch, all or none.

    generation: the next one (screening: -1); overlap: the project's. Practice and screening have no assignments in advance, since every
    newcomer goes through the whole of them. Raises BadBatch: nothing or more than 10,000 chosen, a solution twice, of another
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
            _refuse_unfit(project, rows, for_newcomers=kind in FOR_NEWCOMERS)
            if generation is None:
                newest = Batch.objects.filter(project=project, kind=kind).aggregate(newest=Max("generation"))["newest"]
                generation = -1 if kind == BatchKind.SCREENING else 0 if newest is None else newest + 1
            batch = Batch.objects.create(project=project, generation=generation, kind=kind, state=state)
            people = project.overlap if overlap is None else overlap
            Task.objects.bulk_create(
                Task(batch=batch, overlap=people, **{name: getattr(one, name) for name in Chosen.__slots__}) for one in rows
            )
            if kind not in FOR_NEWCOMERS:
                with connection.cursor() as cursor:
                    cursor.execute(MAKE_ASSIGNMENTS, {"batch": batch.pk})
    except IntegrityError as error:
        match broken_rule(error):
            case "task_once_per_batch":
                reason = "A solution was chosen twice. Choose each one once."
            case "batch_generation_once":
                reason = f"A {kind} batch of generation {generation} exists already. Name another generation, or none for the next one."
            case "task_overlap_positive":
                reason = f"An overlap of {overlap} gives nobody an assignment. Use 1 or more."
            case _:
                raise
        raise BadBatch(reason) from error
    return batch


def _refuse_unfit(project: Project, rows: list[Chosen], *, for_newcomers: bool) -> None:
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
    # Gold, practice and screening questions are labeled solutions put before other people, so these may have been queued before.
    once = {one.solution_id for one in rows if one.kind == TaskKind.NORMAL and not for_newcomers}
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
        let_go(Assignment.objects.filter(batch=batch, state=AssignmentState.RESERVED))


def withdraw(solutions: QuerySet[Solution], *, actor: User) -> int:
    """Take solutions out of labeling for good and return how many were not before: a bad problem, a text that must not be shown.

    Nobody is handed them any more; who has one on the page is told so, and their ratings are kept as a draft. What was labeled stays.
    """
    with transaction.atomic():
        ids = list(solutions.filter(withdrawn_at=None).select_for_update(of=["self"]).order_by("pk").values_list("pk", flat=True))
        Solution.objects.filter(pk__in=ids).update(withdrawn_at=Now())
        untaken = Assignment.objects.filter(
            task__solution__in=ids, state__in=[AssignmentState.OPEN, AssignmentState.RESERVED, AssignmentState.LEASED]
        )
        untaken.update(state=AssignmentState.CLOSED, lapsed=Coalesce("labeler", "lapsed"), labeler=None, lease_expires_at=None)
        Event.objects.bulk_create(Event(actor=actor, verb="withdraw", subject=f"solution {key}") for key in ids)
    return len(ids)


def has_batch(project: Project) -> bool:
    """Tell whether anything was ever published for labeling."""
    return Batch.objects.filter(project=project, kind=BatchKind.SELECTED).exists()


def counts(project: Project) -> dict[str, int]:
    """Count the assignments of a project's selected batches: open (in open batches), leased, done, skipped; and its open batches.

    Assignments rendered ahead count as leased; gold assignments, made on demand, count once they are taken.
    """
    state = {name: Q(state=name) for name in AssignmentState.values}
    counted = Assignment.objects.filter(batch__project=project, batch__kind=BatchKind.SELECTED).aggregate(
        open=Count("pk", filter=state["open"] & Q(batch__state=BatchState.OPEN, slot__isnull=False)),
        leased=Count("pk", filter=state["leased"] | state["reserved"]),
        done=Count("pk", filter=state["done"]),
        skipped=Count("pk", filter=state["skipped"]),
    )
    return counted | {"open_batches": Batch.objects.filter(project=project, state=BatchState.OPEN).count()}
