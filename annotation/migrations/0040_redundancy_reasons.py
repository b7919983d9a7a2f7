"""Check the reasons of the rows that stood before, now that the rule holds for new ones. This blocks nobody who works."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("annotation", "0039_consensus_in_order")]
    operations = [ValidateConstraint("moreopinions", name="more_opinions_why")]
