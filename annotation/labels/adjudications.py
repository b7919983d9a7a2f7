"""Stage: labels, adjudications. A reviewer's decision on a solution that others labeled: an annotation of its own, in a batch of reviews.

Reads the labels of the solution. Writes the batch, the task and the assignment of the decision, Annotation, StepLabel, and for a decision
that came too late a Draft. A decision never changes: another one supersedes it, by the same reviewer or by another.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.db.models.functions import Coalesce, Now

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
    Membership,
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
OWN = "You labeled this solution, or you hold it now. Another reviewer decides on it: nobody reviews their own work."
TOKEN = 1  # of the assignment of a decision: nobody claims it again


class CannotAdjudicate(ValueError):
    """This person cannot decide on this solution. The message says why."""


class DecidedMeanwhile(CannotAdjudicate):
    """Somebody else decided after this reviewer opened the page. The message says who. The ratings are kept as a draft."""


def decision_on(solution_id: int) -> Annotation | None:
    """Return the newest decision on a solution, with its reviewer."""
    decisions = Annotation.objects.newest().filter(solution=solution_id, assignment__batch__kind=BatchKind.REVIEW)
    return decisions.select_related("labeler", "assignment").order_by("-pk").first()


def why_no_reviewer(project: Project, person: User) -> str:
    """Return why a person decides on nothing in a project now, in a sentence; empty if they can."""
    row = Membership.objects.filter(project=project, user=person).values_list("quarantined_at", "suspended_at").first()
    if row and row[0]:
        return "Your labels are in quarantine here, so a decision of yours would not count. Ask a manager of the project."
    if row and row[1]:
        return "You are paused in this project, so you decide nothing here until a manager ends the pause. Your home page shows the reason."
    return ""


def labeled_by(person: User, solutions: Collection[int]) -> set[int]:
    """Return which of these solutions a person labeled or holds, also where the label does not count. A lease that ran out counts too:
    until somebody else takes the place, that person can still submit it.
    """
    own = Q(labeler=person, state__in=READ) | Q(lapsed=person, state=AssignmentState.OPEN)
    places = Assignment.objects.filter(own, task__in=Task.objects.filter(solution__in=solutions)).exclude(batch__kind=BatchKind.REVIEW)
    return set(places.values_list("task__solution", flat=True))


def has_verdict_of(person: User, solution_id: int) -> bool:
    """Return whether a person has ever given a verdict on a solution as a reviewer. Giving up is none."""
    own = Annotation.objects.filter(solution=solution_id, labeler=person, assignment__batch__kind=BatchKind.REVIEW)
    return own.exclude(finish_reason=FinishReason.GIVE_UP).exists()


def why_not(project: Project, solution: Solution, *, reviewer: User) -> str:
    """Return why a reviewer cannot decide on a solution, in a sentence; empty if they can."""
    if project.step_source == StepSource.INTERACTIVE:
        return (
            f"{project} is an interactive project. Labelers take different paths there, so their verdicts cannot be compared, and there is "
            "nothing to review."
        )
    if why := why_no_reviewer(project, reviewer):
        return why
    if labeled_by(reviewer, [solution.pk]):
        return OWN
    places = Assignment.objects.filter(task__in=Task.objects.filter(solution=solution)).exclude(batch__kind=BatchKind.REVIEW)
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

    seen: the number of the decision that the page showed; 0: none. Giving up takes the reviewer's own decision back, and no other one.
    Open places of the solution close, since it needs no more labels. What people hold can be finished. Raises Solution.DoesNotExist,
    BadSubmission, SubmissionConflict, CannotAdjudicate, and DecidedMeanwhile: then the ratings are kept.
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
            elif present is not None and present.labeler_id != reviewer.pk and _drops(present, sitting):
                raise CannotAdjudicate(
                    f"Giving up is no verdict, so it does not replace the decision of {present.labeler}. That decision stands. Nothing "
                    "was stored."
                )
            else:
                return _decide(project, solution, sitting, reviewer, present, submission_id=submission_id, body_hash=body_hash)
    except IntegrityError as error:
        if broken_rule(error) != SUBMISSION_ONCE or not (stored := stored_before(submission_id, body_hash=body_hash)):
            raise
        return stored
    assert late is not None
    raise late


def _drops(present: Annotation, sitting: Sitting) -> bool:
    """Return whether a sitting would take a verdict away and put none in its place."""
    return sitting.ending.finish_reason == FinishReason.GIVE_UP and present.finish_reason != FinishReason.GIVE_UP


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
    """Close the places of a solution that nobody labels now. Return how many. Without a join, for the reason that `queue.withdraw` names.

    A lease loses its slot: its holder can finish, and nobody else gets the place, the reviewer least of all.
    """
    tasks = Task.objects.filter(solution=solution, batch__kind=BatchKind.SELECTED, kind=TaskKind.NORMAL)
    places = Assignment.objects.filter(task__in=list(tasks), slot__isnull=False)
    closed = places.filter(state__in=[AssignmentState.OPEN, AssignmentState.RESERVED]).update(
        state=AssignmentState.CLOSED, lapsed=Coalesce("labeler", "lapsed"), labeler=None, lease_expires_at=None
    )
    places.filter(state=AssignmentState.LEASED).update(slot=None)
    return closed


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
