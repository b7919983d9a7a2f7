"""List the annotations that are stored already. In a transaction of its own, this holds no lock that anybody waits for."""

from django.db import migrations

LIST_STORED = """
INSERT INTO annotation_listedannotation (project_id, annotation_id)
SELECT b.project_id, a.id
  FROM annotation_annotation a JOIN annotation_assignment s ON s.id = a.assignment_id JOIN annotation_batch b ON b.id = s.batch_id
    ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0045_listed_annotations")]
    operations = [migrations.RunSQL(LIST_STORED, migrations.RunSQL.noop)]
