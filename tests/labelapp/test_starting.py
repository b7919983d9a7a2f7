"""A command waits for the start of Django, so that start loads no page and no stage."""

import subprocess
import sys
from pathlib import Path

import pytest

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
