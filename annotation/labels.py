"""The labels: what a person says about each step, kept while they work and stored once they submit.

Reads the seat they hold (queue) and the length of its solution; writes Draft, Annotation, StepLabel and the seat's end. A
submit is idempotent and fenced, and work that comes too late is kept as a draft. Nothing stored is ever changed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NotRequired, TypedDict
from uuid import UUID

import orjson
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Func, IntegerField, Max, QuerySet
from django.db.models.functions import Now

from annotation.ingest.values import BadText, clean_text
from annotation.models import Annotation, Assignment, BatchKind, Draft, Event, FinishReason, Project, SeatState, StepLabel, Task
from annotation.queue import Claim, LeaseLost, broken_rule, fence, lease_reserved

LONGEST_REASON = 2000  # characters
LONGEST_SKIP_REASON = 150
REOPEN_LAST = 10  # submissions
REOPEN_MINUTES = 15  # after the first submission
MAX_STEPS = 2000
LARGEST = 2**31 - 1  # the range of a count; as milliseconds 25 days
SUBMISSION_ONCE = "annotation_annotation_submission_id_key"
SUPERSEDED_ONCE = "annotation_annotation_supersedes_id_key"

# Stores a draft unless a newer one is there, and tells whether the claim still counts. Raw: the ORM's upsert knows no WHERE, and
# reading first would race with the next save, which the browser sends without waiting. A token below the seat's is an
# earlier claim: late work is kept too. Without a revision the draft follows whatever is stored.
KEEP_DRAFT = """
WITH seat AS (
  SELECT s.id, s.token = %(token)s AND m.user_id = CASE s.state WHEN 'leased' THEN s.labeler_id WHEN 'open' THEN s.lapsed_id END AS held
    FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
    JOIN annotation_membership m ON m.project_id = b.project_id AND m.user_id = %(labeler)s
   WHERE s.id = %(assignment)s AND %(token)s BETWEEN 1 AND s.token AND NOT (s.state = 'done' AND s.labeler_id = m.user_id)),
kept AS (
  INSERT INTO annotation_draft AS d (assignment_id, labeler_id, token, revision, ratings, saved_at)
  SELECT seat.id, %(labeler)s, %(token)s, COALESCE(%(revision)s::int, 1), %(ratings)s::jsonb, now() FROM seat
      ON CONFLICT (assignment_id, labeler_id, token)
      DO UPDATE SET revision = COALESCE(%(revision)s::int, d.revision + 1), ratings = EXCLUDED.ratings, saved_at = now()
       WHERE %(revision)s::int IS NULL OR d.revision < %(revision)s::int
  RETURNING revision)
SELECT COALESCE(seat.held, false), kept.revision FROM seat LEFT JOIN kept ON true
"""


class Rating(TypedDict):
    """What the browser sends for one step."""

    step: int  # 0-based
    position: NotRequired[int]  # 0, the step itself
    rating: int | None  # -1, 0, 1; None only when flagged
    flagged: NotRequired[bool]  # the labeler is unsure
    ms: NotRequired[int | None]  # active time on this step


class BadSubmission(ValueError):
    """These ratings cannot be stored. `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SubmissionConflict(Exception):
    """This submission, or this revision, was made before with other content. What was stored first stands."""


class NothingToRevise(LookupError):
    """This person has no such annotation."""


def save_draft(assignment_id: int, *, labeler: User, token: int, revision: int, ratings: Sequence[Rating]) -> int:
    """Keep unfinished ratings and return the revision now stored; an older revision never overwrites a newer one.

    Raises BadSubmission (malformed), LeaseLost (no longer this labeler's seat; `kept` tells whether the ratings are stored anyway).
    """
    _refuse_unless(type(revision) is int and 0 <= revision <= LARGEST, "bad_revision", "A draft's revision counts up from 0.")
    held, stored = _keep(assignment_id, labeler=labeler, token=token, revision=revision, ratings=_well_formed(ratings, n_steps=MAX_STEPS))
    if not held:
        raise LeaseLost(kept=stored is not None)
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
    active_ms: int,
    total_ms: int,
    ahead: Claim | None = None,
) -> Annotation:
    """Store the labels of one sitting and close the seat, all or nothing; the same submission again returns what it stored.

    ahead: the seat rendered ahead, which becomes the lease in the same transaction if it is still reserved. The time alone refuses
    nothing: after a lapsed lease the work is good as long as nobody took the seat. Raises BadSubmission, SubmissionConflict (this
    submission_id came with other content), LeaseLost (`kept`: the work is stored as a draft).
    """
    seat = Assignment.objects.filter(pk=assignment_id).values_list("task__solution_id", _n_steps("task__solution__steps")).first()
    if seat is None:
        raise LeaseLost
    solution_id, n_steps = seat
    work = _checked(ratings, n_steps=n_steps, finish_reason=finish_reason, reason=reason, active_ms=active_ms, total_ms=total_ms)
    body_hash = _hash(assignment_id, labeler, work)
    try:
        with transaction.atomic():
            _close(assignment_id, labeler=labeler, token=token, state=SeatState.DONE)
            if ahead:
                lease_reserved(ahead, labeler=labeler)
            annotation = Annotation(assignment_id=assignment_id, labeler=labeler, solution_id=solution_id, submission_id=submission_id)
            _store(annotation, work, body_hash=body_hash)
            Draft.objects.filter(assignment=assignment_id, labeler=labeler).delete()
    except (LeaseLost, IntegrityError) as error:
        rule = broken_rule(error) if isinstance(error, IntegrityError) else None
        if ahead and rule == "seat_one_lease":  # another tab took a lease this moment: the work counts, the reservation waits
            return submit(
                assignment_id, labeler=labeler, token=token, submission_id=submission_id, ratings=ratings, finish_reason=finish_reason,
                reason=reason, active_ms=active_ms, total_ms=total_ms,
            )  # fmt: skip
        if isinstance(error, IntegrityError) and rule not in ("seat_labeler_once", SUBMISSION_ONCE):
            raise
        if stored := _stored(submission_id, body_hash=body_hash):  # a retry, or a double click
            return stored
        _, kept = _keep(assignment_id, labeler=labeler, token=token, revision=None, ratings=work.ratings)
        raise LeaseLost(kept=kept is not None) from error
    return annotation


def skip(assignment_id: int, *, labeler: User, token: int, reason: str, ahead: Claim | None = None) -> None:
    """Close a seat unlabeled and open a fresh one at its task, so that the overlap stays whole. `ahead` as in submit.

    Raises BadSubmission (a reason too long or unprintable), LeaseLost.
    """
    reason = _clean_reason(reason, limit=LONGEST_SKIP_REASON)
    try:
        with transaction.atomic():
            _close(assignment_id, labeler=labeler, token=token, state=SeatState.SKIPPED)
            if ahead:
                lease_reserved(ahead, labeler=labeler)
            seat = Assignment.objects.get(pk=assignment_id)
            if seat.slot is not None:  # a seat made for this person alone leaves no gap
                Task.objects.select_for_update(no_key=True).get(pk=seat.task_id)  # two skips of one task must not pick the same slot
                last = Assignment.objects.filter(task=seat.task_id).aggregate(last=Max("slot"))["last"]
                Assignment.objects.create(task_id=seat.task_id, slot=last + 1, batch_id=seat.batch_id, priority=seat.priority)
            Event.objects.create(actor=labeler, verb="skip", subject=f"assignment {assignment_id}: {reason}")
    except IntegrityError as error:
        rule = broken_rule(error)
        if ahead and rule == "seat_one_lease":
            return skip(assignment_id, labeler=labeler, token=token, reason=reason)
        if rule != "seat_labeler_once":
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
    """Store a correction of the labeler's own newest annotation as its next revision; what it supersedes stays as it is.

    Idempotent as submit. Raises NothingToRevise, BadSubmission, SubmissionConflict (also when a newer revision exists).
    """
    mine = Annotation.objects.filter(pk=annotation_id, labeler=labeler)
    found = mine.values_list("assignment_id", "solution_id", "revision", _n_steps("solution__steps")).first()
    if found is None:
        raise NothingToRevise("You have no such annotation.")
    assignment_id, solution_id, revision, n_steps = found
    work = _checked(ratings, n_steps=n_steps, finish_reason=finish_reason, reason=reason, active_ms=active_ms, total_ms=total_ms)
    body_hash = _hash(assignment_id, labeler, work)
    correction = Annotation(
        assignment_id=assignment_id,
        labeler=labeler,
        solution_id=solution_id,
        submission_id=submission_id,
        revision=revision + 1,
        supersedes_id=annotation_id,
    )
    try:
        with transaction.atomic():
            _store(correction, work, body_hash=body_hash)
    except IntegrityError as error:
        if broken_rule(error) not in (SUBMISSION_ONCE, SUPERSEDED_ONCE, "annotation_revision_once"):
            raise
        if stored := _stored(submission_id, body_hash=body_hash):
            return stored
        raise SubmissionConflict("This annotation was corrected in another place meanwhile. Open its newest revision.") from error
    return correction


def reopenable(labeler: User, *, project: Project) -> QuerySet[Annotation]:
    """Return the newest revisions of what this labeler submitted lately, the last first. Screening questions stay as they were answered."""
    lately = Annotation.objects.filter(
        labeler=labeler, superseded_by__isnull=True, assignment__batch__project=project, assignment__annotation__revision=1,
        assignment__annotation__created_at__gt=Now() - timedelta(minutes=REOPEN_MINUTES),
    )  # fmt: skip
    newest_first = lately.exclude(assignment__batch__kind=BatchKind.SCREENING).order_by("-assignment__annotation__created_at")
    return newest_first.select_related("solution__problem")[:REOPEN_LAST]


def reopen(annotation_id: int, *, labeler: User, project: Project) -> tuple[Annotation, list[Rating]]:
    """Return one of the `reopenable` and its ratings. Raises NothingToRevise."""
    for annotation in reopenable(labeler, project=project):
        if annotation.pk == annotation_id:
            rows = StepLabel.objects.filter(annotation=annotation, position=0).order_by("step_index")
            return annotation, [
                Rating(step=one.step_index, position=0, rating=one.rating, flagged=bool(one.flagged), ms=one.rated_ms) for one in rows
            ]
    raise NothingToRevise(f"That solution cannot be reopened: it is older than {REOPEN_MINUTES} minutes, or was corrected already.")


def seat_of(annotation_id: int, *, labeler: User) -> int:
    """Return the seat of the labeler's own annotation, unless it answers a screening. Raises NothingToRevise."""
    mine = Annotation.objects.filter(pk=annotation_id, labeler=labeler).exclude(assignment__batch__kind=BatchKind.SCREENING)
    seat = mine.values_list("assignment_id", flat=True).first()
    if seat is None:
        raise NothingToRevise("You have no such annotation.")
    return seat


# --- what a submission may say ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Work:
    """One sitting, checked: ratings in the order of steps, none left out."""

    ratings: list[Rating]
    finish_reason: str
    reason: str
    active_ms: int
    total_ms: int


def _refuse_unless(holds: bool, code: str, message: str) -> None:
    if not holds:
        raise BadSubmission(code, message)


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number <= LARGEST


def _well_formed(ratings: Sequence[Rating], *, n_steps: int) -> list[Rating]:
    """Return the ratings by step, each with all its keys; the rules of a draft, which may still have gaps."""
    seen: dict[int, Rating] = {}
    for one in ratings:
        _refuse_unless(isinstance(one, Mapping), "bad_rating", "A rating is an object with step, rating, flagged and ms.")
        step, position, rating = one.get("step"), one.get("position", 0), one.get("rating")
        flagged, ms = one.get("flagged", False), one.get("ms")
        _refuse_unless(
            type(step) is int and 0 <= step < n_steps, "unknown_step", f"This solution has no step number {step}; they count from 0."
        )
        _refuse_unless(type(position) is int and position == 0, "unknown_step", f"Step {step + 1} has no alternative {position}.")
        _refuse_unless(
            rating is None or type(rating) is int and rating in (-1, 0, 1),
            "bad_rating",
            f"Step {step + 1}: a rating is -1, 0 or 1, not {rating!r:.40}.",
        )
        _refuse_unless(type(flagged) is bool, "bad_rating", f"Step {step + 1}: flagged is true or false, not {flagged!r:.40}.")
        _refuse_unless(ms is None or _is_count(ms), "bad_rating", f"Step {step + 1}: ms is a number of milliseconds, not {ms!r:.40}.")
        _refuse_unless(step not in seen, "bad_rating", f"Step {step + 1} is rated twice.")
        seen[step] = Rating(step=step, position=0, rating=rating, flagged=flagged, ms=ms)
    return [seen[step] for step in sorted(seen)]


def _checked(ratings: Sequence[Rating], *, n_steps: int, finish_reason: str, reason: str, active_ms: int, total_ms: int) -> Work:
    """Return the work of one sitting, or raise BadSubmission with the first rule it breaks."""
    ordered = _well_formed(ratings, n_steps=n_steps)
    _refuse_unless(finish_reason in FinishReason.values, "bad_finish_reason", f"A sitting ends with {', '.join(FinishReason.values)}.")
    _refuse_unless(_is_count(active_ms) and _is_count(total_ms), "bad_time", "active_ms and total_ms are numbers of milliseconds.")
    reason = _clean_reason(reason, limit=LONGEST_REASON)
    for place, one in enumerate(ordered):
        _refuse_unless(
            one["step"] == place, "unrated_step", f"Step {place + 1} has no rating, but a later one has. Rate the steps in order."
        )
        _refuse_unless(
            one["rating"] is not None or one["flagged"], "unrated_step", f"Step {place + 1} has no rating. Rate it, or flag it as unsure."
        )
        _refuse_unless(
            place == 0 or ordered[place - 1]["rating"] != -1,
            "rating_after_negative",
            f"Step {place} is rated negative, so step {place + 1} and later ones stay unrated.",
        )
    found_error = bool(ordered) and ordered[-1]["rating"] == -1
    match finish_reason:
        case FinishReason.SOLUTION:
            _refuse_unless(bool(ordered), "empty", "Nothing is rated yet. Rate the steps in order.")
            _refuse_unless(not found_error, "bad_finish_reason", "A step is rated negative, so this sitting ends with found_error.")
            _refuse_unless(len(ordered) == n_steps, "unfinished", f"{len(ordered)} of {n_steps} steps are rated. Rate them to the end.")
        case FinishReason.FOUND_ERROR:
            _refuse_unless(bool(ordered), "empty", "Nothing is rated yet. Rate the steps in order.")
            _refuse_unless(found_error, "no_negative", "No step is rated negative, so no mistake was found. Rate on, or to the end.")
        case _:  # bad_problem and give_up may come after any number of ratings
            _refuse_unless(bool(reason.strip()), "no_reason", "Say in a few words why.")
    return Work(ratings=ordered, finish_reason=str(finish_reason), reason=reason, active_ms=active_ms, total_ms=total_ms)


def _clean_reason(reason: str, *, limit: int) -> str:
    _refuse_unless(len(reason) <= limit, "too_long", f"The reason has {len(reason):,} characters; at most {limit:,} fit.")
    try:
        return clean_text(reason)
    except BadText as error:
        raise BadSubmission("bad_text", f"The reason cannot be stored: {error}.") from error


# --- how it is stored ---------------------------------------------------------------------------------------------------


def _n_steps(steps: str) -> Func:
    # Counted where they lie: the text of a long solution need not travel to be measured.
    return Func(F(steps), function="jsonb_array_length", output_field=IntegerField())


def _hash(assignment_id: int, labeler: User, work: Work) -> bytes:
    return hashlib.sha256(orjson.dumps([assignment_id, labeler.pk, work])).digest()


def _close(assignment_id: int, *, labeler: User, token: int, state: str) -> None:
    seats = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token))
    if seats.update(state=state, labeler=labeler, lapsed=None, lease_expires_at=None) != 1:
        raise LeaseLost


def _store(annotation: Annotation, work: Work, *, body_hash: bytes) -> None:
    """Insert an annotation and its labels in two statements; the caller holds the transaction."""
    annotation.finish_reason, annotation.reason, annotation.body_hash = work.finish_reason, work.reason, body_hash
    annotation.active_ms, annotation.total_ms = work.active_ms, work.total_ms
    annotation.save(force_insert=True)
    last = len(work.ratings) - 1
    StepLabel.objects.bulk_create(
        StepLabel(
            annotation=annotation,
            step_index=step,
            rating=one["rating"],
            flagged=one["flagged"] or None,  # published records know null and true at a solution's own step, never false
            rated_ms=one["ms"],
            # An unsure step without a rating was gone past, unless the sitting was broken off right there.
            chosen=one["rating"] != -1 and (one["rating"] is not None or step < last or work.finish_reason == FinishReason.SOLUTION),
            shown_at=0,
        )
        for step, one in enumerate(work.ratings)
    )


def _stored(submission_id: UUID, *, body_hash: bytes) -> Annotation | None:
    stored = Annotation.objects.filter(submission_id=submission_id).first()
    if stored and bytes(stored.body_hash) != body_hash:
        raise SubmissionConflict("This submission was stored before with other ratings. The first ones stand; reopen it to correct them.")
    return stored


def _keep(assignment_id: int, *, labeler: User, token: int, revision: int | None, ratings: list[Rating]) -> tuple[bool, int | None]:
    """Store a draft; return whether the claim still counts, and the revision stored now (None: not this one)."""
    draft = {
        "assignment": assignment_id,
        "labeler": labeler.pk,
        "token": token,
        "revision": revision,
        "ratings": orjson.dumps(ratings).decode(),
    }
    with connection.cursor() as cursor:
        return cursor.execute(KEEP_DRAFT, draft).fetchone() or (False, None)
