"""A command waits for the start of Django, so that start loads no page and no stage."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from annotation import export, ingest
from trainer import formats

ROOT = Path(__file__).resolve().parent.parent.parent
START = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "labelapp.settings"
import django
django.setup()
print(*sys.modules)
from django.contrib import admin
from django.core import checks
checks.run_checks(tags=["admin"])
print(*sorted(model.__name__ for model in admin.site._registry))
"""


@pytest.fixture(scope="module")
def started() -> list[list[str]]:
    """The modules that a process has when Django is set up, and the tables of the administration after its checks."""
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("package", ["annotation", "active_learning"])
def test_the_start_of_a_command_loads_no_stage(started: list[list[str]], package: str) -> None:
    leaves = {"apps", "models", "happenings", "following", "holders", "longwork"}
    assert {name.split(".")[1] for name in started[0] if name.startswith(f"{package}.")} <= leaves


@pytest.mark.parametrize("name", ["labelapp.urls", "rest_framework.views", "celery", "numpy", "httpx", "trainer.answers"])
def test_the_start_of_a_command_loads_no_page_and_no_heavy_library(started: list[list[str]], name: str) -> None:
    assert "django.contrib.admin" in started[0] and name not in started[0]


def test_the_checks_of_the_administration_load_its_pages_first(started: list[list[str]]) -> None:
    assert {"User", "Membership", "Project"} <= set(started[1])


def test_a_package_loads_a_name_when_it_is_used_and_names_the_one_that_it_lacks() -> None:
    """Run in another process: here the stages are loaded."""
    script = (
        "import sys\nfrom trainer import formats\n"
        "before = 'trainer.formats.values' in sys.modules\n"
        "print(before, formats.BadFile.__module__, 'trainer.formats.published' in sys.modules, hasattr(formats, 'BadFiles'))\n"
        "print([name for name in formats.__all__ if not hasattr(formats, name)])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False trainer.formats.values False False", "[]"]


@pytest.mark.parametrize("package", [ingest, export, formats])
def test_each_name_of_a_package_that_loads_later_is_there(package: ModuleType) -> None:
    assert package.__all__ and [name for name in package.__all__ if not hasattr(package, name)] == []
