"""Stage: labels, its SQL. Each statement is a transaction of its own: all of it happens, or nothing."""

from annotation.models import Annotation, Project
from annotation.people import MAY_LABEL
from annotation.queue import LEASE_RESERVED

ANNOTATION = [field.attname for field in Annotation._meta.concrete_fields]
PROJECT = [field.attname for field in Project._meta.concrete_fields]

# Stores a draft unless a newer one is stored, and returns whether the claim still counts. It is raw SQL because the ORM's upsert has
# no WHERE, and reading first would race with the next save, which the browser sends without waiting. A token below the one of the
# assignment belongs to an earlier claim: late work is kept too. Without a revision number the draft gets the next one. Somebody who became
# a manager meanwhile holds nothing, and their late work is kept if they held the assignment: last, or with a draft.
KEEP_DRAFT = f"""
WITH assignment AS (
  SELECT s.id, {MAY_LABEL} AND s.token = %(token)s
               AND m.user_id = CASE s.state WHEN 'leased' THEN s.labeler_id WHEN 'open' THEN s.lapsed_id END AS held
    FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
    JOIN annotation_membership m ON m.project_id = b.project_id AND m.user_id = %(labeler)s AND m.role <> 'former'
   WHERE s.id = %(assignment)s AND ({MAY_LABEL} OR s.lapsed_id = m.user_id OR EXISTS (
           SELECT 1 FROM annotation_draft o WHERE o.assignment_id = s.id AND o.labeler_id = m.user_id))
     AND %(token)s BETWEEN 1 AND s.token AND NOT (s.state = 'done' AND s.labeler_id = m.user_id)),
kept AS (
  INSERT INTO annotation_draft AS d (assignment_id, labeler_id, token, revision, ratings, saved_at)
  SELECT assignment.id, %(labeler)s, %(token)s, COALESCE(%(revision)s::int, 1), %(ratings)s::jsonb, now() FROM assignment
      ON CONFLICT (assignment_id, labeler_id, token)
      DO UPDATE SET revision = COALESCE(%(revision)s::int, d.revision + 1), ratings = EXCLUDED.ratings, saved_at = now()
       WHERE %(revision)s::int IS NULL OR d.revision < %(revision)s::int
  RETURNING revision)
SELECT COALESCE(assignment.held, false), kept.revision FROM assignment LEFT JOIN kept ON true
"""

# The solution of a sitting, and its project. PostgreSQL counts the steps, so that the text of a long solution is not sent.
_SUBJECT = f"""
SELECT n.id, jsonb_array_length(n.steps), s.id, {{revision}}, {", ".join(f"p.{column}" for column in PROJECT)}
  FROM annotation_assignment s JOIN annotation_task t ON t.id = s.task_id JOIN annotation_solution n ON n.id = t.solution_id
  JOIN annotation_batch b ON b.id = s.batch_id JOIN annotation_project p ON p.id = b.project_id
"""
SUBJECT_OF_ASSIGNMENT = _SUBJECT.format(revision="0") + " WHERE s.id = %(assignment)s"
SUBJECT_OF_MEMBER = _SUBJECT.format(revision="0") + (
    f"  JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = %(labeler)s AND {MAY_LABEL} WHERE s.id = %(assignment)s"
)
SUBJECT_OF_ANNOTATION = _SUBJECT.format(revision="a.revision") + (
    "  JOIN annotation_annotation a ON a.assignment_id = s.id WHERE a.id = %(annotation)s AND a.labeler_id = %(labeler)s"
)

_STORE = f"""
stored AS (
  INSERT INTO annotation_annotation (assignment_id, labeler_id, solution_id, revision, supersedes_id, finish_reason, reason,
                                     active_ms, total_ms, submission_id, body_hash, guidelines_version)
  SELECT %(assignment)s, %(labeler)s, %(solution)s, %(revision)s, {{supersedes}}, %(finish_reason)s, %(reason)s,
         %(active_ms)s, %(total_ms)s, %(submission_id)s, %(body_hash)s, %(guidelines)s
    FROM ended
  RETURNING {", ".join(ANNOTATION)}),
labels AS (
  INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, flagged, rated_ms, chosen, shown_at)
  SELECT stored.id, l.step, l.position, l.rating, l.flagged, l.ms, l.chosen, l.shown_at
    FROM stored CROSS JOIN jsonb_to_recordset(%(labels)s::jsonb)
                           AS l(step int, position int, rating int, flagged bool, ms int, chosen bool, shown_at int))
SELECT * FROM stored
"""

# Ends the assignment if this claim still counts (the condition of queue.fence), stores the labels, deletes the drafts and turns the
# reservation into the lease. All parts depend on `ended`: without that row nothing is written and no row is returned.
SUBMIT = f"""
WITH ended AS (
  UPDATE annotation_assignment s SET state = 'done', labeler_id = %(labeler)s, lapsed_id = NULL, lease_expires_at = NULL
   WHERE s.id = %(assignment)s AND s.token = %(token)s
     AND (s.state = 'leased' AND s.labeler_id = %(labeler)s OR s.state = 'open' AND s.lapsed_id = %(labeler)s)
  RETURNING s.id),
leased AS ({LEASE_RESERVED} AND EXISTS (SELECT 1 FROM ended)),
dropped AS (DELETE FROM annotation_draft d USING ended WHERE d.assignment_id = ended.id AND d.labeler_id = %(labeler)s),
{_STORE.format(supersedes="NULL")}"""
REVISE = f"WITH ended AS (SELECT 1), {_STORE.format(supersedes='%(supersedes)s')}"

# Opens a new assignment at the task of one that was skipped, unless enough others are left since the overlap was lowered, or its batch is
# closed. One that was made on demand was for that person only and has no successor; it costs the same statement, so that the time of a
# skip does not tell gold from other work. The caller holds a lock of the task.
SUCCESSOR = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, token)
SELECT s.task_id, (SELECT max(slot) + 1 FROM annotation_assignment WHERE task_id = s.task_id), s.batch_id, t.priority, 'open', 0
  FROM annotation_assignment s JOIN annotation_task t ON t.id = s.task_id JOIN annotation_batch b ON b.id = s.batch_id
 WHERE s.id = %(assignment)s AND s.slot IS NOT NULL AND b.state <> 'closed'
   AND (SELECT count(*) FROM annotation_assignment o
         WHERE o.task_id = s.task_id AND (o.state = 'done' OR o.slot IS NOT NULL AND o.state IN ('open', 'reserved', 'leased'))) < t.overlap
"""
