"""Every text of the guidelines is kept as a version, and each annotation knows the version that held at its submit.

The new columns have no value in rows that exist, or a constant one: PostgreSQL writes no row of a big table for that.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

# Triggers count the number and keep the text, because settings, administration, commands and tests all write projects. A row that
# was read before another person's change can be saved as a whole; the number does not go back.
VERSIONS = """
CREATE FUNCTION stepmark_count_guidelines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.guidelines_version := OLD.guidelines_version + (NEW.guidelines <> OLD.guidelines)::int;
  RETURN NEW;
END $$;
CREATE FUNCTION stepmark_keep_guidelines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO annotation_guidelinesversion (project_id, number, text) VALUES (NEW.id, NEW.guidelines_version, NEW.guidelines)
  ON CONFLICT (project_id, number) DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER count_guidelines BEFORE UPDATE ON annotation_project FOR EACH ROW EXECUTE FUNCTION stepmark_count_guidelines();
CREATE TRIGGER keep_first_guidelines AFTER INSERT ON annotation_project FOR EACH ROW EXECUTE FUNCTION stepmark_keep_guidelines();
CREATE TRIGGER keep_guidelines AFTER UPDATE OF guidelines ON annotation_project FOR EACH ROW
  WHEN (NEW.guidelines <> OLD.guidelines) EXECUTE FUNCTION stepmark_keep_guidelines();
INSERT INTO annotation_guidelinesversion (project_id, number, text, created_at) SELECT id, 1, guidelines, created_at FROM annotation_project;
"""
NO_VERSIONS = """
DROP TRIGGER count_guidelines ON annotation_project;
DROP TRIGGER keep_first_guidelines ON annotation_project;
DROP TRIGGER keep_guidelines ON annotation_project;
DROP FUNCTION stepmark_count_guidelines();
DROP FUNCTION stepmark_keep_guidelines();
"""


def number() -> models.BigAutoField:
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def now() -> models.DateTimeField:
    return models.DateTimeField(db_default=django.db.models.functions.datetime.Now())


class Migration(migrations.Migration):
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL), ("annotation", "0027_consensus")]
    operations = [
        migrations.AddField("annotation", "guidelines_version", models.PositiveIntegerField(null=True)),
        migrations.AddField("project", "guidelines_version", models.PositiveIntegerField(db_default=1, default=1, editable=False)),
        migrations.AddField("membership", "guidelines_read", models.PositiveIntegerField(db_default=0, default=0, editable=False)),
        migrations.CreateModel(
            name="GuidelinesVersion",
            fields=[
                ("id", number()),
                ("number", models.PositiveIntegerField()),
                ("text", models.TextField(blank=True)),
                ("note", models.CharField(blank=True, db_default="", default="", max_length=500)),
                ("created_at", now()),
                ("author", models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("project", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="annotation.project")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=["project", "number"], name="guidelines_version_once")]},
        ),
        migrations.CreateModel(
            name="GuidelinesReader",
            fields=[
                ("id", number()),
                ("read_at", now()),
                ("person", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="readers", to="annotation.guidelinesversion")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=["version", "person"], name="guidelines_read_once")]},
        ),
        migrations.CreateModel(
            name="ProjectAgreement",
            fields=[
                ("project", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="annotation.project")),
                ("counted_at", models.DateTimeField()),
                ("values", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="Remark",
            fields=[
                ("id", number()),
                ("text", models.TextField()),
                ("created_at", now()),
                ("author", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("task", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="remarks", to="annotation.task")),
            ],
        ),
        migrations.RunSQL(VERSIONS, NO_VERSIONS),
    ]
