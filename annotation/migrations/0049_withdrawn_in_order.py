"""Index withdrawn solutions in the order in which the API lists them: `withdrawn=yes` looked at 24,000 solutions for one page."""

from django.db import migrations, models

from annotation.migrations._again import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is built beside running work
    dependencies = [("annotation", "0048_frozen_base")]
    operations = [
        AddIndexConcurrently(
            "solution",
            models.Index(name="solution_withdrawn_in_order", fields=["problem", "id"], condition=models.Q(withdrawn_at__isnull=False)),
        )
    ]
