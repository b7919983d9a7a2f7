from django.db import migrations, models

from annotation.migrations._again import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # built beside running work
    dependencies = [("annotation", "0012_site_counts")]
    operations = [
        AddIndexConcurrently(
            model_name="task",
            index=models.Index(condition=models.Q(("kind", "gold")), fields=["batch", "-priority", "id"], name="task_gold"),
        ),
    ]
