"""Stage: export, one annotation at a time: what a researcher looks at before an export, shown as the file would have it."""

from typing import TYPE_CHECKING, Any

from django.db.models import Case, F, OuterRef, Subquery, When

from annotation import eligibility
from annotation.export.prm800k import prm800k_record
from annotation.models import Annotation, FinishReason, Project, Snapshot, StepLabel, whole_solution

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    from annotation.eligibility import WithMark

PAGE = 50  # annotations listed at a time
SNAPSHOTS = 20  # listed


class NoSuchAnnotation(LookupError):
    """This project has no such annotation."""


def annotations_of(
    project: Project, *, finish_reason: str = "", by: str = "", before: int | None = None
) -> tuple[list["WithAnnotations[Annotation, WithMark]"], int | None]:
    """Return a page of annotations of a project, the newest first, and where the next page begins.

    Each has the index of its `first_mistake`, the active `minutes`, and a `mark` if it does not count for every use (eligibility).
    `finish_reason` selects those that ended in this way, `by` those of the person with that user name, `before` those older than that
    annotation. A superseded revision is not listed. The second value is the next `before`, None at the end.
    """
    # A subquery runs only for the rows of the page. Grouping would read the labels of the whole project.
    mistakes = StepLabel.objects.filter(annotation=OuterRef("pk"), rating=-1, position=0).order_by("step_index")
    # Step by step, a negative completion is one that was not chosen. It is no mistake of a solution.
    first = Case(When(whole_solution(project), then=Subquery(mistakes.values("step_index")[:1])))
    figures = {"first_mistake": first, "minutes": F("active_ms") / 60_000.0}
    annotations = Annotation.objects.newest().filter(solution__problem__project=project)
    if finish_reason in FinishReason.values:
        annotations = annotations.filter(finish_reason=finish_reason)
    if by:
        annotations = annotations.filter(labeler__username=by)
    if before is not None:
        annotations = annotations.filter(pk__lt=before)
    rows = list(
        eligibility.marked(annotations, project=project.pk)
        .annotate(**figures)
        .select_related("labeler", "solution__problem")
        .order_by("-pk")[: PAGE + 1]
    )
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None


def shown(project: Project, annotation_id: int) -> tuple["WithAnnotations[Annotation, WithMark]", dict[str, Any]]:
    """Return an annotation with its `mark`, and its PRM800K record as an export would write it. Raises NoSuchAnnotation."""
    annotations = Annotation.objects.filter(solution__problem__project=project, pk=annotation_id)
    annotation = eligibility.marked(annotations, project=project.pk).select_related("labeler", "superseded_by", "solution").first()
    if annotation is None:
        raise NoSuchAnnotation(f"{project} has no annotation {annotation_id}.")
    return annotation, prm800k_record(annotation)


def snapshots_of(project: Project) -> list[Snapshot]:
    """Return the newest snapshots of a project."""
    return list(Snapshot.objects.filter(project=project).order_by("-number")[:SNAPSHOTS])
