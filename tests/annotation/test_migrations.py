"""The migrations of annotation on a database with data, forward and backward."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from annotation import queue
from annotation.models import Assignment, broken_rule
from tests import make

pytestmark = pytest.mark.django_db

RULES = """
SELECT regexp_replace(name, '^(assignment|seat)_', ''), split_part(name, '_', 1), oid::bigint, file FROM (
  SELECT relname AS name, oid, relfilenode::bigint AS file FROM pg_class WHERE oid IN
         (SELECT indexrelid FROM pg_index WHERE indrelid = 'annotation_assignment'::regclass)
  UNION ALL
  SELECT conname, oid, 0 FROM pg_constraint WHERE conrelid = 'annotation_assignment'::regclass) rules
 WHERE name ~ '^(assignment|seat)_' ORDER BY 1, 3
"""


def rules() -> tuple[set[str], list[tuple[object, ...]]]:
    """Return the prefixes in the names of rules and indexes of assignments, and for each the rest of its name, its oid and its file."""
    with connection.cursor() as cursor:
        rows = cursor.execute(RULES).fetchall()
    return {prefix for _, prefix, _, _ in rows}, [(name, oid, file) for name, _, oid, file in rows]


def test_the_rules_of_an_assignment_are_renamed_and_renamed_back_without_building_anything_again() -> None:
    project = make.project(overlap=2)
    make.batch(project, make.solutions(project, 3))
    lease = queue.lease_next(make.ann(project), project=project)
    connection.check_constraints()  # a table with a deferred check of a row cannot be altered
    prefixes, built = rules()
    assert prefixes == {"assignment"}
    assert len(built) == 11  # 3 indexes, 2 unique indexes of some rows, 2 unique constraints and their indexes, 2 checks
    executor = MigrationExecutor(connection)
    executor.migrate([("annotation", "0003_withdrawn_solutions")])
    assert rules() == ({"seat"}, built)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    assert rules() == ({"assignment"}, built)
    assert Assignment.objects.filter(pk=lease.assignment_id, state="leased").count() == 1 and Assignment.objects.count() == 6
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Assignment.objects.filter(state="open").update(state="leased", labeler=make.ann())
    assert broken_rule(caught.value) in ("assignment_one_lease", "assignment_labeler_once")
