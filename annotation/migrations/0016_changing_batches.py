from django.db import migrations, models

from annotation.migrations._again import AddIndexConcurrently


# One statement, so that all of it is there or nothing, and a second run changes nothing.
CHANGE = """
ALTER TABLE annotation_batch
    DROP CONSTRAINT IF EXISTS batch_state, {column},
    ADD CONSTRAINT batch_state CHECK (state IN ({states}))
"""
FORWARD = CHANGE.format(
    column="ADD COLUMN IF NOT EXISTS priority smallint DEFAULT 0 NOT NULL", states="'draft', 'open', 'paused', 'closed'"
)
BACK = CHANGE.format(column="DROP COLUMN IF EXISTS priority", states="'draft', 'open', 'closed'")


class Migration(migrations.Migration):
    atomic = False  # the index is built beside running work
    dependencies = [("annotation", "0015_events_of_projects")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, BACK)],
            state_operations=[
                migrations.AddField(model_name="batch", name="priority", field=models.SmallIntegerField(db_default=0, default=0)),
                migrations.AlterField(
                    model_name="batch",
                    name="state",
                    field=models.CharField(
                        choices=[("draft", "Draft"), ("open", "Open"), ("paused", "Paused"), ("closed", "Closed")],
                        default="draft",
                        max_length=8,
                    ),
                ),
                migrations.RemoveConstraint(model_name="batch", name="batch_state"),
                migrations.AddConstraint(
                    model_name="batch",
                    constraint=models.CheckConstraint(
                        condition=models.Q(("state__in", ["draft", "open", "paused", "closed"])), name="batch_state"
                    ),
                ),
            ],
        ),
        AddIndexConcurrently(
            model_name="assignment", index=models.Index(condition=models.Q(("state", "done")), fields=["batch"], name="assignment_done")
        ),
    ]
