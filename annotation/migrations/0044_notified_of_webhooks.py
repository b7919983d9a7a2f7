"""Check the kinds of stored notifications. In a transaction of its own, this holds no lock that anybody waits for."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("annotation", "0043_webhooks")]
    operations = [ValidateConstraint("notification", name="notification_kind")]
