"""Corrected outcomes: scores hold a copy of each solution's outcome, and a trigger keeps it equal. Tasks of older rounds learn which outcome
their choice took for granted.
"""

from django.db import migrations

# For each changed row, since a join of the old and the new rows of a statement has no statistics: for 20,000 rows it compared each with each.
# For each version with a table of its own, attached or not, since the score of a solution is found by its primary key there. An UPDATE of
# all partitions would read those without an index on the solution.
FOLLOW = """
CREATE FUNCTION stepmark_scores_follow_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE version bigint;
BEGIN
    FOR version IN
        SELECT v.id FROM active_learning_modelversion v JOIN annotation_problem p ON p.project_id = v.project_id
         WHERE p.id = NEW.problem_id AND to_regclass('active_learning_score_' || v.id) IS NOT NULL
    LOOP
        EXECUTE format('UPDATE %I SET outcome = $1 WHERE model_version_id = $2 AND solution_id = $3', 'active_learning_score_' || version)
          USING NEW.outcome, version, NEW.id;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER scores_follow_outcomes AFTER UPDATE OF outcome ON annotation_solution
    FOR EACH ROW WHEN (OLD.outcome <> NEW.outcome) EXECUTE FUNCTION stepmark_scores_follow_outcomes();
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
