"""What a project counts as the same answer."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0007_corrections")]

    operations = [
        migrations.AddField(
            "project",
            "accept_unreduced",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="2/4 is correct where the answer is 1/2. Otherwise it is unsure. After a change, run manage.py regrade.",
                verbose_name="accept fractions that are not in lowest terms",
            ),
        ),
        migrations.AddField(
            "project",
            "accept_percent",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="10% is correct where the answer is 0.1. Otherwise it is unsure. After a change, run manage.py regrade.",
                verbose_name="accept a percentage for its value",
            ),
        ),
    ]
