"""Where a stated answer comes from: a file, or the steps. Of solutions that exist nobody knows it, so they get no value."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0009_text_kind")]

    operations = [migrations.AddField("solution", "is_answer_given", models.BooleanField(null=True))]
