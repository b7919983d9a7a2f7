"""Stage: ingest, its SQL in the order in which it runs: from the temporary tables of one load to Problem and Solution and, for labels
of a file, Task, Assignment, Annotation and StepLabel. Every statement works on the whole load at once.
"""

COLUMNS = {
    "incoming_problem": "line, key, given_id, external_id, statement, reference_solution, answer, subject, level, split",
    "incoming_solution": "seq, line, key, digest, steps, final_answer, is_answer_given, source",
    "incoming_alternative": "seq, step_index, place, text",
    "incoming_annotation": "seq, submission_id, body_hash, labeler, generation, kind, finish_reason, reason, total_ms, verifier_score, "
    "created_at, question",
    "incoming_label": "seq, step_index, text, by_labeler, nth, rating, flagged, chosen, shown_at",
    "incoming_gold": "seq, line, first_mistake",
}

# They are dropped and created again, so that one transaction can load twice.
STAGE = """
DROP TABLE IF EXISTS pg_temp.incoming_problem, pg_temp.incoming_solution, pg_temp.incoming_alternative, pg_temp.incoming_annotation,
    pg_temp.incoming_label, pg_temp.gathered_problem, pg_temp.resolved_problem, pg_temp.new_solution, pg_temp.new_grade,
    pg_temp.wanted_alternative, pg_temp.new_annotation, pg_temp.used_alternative, pg_temp.incoming_gold, pg_temp.gathered_gold;
CREATE TEMP TABLE incoming_problem (line int, key text, given_id text, external_id text, statement text, reference_solution text,
    answer text, subject text, level text, split text, same text GENERATED ALWAYS AS (stepmark_statement_key(statement)) STORED
    ) ON COMMIT DROP;
CREATE TEMP TABLE incoming_solution (
    seq bigint, line int, key text, digest bytea, steps jsonb, final_answer text, is_answer_given boolean, source text
) ON COMMIT DROP;
CREATE TEMP TABLE incoming_alternative (seq bigint, step_index int, place int, text text) ON COMMIT DROP;
CREATE TEMP TABLE incoming_annotation (seq bigint, submission_id uuid, body_hash bytea, labeler uuid, generation smallint, kind text,
    finish_reason text, reason text, total_ms int, verifier_score float8, created_at timestamptz, question jsonb) ON COMMIT DROP;
CREATE TEMP TABLE incoming_label (seq bigint, step_index int, text text, by_labeler bool, nth int, rating smallint, flagged bool,
    chosen bool, shown_at int) ON COMMIT DROP;
CREATE TEMP TABLE incoming_gold (seq bigint, line int, first_mistake smallint) ON COMMIT DROP;
CREATE TEMP TABLE new_grade (seq bigint, outcome text, reason text) ON COMMIT DROP;
"""

# An id must have one statement, so that no label ever belongs to another problem.
SAME_ID_OTHER_STATEMENT = """
SELECT line, given_id FROM (
    SELECT i.line, i.given_id FROM incoming_problem i
      JOIN annotation_problem p ON p.project_id = %(project)s AND p.external_id = i.given_id WHERE p.statement_key <> i.same
    UNION ALL
    SELECT line, given_id
      FROM (SELECT line, given_id, same, first_value(same) OVER (PARTITION BY given_id ORDER BY line) AS first_same
              FROM incoming_problem WHERE given_id IS NOT NULL) given
     WHERE same <> first_same
) clash ORDER BY line LIMIT 1
"""

# Each line can have a part of a problem (phase 1 of PRM800K has no reference solution). The first value found is used, and test goes
# before train.
GATHER_PROBLEMS = """
CREATE TEMP TABLE gathered_problem ON COMMIT DROP AS
SELECT key, min(given_id) AS given_id, (array_agg(external_id ORDER BY line))[1] AS external_id,
       (array_agg(statement ORDER BY line))[1] AS statement, min(same) AS same, min(line) AS line,
       (array_agg(reference_solution ORDER BY line) FILTER (WHERE reference_solution IS NOT NULL))[1] AS reference_solution,
       (array_agg(answer ORDER BY line) FILTER (WHERE answer IS NOT NULL))[1] AS answer,
       COALESCE((array_agg(subject ORDER BY line) FILTER (WHERE subject <> ''))[1], '') AS subject,
       COALESCE((array_agg(level ORDER BY line) FILTER (WHERE level <> ''))[1], '') AS level,
       CASE WHEN bool_or(split = 'test') THEN 'test' ELSE 'train' END AS split
  FROM incoming_problem GROUP BY key
"""

# Copies of one statement in a file: for each, its first line as a train problem and its first line as a test problem.
MIXED_SPLITS = """
SELECT min(line) FILTER (WHERE split = 'train') AS train, min(line) FILTER (WHERE split = 'test') AS test
  FROM incoming_problem GROUP BY same HAVING count(DISTINCT split) > 1 ORDER BY min(line)
"""

# Identified by its id, or else by its statement without white space: otherwise a file without ids would store the problems of a file with
# ids again, and a copy of a test problem with one more blank would be a train problem. Of several copies in a file, the first one with an
# id is stored.
INSERT_PROBLEMS = """
INSERT INTO annotation_problem (project_id, external_id, statement, reference_solution, answer, subject, level, split, created_at)
SELECT %(project)s, external_id, statement, reference_solution, answer, subject, level, split, now()
  FROM (SELECT DISTINCT ON (same) * FROM gathered_problem ORDER BY same, given_id IS NULL, line) g
 WHERE NOT EXISTS (SELECT FROM annotation_problem p WHERE p.project_id = %(project)s AND p.statement_key = g.same)
 ORDER BY line
"""

RESOLVE_PROBLEMS = """
CREATE TEMP TABLE resolved_problem ON COMMIT DROP AS
WITH known AS MATERIALIZED (SELECT id, external_id, statement_key FROM annotation_problem WHERE project_id = %(project)s),
by_statement AS MATERIALIZED (SELECT DISTINCT ON (statement_key) id, statement_key FROM known ORDER BY statement_key, id)
SELECT g.key, COALESCE(by_id.id, by_statement.id) AS problem_id, g.line, g.statement, g.reference_solution, g.answer, g.subject, g.level,
       g.split
  FROM gathered_problem g
  LEFT JOIN known by_id ON by_id.external_id = g.given_id
  LEFT JOIN by_statement ON by_statement.statement_key = g.same;
ANALYZE resolved_problem
"""

COUNT_OTHER_ANSWERS = """
SELECT count(*) FROM resolved_problem r JOIN annotation_problem p ON p.id = r.problem_id WHERE p.answer <> r.answer
"""

# Problems of one key with several reference answers: for each, the line whose answer counts, and the first line with another one.
ANSWERS_THAT_DIFFER = """
SELECT first, min(line)
  FROM (SELECT line, answer, first_value(line) OVER one_problem AS first, first_value(answer) OVER one_problem AS first_answer
          FROM incoming_problem WHERE answer IS NOT NULL WINDOW one_problem AS (PARTITION BY key ORDER BY line)) given
 WHERE answer <> first_answer GROUP BY 1 ORDER BY 1
"""

# Ids that are not stored, because their statement is a problem with another id.
IDS_THAT_DIFFER = """
SELECT count(*) OVER (), g.line, g.given_id, p.external_id
  FROM gathered_problem g JOIN resolved_problem r ON r.key = g.key JOIN annotation_problem p ON p.id = r.problem_id
 WHERE p.external_id <> g.given_id ORDER BY g.line LIMIT 1
"""

# Missing values are added, and existing ones stay. A test problem stays one, whatever a later file says. Several keys of a file can be one
# problem, so their values are gathered again: an UPDATE would use those of one key only.
COMPLETE_PROBLEMS = """
UPDATE annotation_problem p
   SET answer = COALESCE(p.answer, r.answer), reference_solution = COALESCE(p.reference_solution, r.reference_solution),
       subject = COALESCE(NULLIF(p.subject, ''), r.subject), level = COALESCE(NULLIF(p.level, ''), r.level),
       split = CASE WHEN r.is_test THEN 'test' ELSE p.split END
  FROM (SELECT problem_id, (array_agg(answer ORDER BY line) FILTER (WHERE answer IS NOT NULL))[1] AS answer,
               (array_agg(reference_solution ORDER BY line) FILTER (WHERE reference_solution IS NOT NULL))[1] AS reference_solution,
               COALESCE((array_agg(subject ORDER BY line) FILTER (WHERE subject <> ''))[1], '') AS subject,
               COALESCE((array_agg(level ORDER BY line) FILTER (WHERE level <> ''))[1], '') AS level, bool_or(split = 'test') AS is_test
          FROM resolved_problem GROUP BY problem_id) r
 WHERE p.id = r.problem_id
   AND (p.answer IS NULL AND r.answer IS NOT NULL OR p.reference_solution IS NULL AND r.reference_solution IS NOT NULL
        OR p.subject = '' AND r.subject <> '' OR p.level = '' AND r.level <> '' OR r.is_test AND p.split <> 'test')
"""

# The train problems that this load makes test problems, and how many of their solutions wait for labelers. The keys go into an array: a
# join would compare each problem with each where the statistics know nothing of what this load has just stored.
NEWLY_TEST = """
SELECT count(*), (SELECT count(DISTINCT t.solution_id) FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id
                    JOIN annotation_solution s ON s.id = t.solution_id
                   WHERE s.problem_id = ANY(array_agg(p.id)) AND a.state IN ('open', 'reserved', 'leased'))
  FROM annotation_problem p
 WHERE p.id = ANY(ARRAY(SELECT problem_id FROM resolved_problem WHERE split = 'test')) AND p.project_id = %(project)s AND p.split = 'train'
"""

# Older versions stored copies of one statement as several problems. All of them are test problems if one is.
SPREAD_TEST = """
UPDATE annotation_problem p SET split = 'test'
 WHERE p.project_id = %(project)s AND p.split = 'train'
   AND EXISTS (SELECT FROM annotation_problem t
                WHERE t.project_id = %(project)s AND t.statement_key = p.statement_key AND t.split = 'test')
"""

# A load does not grade again: these solutions have had no outcome since before their problem had an answer.
COUNT_UNGRADED = """
SELECT count(*) FROM annotation_solution s JOIN annotation_problem p ON p.id = s.problem_id
 WHERE p.id IN (SELECT problem_id FROM resolved_problem WHERE answer IS NOT NULL) AND p.answer IS NULL AND p.project_id = %(project)s
   AND s.outcome = 'ungraded'
"""

# --- corrections in a file: compared with the known problems, nothing is written ---

UNKNOWN_PROBLEMS = """
SELECT line, statement, count(*) OVER () FROM resolved_problem WHERE problem_id IS NULL ORDER BY line LIMIT 1
"""

CONTRADICTIONS = """
SELECT first_line, line
  FROM (SELECT i.line, i.{field} AS value, first_value(i.{field}) OVER same AS first_given, first_value(i.line) OVER same AS first_line
          FROM incoming_problem i JOIN resolved_problem r USING (key) WHERE i.{field} <> ''
        WINDOW same AS (PARTITION BY r.problem_id ORDER BY i.line)) given
 WHERE value <> first_given ORDER BY line LIMIT 1
"""

CHANGES = """
SELECT p.id, p.external_id, g.line, p.answer, g.answer, p.reference_solution, g.reference_solution, p.subject, g.subject, p.level, g.level
  FROM (SELECT problem_id, min(line) AS line, max(NULLIF(answer, '')) AS answer, max(NULLIF(reference_solution, '')) AS reference_solution,
               max(NULLIF(subject, '')) AS subject, max(NULLIF(level, '')) AS level
          FROM resolved_problem GROUP BY problem_id) g
  JOIN annotation_problem p ON p.id = g.problem_id AND p.project_id = %(project)s
 WHERE g.answer IS DISTINCT FROM COALESCE(p.answer, '') AND g.answer IS NOT NULL
    OR g.reference_solution IS DISTINCT FROM COALESCE(p.reference_solution, '') AND g.reference_solution IS NOT NULL
    OR g.subject <> p.subject OR g.level <> p.level
 ORDER BY g.line
"""

# Only the new ones, so that a second load grades nothing. Their steps stay where they are: sorting them would cost most of the time.
GATHER_SOLUTIONS = """
CREATE TEMP TABLE new_solution ON COMMIT DROP AS
SELECT DISTINCT ON (r.problem_id, i.digest) i.seq, r.problem_id, i.digest, i.final_answer, p.answer
  FROM incoming_solution i JOIN resolved_problem r USING (key) JOIN annotation_problem p ON p.id = r.problem_id
 WHERE NOT EXISTS (SELECT FROM annotation_solution s WHERE s.problem_id = r.problem_id AND s.digest = i.digest)
 ORDER BY r.problem_id, i.digest, i.seq
"""

INDEX_SOLUTIONS = """
CREATE UNIQUE INDEX ON incoming_solution (seq);
CREATE UNIQUE INDEX ON new_solution (seq);
CREATE UNIQUE INDEX ON new_grade (seq);
ANALYZE new_solution, new_grade
"""

# They are stored part by part, in the order of the file: the last number of each part.
PARTS = """
SELECT seq FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS number, count(*) OVER () AS count FROM {}) numbered
 WHERE number %% %(chunk)s = 0 OR number = count ORDER BY seq
"""

# A table that was never counted has -1 rows.
EXPECTED_ROWS = "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = %(table)s::regclass"
# To wait for another ANALYZE or VACUUM of the table would keep what this load has locked.
READ_STATISTICS = "ANALYZE (SKIP_LOCKED) {table}"

# Otherwise the database looks up what each new row refers to at the commit: all at once, for minutes, and says nothing meanwhile. It plans
# these queries once, by the tables as they are now: planning them for every row took more than half of a load's time.
CHECK_REFERENCES = """
SET LOCAL plan_cache_mode = auto;
DISCARD PLANS;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
SET LOCAL plan_cache_mode = force_custom_plan
"""

INSERT_SOLUTIONS = """
INSERT INTO annotation_solution
       (problem_id, digest, steps, final_answer, is_answer_given, outcome, outcome_reason, grader, source, created_at)
SELECT n.problem_id, n.digest, i.steps, n.final_answer, i.is_answer_given, g.outcome, g.reason, %(grader)s, i.source, now()
  FROM new_solution n JOIN incoming_solution i USING (seq) JOIN new_grade g USING (seq)
 WHERE n.seq > %(after)s AND n.seq <= %(upto)s AND i.seq > %(after)s AND i.seq <= %(upto)s AND g.seq > %(after)s AND g.seq <= %(upto)s
 ORDER BY n.seq
    ON CONFLICT (problem_id, digest) DO NOTHING
"""

GATHER_WANTED_ALTERNATIVES = """
CREATE TEMP TABLE wanted_alternative ON COMMIT DROP AS
SELECT s.id AS solution_id, a.step_index, a.text, min((a.seq << 16) + a.place) AS first_shown
  FROM incoming_alternative a JOIN incoming_solution i USING (seq) JOIN resolved_problem r USING (key)
  JOIN annotation_solution s ON s.problem_id = r.problem_id AND s.digest = i.digest
 WHERE a.text <> s.steps ->> a.step_index GROUP BY 1, 2, 3;
ANALYZE wanted_alternative
"""

# A labeler who writes a step at this moment numbers alternatives too. The order of ids keeps two loads from a deadlock.
HOLD_POSITIONS = "SELECT FROM annotation_solution WHERE id IN (SELECT solution_id FROM {}) ORDER BY id FOR NO KEY UPDATE"

INSERT_WANTED_ALTERNATIVES = """
INSERT INTO annotation_stepalternative (solution_id, step_index, position, text)
SELECT w.solution_id, w.step_index,
       COALESCE((SELECT max(position) FROM annotation_stepalternative a
                  WHERE a.solution_id = w.solution_id AND a.step_index = w.step_index), 0)
       + row_number() OVER (PARTITION BY w.solution_id, w.step_index ORDER BY w.first_shown), w.text
  FROM wanted_alternative w
 WHERE NOT EXISTS (SELECT FROM annotation_stepalternative a
                    WHERE (a.solution_id, a.step_index, a.text) = (w.solution_id, w.step_index, w.text)
                      AND a.author_id IS NULL AND a.prefix IS NULL)
 ORDER BY w.first_shown
"""

# The further copies of lines with labels.
COPIES = """
SELECT seq, body_hash, number
  FROM (SELECT seq, body_hash, row_number() OVER (PARTITION BY body_hash ORDER BY seq) AS number FROM incoming_annotation) numbered
 WHERE number > 1 ORDER BY seq
"""

NUMBER_COPIES = """
UPDATE incoming_annotation a SET submission_id = given.id
  FROM unnest(%(numbers)s::bigint[], %(ids)s::uuid[]) given(seq, id) WHERE given.seq = a.seq
"""

INDEX_LABELS = """
CREATE INDEX ON incoming_annotation (seq);
CREATE INDEX ON incoming_label (seq);
CREATE UNIQUE INDEX IF NOT EXISTS incoming_solution_seq_idx ON incoming_solution (seq)
"""

# Of one part of the file.
NEW_ANNOTATIONS = """
DROP TABLE IF EXISTS pg_temp.new_annotation, pg_temp.used_alternative;
CREATE TEMP TABLE new_annotation ON COMMIT DROP AS
SELECT a.*, s.id AS solution_id, NULL::bigint AS task_id, NULL::int AS unnamed, NULL::bigint AS labeler_id, NULL::bigint AS id
  FROM incoming_annotation a
  JOIN incoming_solution i USING (seq) JOIN resolved_problem r USING (key)
  JOIN annotation_solution s ON s.problem_id = r.problem_id AND s.digest = i.digest
 WHERE a.seq > %(after)s AND a.seq <= %(upto)s
   AND NOT EXISTS (SELECT FROM annotation_annotation known WHERE known.submission_id = a.submission_id);
ANALYZE new_annotation
"""

INSERT_TASKS = """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, verifier_score, imported_question)
SELECT DISTINCT ON (b.id, n.solution_id) b.id, n.solution_id, 'normal', 0, 1, n.verifier_score,
       -- A null of the file is never equal here (to_jsonb of NULL is NULL), so it is kept: another file can add the value later.
       (SELECT NULLIF(jsonb_object_agg(given.key, given.value), '{}')
          FROM jsonb_each(n.question) given
         WHERE given.value IS DISTINCT FROM to_jsonb(CASE given.key WHEN 'ground_truth_answer' THEN p.answer ELSE p.reference_solution END))
  FROM new_annotation n
  JOIN annotation_batch b ON b.project_id = %(project)s AND b.kind = n.kind AND b.generation IS NOT DISTINCT FROM n.generation
  JOIN annotation_solution s ON s.id = n.solution_id JOIN annotation_problem p ON p.id = s.problem_id
 ORDER BY b.id, n.solution_id, n.seq
    ON CONFLICT (batch_id, solution_id) DO NOTHING
"""

FIND_TASKS = """
UPDATE new_annotation n SET task_id = t.id
  FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
 WHERE b.project_id = %(project)s AND b.kind = n.kind AND b.generation IS NOT DISTINCT FROM n.generation AND t.solution_id = n.solution_id
"""

# If a file names no labelers, each sitting on a task counts as another person's, so that none replaces another.
NAME_THE_UNNAMED = """
UPDATE new_annotation n SET unnamed = numbered.number
  FROM (SELECT n.seq, row_number() OVER (PARTITION BY n.task_id ORDER BY n.seq)
               + (SELECT count(*) FROM annotation_assignment a JOIN auth_user u ON u.id = a.labeler_id
                   WHERE a.task_id = n.task_id AND u.username LIKE 'file-unnamed-%%') AS number
          FROM new_annotation n WHERE n.labeler IS NULL) numbered
 WHERE numbered.seq = n.seq
"""

FIND_LABELERS = """
UPDATE new_annotation n SET labeler_id = COALESCE(
    (SELECT m.user_id FROM annotation_membership m WHERE m.project_id = %(project)s AND m.export_uuid = n.labeler),
    (SELECT u.id FROM auth_user u WHERE n.labeler IS NULL AND u.username = 'file-unnamed-' || n.unnamed))
"""

INSERT_ASSIGNMENTS = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT sat.task_id, COALESCE((SELECT max(slot) + 1 FROM annotation_assignment a WHERE a.task_id = sat.task_id), 0)
                    + row_number() OVER (PARTITION BY sat.task_id ORDER BY sat.seq) - 1,
       t.batch_id, 0, 'done', sat.labeler_id, 1
  FROM (SELECT task_id, labeler_id, min(seq) AS seq FROM new_annotation GROUP BY 1, 2) sat
  JOIN annotation_task t ON t.id = sat.task_id
 ORDER BY sat.seq
    ON CONFLICT (task_id, labeler_id) DO NOTHING
"""

WIDEN_OVERLAP = """
UPDATE annotation_task t SET overlap = assignments.count
  FROM (SELECT task_id, count(*) FROM annotation_assignment WHERE task_id IN (SELECT task_id FROM new_annotation) GROUP BY 1) assignments
 WHERE assignments.task_id = t.id AND t.overlap <> assignments.count
"""

# A second sitting of a person on a task is a revision. The sitting before it is in the same load or in the table.
# The lock comes before the numbers, as in every INSERT. By it quality/settling.py sees that some labels are not committed.
INSERT_ANNOTATIONS = """
LOCK TABLE annotation_annotation IN ROW EXCLUSIVE MODE;
UPDATE new_annotation n SET id = numbered.id
  FROM (SELECT seq, nextval('annotation_annotation_id_seq') AS id FROM (SELECT seq FROM new_annotation ORDER BY seq) ordered) numbered
 WHERE numbered.seq = n.seq;
INSERT INTO annotation_annotation (id, assignment_id, labeler_id, solution_id, revision, supersedes_id, finish_reason, reason, total_ms,
                                   submission_id, body_hash, created_at)
SELECT n.id, a.id, n.labeler_id, n.solution_id,
       COALESCE(last.revision, 0) + row_number() OVER sittings, COALESCE(lag(n.id) OVER sittings, last.id),
       n.finish_reason, n.reason, n.total_ms, n.submission_id, n.body_hash, COALESCE(n.created_at, now())
  FROM new_annotation n
  JOIN annotation_assignment a ON a.task_id = n.task_id AND a.labeler_id = n.labeler_id
  LEFT JOIN LATERAL (SELECT id, revision FROM annotation_annotation WHERE assignment_id = a.id ORDER BY revision DESC LIMIT 1) last ON true
WINDOW sittings AS (PARTITION BY a.id ORDER BY n.seq)
 ORDER BY n.seq
"""

# If a text is shown several times at a step, the k-th one is the k-th alternative with that text, so that sittings share alternatives.
GATHER_ALTERNATIVES = """
CREATE TEMP TABLE used_alternative ON COMMIT DROP AS
SELECT n.solution_id, l.step_index, l.text, CASE WHEN l.by_labeler THEN n.labeler_id END AS author_id, l.nth,
       min((n.seq << 16) + COALESCE(l.shown_at, 65535)) AS first_shown
  FROM incoming_label l JOIN new_annotation n USING (seq) WHERE l.text IS NOT NULL GROUP BY 1, 2, 3, 4, 5;
ANALYZE used_alternative
"""

_ALTERNATIVES = """
SELECT id, solution_id, step_index, position, text, author_id,
       row_number() OVER (PARTITION BY solution_id, step_index, text, author_id ORDER BY position) AS nth
  FROM annotation_stepalternative WHERE solution_id IN (SELECT solution_id FROM used_alternative)
"""

INSERT_ALTERNATIVES = f"""
INSERT INTO annotation_stepalternative (solution_id, step_index, position, text, author_id)
SELECT u.solution_id, u.step_index,
       COALESCE((SELECT max(position) FROM annotation_stepalternative a
                  WHERE a.solution_id = u.solution_id AND a.step_index = u.step_index), 0)
       + row_number() OVER (PARTITION BY u.solution_id, u.step_index ORDER BY u.first_shown), u.text, u.author_id
  FROM used_alternative u
 WHERE NOT EXISTS (SELECT FROM ({_ALTERNATIVES}) a
                    WHERE (a.solution_id, a.step_index, a.text, a.nth) = (u.solution_id, u.step_index, u.text, u.nth)
                      AND a.author_id IS NOT DISTINCT FROM u.author_id)
 ORDER BY u.first_shown, u.step_index
"""

INSERT_LABELS = f"""
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, flagged, chosen, shown_at)
SELECT n.id, l.step_index, COALESCE(a.position, 0), l.rating, l.flagged, l.chosen, l.shown_at
  FROM incoming_label l
  JOIN new_annotation n USING (seq)
  LEFT JOIN ({_ALTERNATIVES}) a
    ON (a.solution_id, a.step_index, a.text, a.nth) = (n.solution_id, l.step_index, l.text, l.nth)
   AND COALESCE(a.author_id, 0) = CASE WHEN l.by_labeler THEN n.labeler_id ELSE 0 END
 ORDER BY n.id, l.step_index, COALESCE(a.position, 0)
"""

# --- labels as gold: which steps can be called the first mistake ---

GATHER_GOLD = """
CREATE TEMP TABLE gathered_gold ON COMMIT DROP AS
SELECT s.id AS solution_id, array_remove(array_agg(DISTINCT g.first_mistake), NULL) AS first_mistakes,
       min(g.line) FILTER (WHERE g.first_mistake IS NULL) AS right_line,
       min(g.line) FILTER (WHERE g.first_mistake IS NOT NULL) AS wrong_line
  FROM incoming_gold g
  JOIN incoming_solution i USING (seq) JOIN resolved_problem r USING (key)
  JOIN annotation_solution s ON s.problem_id = r.problem_id AND s.digest = i.digest
 GROUP BY s.id
"""

GOLD_CONTRADICTION = """
SELECT greatest(right_line, wrong_line), least(right_line, wrong_line)
  FROM gathered_gold WHERE right_line IS NOT NULL AND wrong_line IS NOT NULL ORDER BY 1 LIMIT 1
"""

INSERT_GOLD = """
INSERT INTO annotation_goldanswer (solution_id, acceptable_first_errors, note)
SELECT solution_id, first_mistakes, '' FROM gathered_gold ON CONFLICT (solution_id) DO NOTHING
"""

COUNT_OTHER_GOLD = """
SELECT count(*) FROM gathered_gold g JOIN annotation_goldanswer known USING (solution_id)
 WHERE NOT (known.acceptable_first_errors @> g.first_mistakes AND known.acceptable_first_errors <@ g.first_mistakes)
"""
