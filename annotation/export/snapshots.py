"""Stage: export, snapshots. Writes Snapshot and SnapshotItem, the list of the annotations in a dataset, which never changes. Also gives
the plain values of a snapshot that a model is trained on. A snapshot for a data set has a content file too (datasets.py).
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction
from django.db.models import Max

from annotation import eligibility
from annotation.eligibility import Use
from annotation.models import BatchKind, FinishReason, Project, Snapshot, Split


class ContentMissing(LookupError):
    """A snapshot without a content that can be read. The message says why, and what to do."""


class ContentDamaged(ValueError):
    """A content file that is not the one that was written. The message says what to do."""


class Alternative(NamedTuple):
    """Another text for one step, with its rating."""

    step_index: int
    text: str
    rating: int


class LabeledSteps(NamedTuple):
    """One annotation as values. `ratings` has a place for each step, None if nobody rated it.

    The steps are the solution's own. In an interactive project they are those that the labeler chose. `is_whole` tells whether one person's
    verdict can be compared with another's: the whole solution was judged, and nobody gave up.
    """

    solution_id: int
    problem_id: int
    problem: str
    steps: tuple[str, ...]
    ratings: tuple[int | None, ...]
    alternatives: tuple[Alternative, ...]
    labeler_id: int
    is_whole: bool
    is_adjudication: bool


# The statistics do not know the rows that these statements read: they were loaded, labeled or chosen seconds ago. A plan that expects
# one row and meets 40,000 reads all annotations of all projects again for each of them. So each table is reached from the one before
# it by one index probe a row: LATERAL with OFFSET 0 leaves the planner no other plan.

# The annotations of a project that fulfil a condition. Its tasks come first, by one read at most. One statement sees one state of the
# database, however many people label meanwhile. `id <= N` or `created_at <= T` would drift, since transactions commit out of order.
CHOOSE = """
SELECT a.id
  FROM (SELECT id, batch_id FROM annotation_task
         WHERE batch_id = ANY (ARRAY(SELECT id FROM annotation_batch WHERE project_id = %(project)s)) OFFSET 0) t
 CROSS JOIN LATERAL (SELECT kind, generation FROM annotation_batch WHERE id = t.batch_id OFFSET 0) b
 CROSS JOIN LATERAL (SELECT id FROM annotation_assignment WHERE task_id = t.id OFFSET 0) assignment
 CROSS JOIN LATERAL (SELECT * FROM annotation_annotation WHERE assignment_id = assignment.id OFFSET 0) a
 CROSS JOIN LATERAL (SELECT problem_id, source FROM annotation_solution WHERE id = a.solution_id OFFSET 0) s
 CROSS JOIN LATERAL (SELECT split FROM annotation_problem WHERE id = s.problem_id OFFSET 0) p
 WHERE {condition}
"""
_LIST = "INSERT INTO annotation_snapshotitem (snapshot_id, annotation_id) SELECT %(snapshot)s, id FROM ({chosen}) chosen"

# The annotations of a list (`held`), oldest first, each with the rows that it belongs to.
PROBED = """
 CROSS JOIN LATERAL (SELECT * FROM annotation_annotation WHERE id = held.annotation_id OFFSET 0) a
 CROSS JOIN LATERAL (SELECT * FROM annotation_assignment WHERE id = a.assignment_id OFFSET 0) assignment
 CROSS JOIN LATERAL (SELECT * FROM annotation_task WHERE id = assignment.task_id OFFSET 0) t
 CROSS JOIN LATERAL (SELECT * FROM annotation_batch WHERE id = assignment.batch_id OFFSET 0) b
 CROSS JOIN LATERAL (SELECT * FROM annotation_project WHERE id = b.project_id OFFSET 0) project
 CROSS JOIN LATERAL (SELECT * FROM annotation_solution WHERE id = a.solution_id OFFSET 0) s
 CROSS JOIN LATERAL (SELECT * FROM annotation_problem WHERE id = s.problem_id OFFSET 0) p
"""
HELD = "(SELECT annotation_id FROM annotation_snapshotitem WHERE snapshot_id = %s ORDER BY annotation_id OFFSET 0) held"

_LABELED = f"""
SELECT s.id, p.id, p.statement, s.steps::text,
       project.step_source = 'interactive' AND b.kind NOT IN ('imported', 'imported_gold'),
       a.labeler_id, b.generation IS NOT NULL, a.finish_reason, b.kind,
       (SELECT json_agg(json_build_array(l.step_index, l.position, l.rating, l.chosen, alt.text)
                        ORDER BY l.step_index, l.shown_at, l.position)
          FROM annotation_steplabel l
          LEFT JOIN annotation_stepalternative alt
            ON l.position > 0 AND alt.solution_id = s.id AND alt.step_index = l.step_index AND alt.position = l.position
         WHERE l.annotation_id = a.id AND (l.rating IS NOT NULL OR l.chosen))::text
  FROM {HELD} {PROBED}
 WHERE p.split = %s AND a.finish_reason <> %s
 ORDER BY held.annotation_id
"""


def list_for_training(project: Project) -> Snapshot:
    """Take a snapshot of what a model learns from: a list of annotations without a content file."""
    with transaction.atomic():
        snapshot = new_snapshot(project)
        condition = f"p.split = ANY(%(splits)s) AND {eligibility.sql(Use.TRAINING)}"
        statement = _LIST.format(chosen=CHOOSE.format(condition=condition))
        with connection.cursor() as cursor:
            cursor.execute(statement, {"snapshot": snapshot.pk, "project": project.pk, "splits": [Split.TRAIN]})
            snapshot.count = cursor.rowcount
        rule = eligibility.rule_of(Use.TRAINING)
        snapshot.spec = {"splits": [Split.TRAIN], "without": [], "use": Use.TRAINING}
        snapshot.spec |= {"newcomers": rule.newcomers, "adjudications": rule.adjudications}
        # Whose labels are missing: once this changes, a training has other labels.
        snapshot.spec["left_out"] = eligibility.people_left_out(project)
        return record(snapshot)


def new_snapshot(project: Project) -> Snapshot:
    """Return a snapshot that is not stored: call `record` in the same transaction.

    Until then no number is taken and no lock is held, and a kill leaves nothing of the snapshot. Its list can be stored before it, because
    their foreign key is checked at commit.
    """
    with connection.cursor() as cursor:
        (key,) = cursor.execute("SELECT nextval(pg_get_serial_sequence('annotation_snapshot', 'id'))").fetchone()
    return Snapshot(pk=key, project=project)


def record(snapshot: Snapshot) -> Snapshot:
    """Store a snapshot under the next number of its project."""
    take_number(snapshot)
    snapshot.save(force_insert=True)
    return snapshot


def take_number(snapshot: Snapshot) -> None:
    """Give a snapshot the next number of its project. No other snapshot of this project gets one before the transaction ends."""
    Project.objects.select_for_update(no_key=True).get(pk=snapshot.project_id)  # numbers go up by one; labeling is not blocked
    newest = Snapshot.objects.filter(project=snapshot.project_id).aggregate(newest=Max("number"))["newest"] or 0
    snapshot.number = newest + 1


def labeled_solutions(snapshot: Snapshot) -> Iterator[LabeledSteps]:
    """Yield the annotations of a snapshot as values for training, oldest first.

    Problems of the test split are left out, also if the snapshot has them, and so are annotations that
    call the problem bad. A solution that several people labeled comes once for each of them.
    """
    rows = streamed(_LABELED, [snapshot.pk, Split.TRAIN, FinishReason.BAD_PROBLEM])
    for solution_id, problem_id, problem, steps, is_interactive, labeler_id, has_generation, finish_reason, kind, labels in rows:
        own, rated = orjson.loads(steps), orjson.loads(labels or "[]")
        texts, ratings, alternatives = _chosen_path(own, rated) if is_interactive else _rated(own, rated)
        if texts:  # else the labeler gave up before the first rating of an interactive solution
            yield LabeledSteps(
                solution_id,
                problem_id,
                problem,
                tuple(texts),
                tuple(ratings),
                tuple(alternatives),
                labeler_id=labeler_id,
                is_whole=not is_interactive and has_generation and _has_ended(finish_reason, ratings),
                is_adjudication=kind == BatchKind.REVIEW,
            )


def _has_ended(finish_reason: str, ratings: list[int | None]) -> bool:
    """Return whether a whole solution was judged to its end: without a mistake, or with one that is marked."""
    return finish_reason == (FinishReason.FOUND_ERROR if -1 in ratings else FinishReason.SOLUTION)


def streamed(statement: str, parameters: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement through a server-side cursor, so that memory does not grow with their number.

    Outside a transaction the cursor is WITH HOLD: what the caller writes between two rows, such as a heartbeat, is committed at once.
    """
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(500):
            yield from rows


def _rated(own: list[str], labels: list[Any]) -> tuple[list[str], list[int | None], list[Alternative]]:
    """Return the whole solution with its ratings, and the rated alternatives."""
    ratings: list[int | None] = [None] * len(own)
    alternatives = []
    for step, position, rating, _, text in labels:
        if step < len(own) and position == 0:
            ratings[step] = rating
        elif step < len(own) and text is not None and rating is not None:
            alternatives.append(Alternative(step, text, rating))
    return own, ratings, alternatives


def _chosen_path(own: list[str], labels: list[Any]) -> tuple[list[str], list[int | None], list[Alternative]]:
    """Return the texts that a labeler chose, and the rated alternatives of each; of an unfinished step, the first text that was rated."""
    texts: list[str] = []
    ratings: list[int | None] = []
    alternatives = []
    for step, group in groupby(labels, key=itemgetter(0)):
        shown = [(own[step] if position == 0 else text, rating, chosen) for _, position, rating, chosen, text in group]
        at = next((place for place, (_, _, chosen) in enumerate(shown) if chosen), 0)
        texts.append(shown[at][0])
        ratings.append(shown[at][1])  # None: the labeler wrote it, and nobody rated it
        alternatives += [
            Alternative(step, text, rating) for place, (text, rating, _) in enumerate(shown) if place != at and rating is not None
        ]
    return texts, ratings, alternatives
