"""Operations of migrations with `atomic = False`, which can be run again wherever a run before was stopped.

Such a migration is noted as applied only at its end. What a stopped run has done stays, and the next run begins with the first operation:
so each operation has to find its work done, half done, or not begun. Other apps use this module too.
"""

from django.contrib.postgres import operations

# Whether an index is complete. What CREATE INDEX CONCURRENTLY could not finish stays as an index that is not valid.
COMPLETE = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(quote_ident(%s))"

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY inhrelid"
ATTACHED = """
SELECT 1 FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid WHERE i.inhparent = %s::regclass AND x.indrelid = %s::regclass
"""


class AddIndexConcurrently(operations.AddIndexConcurrently):
    """Build an index beside running work, unless a run before has built it."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self._ensure_not_in_transaction(schema_editor)
        if not _is_built(schema_editor, self.index.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class RemoveIndexConcurrently(operations.RemoveIndexConcurrently):
    """Remove an index beside running work; on the way back, build it unless a run before has built it."""

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self._ensure_not_in_transaction(schema_editor)
        if not _is_built(schema_editor, self.name):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


def _is_built(schema_editor, name):
    """Return whether an index is complete; drop one that is not. While the SQL is only written down, no index is there."""
    if schema_editor.collect_sql:
        return False
    with schema_editor.connection.cursor() as cursor:
        found = cursor.execute(COMPLETE, [name]).fetchone()
        if found and not found[0]:
            cursor.execute(f"DROP INDEX {_beside(schema_editor)} {name}")
        return bool(found and found[0])


def _beside(schema_editor):
    # PostgreSQL does nothing concurrently inside a transaction. These migrations have none of their own; a test around one can have one.
    return "" if schema_editor.connection.in_atomic_block else "CONCURRENTLY"


def build_in_partitions(schema_editor, *, table, name, order):
    """Build an index of a partitioned table beside running work: each partition gets its own, and then they become one.

    PostgreSQL cannot build it concurrently for all partitions together. A partition that is attached meanwhile gets the index with that.
    """
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {table} {order}")
        for (partition,) in cursor.execute(PARTITIONS, [table]).fetchall():
            if cursor.execute(ATTACHED, [name, partition]).fetchone():
                continue
            own = f"{partition}_{name}"
            if not _is_built(schema_editor, own):
                cursor.execute(f"CREATE INDEX {_beside(schema_editor)} {own} ON {partition} {order}")
            cursor.execute(f"ALTER INDEX {name} ATTACH PARTITION {own}")
