"""An index of each version's scores in their order, for the search. PostgreSQL cannot build an index of a partitioned table beside running
work, so each partition gets its own, and then they become one.
"""

from django.db import migrations, models

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'active_learning_score'::regclass ORDER BY inhrelid"

ATTACHED = """
SELECT 1 FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid
 WHERE i.inhparent = 'score_order'::regclass AND x.indrelid = %s::regclass
"""


def build(apps, schema_editor):
    # PostgreSQL builds nothing concurrently inside a transaction. This migration has none of its own; a test around it can have one.
    beside = "" if schema_editor.connection.in_atomic_block else "CONCURRENTLY"
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("CREATE INDEX IF NOT EXISTS score_order ON ONLY active_learning_score (score, solution_id)")
        for (table,) in cursor.execute(PARTITIONS).fetchall():
            name = f"{table}_score_order"
            cursor.execute(ATTACHED, [table])
            if cursor.fetchone():  # an earlier run that was stopped has done this one, or the table was attached after it
                continue
            cursor.execute(f"DROP INDEX IF EXISTS {name}")
            cursor.execute(f"CREATE INDEX {beside} {name} ON {table} (score, solution_id)")
            cursor.execute(f"ALTER INDEX score_order ATTACH PARTITION {name}")


def drop(apps, schema_editor):
    schema_editor.execute("DROP INDEX IF EXISTS score_order")


class Migration(migrations.Migration):
    atomic = False  # the indexes are built beside running work
    dependencies = [("active_learning", "0007_which_process_holds_it")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build, drop)],
            state_operations=[migrations.AddIndex("score", models.Index(fields=["score", "solution"], name="score_order"))],
        ),
    ]
