"""Rounds and shards name the process that has them, so that its end is known at once. Old rows name none."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("active_learning", "0006_corrected_outcomes"),
    ]

    operations = [
        migrations.AddField(
            model_name="round",
            name="holder",
            field=models.CharField(blank=True, db_default="", default="", max_length=100),
        ),
        migrations.AddField(
            model_name="scoreshard",
            name="holder",
            field=models.CharField(blank=True, db_default="", default="", max_length=100),
        ),
    ]
