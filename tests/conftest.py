"""What every test stands on: a real PostgreSQL of its own, the public data where it lies, the long form by a flag."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection, transaction
from django.test import TransactionTestCase

ROOT = Path(__file__).resolve().parent.parent
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's event loop runs in the thread of the tests
# Before torch is loaded, and for the commands that tests start: several processes share the cores, and torch's threads spin while they wait
# for one that has none. A forward pass that takes a second alone then takes ten.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where this is set, every command that a test starts compiles all of our modules anew: a quarter of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A collection looks at all modules, and while they are loaded it finds nothing: a quarter of the time until the first test.
gc.disable()

from labelapp import embedded_postgres  # noqa: E402
from tests.doors import door  # noqa: E402, F401 - of browsers, and of the client
from tests.migrated import migrated_database  # noqa: E402

# Without this an example that takes 0.2 s, or examples that are slow to draw, fail a test: both say how busy the machine is. The same
# examples in each run, so that a run that fails can be repeated.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize=True, database=None
)
hypothesis.settings.load_profile("any machine")

embedded_postgres.join_if_wanted()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long forms too")
    parser.addoption(
        "--load-seconds", type=float, default=300, help="how long people label in the long form of tests/labelapp/test_hosts.py"
    )
    parser.addoption("--reverse", action="store_true", help="run the tests in reverse order, to find one that needs another before it")


# These begin first. A long file that begins last runs alone at the end, while the other processes are idle.
LONGEST = (
    "test_benchmarks.py", "test_docs.py", "test_accessibility.py", "test_supervisor.py", "test_first_day.py",
    "test_gold_looks_like_others.py", "test_sequences.py", "test_every_page.py", "test_access.py", "test_experiment.py",
    "test_answer_pairs.py", "test_hostile_requests.py", "test_bad_requests.py", "test_page_queries.py", "test_quickstart.py",
    "test_deployment.py", "test_answers.py", "test_judging.py", "test_rounds.py", "test_launch.py", "test_embedded_postgres.py",
    "test_models.py", "test_queue_races.py", "test_checkpoint.py", "test_composer.py",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--reverse"):
        items.reverse()
    else:
        items.sort(key=lambda test: LONGEST.index(test.path.name) if test.path.name in LONGEST else len(LONGEST))
    if not config.getoption("--long"):
        long = {test for test in items if test.get_closest_marker("long")}
        config.hook.pytest_deselected(items=list(long))
        items[:] = [test for test in items if test not in long]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.collect()
    gc.freeze()  # what is loaded by now stays until the end, so no later collection looks at it
    gc.enable()
    gc.set_threshold(20_000)  # one in thirty processor seconds of a page was spent on it


@pytest.fixture(scope="session")
def samples() -> Path:
    """The project's own records in each public format (tests/data/README.md)."""
    return ROOT / "tests" / "data"


NO_DATA = "no public data at"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seed = config.getoption("randomly_seed", default=None)  # -q hides the line in which pytest-randomly names it
    if seed is not None:
        terminalreporter.write_line(f"The tests ran in random order. The same order again: -p randomly --randomly-seed={seed}")
    skipped = terminalreporter.stats.get("skipped", [])
    if count := sum(NO_DATA in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(
            f"{count} tests were skipped because the public data is missing. Set STEPMARK_DATA to its folder to run them.", yellow=True
        )


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data: $STEPMARK_DATA, or ../shared/data next to the project."""
    folder = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{NO_DATA} {folder}: set STEPMARK_DATA to the folder that holds gsm8k/, math/ and prm800k/")
    return folder


# What migrations write and no test changes. Django's own flush empties these too, and then makes them anew.
KEPT = {"django_content_type", "auth_permission"}
SMALL = 1 << 20  # bytes of a table whose rows are deleted
FLUSH = TransactionTestCase._fixture_teardown
SCORES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^active_learning_score_[0-9]+$'"


def delete_rows(test_case: TransactionTestCase) -> None:
    """Empty the tables that hold rows after a test that commits. Django's flush truncates every table: that costs 0.1 s of a processor.

    A large table keeps its size when its rows are deleted, and later tests would read all of it. Only a superuser can delete rows without
    their triggers. In both cases Django's flush does the work. The tables that hold a version's scores go: no version is left.
    """
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT
    with transaction.atomic(), connection.cursor() as cursor:
        if scores := [name for (name,) in cursor.execute(SCORES).fetchall()]:
            cursor.execute(f"DROP TABLE {', '.join(scores)}")
        cursor.execute(" UNION ALL ".join(f"(SELECT '{table}', pg_relation_size('{table}') FROM {table} LIMIT 1)" for table in tables))
        sizes = dict(cursor.fetchall())
        cursor.execute("SELECT current_setting('is_superuser')::bool")
        is_quick = cursor.fetchone()[0] and max(sizes.values(), default=0) <= SMALL
        if is_quick and sizes:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for table in sizes:
                cursor.execute(f"DELETE FROM {table}")
    if not is_quick:
        FLUSH(test_case)


@pytest.fixture
def new_tables(db: None) -> None:
    renew_tables()


def renew_tables() -> None:
    """Give the tables new files until the test ends, for a test of what the planner chooses.

    Rows of earlier tests stay in the files of tables and indexes until a vacuum, although they were undone or deleted. The planner looks at
    the size of the files, so it would choose by which tests ran before.
    """
    with connection.cursor() as cursor:
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT
        cursor.execute(" UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in tables))
        assert not cursor.fetchall(), "A table has rows already. Ask for new_tables before anything makes rows."
        cursor.execute(f"TRUNCATE {', '.join(sorted(tables))}")


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give this process a home for files: each has its own database, and the files of two databases have the same names."""
    settings.STEPMARK_HOME = tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True, scope="session")
def quick_passwords() -> None:
    """Hash a password once, not a million times. That a password costs half a second is Django's promise, and no test is about it."""
    PBKDF2PasswordHasher.iterations = 1


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    """Copy a migrated database. Django still runs `migrate` in the copy, which then finds nothing to do."""
    with django_db_blocker.unblock():
        connection.settings_dict["TEST"]["TEMPLATE"] = migrated_database()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End the sessions that threads of the live server left behind: the test database could not be dropped beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", delete_rows)
        yield
    # Without Playwright's event loop Django has the connection of before the loop again, which tests can have ended meanwhile.
    connection.close()
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
