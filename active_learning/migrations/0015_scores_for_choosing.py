"""Scores for choosing, apart from the product that best-of-N reads; and the index of wrong answers in their order.

A column without a default is added at once, however big the table is. An index cannot be built beside running work for all partitions
together, so each gets its own, and then they become one.
"""

import django.db.models.deletion
import django.db.models.functions.comparison
from django.db import migrations, models

# Every partition gets the columns with the parent. A table that a scoring has begun and not attached needs them too.
ADDED = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} real" for name in ("per_step", "margin", "change"))
COLUMNS = """
DO $$
DECLARE begun regclass;
BEGIN
    FOR begun IN SELECT c.oid FROM pg_class c
                  WHERE c.relkind = 'r' AND c.relname ~ '^active_learning_score_[0-9]+$'
                    AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)
    LOOP EXECUTE 'ALTER TABLE ' || begun || ' {added}'; END LOOP;
END $$;
ALTER TABLE active_learning_score {added};
"""
NO_COLUMNS = "ALTER TABLE active_learning_score DROP COLUMN per_step, DROP COLUMN margin, DROP COLUMN change"

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'active_learning_score'::regclass ORDER BY inhrelid"
ATTACHED = """
SELECT 1 FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid
 WHERE i.inhparent = 'score_convincing'::regclass AND x.indrelid = %s::regclass
"""
ORDER = "(problem_id, (coalesce(per_step, score)) DESC) WHERE outcome = 'wrong'"


def build(apps, schema_editor):
    # PostgreSQL builds nothing concurrently inside a transaction. This migration has none of its own; a test around it can have one.
    beside = "" if schema_editor.connection.in_atomic_block else "CONCURRENTLY"
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX IF NOT EXISTS score_convincing ON ONLY active_learning_score {ORDER}")
        for (table,) in cursor.execute(PARTITIONS).fetchall():
            name = f"{table}_score_convincing"
            cursor.execute(ATTACHED, [table])
            if cursor.fetchone():  # an earlier run that was stopped has done this one, or the table was attached after it
                continue
            cursor.execute(f"DROP INDEX IF EXISTS {name}")
            cursor.execute(f"CREATE INDEX {beside} {name} ON {table} {ORDER}")
            cursor.execute(f"ALTER INDEX score_convincing ATTACH PARTITION {name}")
        cursor.execute("DROP INDEX IF EXISTS score_wrong")


def unbuild(apps, schema_editor):
    schema_editor.execute("CREATE INDEX IF NOT EXISTS score_wrong ON active_learning_score (problem_id, score DESC) WHERE outcome = 'wrong'")
    schema_editor.execute("DROP INDEX IF EXISTS score_convincing")


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside running work
    dependencies = [("active_learning", "0014_experiment_runs"), ("annotation", "0042_order_notifications")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMNS.format(added=ADDED), reverse_sql=NO_COLUMNS)],
            state_operations=[
                migrations.AddField("score", name, models.FloatField(null=True)) for name in ("per_step", "margin", "change")
            ],
        ),
        migrations.CreateModel(
            name="ProblemMean",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "model_version", "problem", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("per_step", models.FloatField()),
                (
                    "model_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="active_learning.modelversion",
                    ),
                ),
                (
                    "problem",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to="annotation.problem"
                    ),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build, unbuild)],
            state_operations=[
                migrations.RemoveIndex("score", "score_wrong"),
                migrations.AddIndex(
                    "score",
                    models.Index(
                        models.F("problem"),
                        models.OrderBy(django.db.models.functions.comparison.Coalesce("per_step", "score"), descending=True),
                        condition=models.Q(("outcome", "wrong")),
                        name="score_convincing",
                    ),
                ),
            ],
        ),
    ]
