"""Importing a file in the browser: chosen or dropped, with the keyboard alone, and what a person sees at each state."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from annotation import imports
from annotation.models import Import, Solution
from tests import make
from tests.annotation.test_formats import GENERIC
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
ROWS = [{**GENERIC, "problem": f"What is $\\frac{{{number}}}{{2}}$?"} for number in range(1, 9)]


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.STEPMARK_HOME = tmp_path
    monkeypatch.setattr("annotation.imports.uploading.notify_worker", lambda import_id: None)
    monkeypatch.setattr("annotation.imports.states.notify_worker", lambda import_id: None)
    return tmp_path


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "eight.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def data(visit: Visit, **look: Any) -> Page:
    return visit(make.olga(make.project("sums", name="Sums")), "/p/sums/data/", **look)


def run() -> None:
    assert imports.run(Import.objects.get().pk) is not None


def test_a_file_is_uploaded_checked_and_loaded_with_the_keyboard_alone(visit: Visit, tmp_path: Path) -> None:
    page = data(visit)
    page.get_by_label("File", exact=True).set_input_files(written(tmp_path, *ROWS))
    page.get_by_role("button", name="Upload and check").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-progress]")).to_contain_text("It waits for a worker.")
    run()
    expect(page.get_by_role("heading", name="What the file holds")).to_be_visible()  # the page asks by itself
    expect(page.locator("[data-text] .katex").first).to_be_visible()
    page.get_by_role("button", name="Import 8 solutions").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-progress]")).to_contain_text("loading")
    run()
    expect(page.locator("[data-progress]")).to_contain_text("loaded")
    assert Solution.objects.count() == 8


def test_a_dropped_file_is_uploaded(visit: Visit) -> None:
    page = data(visit)
    drop = """(rows) => {
      const files = new DataTransfer();
      files.items.add(new File([rows], "dropped.jsonl"));
      const event = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
      document.querySelector("[data-upload] p").dispatchEvent(event);
    }"""
    page.evaluate(drop, json.dumps(GENERIC))
    expect(page.get_by_role("heading", name="dropped.jsonl")).to_be_visible()
    assert Import.objects.get().size == len(json.dumps(GENERIC))


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(visit: Visit, tmp_path: Path) -> None:
    page = data(visit)
    page.evaluate("document.querySelector('[data-upload]').dataset.most = 0.0001")
    page.get_by_label("File", exact=True).set_input_files(written(tmp_path, *ROWS))
    expect(page.get_by_role("alert")).to_contain_text("eight.jsonl is larger than 0.0001 MB")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert Import.objects.count() == 0


def test_what_the_server_refuses_stands_beside_the_field(visit: Visit, tmp_path: Path) -> None:
    page = data(visit)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    page.get_by_label("File", exact=True).set_input_files(empty)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("alert")).to_have_text("The file is empty. Choose another file.")
    expect(page.get_by_role("button", name="Upload and check")).to_be_enabled()


def test_the_pages_of_imports_have_no_violation_in_any_state(visit: Visit, tmp_path: Path, look: dict[str, Any]) -> None:
    page = data(visit, **look)
    assert violations(page) == []
    page.get_by_label("File", exact=True).set_input_files(written(tmp_path, *ROWS, {**GENERIC, "steps": [7]}))
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("[data-progress]")).to_contain_text("It waits for a worker.")
    assert violations(page) == []
    run()
    expect(page.get_by_text("1 line cannot be loaded")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").filter(has_text="cancelled").first).to_be_visible()
    assert violations(page) == []
    Import.objects.update(state="failed", failure="line 3: it is bad. Repair it.")
    page.reload()
    assert violations(page) == []
    page.goto(page.url.partition("imports")[0])
    assert violations(page) == []
