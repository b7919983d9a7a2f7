"""Stage: export, one annotation at a time: what a researcher looks at before an export, shown as the file would have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, OuterRef, Subquery, When, prefetch_related_objects

from annotation import eligibility
from annotation.export.datasets import find_snapshot
from annotation.export.prm800k import prm800k_record
from annotation.models import (
    Annotation,
    FinishReason,
    ListedAnnotation,
    Membership,
    Project,
    Snapshot,
    StepAlternative,
    StepLabel,
    whole_solution,
)

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    from annotation.eligibility import WithMark

PAGE = 50  # annotations listed at a time
SNAPSHOTS = 20  # listed
_OF_SOLUTION = """
SELECT a.id
  FROM (SELECT * FROM annotation_annotation WHERE solution_id = %(solution)s OFFSET 0) a
 CROSS JOIN LATERAL (SELECT batch_id FROM annotation_assignment WHERE id = a.assignment_id OFFSET 0) s
 CROSS JOIN LATERAL (SELECT project_id FROM annotation_batch WHERE id = s.batch_id OFFSET 0) b
 WHERE a.id > %(after)s AND b.project_id = %(project)s AND s.batch_id = COALESCE(%(batch)s::bigint, s.batch_id)
 ORDER BY a.id LIMIT %(limit)s
"""
_OF_BATCH = """
SELECT a.id
  FROM (SELECT id FROM annotation_task
         WHERE batch_id = (SELECT id FROM annotation_batch WHERE id = %(batch)s AND project_id = %(project)s) OFFSET 0) t
 CROSS JOIN LATERAL (SELECT id FROM annotation_assignment WHERE task_id = t.id OFFSET 0) s
 CROSS JOIN LATERAL (SELECT id FROM annotation_annotation WHERE assignment_id = s.id OFFSET 0) a
 WHERE a.id > %(after)s
 ORDER BY a.id LIMIT %(limit)s
"""


class NoSuchAnnotation(LookupError):
    """This project has no such annotation."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label of an annotation. text: of an alternative; None for the step itself (position 0)."""

    step: int
    position: int
    rating: int | None
    flagged: bool | None
    chosen: bool
    ms: int | None
    text: str | None


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """An annotation with its labels. labeler: the pseudonym that exports show. mark: why it does not count everywhere; empty: it does."""

    id: int
    solution: int
    problem: int
    labeler: UUID | None
    batch: int
    generation: int | None
    batch_kind: str
    revision: int
    supersedes: int | None
    finish_reason: str
    reason: str
    first_mistake: int | None
    active_ms: int | None
    total_ms: int | None
    guidelines_version: int | None
    mark: str
    created_at: datetime
    labels: list[LabelRow]


def annotations_of(
    project: Project, *, finish_reason: str = "", by: str = "", before: int | None = None
) -> tuple[list["WithAnnotations[Annotation, WithMark]"], int | None]:
    """Return a page of annotations of a project, the newest first, and where the next page begins.

    Each has the index of its `first_mistake`, the active `minutes`, and a `mark` if it does not count for every use (eligibility).
    `finish_reason` selects those that ended in this way, `by` those of the person with that user name, `before` those older than that
    annotation. A superseded revision is not listed. The second value is the next `before`, None at the end.
    """
    figures = {"first_mistake": _first_mistake(project), "minutes": F("active_ms") / 60_000.0}
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


def _first_mistake(project: Project) -> Case:
    """Return the index of the first mistake of an annotation, or null."""
    # A subquery runs only for the rows of the page. Grouping would read the labels of the whole project.
    mistakes = StepLabel.objects.filter(annotation=OuterRef("pk"), rating=-1, position=0).order_by("step_index")
    # Step by step, a negative completion is one that was not chosen. It is no mistake of a solution.
    return Case(When(whole_solution(project), then=Subquery(mistakes.values("step_index")[:1])))


def shown(project: Project, annotation_id: int) -> tuple["WithAnnotations[Annotation, WithMark]", dict[str, Any]]:
    """Return an annotation with its `mark`, and its PRM800K record as an export would write it. Raises NoSuchAnnotation."""
    annotations = Annotation.objects.filter(solution__problem__project=project, pk=annotation_id)
    annotation = eligibility.marked(annotations, project=project.pk).select_related("labeler", "superseded_by", "solution").first()
    if annotation is None:
        raise NoSuchAnnotation(f"{project} has no annotation {annotation_id}.")
    return annotation, prm800k_record(annotation)


def annotation_rows(
    project: Project, *, after: int, limit: int, solution: int | None = None, batch: int | None = None
) -> tuple[list[AnnotationRow], int | None]:
    """Return a page of the annotations of a project after a key, all revisions, and the key after which the next page begins.

    Every page but the last is full. Without a filter, a page is one range of an index, wherever it lies in the list.
    """
    if solution is None and batch is None:
        listed = ListedAnnotation.objects.filter(project=project, annotation__gt=after).order_by("project", "annotation")
        keys = list(listed.values_list("annotation", flat=True)[: limit + 1])
    else:
        values = {"project": project.pk, "after": after, "limit": limit + 1, "solution": solution, "batch": batch}
        with connection.cursor() as cursor:
            cursor.execute(_OF_SOLUTION if solution is not None else _OF_BATCH, values)
            keys = [key for (key,) in cursor.fetchall()]
    return rows_of(project, keys[:limit]), keys[limit - 1] if len(keys) > limit else None


def find_annotation_row(project: Project, number: int) -> AnnotationRow:
    """Return an annotation of a project with its labels. Raises NoSuchAnnotation."""
    if not ListedAnnotation.objects.filter(project=project, annotation=number).exists():
        raise NoSuchAnnotation(f"{project} has no annotation {number}.")
    return rows_of(project, [number])[0]


def rows_of(project: Project, keys: Sequence[int]) -> list[AnnotationRow]:
    """Return annotations with their labels, with as many statements for one as for a page."""
    marked = eligibility.marked(Annotation.objects.filter(pk__in=keys), project=project.pk).annotate(first_mistake=_first_mistake(project))
    rows = list(marked.select_related("assignment__batch", "solution").order_by("pk"))
    people, solutions = {row.labeler_id for row in rows}, {row.pk: row.solution_id for row in rows}
    pseudonyms = dict(Membership.objects.filter(project=project, user__in=people).values_list("user", "export_uuid"))
    alternatives = StepAlternative.objects.filter(solution__in=set(solutions.values()))
    texts = {tuple(place): text for *place, text in alternatives.values_list("solution", "step_index", "position", "text")}
    labels: dict[int, list[LabelRow]] = {row.pk: [] for row in rows}
    columns = ("annotation", "step_index", "position", "rating", "flagged", "chosen", "rated_ms")
    listed = StepLabel.objects.filter(annotation__in=list(labels)).order_by("annotation", "step_index", "position")
    for annotation, step, position, rating, flagged, chosen, ms in listed.values_list(*columns):
        text = texts.get((solutions[annotation], step, position)) if position else None
        labels[annotation].append(LabelRow(step, position, rating, flagged, chosen, ms, text))
    return [
        AnnotationRow(
            id=row.pk, solution=row.solution_id, problem=row.solution.problem_id, labeler=pseudonyms.get(row.labeler_id),
            batch=row.assignment.batch_id, generation=row.assignment.batch.generation, batch_kind=row.assignment.batch.kind,
            revision=row.revision, supersedes=row.supersedes_id, finish_reason=row.finish_reason, reason=row.reason,
            first_mistake=row.first_mistake, active_ms=row.active_ms, total_ms=row.total_ms,
            guidelines_version=row.guidelines_version, mark=row.mark, created_at=row.created_at, labels=labels[row.pk],
        )
        for row in rows
    ]  # fmt: skip


def snapshot_rows(project: Project, *, after: int, limit: int) -> tuple[list[Snapshot], int | None]:
    """Return a page of the snapshots of a project after a number, and the number after which the next page begins (None at the end)."""
    rows = list(Snapshot.objects.filter(project=project, number__gt=after).order_by("number").prefetch_related("files")[: limit + 1])
    return rows[:limit], rows[limit - 1].number if len(rows) > limit else None


def snapshot_row(project: Project, number: int) -> Snapshot:
    """Return a snapshot of a project with its files. Raises NoSuchSnapshot."""
    snapshot = find_snapshot(project, number)
    prefetch_related_objects([snapshot], "files")
    return snapshot


def snapshots_of(project: Project) -> list[Snapshot]:
    """Return the newest snapshots of a project."""
    return list(Snapshot.objects.filter(project=project).order_by("-number")[:SNAPSHOTS])
