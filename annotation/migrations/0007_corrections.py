"""What a task's choice took for granted, and the details of an event: what corrections of reference answers need."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0006_statement_keys"),
    ]

    operations = [
        migrations.AddField(
            "task",
            "premise",
            models.CharField(
                blank=True,
                choices=[("wrong", "Wrong"), ("not_wrong", "Not Wrong"), ("correct", "Correct")],
                db_default="",
                default="",
                max_length=9,
            ),
        ),
        migrations.AddConstraint(
            "task", models.CheckConstraint(condition=models.Q(("premise__in", ["", "wrong", "not_wrong", "correct"])), name="task_premise")
        ),
        migrations.AddField("event", "details", models.JSONField(db_default={}, default=dict)),
    ]
