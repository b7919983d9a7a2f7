"""Webhooks: who is told what happens in a project, what is told, and each try to tell it."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now

EVENTS = [
    ("batch.done", "a batch is done"),
    ("round.done", "a round is done, failed or cancelled"),
    ("snapshot.ready", "a snapshot is ready"),
    ("ping", "a test"),
]
STATES = [("waiting", "Waiting"), ("delivered", "Delivered"), ("failed", "Failed")]
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
    ("webhook", "a webhook was switched off"),
]


def key():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def of(model, **options):
    return models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=f"annotation.{model}", **options)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0042_order_notifications")]
    operations = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", key()),
                ("address", models.CharField(max_length=500)),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=EVENTS, max_length=16), size=None),
                ),
                ("is_on", models.BooleanField(default=True)),
                ("why_off", models.TextField(blank=True)),
                ("nonce", models.BinaryField(max_length=32)),
                ("mark", models.BinaryField(max_length=8)),
                ("old_nonce", models.BinaryField(max_length=32, null=True)),
                ("old_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("project", of("project")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("project", "address"), name="webhook_address_once")]},
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("kind", models.CharField(choices=EVENTS, max_length=16)),
                ("occasion", models.CharField(max_length=100)),
                ("body", models.TextField()),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("project", of("project")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("project", "occasion"), name="webhook_event_once"),
                    models.CheckConstraint(name="webhook_event_kind", condition=Q(kind__in=[value for value, _ in EVENTS])),
                ]
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", key()),
                ("state", models.CharField(choices=STATES, db_default="waiting", default="waiting", max_length=9)),
                ("attempt", models.PositiveIntegerField(db_default=0, default=0)),
                ("failures", models.PositiveSmallIntegerField(db_default=0, default=0)),
                ("began_at", models.DateTimeField(db_default=Now())),
                ("next_at", models.DateTimeField(db_default=Now())),
                ("ended_at", models.DateTimeField(null=True)),
                ("webhook", of("webhook", db_index=False)),
                ("event", of("webhookevent")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("webhook", "event"), name="webhook_delivery_once"),
                    models.CheckConstraint(name="webhook_delivery_state", condition=Q(state__in=[value for value, _ in STATES])),
                ],
                "indexes": [
                    models.Index(condition=Q(state="waiting"), fields=["next_at"], name="webhook_delivery_due"),
                    models.Index(fields=["webhook", "-id"], name="webhook_delivery_log"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookTry",
            fields=[
                ("id", key()),
                ("number", models.PositiveIntegerField()),
                ("at", models.DateTimeField(db_default=Now())),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("duration_ms", models.PositiveIntegerField(null=True)),
                ("answer", models.TextField(blank=True, db_default="")),
                ("failure", models.TextField(blank=True, db_default="")),
                ("delivery", of("webhookdelivery", related_name="tries", db_index=False)),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("delivery", "number"), name="webhook_try_once")]},
        ),
        migrations.AlterField("notification", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.RemoveConstraint("notification", "notification_kind"),
        AddConstraintNotValid(
            "notification",
            models.CheckConstraint(name="notification_kind", condition=Q(kind__in=[value for value, _ in KINDS])),
        ),
    ]
