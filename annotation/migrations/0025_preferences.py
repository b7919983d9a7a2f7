import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0024_regrades_look_first"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField("project", "calculator", models.BooleanField(db_default=True, default=True)),
        migrations.CreateModel(
            name="Preferences",
            fields=[
                (
                    "person",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="preferences",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("time_zone", models.CharField(blank=True, default="", max_length=64)),
                ("date_language", models.CharField(blank=True, default="", max_length=16)),
                (
                    "text_size",
                    models.CharField(
                        choices=[("small", "small"), ("normal", "normal"), ("large", "large"), ("huge", "very large")],
                        default="normal",
                        max_length=8,
                    ),
                ),
                (
                    "line_width",
                    models.CharField(
                        choices=[("narrow", "narrow"), ("normal", "normal"), ("wide", "as wide as the window")],
                        default="normal",
                        max_length=8,
                    ),
                ),
                ("goal", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("pace", models.FloatField(blank=True, null=True)),
                ("rest_minutes", models.PositiveSmallIntegerField(default=60)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("text_size__in", ["small", "normal", "large", "huge"])), name="preferences_text_size"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("line_width__in", ["narrow", "normal", "wide"])), name="preferences_line_width"
                    ),
                    models.CheckConstraint(condition=models.Q(("goal__gte", 1), ("goal__lte", 1000)), name="preferences_goal"),
                    models.CheckConstraint(condition=models.Q(("pace__gt", 0), ("pace__lte", 600)), name="preferences_pace"),
                    models.CheckConstraint(condition=models.Q(("rest_minutes__lte", 480)), name="preferences_rest"),
                ]
            },
        ),
    ]
