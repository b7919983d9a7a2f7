"""An index of each version's scores in their order, for the search."""

from django.db import migrations, models

from annotation.migrations._again import build_in_partitions


def build(apps, schema_editor):
    build_in_partitions(schema_editor, table="active_learning_score", name="score_order", order="(score, solution_id)")


def drop(apps, schema_editor):
    schema_editor.execute("DROP INDEX IF EXISTS score_order")


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside running work
    dependencies = [("active_learning", "0007_which_process_holds_it")]
    operations = [
        migrations.RunPython(build, drop),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.AddIndex("score", models.Index(fields=["score", "solution"], name="score_order"))],
        ),
    ]
