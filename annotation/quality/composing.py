"""Practice, screening and gold composed on a page: whose labels, and which solutions. Reads labels; writes batches, tasks and gold."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef

from annotation import queue
from annotation.models import Annotation, Batch, BatchKind, BatchState, Event, GoldAnswer, Membership, Project, Solution
from annotation.quality.admission import admit_trusted
from annotation.quality.gold import (
    GOLD_IN_WORK,
    BadScreening,
    batch_for_gold,
    draw_trusted,
    keep_gold,
    publish_chosen,
    refuse_second_screening,
    trusted_verdicts,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST = 100  # solutions that the page shows


@dataclass(frozen=True)
class TrustedSolution:
    """One solution that newcomers would get, with the first mistake that counts as right (from 1; none: no mistake)."""

    solution: Solution
    accepted: list[int]
    reason: str
    has_gold: bool  # it was made before, and stays


def trusted_people(project: Project) -> list["User"]:
    """Return the people who labeled in a project, former members and the pseudonyms of loaded files too, but nobody in quarantine."""
    labeled = Annotation.objects.filter(labeler=OuterRef("user"), assignment__batch__project=OuterRef("project"))
    members = Membership.objects.filter(Exists(labeled), project=project, quarantined_at=None).select_related("user")
    return [member.user for member in members.order_by("user__username")]


def drawn_for_newcomers(project: Project, *, by: str, size: int, seed: int, kind: str) -> list[TrustedSolution]:
    """Draw solutions from those that a trusted person labeled, and show what would count as right. Raises BadScreening."""
    if size > MOST:
        raise BadScreening(f"The size is {size:,}. Choose at most {MOST} solutions.")
    refuse_second_screening(project, kind)
    return _candidates(project, draw_trusted(project, by=by, size=size, seed=seed, kind=kind), by=by, kind=kind)


def publish_for_newcomers(project: Project, *, by: str, solutions: Collection[int], kind: str, is_draft: bool, actor: "User") -> Batch:
    """Publish practice or screening from these solutions of a trusted person, or keep it as a draft.

    Raises BadScreening; then nothing has changed. Gold that exists stays as it is. The trusted person of a screening is
    admitted.
    """
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two managers at once do not both open a screening
        state = BatchState.DRAFT if is_draft else BatchState.OPEN
        batch = publish_chosen(project, by=by, solutions=solutions, kind=kind, state=state)
        if batch.kind == BatchKind.SCREENING:
            admit_trusted(project, by)
        details = {"kind": batch.kind, "by": by, "solutions": len(solutions), "state": state}
        Event.objects.create(actor=actor, project=project, verb=f"open {batch.kind}", subject=f"batch {batch.pk}", details=details)
    return batch


def mix_gold(project: Project, *, by: str, solutions: Collection[int], actor: "User") -> Batch:
    """Mix solutions of a trusted person into the newest open batch of work as gold. Raises BadScreening; then nothing has changed.

    Gold that exists stays as it is. How often people get gold is the project's gold percentage.
    """
    if not solutions:
        raise BadScreening("No solution is left. Keep at least one.")
    try:
        with transaction.atomic():
            batch = batch_for_gold(project)
            verdicts = trusted_verdicts(project, by=by, kind=GOLD_IN_WORK, solutions=solutions)
            if len(verdicts) < len(set(solutions)):
                raise BadScreening(f"Some of these solutions cannot be used any more, or {by} did not label them. Choose again.")
            keep_gold(verdicts)
            queue.add_gold(batch, solutions, actor=actor)
    except queue.BadBatch as error:
        raise BadScreening(str(error)) from error
    return batch


def _candidates(project: Project, solutions: list[int], *, by: str, kind: str) -> list[TrustedSolution]:
    verdicts = trusted_verdicts(project, by=by, kind=kind, solutions=solutions)
    gold = {answer.pk: answer for answer in GoldAnswer.objects.filter(pk__in=solutions)}
    rows = []
    for solution in Solution.objects.filter(pk__in=solutions).select_related("problem").order_by("pk"):
        mistake, reason = verdicts[solution.pk]
        present = gold.get(solution.pk)
        steps = present.acceptable_first_errors if present else [] if mistake is None else [mistake]
        accepted, reason = [step + 1 for step in sorted(steps)], present.note if present else reason
        rows.append(TrustedSolution(solution, accepted, reason, present is not None))
    return rows
