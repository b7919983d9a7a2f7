"""What a test has committed is gone after it."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import TransactionTestCase

from tests import conftest, make


def rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for table in connection.introspection.django_table_names(only_existing=True):
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    return {table: count for table, count in counts.items() if count and table not in conftest.KEPT}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [conftest.SMALL, 0], ids=["small tables", "a large table"])
def test_all_that_a_test_committed_is_deleted_and_permissions_stay(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "SMALL", limit)
    n_permissions = Permission.objects.count()
    project = make.project()
    make.ann(project)
    make.batch(project, make.solutions(project, 2))
    assert {"annotation_solution", "annotation_assignment", "auth_user"} & rows().keys()
    conftest.delete_rows(TransactionTestCase())
    assert rows() == {}
    assert Permission.objects.count() == n_permissions > 0
