"""Stage: export, previews: what a snapshot with a filter would hold, and the snapshots that a page lists. Writes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from annotation.export.datasets import chosen_now
from annotation.export.filters import SnapshotFilter, generations_of
from annotation.export.reading import AnnotationRow, rows_of
from annotation.models import Batch, DataOrder, FinishReason, Project, Snapshot, SnapshotFile

PREVIEW_SECONDS = 20  # that a page counts for
EXAMPLES = 5
LISTED = 50  # snapshots
CHOICES = 200  # batches, and other snapshots
_COUNT = f"""
SELECT count(*), count(DISTINCT a.solution_id), count(DISTINCT s.problem_id), count(DISTINCT a.labeler_id),
       {", ".join(f"count(*) FILTER (WHERE a.finish_reason = '{reason}')" for reason in FinishReason.values)}
  FROM unnest(%s::bigint[]) key
 CROSS JOIN LATERAL (SELECT solution_id, labeler_id, finish_reason FROM annotation_annotation WHERE id = key OFFSET 0) a
 CROSS JOIN LATERAL (SELECT problem_id FROM annotation_solution WHERE id = a.solution_id OFFSET 0) s
"""


class TooLarge(RuntimeError):
    """A page cannot count this in the time that it has. The message says what to do."""


@dataclass(frozen=True)
class SnapshotPreview:
    """What a snapshot would hold. `examples`: its newest annotations."""

    annotations: int
    solutions: int
    problems: int
    people: int
    finish_reasons: dict[str, int]
    examples: list[AnnotationRow]


@dataclass(frozen=True)
class ListedSnapshot:
    """A snapshot with what a list says of it. `by`: who ordered it; None: a command or a training took it."""

    snapshot: Snapshot
    by: User | None
    n_exports: int  # files


@dataclass(frozen=True)
class FilterChoices:
    """What a form can offer for a filter. `batches`: the newest."""

    generations: list[int]
    batches: list[Batch]
    has_more_batches: bool


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let each statement of the block take so many seconds (0: as long as it takes), in one transaction. Raises TooLarge."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{seconds}s'")
            yield
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")  # the transaction can be the caller's
    except (QueryCanceled, OperationalError) as error:
        if not isinstance(error, QueryCanceled) and not isinstance(error.__cause__, QueryCanceled):
            raise
        raise TooLarge(
            f"This project is so large that its labels are not counted within {seconds} seconds. Narrow the filter, or take the snapshot "
            "without looking first: a worker has all the time that it needs."
        ) from error


def preview_snapshot(project: Project, chosen: SnapshotFilter, *, seconds: float = PREVIEW_SECONDS) -> SnapshotPreview:
    """Return what a snapshot with this filter would hold now. Nothing is stored. Raises BadFilter and TooLarge."""
    chosen.check_in(project)
    with limited(seconds):
        keys = chosen_now(project, chosen).tolist()
        with connection.cursor() as cursor:
            annotations, solutions, problems, people, *ends = cursor.execute(_COUNT, [keys]).fetchone()
        finish_reasons = {reason: count for reason, count in zip(FinishReason.values, ends, strict=True) if count}
        return SnapshotPreview(annotations, solutions, problems, people, finish_reasons, rows_of(project, keys[-EXAMPLES:])[::-1])


def listed_snapshots(project: Project, *, before: int | None = None) -> tuple[list[ListedSnapshot], int | None]:
    """Return the newest snapshots of a project, or those before a number, and the number before which the next page begins."""
    rows = Snapshot.objects.filter(project=project).select_related("project")
    found = list((rows.filter(number__lt=before) if before else rows).order_by("-number")[: LISTED + 1])
    shown = found[:LISTED]
    people = _takers(shown)
    exports: dict[int, int] = {}
    for snapshot in SnapshotFile.objects.filter(snapshot__in=shown).values_list("snapshot", flat=True):
        exports[snapshot] = exports.get(snapshot, 0) + 1
    listed = [ListedSnapshot(row, people.get(row.pk), exports.get(row.pk, 0)) for row in shown]
    return listed, shown[-1].number if len(found) > LISTED else None


def taken_by(snapshot: Snapshot) -> User | None:
    """Return who ordered a snapshot. None: a command or a training took it."""
    return _takers([snapshot]).get(snapshot.pk)


def _takers(snapshots: list[Snapshot]) -> dict[int, User | None]:
    orders = DataOrder.objects.filter(snapshot__in=snapshots, spec__isnull=False).select_related("created_by")
    return {order.snapshot_id: order.created_by for order in orders if order.snapshot_id}


def filter_choices(project: Project) -> FilterChoices:
    """Return the generations of a project, and its newest batches."""
    rows = Batch.objects.filter(project=project)
    batches = list(rows.order_by("-pk")[: CHOICES + 1])
    return FilterChoices(generations_of(project), batches[:CHOICES], len(batches) > CHOICES)


def other_snapshots(snapshot: Snapshot) -> list[int]:
    """Return the numbers of the other snapshots of the project, the newest first, at most CHOICES."""
    rows = Snapshot.objects.filter(project=snapshot.project_id).exclude(pk=snapshot.pk).order_by("-number")
    return list(rows.values_list("number", flat=True)[:CHOICES])
