"""The version has one value everywhere: package, changes, command line, pages."""

import subprocess
import tomllib
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.test import Client

from trainer import __version__

ROOT = Path(__file__).resolve().parent.parent.parent
FOOTER = f'<footer class="version">Stepmark {__version__}</footer>'


def test_package_and_changes_name_this_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
    assert f"\n## {__version__} (" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("command", [".venv/bin/python manage.py --version", "script/server --version"])
def test_the_command_line_prints_it(command: str) -> None:
    done = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"Stepmark {__version__}\n"


@pytest.mark.django_db
def test_pages_show_it_in_their_footer(client: Client) -> None:
    assert FOOTER in client.get("/sign-in/").content.decode()
    assert FOOTER in client.get("/there-is-no-such-page/", follow=True).content.decode()
    assert FOOTER in render_to_string("500.html")  # as Django renders it: without a context
