"""Stage: labels, the sittings. Reads the assignment that a labeler holds and the texts that were shown. Writes Draft, Annotation,
StepLabel, the steps written by hand and the state of the assignment. A submit sent twice is stored once. A token says whether it
still counts, and work that comes too late is kept as a draft.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from annotation.completions import alternatives_at_mistake, free_position, hold_positions, tree_of
from annotation.ingest import STEPS
from annotation.labels.rules import (
    LARGEST,
    LONGEST_SKIP_REASON,
    Rating,
    Sitting,
    clean_reason,
    ending,
    rated_to_first_mistake,
    refuse_unless,
    walked,
    well_formed,
)
from annotation.labels.statements import (
    ANNOTATION,
    KEEP_DRAFT,
    PROJECT,
    REVISE,
    SUBJECT_OF_ANNOTATION,
    SUBJECT_OF_ASSIGNMENT,
    SUBJECT_OF_MEMBER,
    SUBMIT,
    SUCCESSOR,
)
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Draft,
    Event,
    Message,
    Project,
    StepAlternative,
    StepSource,
    Task,
    broken_rule,
)
from annotation.people import NotMember, project_of_assignment
from annotation.queue import Claim, LeaseLost, fence, lease_reserved, lost, one_statement

SUBMISSION_ONCE = "annotation_annotation_submission_id_key"
# Another tab has just taken a lease, or another assignment of the task that was prepared.
AHEAD_TAKEN = ("assignment_one_lease", "assignment_labeler_once")
SUPERSEDED_ONCE = "annotation_annotation_supersedes_id_key"


class SubmissionConflict(Exception):
    """This submission or this revision is stored already, with other content. What was stored first stays."""


class NothingToRevise(LookupError):
    """This labeler has no such annotation."""


def save_draft(assignment_id: int, *, labeler: User, token: int, revision: int, ratings: Sequence[Rating]) -> int:
    """Keep unfinished ratings and return the revision now stored; an older revision never overwrites a newer one.

    Raises BadSubmission (malformed), LeaseLost (the assignment is no longer this labeler's; `kept`: the ratings are stored anyway).
    """
    refuse_unless(type(revision) is int and 0 <= revision <= LARGEST, "bad_revision", "revision must be a number from 0 up.")
    held, stored = _keep(assignment_id, labeler=labeler, token=token, revision=revision, ratings=well_formed(ratings, n_steps=STEPS))
    if not held:
        raise lost(assignment_id, labeler=labeler, token=token, kept=stored is not None)
    if stored is None:
        return Draft.objects.values_list("revision", flat=True).get(assignment=assignment_id, labeler=labeler, token=token)
    return stored


def submit(
    assignment_id: int,
    *,
    labeler: User,
    token: int,
    submission_id: UUID,
    ratings: Sequence[Rating],
    finish_reason: str,
    reason: str = "",
    active_ms: int | None,
    total_ms: int | None,
    ahead: Claim | None = None,
    subject: "Subject | None" = None,
) -> Annotation:
    """Store the labels of one sitting and close the assignment, all or nothing. The same submission again returns what it stored.

    ahead: the assignment rendered ahead, which becomes the lease in the same transaction if it is still reserved. After a lapsed
    lease the work still counts as long as nobody took the assignment. subject: what `subject_of` returned, so that it is not read again.
    active_ms, total_ms: None if no person sat there; then the times of the project do not know this sitting.
    Raises BadSubmission, SubmissionConflict (this submission_id came before with other content), LeaseLost (`kept`: the work is stored
    as a draft).
    """
    if (subject := subject or _subject(SUBJECT_OF_ASSIGNMENT, assignment=assignment_id)) is None:
        raise LeaseLost
    sitting = _checked(subject, ratings, finish_reason=finish_reason, reason=reason, active_ms=active_ms, total_ms=total_ms)
    body_hash = body_hash_of(assignment_id, labeler, sitting)
    reserved = {"ahead": ahead.assignment_id, "ahead_token": ahead.token} if ahead else {"ahead": None, "ahead_token": None}
    try:
        return _store(SUBMIT, subject, sitting, labeler=labeler, submission_id=submission_id, body_hash=body_hash, token=token, **reserved)
    except (LeaseLost, IntegrityError) as error:
        rule = broken_rule(error) if isinstance(error, IntegrityError) else None
        if ahead and rule in AHEAD_TAKEN:  # another tab was faster: store the work, leave the reservation
            return submit(
                assignment_id,
                labeler=labeler,
                token=token,
                submission_id=submission_id,
                ratings=ratings,
                finish_reason=finish_reason,
                reason=reason,
                active_ms=active_ms,
                total_ms=total_ms,
                subject=subject,
            )
        if isinstance(error, IntegrityError) and rule not in ("assignment_labeler_once", SUBMISSION_ONCE):
            raise
        if stored := stored_before(submission_id, body_hash=body_hash):  # a retry, or a double click
            return stored
        _, kept = _keep(assignment_id, labeler=labeler, token=token, revision=None, ratings=sitting.ratings)
        raise lost(assignment_id, labeler=labeler, token=token, kept=kept is not None) from error


def keep_late(assignment_id: int, *, labeler: User, token: int, ratings: Sequence[Rating]) -> LeaseLost:
    """Keep the ratings of somebody who no longer labels as a draft, and return what to tell them. Raises BadSubmission (malformed)."""
    _, kept = _keep(assignment_id, labeler=labeler, token=token, revision=None, ratings=well_formed(ratings, n_steps=STEPS))
    return lost(assignment_id, labeler=labeler, token=token, kept=kept is not None)


def skip(assignment_id: int, *, labeler: User, token: int, reason: str, ahead: Claim | None = None) -> None:
    """Close an assignment without labels and open a new one at its task, so that the overlap is still reached. `ahead` as in submit.

    Raises BadSubmission (a reason too long or unprintable), LeaseLost.
    """
    reason = clean_reason(reason, limit=LONGEST_SKIP_REASON)
    try:
        with transaction.atomic():
            # Two skips of one task must not take the same slot. The task comes before the assignment, as where the overlap is changed.
            tasks = Task.objects.select_related("batch").select_for_update(of=["self"], no_key=True)
            if (task := tasks.filter(assignment=assignment_id).first()) is None:
                raise LeaseLost
            _close(assignment_id, labeler=labeler, token=token, state=AssignmentState.SKIPPED)
            if ahead:
                lease_reserved(ahead, labeler=labeler, after=assignment_id)
            with connection.cursor() as cursor:
                cursor.execute(SUCCESSOR, {"assignment": assignment_id})
            Event.objects.create(
                actor=labeler,
                project_id=task.batch.project_id,
                verb="skip",
                subject=f"assignment {assignment_id}",
                details={"reason": reason} if reason else {},
            )
    except IntegrityError as error:
        rule = broken_rule(error)
        if ahead and rule in AHEAD_TAKEN:
            return skip(assignment_id, labeler=labeler, token=token, reason=reason)
        if rule != "assignment_labeler_once":
            raise
        raise LeaseLost from error


def revise(
    annotation_id: int,
    *,
    labeler: User,
    submission_id: UUID,
    ratings: Sequence[Rating],
    finish_reason: str,
    reason: str = "",
    active_ms: int,
    total_ms: int,
) -> Annotation:
    """Store a correction of the labeler's own annotation as its next revision. The corrected one stays as it is.

    The same submission again returns what it stored. Raises NothingToRevise, BadSubmission, SubmissionConflict (also if a newer
    revision exists).
    """
    if (subject := _subject(SUBJECT_OF_ANNOTATION, annotation=annotation_id, labeler=labeler.pk)) is None:
        raise NothingToRevise("You have no such annotation.")
    sitting = _checked(subject, ratings, finish_reason=finish_reason, reason=reason, active_ms=active_ms, total_ms=total_ms)
    body_hash = body_hash_of(subject.assignment_id, labeler, sitting)
    try:
        stored = _store(
            REVISE, subject, sitting, labeler=labeler, submission_id=submission_id, body_hash=body_hash, supersedes=annotation_id
        )
        Message.objects.filter(annotation=annotation_id, read_at=None).update(read_at=Now())  # a reviewer sent it back, and has the answer
        return stored
    except IntegrityError as error:
        if broken_rule(error) not in (SUBMISSION_ONCE, SUPERSEDED_ONCE, "annotation_revision_once"):
            raise
        if before := stored_before(submission_id, body_hash=body_hash):
            return before
        raise SubmissionConflict("This annotation was corrected in another window. Open its newest revision.") from error


# --- what is rated ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subject:
    """The solution of a sitting, and the project, which says what is asked for."""

    solution_id: int
    n_steps: int
    assignment_id: int
    revision: int  # of the annotation that is corrected; 0: a first submission
    project: Project


def subject_of(assignment_id: int, *, labeler: User) -> Subject:
    """Return what a sitting is about, for a person who can label in its project. Raises NotMember, SeesLabels."""
    if (subject := _subject(SUBJECT_OF_MEMBER, assignment=assignment_id, labeler=labeler.pk)) is None:
        project_of_assignment(labeler, assignment_id)  # says why
        raise NotMember("There is no such solution to label, or you cannot label it.")
    return subject


def _subject(statement: str, **key: int) -> Subject | None:
    with connection.cursor() as cursor:
        row = cursor.execute(statement, key).fetchone()
    if row is None:
        return None
    solution_id, n_steps, assignment_id, revision, *columns = row
    return Subject(solution_id, n_steps, assignment_id, revision, Project.from_db(connection.alias, PROJECT, columns))


def _checked(subject: Subject, ratings: Sequence[Rating], **end: Any) -> Sitting:
    """Check a sitting by the rules of its project. Raises BadSubmission with the first broken rule."""
    if subject.project.step_source == StepSource.INTERACTIVE:
        return walked(well_formed(ratings, n_steps=STEPS), ending(**end), tree=tree_of(subject.solution_id))
    ordered, shown = well_formed(ratings, n_steps=subject.n_steps), None
    if subject.project.alternatives_after_error:  # read only if one was rated
        shown = alternatives_at_mistake(subject.solution_id) if any(rating.get("position") for rating in ordered) else {}
    return rated_to_first_mistake(ordered, ending(**end), n_steps=subject.n_steps, shown=shown)


# --- how it is stored ---------------------------------------------------------------------------------------------------


def body_hash_of(place: int, labeler: User, sitting: Sitting) -> bytes:
    """Return the hash of a sitting's content. The same submission sent again has the same one."""
    body = {"ratings": sitting.ratings, **asdict(sitting.ending)}
    return hashlib.sha256(orjson.dumps([place, labeler.pk, body])).digest()


def _close(assignment_id: int, *, labeler: User, token: int, state: str) -> None:
    assignments = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token))
    if assignments.update(state=state, labeler=labeler, lapsed=None, lease_expires_at=None) != 1:
        raise lost(assignment_id, labeler=labeler, token=token)


def _store(
    statement: str, subject: Subject, sitting: Sitting, *, labeler: User, submission_id: UUID, body_hash: bytes, **more: int | None
) -> Annotation:
    """Store an annotation with its labels in one statement; if a step was written by hand, in a transaction with a few more.

    Raises LeaseLost: the claim no longer counts, and nothing was stored.
    """
    texts = {label.step: label.text for label in sitting.labels if label.position is None and label.text is not None}
    with transaction.atomic() if texts else one_statement(), connection.cursor() as cursor:
        positions = _positions_of_written(subject.solution_id, labeler, texts) if texts else {}
        rows = [replace(label, position=positions[label.step], text=None) if label.position is None else label for label in sitting.labels]
        values = {
            "assignment": subject.assignment_id,
            "labeler": labeler.pk,
            "solution": subject.solution_id,
            "revision": subject.revision + 1,
            "submission_id": submission_id,
            "body_hash": body_hash,
            "labels": orjson.dumps(rows).decode(),
            "guidelines": subject.project.guidelines_version,
            **asdict(sitting.ending),
        }
        if (row := cursor.execute(statement, values | more).fetchone()) is None:
            raise LeaseLost
    return Annotation.from_db(connection.alias, ANNOTATION, row)


def _positions_of_written(solution_id: int, author: User, texts: dict[int, str]) -> dict[int, int]:
    """Store the steps that the labeler wrote and return their positions. A text they wrote at a step before keeps its position."""
    hold_positions(solution_id)
    earlier = StepAlternative.objects.filter(solution=solution_id, author=author, step_index__in=texts)
    known = {(step, text): position for step, text, position in earlier.values_list("step_index", "text", "position")}
    new = [
        StepAlternative(solution_id=solution_id, step_index=step, position=free_position(solution_id, step=step), text=text, author=author)
        for step, text in texts.items()
        if (step, text) not in known
    ]
    StepAlternative.objects.bulk_create(new)
    known |= {(alternative.step_index, alternative.text): alternative.position for alternative in new}
    return {step: known[step, text] for step, text in texts.items()}


def stored_before(submission_id: UUID, *, body_hash: bytes) -> Annotation | None:
    """Return what a submission stored before. Raises SubmissionConflict: it stored other content."""
    stored = Annotation.objects.filter(submission_id=submission_id).first()
    if stored and bytes(stored.body_hash) != body_hash:
        raise SubmissionConflict(
            "This submission is stored already, with other ratings. The first ones stay. Reopen the solution to correct them."
        )
    return stored


def _keep(assignment_id: int, *, labeler: User, token: int, revision: int | None, ratings: list[Rating]) -> tuple[bool, int | None]:
    """Store a draft. Return whether the claim still counts, and the revision stored now (None: this draft was not stored)."""
    draft: dict[str, Any] = {
        "assignment": assignment_id,
        "labeler": labeler.pk,
        "token": token,
        "revision": revision,
        "ratings": orjson.dumps(ratings).decode(),
    }
    with connection.cursor() as cursor:
        held, stored = cursor.execute(KEEP_DRAFT, draft).fetchone() or (False, None)
    return held, stored
