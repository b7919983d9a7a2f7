"""The engine: a kept connection is asked without a statement, and a statement that comes again is planned once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.waiting import until

pytestmark = pytest.mark.django_db


def test_a_living_connection_is_usable_and_costs_no_statement() -> None:
    connection.ensure_connection()
    with CaptureQueriesContext(connection) as caught:
        assert connection.is_usable()
    assert len(caught) == 0


def test_a_connection_that_the_server_ended_is_replaced() -> None:
    kept = connection.copy()
    kept.connect()
    assert kept.is_usable()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [kept.connection.info.backend_pid])
    until(lambda: not kept.is_usable(), what="the connection has ended")
    kept.close_if_unusable_or_obsolete()
    with kept.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)
    kept.close()


def test_a_closed_connection_is_not_usable() -> None:
    kept = connection.copy()
    assert not kept.is_usable()
    kept.connect()
    kept.connection.close()
    assert not kept.is_usable()
    kept.close()


def test_a_statement_that_comes_again_is_planned_once() -> None:
    with connection.cursor() as cursor:
        for number in range(7):
            cursor.execute("SELECT %s::int + 1 AS often", [number])
        cursor.execute("SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE '%AS often'")
        assert cursor.fetchall() == [(2,)]
