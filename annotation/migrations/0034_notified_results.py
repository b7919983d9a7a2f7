"""A worker notifies people once of each result of a screening, and once of each version of the guidelines.

What was decided or changed before this migration is no news: it counts as notified.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q

KINDS = [
    ("round", "a round is done or failed"),
    ("import", "a file is loaded, or its load failed"),
    ("waiting", "a round or a model waits for a decision"),
    ("newcomer", "a newcomer passed or failed the screening"),
    ("gold", "somebody's answers to gold fell below the line"),
    ("flag", "somebody's work was flagged"),
    ("dry", "a project has no more solutions to label"),
    ("message", "somebody wrote to you"),
    ("sent_back", "a solution was sent back to you"),
    ("admission", "you can label in a project, or you cannot"),
    ("guidelines", "the guidelines of a project changed"),
]
OLD = """
UPDATE annotation_membership SET screening_notified = screening_set WHERE qualified_at IS NOT NULL OR refused_at IS NOT NULL;
UPDATE annotation_guidelinesversion SET notified_at = created_at;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0033_redundancy_quarantine")]
    operations = [
        migrations.AddField("membership", "screening_notified", models.PositiveSmallIntegerField(db_default=0, default=0, editable=False)),
        migrations.AddField("guidelinesversion", "notified_at", models.DateTimeField(null=True)),
        migrations.AlterField("notification", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.RemoveConstraint("notification", "notification_kind"),
        AddConstraintNotValid(
            "notification",
            models.CheckConstraint(name="notification_kind", condition=Q(kind__in=[value for value, _ in KINDS])),
        ),
        migrations.RunSQL(OLD, migrations.RunSQL.noop),
    ]
