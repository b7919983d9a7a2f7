from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("annotation", "0029_watching_and_notifications")]
    operations = [
        migrations.AddField(model_name="membership", name="refused_at", field=models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            model_name="membership", name="screening_set", field=models.PositiveSmallIntegerField(db_default=1, default=1)
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=Q(refused_at=None) | Q(qualified_at=None), name="membership_refused_or_admitted"
            ),
        ),
        migrations.AddConstraint(
            model_name="membership", constraint=models.CheckConstraint(condition=Q(screening_set__gte=1), name="membership_screening_set")
        ),
    ]
