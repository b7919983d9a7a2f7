from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the index is built beside running work
    dependencies = [("annotation", "0015_events_of_projects")]
    operations = [
        migrations.AddField(model_name="batch", name="priority", field=models.SmallIntegerField(db_default=0, default=0)),
        migrations.AlterField(
            model_name="batch",
            name="state",
            field=models.CharField(
                choices=[("draft", "Draft"), ("open", "Open"), ("paused", "Paused"), ("closed", "Closed")], default="draft", max_length=8
            ),
        ),
        migrations.RemoveConstraint(model_name="batch", name="batch_state"),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["draft", "open", "paused", "closed"])), name="batch_state"
            ),
        ),
        AddIndexConcurrently(
            model_name="assignment", index=models.Index(condition=models.Q(("state", "done")), fields=["batch"], name="assignment_done")
        ),
    ]
