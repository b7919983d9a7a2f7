"""Stage: labels, adjudications. A reviewer's decision on a solution that others labeled: an annotation of its own, in a batch of reviews.

Reads the labels of the solution. Writes the batch, the task and the assignment of the decision, Annotation, StepLabel, and for a decision
that came too late a Draft. A decision never changes: another one supersedes it, by the same reviewer or by another.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.db.models.functions import Now

from annotation.labels.rules import Rating, Sitting, ending, rated_to_first_mistake, well_formed
from annotation.labels.sittings import SUBMISSION_ONCE, body_hash_of, stored_before
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Draft,
    Event,
    FinishReason,
    Project,
    Solution,
    StepLabel,
    StepSource,
    Task,
    TaskKind,
    broken_rule,
)
from annotation.queue import FOR_NEWCOMERS

VERB = "adjudicate"
READ = (AssignmentState.LEASED, AssignmentState.RESERVED, AssignmentState.DONE)  # the person saw the solution to label it
TOKEN = 1  # of the assignment of a decision: nobody claims it again


class CannotAdjudicate(ValueError):
    """This person cannot decide on this solution. The message says why."""


class DecidedMeanwhile(CannotAdjudicate):
    """Somebody else decided after this reviewer opened the page. The message says who. The ratings are kept as a draft."""


def decision_on(solution_id: int) -> Annotation | None:
    """Return the newest decision on a solution, with its reviewer."""
    decisions = Annotation.objects.newest().filter(solution=solution_id, assignment__batch__kind=BatchKind.REVIEW)
    return decisions.select_related("labeler", "assignment").order_by("-pk").first()


def why_not(project: Project, solution: Solution, *, reviewer: User) -> str:
    """Return why a reviewer cannot decide on a solution, in a sentence; empty if they can."""
    if project.step_source == StepSource.INTERACTIVE:
        return (
            f"{project} is an interactive project. Labelers take different paths there, so their verdicts cannot be compared, and there is "
            "nothing to review."
        )
    places = Assignment.objects.filter(task__in=Task.objects.filter(solution=solution)).exclude(batch__kind=BatchKind.REVIEW)
    if places.filter(labeler=reviewer, state__in=READ).exists():
        return "You labeled this solution, or you hold it now. Another reviewer decides on it: nobody reviews their own work."
    if solution.withdrawn_at:
        return "This solution was withdrawn from labeling. Its labels stay as they are, and nobody has to decide on it."
    waiting = Q(state=AssignmentState.OPEN, slot__isnull=False) | Q(state__in=[AssignmentState.LEASED, AssignmentState.RESERVED])
    if places.filter(waiting, batch__state=BatchState.OPEN).exists():
        return (
            "This solution is still handed out to labelers. A decision comes after the last label, so that nobody labels what they have "
            "seen here."
        )
    if not Annotation.objects.filter(solution=solution, assignment__batch__generation__isnull=False).exists():
        return "Nobody has labeled this solution as a whole yet, so there is nothing to review."
    return ""


def adjudicate(
    project: Project,
    solution_id: int,
    *,
    reviewer: User,
    seen: int,
    submission_id: UUID,
    ratings: Sequence[Rating],
    finish_reason: str,
    reason: str = "",
    active_ms: int,
    total_ms: int,
) -> Annotation:
    """Store the decision of a reviewer on a solution. The same submission again returns what it stored.

    seen: the number of the decision that the page showed; 0: none. Open places of the solution close, since it needs no more labels. What
    people hold can be finished. Raises Solution.DoesNotExist, BadSubmission, SubmissionConflict, CannotAdjudicate, and DecidedMeanwhile:
    then the ratings are kept.
    """
    late: DecidedMeanwhile | None = None
    try:
        with transaction.atomic():
            locked = Solution.objects.select_for_update(of=["self"], no_key=True)  # of two reviewers at once, one comes first
            solution = locked.get(pk=solution_id, problem__project=project)
            if reason_not := why_not(project, solution, reviewer=reviewer):
                raise CannotAdjudicate(reason_not)
            ordered = well_formed(ratings, n_steps=len(solution.steps))
            end = ending(finish_reason=finish_reason, reason=reason, active_ms=active_ms, total_ms=total_ms)
            sitting = rated_to_first_mistake(ordered, end, n_steps=len(solution.steps), shown=None)
            body_hash = body_hash_of(solution_id, reviewer, sitting)
            if stored := stored_before(submission_id, body_hash=body_hash):
                return stored
            present = decision_on(solution_id)
            if present is not None and present.pk != seen:
                late = _keep(present, sitting, reviewer=reviewer)
            else:
                return _decide(project, solution, sitting, reviewer, present, submission_id=submission_id, body_hash=body_hash)
    except IntegrityError as error:
        if broken_rule(error) != SUBMISSION_ONCE or not (stored := stored_before(submission_id, body_hash=body_hash)):
            raise
        return stored
    assert late is not None
    raise late


def _decide(
    project: Project,
    solution: Solution,
    sitting: Sitting,
    reviewer: User,
    present: Annotation | None,
    *,
    submission_id: UUID,
    body_hash: bytes,
) -> Annotation:
    assignment = _place(project, solution, reviewer)
    revision = Annotation.objects.filter(assignment=assignment).aggregate(newest=Max("revision"))["newest"] or 0
    annotation = Annotation.objects.create(
        assignment=assignment,
        labeler=reviewer,
        solution=solution,
        revision=revision + 1,
        supersedes=present,
        submission_id=submission_id,
        body_hash=body_hash,
        guidelines_version=project.guidelines_version,
        **asdict(sitting.ending),
    )
    StepLabel.objects.bulk_create(
        StepLabel(
            annotation=annotation,
            step_index=label.step,
            position=label.position or 0,
            rating=label.rating,
            flagged=label.flagged,
            rated_ms=label.ms,
            chosen=label.chosen,
            shown_at=label.shown_at,
        )
        for label in sitting.labels
    )
    Draft.objects.filter(assignment__task=assignment.task_id, labeler=reviewer).delete()
    closed = 0 if annotation.finish_reason == FinishReason.GIVE_UP else _close_places(solution)
    details = {"closed": closed, **({"instead_of": present.pk} if present else {})}
    Event.objects.create(actor=reviewer, project=project, verb=VERB, subject=f"solution {solution.pk}", details=details)
    return annotation


def _place(project: Project, solution: Solution, reviewer: User) -> Assignment:
    """Return the reviewer's place at the review of a solution. It is in the batch of reviews of the solution's generation."""
    tasks = Task.objects.filter(solution=solution, batch__generation__isnull=False).exclude(batch__kind=BatchKind.REVIEW)
    columns = ("batch__generation", "verifier_score", "imported_question")
    # A solution of practice or screening belongs to the generation of the work that it came from.
    work, newcomers = tasks.exclude(batch__kind__in=FOR_NEWCOMERS), tasks.filter(batch__kind__in=FOR_NEWCOMERS)
    own = work.order_by("pk").values(*columns).first() or newcomers.order_by("pk").values(*columns).first()
    assert own is not None  # it is labeled
    batch, _ = Batch.objects.get_or_create(
        project=project,
        generation=own["batch__generation"],
        kind=BatchKind.REVIEW,
        defaults={"state": BatchState.CLOSED, "closed_at": Now()},
    )
    task, _ = Task.objects.get_or_create(
        batch=batch,
        solution=solution,
        defaults={"kind": TaskKind.NORMAL, "verifier_score": own["verifier_score"], "imported_question": own["imported_question"]},
    )
    done: dict[str, Any] = {"batch": batch, "slot": None, "state": AssignmentState.DONE, "token": TOKEN}
    assignment, _ = Assignment.objects.get_or_create(task=task, labeler=reviewer, defaults=done)
    return assignment


def _close_places(solution: Solution) -> int:
    """Close the open places of a solution. Return how many. Without a join, for the reason that `queue.withdraw` names."""
    tasks = Task.objects.filter(solution=solution, batch__kind=BatchKind.SELECTED, kind=TaskKind.NORMAL)
    return Assignment.objects.filter(task__in=list(tasks), state=AssignmentState.OPEN, slot__isnull=False).update(
        state=AssignmentState.CLOSED
    )


def _keep(present: Annotation, sitting: Sitting, *, reviewer: User) -> DecidedMeanwhile:
    """Keep the ratings of a decision that came too late, and return what to tell its reviewer."""
    draft: dict[str, Any] = {"ratings": sitting.ratings, "saved_at": Now(), "revision": 1}
    Draft.objects.update_or_create(assignment=present.assignment, labeler=reviewer, token=TOKEN, defaults=draft)
    who = "You decided in another window" if present.labeler_id == reviewer.pk else f"{present.labeler} decided on this solution"
    return DecidedMeanwhile(
        f"{who} after you opened it. That decision stands, and it is shown here. Your ratings are kept: use “Decide again” to compare them "
        "and to replace the decision."
    )


def kept_ratings(solution_id: int, *, reviewer: User) -> list[Rating]:
    """Return the ratings of this reviewer that came too late, or nothing."""
    drafts = Draft.objects.filter(assignment__task__solution=solution_id, assignment__batch__kind=BatchKind.REVIEW, labeler=reviewer)
    ratings: list[Rating] = drafts.order_by("-saved_at", "-pk").values_list("ratings", flat=True).first() or []
    return ratings
