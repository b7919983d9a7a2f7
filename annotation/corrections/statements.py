"""Stage: corrections, its SQL. It grades in temporary tables of the session, so that nothing is written until a person agrees."""

# Of the session, not of a transaction: grading can take long, and no row is locked meanwhile.
DROP = "DROP TABLE IF EXISTS pg_temp.correction_problem, pg_temp.correction_solution, pg_temp.correction_grade"
CREATE = """
CREATE TEMP TABLE correction_problem (problem_id bigint PRIMARY KEY, old_answer text, answer text);
CREATE TEMP TABLE correction_solution (solution_id bigint PRIMARY KEY, stated text, reference text, old_reference text, old_outcome text);
CREATE TEMP TABLE correction_grade (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stated text, reference text, outcome text, reason text)
"""
# The solutions of the problems that get another answer, except those that are there already.
NEW_IN_SCOPE = """
SELECT s.id, s.final_answer, c.answer, c.old_answer, s.outcome
  FROM annotation_solution s JOIN correction_problem c USING (problem_id)
 WHERE NOT EXISTS (SELECT FROM correction_solution known WHERE known.solution_id = s.id)
"""
# An ungraded solution with both answers has got its reference answer since.
SCOPE_OF_PROJECT = """
SELECT s.id, s.final_answer, p.answer, p.answer, s.outcome
  FROM annotation_solution s JOIN annotation_problem p ON p.id = s.problem_id
 WHERE p.project_id = %(project)s
   AND (%(everything)s OR s.grader <> %(grader)s OR s.outcome = 'ungraded' AND s.final_answer IS NOT NULL AND p.answer IS NOT NULL)
"""
# A missing answer is chr(1) in joins, which makes them hash joins.
_SAME_PAIR = """COALESCE(g.stated, chr(1)) = COALESCE(c.stated, chr(1)) AND COALESCE(g.reference, chr(1)) = COALESCE(c.reference, chr(1))"""
# Answers that were read from the steps. A null of an older version that states no answer was one, too.
_WAS_READ = "(s.is_answer_given IS FALSE OR s.is_answer_given IS NULL AND (s.final_answer IS NULL OR %(unknown)s))"
_OF_SOLUTIONS = "correction_solution c JOIN annotation_solution s ON s.id = c.solution_id"
COUNT_TO_READ = f"""
SELECT count(*) FILTER (WHERE {_WAS_READ}), count(*) FILTER (WHERE s.is_answer_given IS NULL AND NOT {_WAS_READ}) FROM {_OF_SOLUTIONS}
"""
NEXT_TO_READ = f"""
SELECT c.solution_id, s.steps, c.stated FROM {_OF_SOLUTIONS} WHERE c.solution_id > %(last)s AND {_WAS_READ} ORDER BY 1 LIMIT %(limit)s
"""
READ = """
UPDATE correction_solution c SET stated = new.answer FROM unnest(%s::bigint[], %s::text[]) AS new (id, answer) WHERE c.solution_id = new.id
"""
PAIRS = f"""
INSERT INTO correction_grade (stated, reference)
SELECT DISTINCT c.stated, c.reference FROM correction_solution c WHERE NOT EXISTS (SELECT FROM correction_grade g WHERE {_SAME_PAIR})
"""
NEXT_PAIRS = "SELECT n, stated, reference FROM correction_grade WHERE outcome IS NULL ORDER BY n LIMIT %s"
GRADES = """
UPDATE correction_grade g SET outcome = new.outcome, reason = new.reason
  FROM unnest(%s::int[], %s::text[], %s::text[]) AS new (n, outcome, reason) WHERE g.n = new.n
"""
_GRADED = f"correction_solution c JOIN correction_grade g ON {_SAME_PAIR}"
TRANSITIONS = f"SELECT c.old_outcome, g.outcome, count(*) FROM {_GRADED} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
CHANGED = f"""
SELECT c.solution_id, c.old_outcome, g.outcome, g.reason FROM {_GRADED} WHERE g.outcome <> c.old_outcome ORDER BY 1 LIMIT %(limit)s
"""
# What the solutions answer, those with another outcome first.
ANSWERS = f"""
SELECT c.stated, c.old_outcome, g.outcome, count(*) FROM {_GRADED}
 GROUP BY 1, 2, 3 ORDER BY c.old_outcome = g.outcome, 4 DESC, 1 LIMIT %(limit)s
"""
COUNT_READ = f"SELECT count(*) FROM {_OF_SOLUTIONS} WHERE c.stated IS DISTINCT FROM s.final_answer"
LABELED = f"""
SELECT count(*) FROM {_GRADED}
 WHERE g.outcome <> c.old_outcome AND EXISTS (SELECT FROM annotation_annotation a WHERE a.solution_id = c.solution_id)
"""
# What waits for labelers, or is being labeled, though the reason of its choice is false under the outcome that it has or gets.
FALSE_REASONS = f"""
SELECT s.id, t.premise, b.generation, now.outcome, bool_or(a.state = 'leased')
  FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id JOIN annotation_solution s ON s.id = t.solution_id
  JOIN annotation_assignment a ON a.task_id = t.id AND a.state IN ('open', 'reserved', 'leased')
  LEFT JOIN (SELECT c.solution_id, g.outcome FROM {_GRADED}) new ON new.solution_id = s.id
 CROSS JOIN LATERAL (SELECT COALESCE(new.outcome, s.outcome)) AS now (outcome)
 WHERE b.project_id = %(project)s AND t.premise <> '' AND s.withdrawn_at IS NULL
   AND CASE t.premise WHEN 'wrong' THEN now.outcome <> 'wrong' WHEN 'not_wrong' THEN now.outcome = 'wrong' ELSE now.outcome <> 'correct' END
   AND (%(problems)s::bigint[] IS NULL OR s.problem_id = ANY(%(problems)s))
 GROUP BY 1, 2, 3, 4 ORDER BY 3, 1
"""
MOVED = """
SELECT count(*)
  FROM correction_solution c JOIN annotation_solution s ON s.id = c.solution_id JOIN annotation_problem p ON p.id = s.problem_id
 WHERE s.outcome <> c.old_outcome OR p.answer IS DISTINCT FROM c.old_reference
"""
# Only rows that differ: each changed row of the widest table costs a new version of it.
_DIFFER = "(s.final_answer, s.outcome, s.outcome_reason, s.grader) IS DISTINCT FROM (c.stated, g.outcome, g.reason, %(grader)s)"
WRITE = f"""
UPDATE annotation_solution s SET final_answer = c.stated, outcome = g.outcome, outcome_reason = g.reason, grader = %(grader)s
  FROM {_GRADED} WHERE s.id = c.solution_id AND {_DIFFER}
"""
COUNT_WRITTEN = f"SELECT count(*) FROM {_GRADED} JOIN annotation_solution s ON s.id = c.solution_id WHERE {_DIFFER}"
BY_PROBLEM = f"""
SELECT s.problem_id, c.old_outcome, g.outcome, count(*) FROM {_GRADED} JOIN annotation_solution s ON s.id = c.solution_id
 WHERE g.outcome <> c.old_outcome GROUP BY 1, 2, 3
"""
