"""Stage: export, the manifest. Reads annotations, writes Snapshot and SnapshotItem: which annotations a dataset holds, for good.
Also the plain values a model is trained on, read through the manifest.
"""

from collections.abc import Iterator
from typing import NamedTuple

import orjson
from django.db import connection, transaction

from annotation.models import FinishReason, Project, Snapshot, Split


class Alternative(NamedTuple):
    """Another text for one step, with its rating."""

    step_index: int
    text: str
    rating: int


class LabeledSteps(NamedTuple):
    """One annotation as values: `ratings` has one place per step, None where nobody rated."""

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
      JOIN annotation_solution s ON s.id = a.solution_id JOIN annotation_problem p ON p.id = s.problem_id
     WHERE p.project_id = %(project)s AND p.split = ANY(%(splits)s) AND a.finish_reason <> ALL(%(without)s)
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
       (SELECT json_agg(json_build_array(l.step_index, l.position, l.rating, alt.text) ORDER BY l.step_index, l.position)
          FROM annotation_steplabel l
          LEFT JOIN annotation_stepalternative alt
            ON l.position > 0 AND alt.solution_id = s.id AND alt.step_index = l.step_index AND alt.position = l.position
         WHERE l.annotation_id = a.id AND l.rating IS NOT NULL)::text
  FROM annotation_snapshotitem i
  JOIN annotation_annotation a ON a.id = i.annotation_id
  JOIN annotation_solution s ON s.id = a.solution_id JOIN annotation_problem p ON p.id = s.problem_id
 WHERE i.snapshot_id = %s AND p.split = %s AND a.finish_reason <> %s
 ORDER BY a.id
"""


def take_snapshot(project: Project, *, splits: tuple[str, ...] = (Split.TRAIN,), without: tuple[str, ...] = ()) -> Snapshot:
    """Write the manifest of a dataset: the newest revision of every annotation on problems of these splits.

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
        for solution_id, problem_id, problem, steps, labels in cursor:
            texts = tuple(orjson.loads(steps))
            ratings: list[int | None] = [None] * len(texts)
            alternatives = []
            for step_index, position, rating, text in orjson.loads(labels or "[]"):
                if step_index < len(texts) and position == 0:
                    ratings[step_index] = rating
                elif step_index < len(texts) and text is not None:
                    alternatives.append(Alternative(step_index, text, rating))
            yield LabeledSteps(solution_id, problem_id, problem, texts, tuple(ratings), tuple(alternatives))
