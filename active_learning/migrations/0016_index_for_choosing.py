"""Wrong answers in the order in which rounds choose them, beside running work. It can be run again wherever a run before was stopped."""

import django.db.models.functions.comparison
from django.db import migrations, models

from annotation.migrations._again import build_in_partitions

SCORES = "active_learning_score"


def build(apps, schema_editor):
    order = "(problem_id, (coalesce(per_step, score)) DESC) WHERE outcome = 'wrong'"
    build_in_partitions(schema_editor, table=SCORES, name="score_convincing", order=order)
    schema_editor.execute("DROP INDEX IF EXISTS score_wrong")  # for all partitions at once: PostgreSQL cannot do that concurrently


def unbuild(apps, schema_editor):
    build_in_partitions(schema_editor, table=SCORES, name="score_wrong", order="(problem_id, score DESC) WHERE outcome = 'wrong'")
    schema_editor.execute("DROP INDEX IF EXISTS score_convincing")


class Migration(migrations.Migration):
    atomic = False  # the index is built beside running work
    dependencies = [("active_learning", "0015_scores_for_choosing")]
    operations = [
        migrations.RunPython(build, unbuild),
        migrations.SeparateDatabaseAndState(
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
