"""What every test stands on: a real PostgreSQL of its own, the public data where it lies, the long form by a flag."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's event loop runs in the thread of the tests

from labelapp import embedded_postgres  # noqa: E402

embedded_postgres.join_if_wanted()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long forms too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        long = [test for test in items if test.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [test for test in items if test not in long]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data: $STEPMARK_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no public data at {folder}: set STEPMARK_DATA to the folder that holds gsm8k/, math/ and prm800k/")
    return folder
