"""Let a project keep its base frozen: its models are heads on the states of the base."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0047_order_limits")]
    operations = [migrations.AddField("project", "frozen_base", models.BooleanField(default=False, db_default=False))]
