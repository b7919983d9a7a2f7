from django.db import migrations, models

KINDS = ["selected", "practice", "screening", "imported", "imported_gold", "calibration", "review"]


class Migration(migrations.Migration):
    dependencies = [("annotation", "0025_preferences")]
    operations = [
        migrations.AddField(model_name="membership", name="quarantined_at", field=models.DateTimeField(blank=True, null=True)),
        migrations.AlterField(
            model_name="batch",
            name="kind",
            field=models.CharField(choices=[(kind, kind.replace("_", " ").title()) for kind in KINDS], max_length=16),
        ),
        migrations.RemoveConstraint(model_name="batch", name="batch_kind"),
        migrations.AddConstraint(
            model_name="batch", constraint=models.CheckConstraint(condition=models.Q(("kind__in", KINDS)), name="batch_kind")
        ),
    ]
