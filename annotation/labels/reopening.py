"""Stage: labels, work that is looked at again. Reads the annotations a labeler submitted lately; writes nothing: a correction is a
submission of its own (sittings.revise).
"""

from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Now

from annotation.labels.rules import Rating
from annotation.labels.sittings import NothingToRevise
from annotation.models import Annotation, Project, StepAlternative, StepLabel, StepSource
from annotation.queue import FOR_NEWCOMERS

REOPEN_LAST = 10  # submissions
REOPEN_MINUTES = 15  # after the first submission


def reopenable(labeler: User, *, project: Project) -> QuerySet[Annotation]:
    """Return the newest revisions of what this labeler submitted lately, the last first. Practice and screening stay as answered."""
    lately = Annotation.objects.filter(
        labeler=labeler,
        superseded_by__isnull=True,
        assignment__batch__project=project,
        assignment__annotation__revision=1,
        assignment__annotation__created_at__gt=Now() - timedelta(minutes=REOPEN_MINUTES),
    )
    newest_first = lately.exclude(assignment__batch__kind__in=FOR_NEWCOMERS).order_by("-assignment__annotation__created_at")
    return newest_first.select_related("solution__problem")[:REOPEN_LAST]


def reopen(annotation_id: int, *, labeler: User, project: Project) -> tuple[Annotation, list[Rating]]:
    """Return one of the `reopenable` and its ratings, as the browser sent them. Raises NothingToRevise."""
    for annotation in reopenable(labeler, project=project):
        if annotation.pk == annotation_id:
            return annotation, _ratings(annotation, interactive=project.step_source == StepSource.INTERACTIVE)
    raise NothingToRevise(f"That solution cannot be reopened: it is older than {REOPEN_MINUTES} minutes, or was corrected already.")


def _ratings(annotation: Annotation, *, interactive: bool) -> list[Rating]:
    labels = list(StepLabel.objects.filter(annotation=annotation).order_by("step_index", "position"))
    written: dict[tuple[int, int], str] = {}
    if any(one.shown_at is None for one in labels):
        theirs = StepAlternative.objects.filter(solution=annotation.solution_id, author=annotation.labeler)
        written = {(step, position): text for step, position, text in theirs.values_list("step_index", "position", "text")}
    ratings = []
    for one in labels:
        if one.shown_at is None:
            text = written[one.step_index, one.position]
            ratings.append(Rating(step=one.step_index, rating=None, flagged=False, ms=one.rated_ms, text=text))
        elif one.rating is not None or one.flagged:  # what was left unrated where they broke off is stored, but was never sent
            rating = Rating(step=one.step_index, position=one.position, rating=one.rating, flagged=bool(one.flagged), ms=one.rated_ms)
            ratings.append(Rating(**rating, chosen=True) if interactive and one.chosen else rating)
    return ratings


def assignment_of(annotation_id: int, *, labeler: User) -> int:
    """Return the assignment of the labeler's own annotation, unless it is practice or answers a screening. Raises NothingToRevise."""
    mine = Annotation.objects.filter(pk=annotation_id, labeler=labeler).exclude(assignment__batch__kind__in=FOR_NEWCOMERS)
    assignment = mine.values_list("assignment_id", flat=True).first()
    if assignment is None:
        raise NothingToRevise("You have no such annotation.")
    return assignment
