"""Stage: queue, its SQL. It is raw because labelers wait for it: building such a statement in the ORM costs more than running it. Each
statement is a transaction of its own, without BEGIN and COMMIT, and the server plans it once per connection.
"""

from annotation.people import MAY_LABEL

# What a labeler may do, and what they hold: one row, or none for a person who does not label here. There is at most one lease
# (assignment_one_lease) and one reservation (assignment_one_reserved). The search for an open assignment follows the order of handing
# out: one index probe per batch. EXISTS would read every assignment, or all those done before the first open one.
LABELER_STATE = f"""
SELECT u.is_active, m.suspended_at IS NOT NULL, m.qualified_at IS NOT NULL,
       EXISTS (SELECT 1 FROM annotation_batch b WHERE b.project_id = m.project_id AND b.kind = 'screening' AND b.state <> 'draft'),
       m.qualified_at IS NULL AND EXISTS (SELECT 1 FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
         WHERE b.project_id = m.project_id AND b.kind = 'practice' AND b.state = 'open'
           AND NOT EXISTS (SELECT 1 FROM annotation_assignment s WHERE s.task_id = t.id AND s.labeler_id = u.id)),
       EXISTS (SELECT 1 FROM annotation_batch b JOIN annotation_task t ON t.batch_id = b.id
                 JOIN annotation_solution n ON n.id = t.solution_id
                WHERE b.project_id = m.project_id AND b.state = 'open' AND b.kind = 'calibration' AND n.withdrawn_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM annotation_task p JOIN annotation_assignment o ON o.task_id = p.id
                                   WHERE p.solution_id = t.solution_id AND o.labeler_id = u.id OFFSET 0)),
       here.kind = 'practice',
       CASE WHEN here.project_id = m.project_id THEN leased.id END, leased.token, leased.lease_expires_at,
       CASE WHEN ahead.project_id = m.project_id THEN reserved.id END,
       here.project_id <> m.project_id, ahead.project_id <> m.project_id,
       ARRAY(SELECT b.id FROM annotation_batch b
              WHERE b.project_id = m.project_id AND b.state = 'open' AND b.kind = 'selected'
                AND (SELECT s.id FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state = 'open'
                      ORDER BY s.priority DESC, s.id LIMIT 1) IS NOT NULL
              ORDER BY b.priority DESC, b.generation, b.id),
       CASE WHEN %(gold_percent)s > 0 THEN          -- turns taken; counted only if the project has gold turns
            (SELECT count(*) FROM annotation_assignment s JOIN annotation_batch b ON b.id = s.batch_id
              WHERE s.labeler_id = u.id AND s.state IN ('done', 'skipped') AND b.project_id = m.project_id AND b.kind <> 'review') END,
       m.screening_set, m.refused_at IS NOT NULL
  FROM annotation_membership m JOIN auth_user u ON u.id = m.user_id
  LEFT JOIN annotation_assignment leased ON leased.labeler_id = u.id AND leased.state = 'leased'
  LEFT JOIN annotation_batch here ON here.id = leased.batch_id
  LEFT JOIN annotation_assignment reserved ON reserved.labeler_id = u.id AND reserved.state = 'reserved'
  LEFT JOIN annotation_batch ahead ON ahead.id = reserved.batch_id
 WHERE m.project_id = %(project)s AND m.user_id = %(labeler)s AND {MAY_LABEL}
"""

# What the labeler sees: the assignment `s` with its texts and their newest draft. A hidden answer is not read at all, so that no later
# mistake can show it.
_LEASE = """s.id, s.token, s.lease_expires_at, n.id, p.statement, CASE WHEN r.show_reference_answer THEN p.answer END, n.steps,
       d.revision, d.ratings, b.generation, b.kind"""
_TEXTS = """
  JOIN annotation_batch b ON b.id = s.batch_id JOIN annotation_project r ON r.id = b.project_id
  JOIN annotation_task t ON t.id = s.task_id JOIN annotation_solution n ON n.id = t.solution_id
  JOIN annotation_problem p ON p.id = n.problem_id
  LEFT JOIN LATERAL (SELECT revision, ratings FROM annotation_draft
                      WHERE assignment_id = s.id AND labeler_id = %(labeler)s ORDER BY saved_at DESC, id DESC LIMIT 1) d ON true"""

# The lease that a reservation comes after. The lock makes a submit of this lease wait: without it the submit would not see the
# reservation and would lease a later solution. It is checked before anything is chosen. NULL: no lease is needed.
_HELD = """held AS MATERIALIZED (
  SELECT id FROM annotation_assignment WHERE id = %(leased)s::bigint AND labeler_id = %(labeler)s AND state = 'leased' FOR NO KEY UPDATE)"""
_IS_HELD = "(%(leased)s::bigint IS NULL OR EXISTS (SELECT 1 FROM held))"

# Hands out one assignment. MATERIALIZED: the choice runs once and locks one row; `IN (SELECT .. LIMIT 1 .. SKIP LOCKED)` may run again
# and claim several. SKIP LOCKED: labelers never wait for each other. OFFSET 0 keeps the NOT EXISTS one index probe per row: without it,
# statistics older than the labeler's own work turn it into a sequential scan of all assignments, hundreds of times slower (a test
# EXPLAINs this). The second NOT EXISTS is for solutions of several tasks: gold, practice and screening questions can be in an unfinished
# batch, too. It runs for a row that the first one let pass, and that is almost always the last row that is read.
# An assignment without a slot was made for one person and never goes to another. If the last holder takes an assignment
# again, the token stays: nobody else had it in between, and another tab of this labeler may still show it.
_OPEN = f"""
  SELECT s.id FROM annotation_assignment s
   WHERE {_IS_HELD} AND s.batch_id = %(batch)s AND s.state = 'open' AND s.slot IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM annotation_assignment o
                      WHERE o.task_id = s.task_id AND o.labeler_id = %(labeler)s OFFSET 0)
     AND NOT EXISTS (SELECT 1 FROM annotation_task p
                      WHERE p.solution_id = (SELECT t.solution_id FROM annotation_task t WHERE t.id = s.task_id)
                        AND EXISTS (SELECT 1 FROM annotation_assignment o
                                     WHERE o.task_id = p.id AND o.labeler_id = %(labeler)s OFFSET 0) OFFSET 0)
   ORDER BY s.priority DESC, s.id LIMIT 1"""
NEXT_ASSIGNMENT = f"""
WITH {_HELD},
next AS MATERIALIZED ({_OPEN} FOR UPDATE OF s SKIP LOCKED),
taken AS (
  UPDATE annotation_assignment
     SET state = %(state)s::text, labeler_id = %(labeler)s, lapsed_id = NULL,
         token = token + CASE WHEN lapsed_id = %(labeler)s THEN 0 ELSE 1 END,
         leased_at = CASE %(state)s::text WHEN 'leased' THEN now() END, lease_expires_at = now() + make_interval(mins => %(minutes)s)
   WHERE id = (SELECT id FROM next) RETURNING *)
SELECT {_LEASE} FROM taken s {_TEXTS}
"""
# Runs only if the first statement finds nothing. It waits for rows that others have locked: their claim may still be rolled back.
NEXT_ASSIGNMENT_WAITING = NEXT_ASSIGNMENT.replace(" SKIP LOCKED", "")

# Makes an assignment for one labeler (slot NULL) at a practice, screening or calibration task. They have not had its solution in any
# batch. If they gave back such an assignment before, they get it again, with its drafts. Two tabs at once violate assignment_one_lease.
# The lock on the solution excludes a withdrawal: one that has begun is waited for, and then the next task is chosen; one that comes
# later waits for this statement, and closes what it made. Without it, both would miss what the other one does.
_OF_KIND = "b.kind = %(kind)s::text AND (b.generation >= 0 OR b.generation = -%(set)s::int)"  # of the screenings the person's own set
_TASK = f"""
  SELECT t.id, t.batch_id, t.priority,
         (SELECT s.id FROM annotation_assignment s
           WHERE s.task_id = t.id AND s.slot IS NULL AND s.state = 'open' AND s.lapsed_id = %(labeler)s LIMIT 1) AS assignment
    FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id JOIN annotation_solution n ON n.id = t.solution_id
   WHERE {_IS_HELD}
     AND b.project_id = %(project)s AND b.state = 'open' AND {_OF_KIND} AND n.withdrawn_at IS NULL
     AND NOT EXISTS (SELECT 1 FROM annotation_task p JOIN annotation_assignment o ON o.task_id = p.id
                      WHERE p.solution_id = t.solution_id AND o.labeler_id = %(labeler)s OFFSET 0)
   ORDER BY b.generation, t.priority DESC, t.id LIMIT 1"""
ASSIGNMENT_ON_DEMAND = f"""
WITH {_HELD},
next AS MATERIALIZED ({_TASK} FOR SHARE OF n),
again AS (
  UPDATE annotation_assignment s
     SET state = %(state)s::text, labeler_id = %(labeler)s, lapsed_id = NULL,
         leased_at = CASE %(state)s::text WHEN 'leased' THEN now() END, lease_expires_at = now() + make_interval(mins => %(minutes)s)
    FROM next WHERE s.id = next.assignment AND s.state = 'open' RETURNING s.*),
fresh AS (
  INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token, leased_at, lease_expires_at)
  SELECT id, NULL, batch_id, priority, %(state)s::text, %(labeler)s, 1,
         CASE %(state)s::text WHEN 'leased' THEN now() END, now() + make_interval(mins => %(minutes)s)
    FROM next WHERE assignment IS NULL RETURNING *),
taken AS (SELECT * FROM again UNION ALL SELECT * FROM fresh)
SELECT {_LEASE} FROM taken s {_TEXTS}
"""

# The same at a gold task of a batch with other work. It names the kind itself, so that the index task_gold finds the few gold tasks.
_OF_GOLD = "b.kind = 'selected' AND t.kind = 'gold'"
GOLD_ON_DEMAND = ASSIGNMENT_ON_DEMAND.replace(_OF_KIND, _OF_GOLD)

# Reservations have locked their lease, for which a withdrawal can wait. So they do not wait for it, and choose another task.
ASSIGNMENT_AHEAD, GOLD_AHEAD = (
    statement.replace("FOR SHARE OF n", "FOR SHARE OF n SKIP LOCKED") for statement in (ASSIGNMENT_ON_DEMAND, GOLD_ON_DEMAND)
)

# These two look for what the other kind of turn would take, and take nothing. Where a project has gold turns, each claim makes both
# searches. One of them alone takes three times as long as the other one, and the time of an answer told gold from other work.
LOOK_FOR_OPEN = f"WITH {_HELD} {_OPEN}"
LOOK_FOR_GOLD = f"WITH {_HELD} {_TASK.replace(_OF_KIND, _OF_GOLD)}"

# These two renew what this labeler holds already. RENEW returns a lease: a reservation becomes one. RENEW_RESERVED keeps a reservation.
RENEW = f"""
WITH taken AS (
  UPDATE annotation_assignment
     SET state = 'leased', leased_at = COALESCE(leased_at, now()), lease_expires_at = now() + make_interval(mins => %(minutes)s)
   WHERE id = %(assignment)s AND labeler_id = %(labeler)s AND state IN ('leased', 'reserved') RETURNING *)
SELECT {_LEASE} FROM taken s {_TEXTS}
"""
RENEW_RESERVED = f"""
WITH {_HELD},
taken AS (
  UPDATE annotation_assignment SET lease_expires_at = now() + make_interval(mins => %(minutes)s)
   WHERE id = %(assignment)s AND labeler_id = %(labeler)s AND state = 'reserved' AND {_IS_HELD} RETURNING *)
SELECT {_LEASE} FROM taken s {_TEXTS}
"""

# Turns a reservation into the lease, in the transaction that ends the assignment before it, or even in the same statement, which still
# sees that assignment as leased. If another tab of this labeler gave the reservation back and nobody took it, it still counts. A
# suspended labeler gets no more solutions, nor does somebody who became a manager. A labeler with a lease in another tab keeps that lease.
LEASE_RESERVED = f"""
UPDATE annotation_assignment s
   SET state = 'leased', labeler_id = %(labeler)s, lapsed_id = NULL, leased_at = now(),
       lease_expires_at = now() + make_interval(mins => p.lease_minutes)
  FROM annotation_batch b
  JOIN annotation_project p ON p.id = b.project_id
  JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = %(labeler)s AND m.suspended_at IS NULL AND {MAY_LABEL}
 WHERE s.id = %(ahead)s::bigint AND s.token = %(ahead_token)s::bigint
   AND (s.state = 'reserved' AND s.labeler_id = %(labeler)s OR s.state = 'open' AND s.lapsed_id = %(labeler)s)
   AND b.id = s.batch_id
   AND NOT EXISTS (SELECT 1 FROM annotation_assignment o
                    WHERE o.labeler_id = %(labeler)s AND o.state = 'leased' AND o.id <> %(assignment)s)"""

# One assignment per slot, first slots before second slots. So within one priority every task is labeled once before any task is labeled
# twice, and a single labeler never has to step over the second assignments of tasks already done.
MAKE_ASSIGNMENTS = """
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, token)
SELECT t.id, slot, t.batch_id, t.priority, 'open', 0
  FROM annotation_task t CROSS JOIN LATERAL generate_series(0, t.overlap - 1) AS slot
 WHERE t.batch_id = %(batch)s AND t.kind = 'normal' ORDER BY slot, t.priority DESC, t.id
"""

# --- another overlap --------------------------------------------------------------------------------------------------------

# An assignment counts for the overlap if it has a slot and is neither skipped nor closed.
_COUNTS = "s.slot IS NOT NULL AND s.state IN ('open', 'reserved', 'leased', 'done')"
# Which assignments of a task are surplus: the last in this order. Labels that are done come first, then what somebody holds.
_PLACE = """row_number() OVER (PARTITION BY s.task_id ORDER BY
           CASE s.state WHEN 'done' THEN 0 WHEN 'leased' THEN 1 WHEN 'reserved' THEN 2 ELSE 3 END, s.lapsed_id IS NULL, s.slot)"""
# Neither a withdrawn solution nor one on which a reviewer decided gets new places.
_IS_WANTED = """NOT EXISTS (SELECT 1 FROM annotation_solution n WHERE n.id = t.solution_id AND n.withdrawn_at IS NOT NULL OFFSET 0)
   AND NOT EXISTS (SELECT 1 FROM annotation_annotation r JOIN annotation_assignment ra ON ra.id = r.assignment_id
                     JOIN annotation_batch rb ON rb.id = ra.batch_id
                    WHERE r.solution_id = t.solution_id AND rb.kind = 'review' AND r.finish_reason <> 'give_up'
                      AND NOT EXISTS (SELECT 1 FROM annotation_annotation later WHERE later.supersedes_id = r.id OFFSET 0) OFFSET 0)"""

# Closes surplus assignments that nobody labels, and takes the slot of surplus leases: their holders can finish, and nobody else gets
# them. Returns how many were surplus, and how many of them were closed and how many can be finished. The state is compared again after a
# wait for a claim or a submit, so a row can be left: the caller repeats the statement until it finds none.
LOWER_OVERLAP = f"""
WITH ranked AS (
  SELECT s.id, s.state, {_PLACE} AS place FROM annotation_assignment s WHERE s.task_id = ANY(%(tasks)s::bigint[]) AND {_COUNTS}),
surplus AS MATERIALIZED (SELECT id, state FROM ranked WHERE place > %(overlap)s AND state <> 'done'),
changed AS (
  UPDATE annotation_assignment s
     SET state = CASE s.state WHEN 'leased' THEN 'leased' ELSE 'closed' END, slot = CASE s.state WHEN 'leased' THEN NULL ELSE s.slot END,
         lapsed_id = CASE s.state WHEN 'leased' THEN s.lapsed_id ELSE COALESCE(s.labeler_id, s.lapsed_id) END,
         labeler_id = CASE s.state WHEN 'leased' THEN s.labeler_id END,
         lease_expires_at = CASE s.state WHEN 'leased' THEN s.lease_expires_at END
    FROM surplus WHERE s.id = surplus.id AND s.state = surplus.state
  RETURNING s.state)
SELECT (SELECT count(*) FROM surplus), count(*) FILTER (WHERE state = 'closed'), count(*) FILTER (WHERE state = 'leased') FROM changed
"""
LOCK_SOLUTIONS = """
SELECT count(*) FROM (SELECT 1 FROM annotation_solution n
  WHERE n.id IN (SELECT t.solution_id FROM annotation_task t WHERE t.id = ANY(%(tasks)s::bigint[])) ORDER BY n.id FOR SHARE) locked
"""

# Gives each task as many assignments as it misses. What a lower overlap took away comes back first: slots of leases and labels, then
# closed assignments. New ones follow in the order of MAKE_ASSIGNMENTS. Returns how many are open by it. The caller holds the tasks.
RAISE_OVERLAP = f"""
WITH counted AS (
  SELECT t.id, t.priority, COALESCE(max(s.slot), -1) AS last_slot, %(overlap)s - count(s.id) FILTER (WHERE {_COUNTS}) AS missing
    FROM annotation_task t LEFT JOIN annotation_assignment s ON s.task_id = t.id
   WHERE t.id = ANY(%(tasks)s::bigint[]) AND {_IS_WANTED} GROUP BY t.id),
wanting AS MATERIALIZED (SELECT * FROM counted WHERE missing > 0),
spare AS (
  SELECT s.id, s.task_id, w.missing, w.last_slot, w.priority, row_number() OVER (PARTITION BY s.task_id ORDER BY
           CASE s.state WHEN 'done' THEN 0 WHEN 'leased' THEN 1 WHEN 'reserved' THEN 2 WHEN 'open' THEN 3 ELSE 4 END, s.slot, s.id) AS place
    FROM wanting w JOIN annotation_assignment s ON s.task_id = w.id
   WHERE s.state = 'closed' OR s.slot IS NULL AND s.state IN ('open', 'reserved', 'leased', 'done')),
back AS MATERIALIZED (SELECT * FROM spare WHERE place <= missing),
changed AS (
  UPDATE annotation_assignment s
     SET slot = COALESCE(s.slot, back.last_slot + back.place), priority = back.priority,
         state = CASE s.state WHEN 'closed' THEN 'open' ELSE s.state END
    FROM back WHERE s.id = back.id RETURNING s.state),
made AS (
  INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, token)
  SELECT w.id, w.last_slot + place, %(batch)s, w.priority, 'open', 0
    FROM wanting w CROSS JOIN LATERAL generate_series(1 + (SELECT count(*) FROM back WHERE back.task_id = w.id), w.missing) AS place
   ORDER BY place, w.priority DESC, w.id RETURNING 1)
SELECT (SELECT count(*) FROM changed WHERE state = 'open') + (SELECT count(*) FROM made)
"""

# Stores why one more person is wanted at tasks of which all places are done, and returns these tasks with the number of people that each
# reaches. A task is left out if its places are not as they were when it was judged, if this place was asked for before, or if no member
# is left who can take it. The caller holds the batch, the tasks and the solutions, and raises the overlap next.
ASK_MORE = f"""
WITH wanted AS (
  SELECT * FROM jsonb_to_recordset(%(wanted)s::jsonb)
                  AS w(task bigint, place int, why text, value float8, threshold float8, details jsonb)),
free AS MATERIALIZED (
  SELECT m.user_id FROM annotation_membership m JOIN auth_user u ON u.id = m.user_id
   WHERE m.project_id = %(project)s AND {MAY_LABEL} AND m.suspended_at IS NULL AND m.quarantined_at IS NULL AND u.is_active
     AND (m.qualified_at IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM annotation_batch b WHERE b.project_id = m.project_id AND b.kind = 'screening' AND b.state <> 'draft'))),
ready AS (
  SELECT w.* FROM wanted w JOIN annotation_task t ON t.id = w.task
   WHERE t.batch_id = %(batch)s AND t.kind = 'normal' AND {_IS_WANTED}
     AND w.place = 1 + (SELECT count(*) FROM annotation_assignment s WHERE s.task_id = t.id AND s.state = 'done')
     AND NOT EXISTS (SELECT 1 FROM annotation_assignment s WHERE s.task_id = t.id
                        AND (s.state IN ('leased', 'reserved') OR s.state = 'open' AND s.slot IS NOT NULL))
     AND EXISTS (SELECT 1 FROM free WHERE NOT EXISTS (
           SELECT 1 FROM annotation_task p JOIN annotation_assignment o ON o.task_id = p.id
            WHERE p.solution_id = t.solution_id AND o.labeler_id = free.user_id OFFSET 0)))
INSERT INTO annotation_moreopinions (task_id, batch_id, place, why, value, threshold, details)
SELECT task, %(batch)s, place, why, value, threshold, details FROM ready
    ON CONFLICT (task_id, place) DO NOTHING RETURNING task_id, place
"""

# What both would do now to all normal tasks of some batches: opened, closed, leases that can be finished.
OVERLAP_EFFECT = f"""
WITH tasks AS (
  SELECT t.id, {_IS_WANTED} AS is_wanted FROM annotation_task t
   WHERE t.batch_id = ANY(%(batches)s::bigint[]) AND t.kind = 'normal' AND t.overlap <> %(overlap)s),
ranked AS (
  SELECT s.state, {_PLACE} AS place FROM annotation_assignment s JOIN tasks t ON t.id = s.task_id WHERE {_COUNTS}),
missing AS (
  SELECT greatest(0, %(overlap)s - count(s.id) FILTER (WHERE {_COUNTS})
                       - count(s.id) FILTER (WHERE s.slot IS NULL AND s.state IN ('reserved', 'leased', 'done'))) AS count
    FROM tasks t LEFT JOIN annotation_assignment s ON s.task_id = t.id WHERE t.is_wanted GROUP BY t.id)
SELECT (SELECT COALESCE(sum(count), 0)::bigint FROM missing),
       (SELECT count(*) FROM ranked WHERE place > %(overlap)s AND state IN ('open', 'reserved')),
       (SELECT count(*) FROM ranked WHERE place > %(overlap)s AND state = 'leased')
"""

# Puts tasks before the others of their batches.
PRIORITISE = """
UPDATE annotation_task t SET priority = 1 + (SELECT max(o.priority) FROM annotation_task o WHERE o.batch_id = t.batch_id)
 WHERE t.id = ANY(%(tasks)s::bigint[])
"""
# Writes the new priority into their assignments. A statement of its own: it also finds what a skip opened while the first one waited.
COPY_PRIORITY = """
UPDATE annotation_assignment s SET priority = t.priority FROM annotation_task t
 WHERE t.id = ANY(%(tasks)s::bigint[]) AND s.task_id = t.id AND s.state NOT IN ('done', 'skipped')
"""
