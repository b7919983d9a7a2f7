"""Scores for choosing, apart from the product that best-of-N reads. A column without a default is added at once, however big the table is."""

import django.db.models.deletion
from django.db import migrations, models

NAMES = ("per_step", "margin", "change")
# Every partition gets the columns with the parent. A table that a scoring has begun and not attached needs them too. This locks the parent
# first, and a scoring also locks the parent before it creates or attaches a table. So no new table appears while this runs, and the two
# cannot wait for each other.
COLUMNS = """
ALTER TABLE active_learning_score {parent};
DO $$
DECLARE begun regclass;
BEGIN
    FOR begun IN SELECT c.oid FROM pg_class c
                  WHERE c.relkind = 'r' AND c.relname ~ '^active_learning_score_[0-9]+$'
                    AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)
    LOOP EXECUTE 'ALTER TABLE ' || begun || ' {begun}'; END LOOP;
END $$;
"""
ADD = COLUMNS.format(
    parent=", ".join(f"ADD COLUMN {name} real" for name in NAMES),
    begun=", ".join(f"ADD COLUMN IF NOT EXISTS {name} real" for name in NAMES),
)
DROP = COLUMNS.format(
    parent=", ".join(f"DROP COLUMN {name}" for name in NAMES),
    begun=", ".join(f"DROP COLUMN IF EXISTS {name}" for name in NAMES),
)


class Migration(migrations.Migration):
    dependencies = [("active_learning", "0014_experiment_runs"), ("annotation", "0042_order_notifications")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD, reverse_sql=DROP)],
            state_operations=[migrations.AddField("score", name, models.FloatField(null=True)) for name in NAMES],
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
    ]
