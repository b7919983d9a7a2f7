"""Each event names its project, so that a project's events are found among all others.

Events are append-only. While this migration writes, their trigger lets one change pass: the project of an event that has none. The column
has no foreign key, so no row of another table is locked, and the rows are written in parts.
"""

from django.db import migrations, models

from annotation.migrations._again import AddIndexConcurrently

PART = 5_000  # events written in one transaction
BODY = """
CREATE OR REPLACE FUNCTION stepmark_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
{exception}    RAISE EXCEPTION '% is append-only: write a new revision instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""
STRICT = BODY.format(exception="")
LENIENT = BODY.format(
    exception="""    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'annotation_event' THEN
        IF to_jsonb(OLD) ->> 'project_id' IS NULL AND to_jsonb(OLD) - 'project_id' = to_jsonb(NEW) - 'project_id' THEN
            RETURN NEW;
        END IF;
    END IF;
"""
)
# What each subject begins with. Rounds are in a table that exists only if active_learning was migrated before.
FILL = r"""
UPDATE annotation_event e SET project_id = found.project FROM (
    SELECT e.id, CASE split_part(e.subject, ' ', 1)
        WHEN 'project' THEN (SELECT p.id FROM annotation_project p WHERE p.slug = substring(e.subject FROM '^project ([-\w]+)'))
        WHEN 'problem' THEN (SELECT p.project_id FROM annotation_problem p WHERE p.id = n.number)
        WHEN 'solution' THEN (SELECT p.project_id FROM annotation_solution s JOIN annotation_problem p ON p.id = s.problem_id
                               WHERE s.id = n.number)
        WHEN 'assignment' THEN (SELECT b.project_id FROM annotation_assignment a JOIN annotation_batch b ON b.id = a.batch_id
                                 WHERE a.id = n.number)
        {rounds}
        ELSE (SELECT p.id FROM annotation_project p WHERE p.slug = substring(e.subject FROM '^[PO]RM model \d+ of ([-\w]+)$'))
    END AS project
      FROM annotation_event e CROSS JOIN LATERAL (SELECT substring(e.subject FROM '^\w+ (\d{{1,18}})(?!\d)')::bigint AS number) n
     WHERE e.project_id IS NULL AND e.id > %s AND e.id <= %s) found
 WHERE e.id = found.id AND found.project IS NOT NULL
"""
ROUNDS = "WHEN 'round' THEN (SELECT r.project_id FROM active_learning_round r WHERE r.id = n.number)"


def fill_projects(apps, schema_editor):
    """Write the project of each event that is about one."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('active_learning_round') IS NOT NULL, (SELECT max(id) FROM annotation_event)")
        has_rounds, last = cursor.fetchone()
        cursor.execute(LENIENT)
        try:
            for start in range(0, last or 0, PART):
                cursor.execute(FILL.format(rounds=ROUNDS if has_rounds else ""), [start, start + PART])
        finally:
            if not schema_editor.connection.needs_rollback:
                cursor.execute(STRICT)


class Migration(migrations.Migration):
    atomic = False  # indexes are built beside running work, and the events are written in parts
    dependencies = [("annotation", "0014_event_project")]
    operations = [
        migrations.RunPython(fill_projects, migrations.RunPython.noop),
        AddIndexConcurrently("event", models.Index(fields=["project", "-id"], name="event_by_project")),
        AddIndexConcurrently("event", models.Index(fields=["verb", "-id"], name="event_by_verb")),
        AddIndexConcurrently(
            "event",
            models.Index(fields=["subject", "-id"], name="event_by_subject", opclasses=["varchar_pattern_ops", "int8_ops"]),
        ),
    ]
