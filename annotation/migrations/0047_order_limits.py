"""Let an export that a worker writes be several files. Existing orders have none of the limits: they wrote one file, or one of each part."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0046_list_stored_annotations")]
    operations = [migrations.AddField("dataorder", "limits", models.JSONField(db_default={}, default=dict))]
