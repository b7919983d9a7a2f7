"""Stage: queue, publishing. Reads the chosen solutions. Writes Batch, Task and the open assignments."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Max, Min, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from annotation.models import (
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Event,
    Outcome,
    Premise,
    Project,
    Solution,
    Split,
    Task,
    TaskKind,
    broken_rule,
)
from annotation.queue.statements import MAKE_ASSIGNMENTS

MAX_BATCH = 10_000  # tasks; one hand-out stays one index scan over the open assignments
FOR_NEWCOMERS = frozenset({BatchKind.PRACTICE, BatchKind.SCREENING})
# Everybody whom such a batch is for labels all of it. So nothing is prepared: each person gets assignments of their own, on demand.
ON_DEMAND = FOR_NEWCOMERS | {BatchKind.CALIBRATION}


class BadBatch(ValueError):
    """These solutions cannot be published. The message says which ones and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One solution to publish. A gold one has no assignments in advance: a labeler gets one at a gold turn."""

    solution_id: int
    priority: int = 0
    verifier_score: float | None = None
    kind: str = TaskKind.NORMAL
    premise: str = ""  # what the choice took for granted about the outcome


def premise_holds(premise: str, outcome: str) -> bool:
    """Tell whether what a choice took for granted is true of an outcome."""
    if premise == Premise.NOT_WRONG:
        return outcome != Outcome.WRONG
    return not premise or premise == outcome


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

    generation: None means the next one (screening: -1). overlap: None means the project's. Practice, screening and calibration have no
    assignments in advance, since everybody whom they are for does all of them. Raises BadBatch: no solution or more than 10,000, a solution
    twice, of another project, of the test split, withdrawn, or queued before.
    """
    solutions = list(chosen)
    if not solutions:
        raise BadBatch("No solution was chosen. Choose at least one.")
    if len(solutions) > MAX_BATCH:
        raise BadBatch(f"{len(solutions):,} solutions are too many for one batch. Choose at most {MAX_BATCH:,}.")
    try:
        with transaction.atomic():
            # One publisher at a time: the next generation and "not queued before" must stay true until the commit.
            project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
            refuse_unfit(project, solutions, for_newcomers=kind in FOR_NEWCOMERS)
            if generation is None:
                newest = Batch.objects.filter(project=project, kind=kind).aggregate(newest=Max("generation"))["newest"]
                generation = -1 if kind == BatchKind.SCREENING else 0 if newest is None else newest + 1
            batch = Batch.objects.create(project=project, generation=generation, kind=kind, state=state)
            people = project.overlap if overlap is None else overlap
            Task.objects.bulk_create(
                Task(
                    batch=batch,
                    overlap=people,
                    solution_id=solution.solution_id,
                    priority=solution.priority,
                    verifier_score=solution.verifier_score,
                    kind=solution.kind,
                    premise=solution.premise,
                )
                for solution in solutions
            )
            if kind not in ON_DEMAND:
                with connection.cursor() as cursor:
                    cursor.execute(MAKE_ASSIGNMENTS, {"batch": batch.pk})
    except IntegrityError as error:
        match broken_rule(error):
            case "task_once_per_batch":
                reason = "A solution was chosen twice. Choose each solution once."
            case "batch_generation_once":
                reason = f"A {kind} batch of generation {generation} exists already. Name another generation, or none to get the next one."
            case "task_overlap_positive":
                reason = f"With an overlap of {overlap} nobody gets an assignment. Use 1 or more."
            case _:
                raise
        raise BadBatch(reason) from error
    return batch


def refuse_unfit(project: Project, solutions: list[Chosen], *, for_newcomers: bool) -> None:
    """Raise BadBatch if a solution cannot be published. The caller holds the project."""
    ids = {solution.solution_id for solution in solutions}
    own = Solution.objects.filter(pk__in=ids, problem__project=project)
    test, withdrawn = Q(problem__split=Split.TEST), Q(withdrawn_at__isnull=False)
    counted = own.aggregate(
        known=Count("pk"),
        test=Count("pk", filter=test),
        first_test=Min("pk", filter=test),
        withdrawn=Count("pk", filter=withdrawn),
        first_withdrawn=Min("pk", filter=withdrawn),
    )
    if counted["known"] < len(ids):
        raise BadBatch(
            f"{len(ids) - counted['known']:,} of {len(ids):,} chosen solutions do not exist in {project}. Choose solutions of this project."
        )
    if counted["test"]:
        raise BadBatch(
            f"{counted['test']:,} chosen solutions answer problems of the test split (the first is solution {counted['first_test']}). "
            "These are never labeled. Choose from the train split."
        )
    if counted["withdrawn"]:
        raise BadBatch(
            f"{counted['withdrawn']:,} chosen solutions were withdrawn (the first is solution {counted['first_withdrawn']}). "
            "Leave them out."
        )
    # Gold, practice and screening questions may have been queued before: they are labeled solutions that other people see again.
    once = {solution.solution_id for solution in solutions if solution.kind == TaskKind.NORMAL and not for_newcomers}
    queued = Task.objects.filter(solution__in=once).aggregate(count=Count("solution", distinct=True), first=Min("solution"))
    if queued["count"]:
        raise BadBatch(
            f"{queued['count']:,} chosen solutions were queued before (the first is solution {queued['first']}). Leave them out."
        )


def withdraw(solutions: QuerySet[Solution], *, actor: User | None) -> int:
    """Withdraw solutions from labeling for good, such as those of a bad problem. Return how many were not withdrawn before.

    Nobody gets them any more. A labeler who has one on the page gets an error, and their ratings are kept as a draft. Stored labels stay.
    """
    with transaction.atomic():
        # no_key: a submit that has its assignment already refers to the solution next. It would wait for us, and we for it.
        locked = solutions.filter(withdrawn_at=None).select_for_update(of=["self"], no_key=True).order_by("pk")
        projects = dict(locked.values_list("pk", "problem__project"))
        ids = list(projects)
        Solution.objects.filter(pk__in=ids).update(withdrawn_at=Now())
        # Without a join, so that the UPDATE looks at the state again after it waited for a submit or a skip. Django puts a join into a
        # subquery, which is not looked at again: then a label's assignment was closed after it was done.
        untaken = Assignment.objects.filter(
            task__in=Task.objects.filter(solution__in=ids),
            state__in=[AssignmentState.OPEN, AssignmentState.RESERVED, AssignmentState.LEASED],
        )
        while untaken.exists():  # a skip for which the UPDATE waited has opened another assignment
            untaken.update(state=AssignmentState.CLOSED, lapsed=Coalesce("labeler", "lapsed"), labeler=None, lease_expires_at=None)
        Event.objects.bulk_create(
            Event(actor=actor, project_id=project, verb="withdraw", subject=f"solution {key}") for key, project in projects.items()
        )
    return len(ids)


def counts(project: Project) -> dict[str, int]:
    """Count the assignments of a project's selected batches by state (open, leased, done, skipped), and its open batches.

    Open ones count in open batches only. Reserved ones count as leased. Gold ones are made on demand, so they count once taken.
    """
    state = {name: Q(state=name) for name in AssignmentState.values}
    counted = Assignment.objects.filter(batch__project=project, batch__kind=BatchKind.SELECTED).aggregate(
        open=Count("pk", filter=state["open"] & Q(batch__state=BatchState.OPEN, slot__isnull=False)),
        leased=Count("pk", filter=state["leased"] | state["reserved"]),
        done=Count("pk", filter=state["done"]),
        skipped=Count("pk", filter=state["skipped"]),
    )
    return counted | {"open_batches": Batch.objects.filter(project=project, state=BatchState.OPEN).count()}


def places_left(project: Project) -> int:
    """Count the places of work that wait in open batches or are in hand. By the indexes of these, so also in a large project at once."""
    work = Assignment.objects.filter(batch__project=project, batch__kind=BatchKind.SELECTED)
    waiting = work.filter(batch__state=BatchState.OPEN, state=AssignmentState.OPEN, slot__isnull=False)
    return waiting.count() + work.filter(state__in=[AssignmentState.LEASED, AssignmentState.RESERVED]).count()
