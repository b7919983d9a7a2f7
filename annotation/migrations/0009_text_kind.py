"""A project's text is plain or Markdown. Projects that exist stay plain; the first load into a new project decides."""

from django.db import migrations, models


CHOICES = [("", "not decided yet: the first load with solutions decides"), ("plain", "plain text"), ("markdown", "Markdown")]


class Migration(migrations.Migration):
    dependencies = [("annotation", "0008_accepted_answers")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="text_kind",
            field=models.CharField(blank=True, choices=CHOICES, default="plain", max_length=8),
        ),
        migrations.AlterField(
            model_name="project",
            name="text_kind",
            field=models.CharField(blank=True, choices=CHOICES, default="", max_length=8),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(name="project_text_kind", condition=models.Q(text_kind__in=["", "plain", "markdown"])),
        ),
    ]
