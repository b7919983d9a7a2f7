"""A snapshot for a data set keeps its content in a file, with counts and provenance, and each exported file gets a row.

Triggers keep all of it as it is: a data set that somebody cites must be the same in a year. Older snapshots have no content.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

KEPT = "project_id, number, spec, sha256, count, counts, provenance, content, content_bytes, content_sha256, created_at"
OLD, NEW = (", ".join(f"{row}.{column}" for column in KEPT.split(", ")) for row in ("OLD", "NEW"))
IMMUTABLE = f"""
CREATE FUNCTION stepmark_snapshots_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a snapshot never changes: take a new one' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER snapshot_not_deleted BEFORE DELETE ON annotation_snapshot FOR EACH ROW EXECUTE FUNCTION stepmark_snapshots_stay();
CREATE TRIGGER snapshot_not_changed BEFORE UPDATE ON annotation_snapshot
    FOR EACH ROW WHEN (({OLD}) IS DISTINCT FROM ({NEW})) EXECUTE FUNCTION stepmark_snapshots_stay();
CREATE TRIGGER snapshotfile_stays BEFORE UPDATE OR DELETE ON annotation_snapshotfile
    FOR EACH ROW EXECUTE FUNCTION stepmark_snapshots_stay();
CREATE TRIGGER snapshotitem_stays BEFORE UPDATE OR DELETE ON annotation_snapshotitem
    FOR EACH ROW EXECUTE FUNCTION stepmark_snapshots_stay();
-- The list is stored before its snapshot, in one transaction. Whatever comes later would change it.
CREATE FUNCTION stepmark_list_is_complete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM annotation_snapshot WHERE id IN (SELECT snapshot_id FROM added)) THEN
    RAISE EXCEPTION 'a snapshot never changes: take a new one' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER snapshotitem_in_time AFTER INSERT ON annotation_snapshotitem REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION stepmark_list_is_complete();
"""
MUTABLE = """
DROP FUNCTION stepmark_snapshots_stay() CASCADE;
DROP FUNCTION stepmark_list_is_complete() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0036_review_queue_in_order")]
    operations = [
        migrations.AddField("snapshot", "counts", models.JSONField(db_default={}, default=dict)),
        migrations.AddField("snapshot", "provenance", models.JSONField(db_default={}, default=dict)),
        migrations.AddField("snapshot", "content", models.CharField(blank=True, db_default="", default="", max_length=500)),
        migrations.AddField("snapshot", "content_bytes", models.BigIntegerField(blank=True, null=True)),
        migrations.AddField("snapshot", "content_sha256", models.CharField(blank=True, db_default="", default="", max_length=64)),
        migrations.CreateModel(
            name="SnapshotFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("format", models.CharField(max_length=40)),
                ("options", models.JSONField(default=dict)),
                ("split", models.CharField(blank=True, default="", max_length=8)),
                ("name", models.CharField(max_length=500)),
                ("n_records", models.PositiveBigIntegerField()),
                ("n_bytes", models.PositiveBigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "snapshot",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="files", to="annotation.snapshot"),
                ),
            ],
        ),
        migrations.RunSQL(IMMUTABLE, MUTABLE),
    ]
