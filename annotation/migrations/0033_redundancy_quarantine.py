"""A reason to ask one more person: all labels of a solution are by people in quarantine. Samples in the old form are counted again."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

# PostgreSQL makes a varchar longer in its catalog alone. It reads no row for that.
LONGER = "-- squawk-ignore changing-column-type\nALTER TABLE annotation_moreopinions ALTER COLUMN why TYPE varchar(10)"


class Migration(migrations.Migration):
    dependencies = [("annotation", "0032_adjudications")]
    operations = [
        migrations.RunSQL(
            [LONGER],
            migrations.RunSQL.noop,
            state_operations=[migrations.AlterField("moreopinions", "why", models.CharField(max_length=10))],
        ),
        migrations.RemoveConstraint("moreopinions", "more_opinions_why"),
        AddConstraintNotValid(
            "moreopinions",
            models.CheckConstraint(
                name="more_opinions_why", condition=models.Q(why__in=["quarantine", "conflict", "model", "gold", "spread"])
            ),
        ),
        migrations.RunSQL("UPDATE annotation_opinionslook SET sampled_at = NULL, sample = '{}'", migrations.RunSQL.noop),
    ]
