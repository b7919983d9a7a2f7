"""More people can be asked for an opinion on a solution than the overlap says: thresholds of a project, who was asked why, and how far
the labels were looked through."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("annotation", "0030_newcomers")]

    operations = [
        migrations.AddField("project", "redundancy_limit", models.PositiveSmallIntegerField(blank=True, null=True)),
        migrations.AddField("project", "redundancy_model", models.FloatField(blank=True, null=True)),
        migrations.AddField("project", "redundancy_gold", models.FloatField(blank=True, null=True)),
        migrations.AddField("project", "redundancy_spread", models.FloatField(blank=True, null=True)),
        *(
            migrations.AddConstraint(
                "project",
                models.CheckConstraint(
                    name=f"project_redundancy_{name}",
                    condition=Q(**{f"redundancy_{name}__gte": least, f"redundancy_{name}__lte": most}),
                ),
            )
            for name, least, most in (("limit", 2, 99), ("model", 0, 1), ("gold", 0, 1), ("spread", 0, 16))
        ),
        migrations.CreateModel(
            "MoreOpinions",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.PositiveSmallIntegerField()),
                ("why", models.CharField(max_length=8)),
                ("value", models.FloatField()),
                ("threshold", models.FloatField()),
                ("details", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("batch", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="annotation.batch")),
                ("task", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="annotation.task")),
            ],
            options={
                "indexes": [models.Index(fields=["batch", "-id"], name="more_opinions_by_batch")],
                "constraints": [
                    models.UniqueConstraint(fields=("task", "place"), name="more_opinions_once"),
                    models.CheckConstraint(condition=Q(why__in=["conflict", "model", "gold", "spread"]), name="more_opinions_why"),
                ],
            },
        ),
        migrations.CreateModel(
            "OpinionsLook",
            [
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="annotation.project"
                    ),
                ),
                ("newest", models.BigIntegerField(default=0)),
                ("basis", models.CharField(blank=True, max_length=64)),
                ("looked_at", models.DateTimeField(null=True)),
                ("sample", models.JSONField(default=dict)),
                ("sampled_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
