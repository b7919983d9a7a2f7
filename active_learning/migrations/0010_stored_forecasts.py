import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0023_managers_do_not_label"), ("active_learning", "0009_round_number")]

    operations = [
        migrations.CreateModel(
            name="StoredForecasts",
            fields=[
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to="annotation.project"
                    ),
                ),
                ("values", models.JSONField(default=dict)),
                ("asked_at", models.DateTimeField(null=True)),
                ("counted_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
