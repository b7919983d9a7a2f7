import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F


def primary(to: str, related_name: str) -> models.OneToOneField:
    return models.OneToOneField(
        on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name=related_name, serialize=False, to=to
    )


class Migration(migrations.Migration):
    dependencies = [("annotation", "0026_review_and_calibration")]
    operations = [
        migrations.DeleteModel(name="StepConsensus"),  # nothing ever wrote it
        migrations.CreateModel(
            name="SolutionConsensus",
            fields=[
                ("solution", primary("annotation.solution", "consensus")),
                ("n_readings", models.PositiveSmallIntegerField()),
                ("first_mistake", models.PositiveSmallIntegerField(null=True)),
                ("p_none", models.FloatField(null=True)),
                ("entropy", models.FloatField(null=True)),
                ("is_adjudicated", models.BooleanField(default=False)),
                ("settled_at", models.DateTimeField()),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="annotation.project"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(F("project"), models.OrderBy(F("entropy"), descending=True, nulls_last=True), name="consensus_by_entropy")],
            },
        ),
        migrations.CreateModel(
            name="StepConsensus",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey("solution", "step_index", blank=True, editable=False, primary_key=True, serialize=False),
                ),
                ("step_index", models.PositiveSmallIntegerField()),
                ("p_first", models.FloatField(null=True)),
                ("p_negative", models.FloatField(null=True)),
                ("p_neutral", models.FloatField()),
                ("label", models.SmallIntegerField(null=True)),
                ("n_votes", models.PositiveSmallIntegerField()),
                (
                    "solution",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="annotation.solution"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProjectConsensus",
            fields=[
                ("project", primary("annotation.project", "+")),
                ("abilities", models.JSONField(default=dict)),
                ("prior", models.PositiveIntegerField(null=True)),
                ("newest_annotation", models.BigIntegerField(default=0)),
                ("n_readings", models.PositiveIntegerField(default=0)),
                ("n_later", models.PositiveIntegerField(default=0)),
                ("fingerprint", models.CharField(blank=True, max_length=32)),
                ("estimated_at", models.DateTimeField()),
            ],
        ),
    ]
