"""The list of the annotations of each project, in the order of their keys: a page of it is one range of an index, whatever else the site has.

A trigger writes it, so that whoever stores annotations need not. An annotation never changes and never goes, and its batch stays in its project.
"""

import django.db.models.deletion
from django.db import migrations, models

LIST = """
CREATE FUNCTION stepmark_list_annotations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO annotation_listedannotation (project_id, annotation_id)
  SELECT b.project_id, n.id
    FROM added n JOIN annotation_assignment s ON s.id = n.assignment_id JOIN annotation_batch b ON b.id = s.batch_id;
  RETURN NULL;
END $$;
CREATE TRIGGER annotation_listed AFTER INSERT ON annotation_annotation REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION stepmark_list_annotations();
"""
DO_NOT_LIST = "DROP FUNCTION stepmark_list_annotations() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [("annotation", "0044_notified_of_webhooks")]
    operations = [
        migrations.CreateModel(
            name="ListedAnnotation",
            fields=[
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="annotation.project",
                    ),
                ),
                (
                    "annotation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="annotation.annotation",
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey("project", "annotation", blank=True, editable=False, primary_key=True, serialize=False),
                ),
            ],
        ),
        migrations.RunSQL(LIST, DO_NOT_LIST),
    ]
