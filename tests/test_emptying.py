"""What a test has committed is gone after it, and what it has undone is out of the planner's sight where a test asks for that."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import TransactionTestCase

from tests import conftest, make

PAGE = 8192  # bytes


def rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for table in connection.introspection.django_table_names(only_existing=True):
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    return {table: count for table, count in counts.items() if count and table not in conftest.KEPT}


def size(relation: str) -> int:
    """Return the bytes of a table's or an index's file; -1 if it is not there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(pg_relation_size(to_regclass(%s)), -1)", [relation])
        found: int = cursor.fetchone()[0]
    return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [conftest.SMALL, 0], ids=["small tables", "a large table"])
def test_all_that_a_test_committed_is_deleted_and_permissions_stay(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "SMALL", limit)
    n_permissions = Permission.objects.count()
    project = make.project()
    make.ann(project)
    make.batch(project, make.solutions(project, 2))
    scores = make.score_table(make.version(project, 1))
    assert size(scores) >= 0
    assert {"annotation_solution", "annotation_assignment", "auth_user"} & rows().keys()
    conftest.delete_rows(TransactionTestCase())
    assert rows() == {} and size(scores) == -1
    assert Permission.objects.count() == n_permissions > 0


@pytest.mark.django_db
def test_new_tables_hold_nothing_of_what_was_undone() -> None:
    with transaction.atomic():
        make.solutions(make.project(), 300)
        transaction.set_rollback(True)
    old = [size("annotation_solution"), size("solution_by_source")]
    conftest.renew_tables()
    assert min(old) > 2 * PAGE and [size("annotation_solution"), size("solution_by_source")] == [0, PAGE]  # an index describes itself


@pytest.mark.django_db
def test_no_table_with_rows_is_renewed() -> None:
    project = make.project()
    with pytest.raises(AssertionError, match="has rows already"):
        conftest.renew_tables()
    project.refresh_from_db()
