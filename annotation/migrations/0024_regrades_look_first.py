"""A regrade first looks what would change. Regrades of before, also those that wait, were asked for without a look."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0023_managers_do_not_label")]

    operations = [
        migrations.AddField("regrade", "applies", models.BooleanField(default=True, db_default=True)),
        migrations.AddField("regrade", "fingerprint", models.CharField(blank=True, db_default="", default="", max_length=32)),
    ]
