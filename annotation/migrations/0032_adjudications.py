import django.db.models.deletion
from django.db import migrations, models

KINDS = [("beside", "beside the other labels"), ("instead", "instead of the other labels"), ("without", "not at all")]


class Migration(migrations.Migration):
    dependencies = [("annotation", "0031_redundancy")]
    operations = [
        migrations.AddField(
            model_name="project",
            name="adjudications",
            field=models.CharField(choices=KINDS, db_default="beside", default="beside", max_length=8),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(("adjudications__in", [value for value, _ in KINDS])), name="project_adjudications"
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="annotation",
            field=models.OneToOneField(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="sent_back", to="annotation.annotation"
            ),
        ),
    ]
