"""The table of a version's scores: filled alone, indexed, then attached to all scores; and the columns that COPY fills."""

from typing import Any

from django.db import connection, transaction

from active_learning.models import ModelKind, ModelVersion
from active_learning.registry import Fence, ModelUnusable

# What the solutions of each problem are usually worth to a version. The mean of all counts as one solution more: a problem with one
# solution would otherwise be compared with itself alone. A solution that was not read to its end has 0, which says nothing of the others.
# In the order of problems, so that two workers do not wait for each other's rows.
COMPARED = """
WITH own AS (SELECT problem_id, sum(per_step::float8) AS total, count(*) FILTER (WHERE per_step > 0) AS n,
                    bool_or(per_step IS NULL) AS is_older
               FROM {table} GROUP BY 1),
     whole AS (SELECT sum(total) / nullif(sum(n), 0) AS mean, bool_or(is_older) AS is_older FROM own)
INSERT INTO active_learning_problemmean (model_version_id, problem_id, per_step)
SELECT %(version)s, problem_id, (total + mean) / (n + 1) FROM own CROSS JOIN whole WHERE mean IS NOT NULL AND NOT whole.is_older ORDER BY 2
    ON CONFLICT (model_version_id, problem_id) DO UPDATE SET per_step = excluded.per_step
"""
# A version that scored before these columns were there has them of later solutions only, which would come first whatever they are worth.
# So it has them of none.
OLDER = "EXISTS (SELECT FROM {table} WHERE per_step IS NULL)"
ONE_SCALE = f"""
UPDATE {{table}} SET per_step = NULL, margin = NULL, change = NULL
 WHERE (per_step IS NOT NULL OR margin IS NOT NULL OR change IS NOT NULL) AND {OLDER}
"""
NOT_COMPARED = f"DELETE FROM active_learning_problemmean WHERE model_version_id = %(version)s AND {OLDER}"
COLUMNS = (
    "model_version_id, solution_id, problem_id, score, first_weak_step, outcome, entropy, confidence, deviation, prefix, per_step, margin, "
    "change"
)


class ScoringFailed(ModelUnusable):
    """A scoring that cannot be finished, for a reason that a person can repair; the message says which."""


def partition(version: ModelVersion) -> str:
    """Return the table that holds this version's scores."""
    return f"active_learning_score_{version.pk}"


def table_of(version: ModelVersion) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)::oid::bigint", [partition(version)])
        return cursor.fetchone()[0]


def is_attached(version: ModelVersion) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s))", [partition(version)])
        return cursor.fetchone()[0]


def attach(version: ModelVersion, *, fence: Fence) -> None:
    """Freeze and index the whole table, then attach it under the fence, which takes milliseconds. Readers of scores do not wait."""
    table = partition(version)
    fence()
    freeze(table)
    fence()
    with transaction.atomic(), connection.cursor() as cursor:
        index(cursor, table, version=version)
    compare(version, fence=fence)
    with transaction.atomic(), connection.cursor() as cursor:
        fence()
        attach_indexed(cursor, table, version=version)


def compare(version: ModelVersion, *, fence: Fence = lambda: None) -> None:
    """Write what the solutions of each problem usually get from a version (ProblemMean). Reads the version's scores once.

    A version that has scored some solutions without `per_step` gets no means, and keeps the figures for choosing of no solution. An ORM
    has none either.
    """
    if version.kind == ModelKind.ORM:
        return
    table, values = partition(version), {"version": version.pk}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(COMPARED.format(table=table), values)
        if not cursor.rowcount:
            for statement in (ONE_SCALE, NOT_COMPARED):
                cursor.execute(statement.format(table=table), values)
        fence()  # last: it locks the row of the round, and a person who cancels it would wait for the reading


def freeze(table: str) -> None:
    """Vacuum and analyse a table at once. Autovacuum would take minutes, and meanwhile a labeler's next task takes three times as long.

    VACUUM does not run in a transaction: inside one, the table is only analysed.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"{'ANALYZE' if connection.in_atomic_block else 'VACUUM (FREEZE, ANALYZE)'} {table}")


def index(cursor: Any, table: str, *, version: ModelVersion) -> None:
    """Give a filled table the primary key and every index of the partitioned table, unless an earlier run has done so."""
    cursor.execute("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(%s) AND indisprimary)", [table])
    if cursor.fetchone()[0]:
        return
    cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (model_version_id, solution_id)")
    cursor.execute(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'active_learning_score'::regclass AND NOT indisprimary"
    )
    for (definition,) in cursor.fetchall():
        cursor.execute(f"CREATE INDEX ON {table} USING {definition.partition(' USING ')[2]}")
    # With this check, ATTACH need not search for rows of other versions.
    cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_version CHECK (model_version_id = {version.pk})")


def attach_indexed(cursor: Any, table: str, *, version: ModelVersion) -> None:
    cursor.execute(f"ALTER TABLE active_learning_score ATTACH PARTITION {table} FOR VALUES IN ({version.pk})")
    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_version")
