from django.db import migrations, models

from annotation.migrations._again import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is built beside running work
    dependencies = [("annotation", "0038_api")]
    operations = [AddIndexConcurrently("solutionconsensus", models.Index(fields=["project", "solution"], name="consensus_in_order"))]
