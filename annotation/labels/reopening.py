"""Stage: labels, reopening. Reads the annotations that a labeler submitted recently, and the drafts that were never submitted. Writes
nothing: a correction is a submission of its own (sittings.revise).
"""

from datetime import timedelta
from itertools import chain

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Now

from annotation.labels.rules import Rating
from annotation.labels.sittings import NothingToRevise
from annotation.models import Annotation, BatchKind, Draft, Project, StepAlternative, StepLabel, StepSource
from annotation.queue import ON_DEMAND

REOPEN_LAST = 10  # submissions
REOPEN_MINUTES = 15  # after the first submission
MOST_DRAFTS = 20
# What everybody gets is not corrected: practice, screening, calibration. A decision is corrected where it was made (adjudications.py).
NOT_REOPENED = ON_DEMAND | {BatchKind.REVIEW}


def reopenable(labeler: User, *, project: Project) -> QuerySet[Annotation]:
    """Return what this labeler submitted recently: newest revisions only, last submission first, without practice and screening."""
    recent = Annotation.objects.newest().filter(
        labeler=labeler,
        assignment__batch__project=project,
        assignment__annotation__revision=1,
        assignment__annotation__created_at__gt=Now() - timedelta(minutes=REOPEN_MINUTES),
    )
    newest_first = recent.exclude(assignment__batch__kind__in=NOT_REOPENED).order_by("-assignment__annotation__created_at")
    return newest_first.select_related("solution__problem")[:REOPEN_LAST]


def drafts_of(person: User, *, project: Project) -> QuerySet[Draft]:
    """Return the newest drafts that this person did not submit, one for each assignment, at most 20: what is left of a former labeler."""
    own = Draft.objects.filter(labeler=person, assignment__batch__project=project).exclude(assignment__batch__kind=BatchKind.REVIEW)
    newest = own.order_by("assignment", "-saved_at", "-pk").distinct("assignment").values("pk")
    return Draft.objects.filter(pk__in=newest).select_related("assignment__task__solution__problem").order_by("-saved_at")[:MOST_DRAFTS]


def reopen(annotation_id: int, *, labeler: User, project: Project) -> tuple[Annotation, list[Rating]]:
    """Return an annotation that is `reopenable` or was sent back, and its ratings as the browser sent them. Raises NothingToRevise."""
    for annotation in chain(reopenable(labeler, project=project), sent_back_to(labeler, project=project)):
        if annotation.pk == annotation_id:
            return annotation, ratings_of(annotation, interactive=project.step_source == StepSource.INTERACTIVE)
    raise NothingToRevise(
        f"This solution cannot be reopened. It must be one of your last {REOPEN_LAST} submissions, at most {REOPEN_MINUTES} minutes old, "
        "and not corrected since. Or a reviewer must have sent it back to you."
    )


def sent_back_to(labeler: User, *, project: Project) -> QuerySet[Annotation]:
    """Return the work that a reviewer sent back to this labeler and that has no answer yet, the newest first."""
    waiting = Annotation.objects.newest().filter(labeler=labeler, assignment__batch__project=project, sent_back__isnull=False)
    return waiting.select_related("solution__problem", "sent_back").order_by("-sent_back__created_at")


def ratings_of(annotation: Annotation, *, interactive: bool = False) -> list[Rating]:
    labels = list(StepLabel.objects.filter(annotation=annotation).order_by("step_index", "position"))
    written: dict[tuple[int, int], str] = {}
    if any(label.shown_at is None for label in labels):
        alternatives = StepAlternative.objects.filter(solution=annotation.solution_id, author=annotation.labeler)
        written = {(step, position): text for step, position, text in alternatives.values_list("step_index", "position", "text")}
    ratings = []
    for label in labels:
        step, ms = label.step_index, label.rated_ms
        if label.shown_at is None:
            ratings.append(Rating(step=step, rating=None, flagged=False, ms=ms, text=written[step, label.position]))
        elif label.rating is not None or label.flagged:  # a label without either was stored for a sitting that ended early, never sent
            rating = Rating(step=step, position=label.position, rating=label.rating, flagged=bool(label.flagged), ms=ms)
            ratings.append(Rating(**rating, chosen=True) if interactive and label.chosen else rating)
    return ratings


def assignment_of(annotation_id: int, *, labeler: User) -> int:
    """Return the id of the assignment of an annotation of this labeler.

    Raises NothingToRevise, also for practice, screening, calibration and decisions of reviewers.
    """
    mine = Annotation.objects.filter(pk=annotation_id, labeler=labeler).exclude(assignment__batch__kind__in=NOT_REOPENED)
    assignment_id = mine.values_list("assignment_id", flat=True).first()
    if assignment_id is None:
        raise NothingToRevise("You have no such annotation.")
    return assignment_id
