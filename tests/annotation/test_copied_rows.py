"""Rows that COPY gives: a caller that stops, and a statement that fails, leave the connection as it was."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DataError, connection

from annotation.export.content import copied

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Iterator["psycopg.Connection[Any]"]:
    parameters = {**connection.get_connection_params(), "autocommit": True}
    parameters.pop("cursor_factory", None)
    with psycopg.connect(**parameters) as opened:
        yield opened


def test_the_connection_is_free_after_a_caller_that_stopped(reader: "psycopg.Connection[Any]") -> None:
    rows = copied(reader, "SELECT generate_series(1, 1000000)")
    assert [next(rows), next(rows)] == [b"1\n", b"2\n"]
    rows.close()  # type: ignore[attr-defined]
    assert reader.execute("SELECT 7").fetchone() == (7,)


def test_an_error_of_the_database_says_what_it_is(reader: "psycopg.Connection[Any]") -> None:
    for statement in ("SELECT 1 / 0", "SELECT 1 / (3 - n) FROM generate_series(1, 5) n"):  # before the first row, and after two
        with pytest.raises(DataError, match="division by zero") as raised:
            list(copied(reader, statement))
        assert isinstance(raised.value.__cause__, psycopg.errors.DivisionByZero)
    assert list(copied(reader, "SELECT 7")) == [b"7\n"]
