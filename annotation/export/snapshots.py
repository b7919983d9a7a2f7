"""Stage: export, the manifest. Reads annotations, writes Snapshot and SnapshotItem: which annotations a dataset holds, for good.
Also the plain values a model is trained on, read through the manifest.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction

from annotation.models import FinishReason, Project, Snapshot, Split


class Alternative(NamedTuple):
    """Another text for one step, with its rating."""

    step_index: int
    text: str
    rating: int


class LabeledSteps(NamedTuple):
    """One annotation as values: `ratings` has one place per step, None where nobody rated.

    The steps are the solution's own, or, where people choose how it goes on, those gone on from.
    """

    solution_id: int
    problem_id: int
    problem: str
    steps: tuple[str, ...]
    ratings: tuple[int | None, ...]
    alternatives: tuple[Alternative, ...]


# One statement sees one state of the database, however many people label meanwhile: what REPEATABLE READ gives, and that also
# inside a caller's transaction. `id <= N` or `created_at <= T` would drift, since transactions commit out of order.
_TAKE = """
WITH chosen AS MATERIALIZED (
    SELECT a.id FROM annotation_annotation a
      JOIN annotation_assignment assignment ON assignment.id = a.assignment_id JOIN annotation_batch b ON b.id = assignment.batch_id
      JOIN annotation_solution s ON s.id = a.solution_id JOIN annotation_problem p ON p.id = s.problem_id
     WHERE p.project_id = %(project)s AND p.split = ANY(%(splits)s) AND a.finish_reason <> ALL(%(without)s) AND b.kind <> 'practice'
       AND NOT EXISTS (SELECT FROM annotation_annotation newer WHERE newer.supersedes_id = a.id)),
taken AS (
    INSERT INTO annotation_snapshot (project_id, number, spec, file, sha256, count, created_at)
    SELECT %(project)s, COALESCE((SELECT max(number) FROM annotation_snapshot WHERE project_id = %(project)s), 0) + 1,
           %(spec)s::jsonb, '', '', (SELECT count(*) FROM chosen), now()
    RETURNING id),
held AS (INSERT INTO annotation_snapshotitem (snapshot_id, annotation_id) SELECT taken.id, chosen.id FROM taken, chosen)
SELECT id FROM taken
"""

_LABELED = """
SELECT s.id, p.id, p.statement, s.steps::text,
       project.step_source = 'interactive' AND b.kind NOT IN ('imported', 'imported_gold'),
       (SELECT json_agg(json_build_array(l.step_index, l.position, l.rating, l.chosen, alt.text)
                        ORDER BY l.step_index, l.shown_at, l.position)
          FROM annotation_steplabel l
          LEFT JOIN annotation_stepalternative alt
            ON l.position > 0 AND alt.solution_id = s.id AND alt.step_index = l.step_index AND alt.position = l.position
         WHERE l.annotation_id = a.id AND (l.rating IS NOT NULL OR l.chosen))::text
  FROM annotation_snapshotitem i
  JOIN annotation_annotation a ON a.id = i.annotation_id
  JOIN annotation_assignment assignment ON assignment.id = a.assignment_id JOIN annotation_batch b ON b.id = assignment.batch_id
  JOIN annotation_project project ON project.id = b.project_id
  JOIN annotation_solution s ON s.id = a.solution_id JOIN annotation_problem p ON p.id = s.problem_id
 WHERE i.snapshot_id = %s AND p.split = %s AND a.finish_reason <> %s
 ORDER BY a.id
"""


def take_snapshot(project: Project, *, splits: tuple[str, ...] = (Split.TRAIN,), without: tuple[str, ...] = ()) -> Snapshot:
    """Write the manifest of a dataset: the newest revision of every annotation on problems of these splits; practice is never in it.

    `without` leaves out annotations that finished for these reasons. An empty project gives an empty snapshot.
    """
    spec = orjson.dumps({"splits": list(splits), "without": list(without)}).decode()
    with transaction.atomic(), connection.cursor() as cursor:
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # numbers go up by one; labeling is not blocked
        cursor.execute(_TAKE, {"project": project.pk, "splits": list(splits), "without": list(without), "spec": spec})
        return Snapshot.objects.get(pk=cursor.fetchone()[0])


def labeled_solutions(snapshot: Snapshot) -> Iterator[LabeledSteps]:
    """Give the annotations of a snapshot as values for training, in order of their age.

    Streams through a server-side cursor. Problems of the test split never come, whatever the snapshot holds, nor do annotations that call
    the problem bad. Solutions labeled by several people come once for each.
    """
    # Outside a transaction the cursor is WITH HOLD: what the caller writes between two values, a heartbeat say, is committed at once.
    with connection.chunked_cursor() as cursor:
        cursor.itersize = 500
        cursor.execute(_LABELED, [snapshot.pk, Split.TRAIN, FinishReason.BAD_PROBLEM])
        for solution_id, problem_id, problem, steps, walks, labels in cursor:
            own, rows = orjson.loads(steps), orjson.loads(labels or "[]")
            texts, ratings, alternatives = _walked(own, rows) if walks else _rated(own, rows)
            if texts:  # else it was broken off before the first rating of a walk
                yield LabeledSteps(solution_id, problem_id, problem, tuple(texts), tuple(ratings), tuple(alternatives))


def _rated(own: list[str], labels: list[Any]) -> tuple[list[str], list[int | None], list[Alternative]]:
    """Return the whole solution with the ratings it has, and what was rated beside it."""
    ratings: list[int | None] = [None] * len(own)
    alternatives = []
    for step, position, rating, _, text in labels:
        if step < len(own) and position == 0:
            ratings[step] = rating
        elif step < len(own) and text is not None and rating is not None:
            alternatives.append(Alternative(step, text, rating))
    return own, ratings, alternatives


def _walked(own: list[str], labels: list[Any]) -> tuple[list[str], list[int | None], list[Alternative]]:
    """Return the texts a labeler went on from, and what was rated beside each; where they broke off, the first one rated stands."""
    texts: list[str] = []
    ratings: list[int | None] = []
    alternatives = []
    for step, group in groupby(labels, key=itemgetter(0)):
        shown = [(own[step] if position == 0 else text, rating, chosen) for _, position, rating, chosen, text in group]
        at = next((place for place, (_, _, chosen) in enumerate(shown) if chosen), 0)
        texts.append(shown[at][0])
        ratings.append(shown[at][1])  # None: written by hand, and nobody rated it
        alternatives += [
            Alternative(step, text, rating) for place, (text, rating, _) in enumerate(shown) if place != at and rating is not None
        ]
    return texts, ratings, alternatives
