from django.db import migrations, models
from django.db.models import F, Q

from annotation.migrations._again import AddIndexConcurrently, RemoveIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside running work
    dependencies = [("annotation", "0035_notification_kinds")]
    operations = [
        AddIndexConcurrently(
            "solutionconsensus",
            models.Index(
                F("project"),
                F("entropy").desc(),
                F("solution"),
                name="consensus_to_review",
                condition=Q(n_readings__gte=2, entropy__gt=0, is_adjudicated=False),
            ),
        ),
        RemoveIndexConcurrently("solutionconsensus", "consensus_by_entropy"),
        AddIndexConcurrently(
            "assignment",
            models.Index(name="lease_by_labeler", fields=["labeler", "-leased_at"], condition=Q(leased_at__isnull=False)),
        ),
    ]
