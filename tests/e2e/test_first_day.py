"""A manager's first day: an empty home, script/server, and a browser. No shell, and no administration (docs/first-day.md)."""

import os
import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.temporary_site import template
from tests.conftest import ROOT
from tests.e2e.first_day import SAMPLE, FirstDay, empty_site

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for what is left in /proc")
DOCUMENT = ROOT / "docs" / "first-day.md"
MOST_BYTES = 1_000_000  # of all pictures of the documents
PUBLIC = "best-of-n/math_cot_100.jsonl"  # the same format, 250 times as large


@pytest.mark.parametrize("name", ["sample", pytest.param(PUBLIC, marks=pytest.mark.long)])
def test_a_manager_goes_from_an_empty_home_to_a_running_project_in_the_browser(
    name: str, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue("data") / PUBLIC if name == PUBLIC else SAMPLE
    os.chmod(tmp_path, 0o755)
    wide: list[str] = []

    def look(page: Page, name: str) -> None:
        page.wait_for_load_state()
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(name)

    if name == "sample":  # a database without rows, but migrated; test_supervisor.py begins with nothing in every run
        template.fill(tmp_path / "home")
    with empty_site(tmp_path / "home") as link:
        day = FirstDay(browser, link=link, file=file, shoot=look)
        day.live()
    assert (day.faults, wide) == ([], [])


def test_the_guide_shows_every_picture_that_the_script_makes_and_no_other() -> None:
    source = (ROOT / "tests" / "e2e" / "first_day.py").read_text()
    made = set(re.findall(r'self\.shoot\(page, "([\w-]+)"\)', source))
    shown = set(re.findall(r"\(img/([\w-]+)\.webp\)", DOCUMENT.read_text()))
    pictures = list((ROOT / "docs" / "img").iterdir())
    assert made == shown == {picture.stem for picture in pictures}
    assert sum(picture.stat().st_size for picture in pictures) < MOST_BYTES
