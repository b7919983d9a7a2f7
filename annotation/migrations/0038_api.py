import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now


def of_person(**options):
    return models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL, **options)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0037_snapshot_contents"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.CharField(max_length=128, unique=True)),
                ("token_key", models.CharField(max_length=25)),
                ("user", of_person()),
                ("name", models.CharField(max_length=60)),
                ("scope", models.CharField(choices=[("read", "Read"), ("write", "Read and write")], max_length=5)),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="annotation.project",
                    ),
                ),
                ("created", models.DateTimeField(db_default=Now())),
                ("expiry", models.DateTimeField()),
                ("last_used_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("revoked_at__isnull", True)), fields=("user", "name"), name="token_name_once"
                    ),
                    models.CheckConstraint(condition=models.Q(("scope__in", ["read", "write"])), name="token_scope"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiCount",
            fields=[
                ("pk", models.CompositePrimaryKey("person", "is_write", blank=True, editable=False, primary_key=True, serialize=False)),
                ("person", of_person(db_index=False)),
                ("is_write", models.BooleanField()),
                ("began_at", models.DateTimeField(db_default=Now())),
                ("count", models.PositiveIntegerField()),
            ],
        ),
        # A count is written for each request, and worth nothing after a minute.
        migrations.RunSQL("ALTER TABLE annotation_apicount SET UNLOGGED", "ALTER TABLE annotation_apicount SET LOGGED"),
        migrations.CreateModel(
            name="StoredAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("person", of_person(db_index=False)),
                ("key", models.CharField(max_length=200)),
                ("fingerprint", models.BinaryField(max_length=32)),
                ("status", models.PositiveSmallIntegerField()),
                ("body", models.JSONField()),
                ("created_at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("person", "key"), name="stored_answer_once")],
                "indexes": [models.Index(fields=["created_at"], name="stored_answer_by_time")],
            },
        ),
    ]
