"""A worker takes snapshots and writes exports that people order. Such an order is a row, and the files of its export name it."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q

KINDS = [
    ("round", "a round is done or failed"),
    ("import", "a file is loaded, or its load failed"),
    ("order", "a snapshot or an export that took long is ready, or it failed"),
    ("waiting", "a round or a model waits for a decision"),
    ("newcomer", "a newcomer passed or failed the screening"),
    ("gold", "somebody's answers to gold fell below the line"),
    ("flag", "somebody's work was flagged"),
    ("dry", "a project has no more solutions to label"),
    ("message", "somebody wrote to you"),
    ("sent_back", "a solution was sent back to you"),
    ("admission", "you can label in a project, or you cannot"),
    ("guidelines", "the guidelines of a project changed"),
]
STATES = [("waiting", "Waiting"), ("running", "Running"), ("done", "Done"), ("failed", "Failed"), ("cancelled", "Cancelled")]


def person() -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
    )


class Migration(migrations.Migration):
    dependencies = [("annotation", "0040_redundancy_reasons"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            name="DataOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("project", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="annotation.project")),
                ("spec", models.JSONField(null=True)),
                (
                    "snapshot",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="annotation.snapshot"
                    ),
                ),
                ("format", models.CharField(blank=True, max_length=40)),
                ("options", models.JSONField(default=dict)),
                ("container", models.CharField(blank=True, max_length=8)),
                ("compression", models.CharField(blank=True, max_length=8)),
                ("rule", models.JSONField(null=True)),
                ("state", models.CharField(choices=STATES, default="waiting", max_length=9)),
                ("report", models.JSONField(default=list)),
                ("failure", models.TextField(blank=True)),
                ("progress", models.JSONField(default=dict)),
                ("heartbeat_at", models.DateTimeField(null=True)),
                ("holder", models.CharField(blank=True, max_length=100)),
                ("attempt", models.PositiveSmallIntegerField(default=0)),
                ("token", models.PositiveIntegerField(default=0)),
                ("created_by", person()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished_at", models.DateTimeField(null=True)),
                ("files_deleted_at", models.DateTimeField(null=True)),
                ("files_deleted_by", person()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "-id"], name="order_by_project"),
                    models.Index(condition=Q(state__in=["waiting", "running"]), fields=["id"], name="order_waiting"),
                ],
                "constraints": [
                    models.CheckConstraint(condition=Q(state__in=[state for state, _ in STATES]), name="order_state"),
                    models.CheckConstraint(
                        condition=Q(spec__isnull=False) | (Q(snapshot__isnull=False) & ~Q(format="")), name="order_asks_for_something"
                    ),
                ],
            },
        ),
        migrations.AddField(
            "snapshotfile",
            "order",
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="files", to="annotation.dataorder"),
        ),
        migrations.AlterField("notification", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.RemoveConstraint("notification", "notification_kind"),
        AddConstraintNotValid(
            "notification", models.CheckConstraint(name="notification_kind", condition=Q(kind__in=[value for value, _ in KINDS]))
        ),
    ]
