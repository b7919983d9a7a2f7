"""Corrected outcomes: scores hold a copy of each solution's outcome, and a trigger keeps it equal. Tasks of older rounds learn which outcome
their choice took for granted.
"""

from django.db import migrations

# One statement for each version with a table of its own, attached or not: the score of a solution is found by its primary key there. An
# UPDATE of all partitions would read those without an index on the solution.
FOLLOW = """
CREATE FUNCTION stepmark_scores_follow_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE version bigint;
BEGIN
    IF EXISTS (SELECT FROM new_rows n JOIN old_rows o USING (id) WHERE n.outcome <> o.outcome) THEN
        FOR version IN
            SELECT v.id FROM active_learning_modelversion v
             WHERE to_regclass('active_learning_score_' || v.id) IS NOT NULL
               AND v.project_id IN (SELECT p.project_id FROM new_rows n JOIN annotation_problem p ON p.id = n.problem_id)
        LOOP
            EXECUTE format(
                'UPDATE %I s SET outcome = n.outcome FROM new_rows n JOIN old_rows o USING (id) '
                'WHERE n.outcome <> o.outcome AND s.model_version_id = $1 AND s.solution_id = n.id',
                'active_learning_score_' || version) USING version;
        END LOOP;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER scores_follow_outcomes AFTER UPDATE ON annotation_solution REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION stepmark_scores_follow_outcomes();
"""
UNFOLLOW = "DROP TRIGGER scores_follow_outcomes ON annotation_solution; DROP FUNCTION stepmark_scores_follow_outcomes();"
PREMISES = """
UPDATE annotation_task t SET premise = chosen.premise
  FROM (SELECT r.batch_id, s.solution_id,
               CASE COALESCE(NULLIF(s.part, ''), r.strategy)
                    WHEN 'convincing' THEN 'wrong' WHEN 'control' THEN 'wrong' WHEN 'convincing_rest' THEN 'not_wrong'
                    WHEN 'disagreement' THEN CASE WHEN s.reason LIKE 'A right answer whose reasoning the model doubts%' THEN 'correct' END
               END AS premise
          FROM active_learning_selection s JOIN active_learning_round r ON r.id = s.round_id WHERE r.batch_id IS NOT NULL) chosen
 WHERE t.batch_id = chosen.batch_id AND t.solution_id = chosen.solution_id AND chosen.premise IS NOT NULL
"""


class Migration(migrations.Migration):

    dependencies = [
        ("active_learning", "0005_sampling_not_generating"),
        ("annotation", "0007_corrections"),
    ]

    operations = [
        migrations.RunSQL(FOLLOW, UNFOLLOW),
        migrations.RunSQL(PREMISES, migrations.RunSQL.noop),
    ]
