"""Up to which number all labels are committed: for workers that read only what is new."""

from django.db import connection

# Numbers are given before a commit, so a lower one can appear later. Who stores labels holds this lock from before the number is given.
_IN_FLIGHT = """
SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'annotation_annotation'::regclass AND mode = 'RowExclusiveLock' AND granted
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid())
"""


def committed_until() -> int | None:
    """Return a number up to which all labels are committed. None while somebody is storing some: what is read now is read again.

    The largest number is none: a label can be committed after one with a higher number. Ask before the labels are read.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM annotation_annotation_id_seq")
        (last,) = cursor.fetchone()
        cursor.execute(_IN_FLIGHT)
        (is_in_flight,) = cursor.fetchone()
    return None if is_in_flight else last
