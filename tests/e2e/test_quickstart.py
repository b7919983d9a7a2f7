"""docs/quickstart.md, done: real GSM8K solutions loaded, three labeled in the browser, a model trained, the next batch, the export.

With the first of the solutions: what 5,276 of them add is the time to grade and to score them. The long form takes all of them.
"""

import json
import os
import shlex
from collections.abc import Callable
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, expect

from active_learning.models import ModelVersion
from annotation import export
from annotation.models import Annotation, Batch, DataOrder, Solution, StepLabel, Task
from tests import make
from tests.test_docs import ROOT, commands
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


class Quickstart:
    """The commands of docs/quickstart.md, in their order; each is run when the test has come to it."""

    def __init__(self) -> None:
        self.left = commands(ROOT / "docs" / "quickstart.md")

    def run(self, name: str) -> str:
        _, script, *words = shlex.split(os.path.expandvars(self.left.pop(0)))
        assert (script, words[0]) == ("manage.py", name)
        said = StringIO()
        call_command(*words, stdout=said)
        return said.getvalue()


def label(page: Page, keys: str) -> None:
    """Rate one solution and wait until the next one is there and the labels are stored: a prepared solution is shown before that."""
    before, n_stored = page.locator("[data-problem]").inner_text(), Annotation.objects.count()
    for key in keys.split():
        page.keyboard.press(key)
    expect(page.locator("[data-problem]")).not_to_have_text(before)
    expect(page.locator("[data-step='0']")).to_be_focused()
    until(lambda: Annotation.objects.count() > n_stored, what="the labels are stored", page=page)


@pytest.mark.parametrize(
    ("n_lines", "n_read", "n_loaded"),
    [(100, 400, 400), pytest.param(None, 5276, 5268, marks=pytest.mark.long)],
    ids=["the first", "all"],
)
def test_the_quickstart_on_the_real_gsm8k_solutions(
    n_lines: int | None,
    n_read: int,
    n_loaded: int,
    data: Path,
    tmp_path: Path,
    settings: Any,
    visit: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.STEPMARK_HOME = tmp_path
    monkeypatch.setenv("STEPMARK_DATA", str(tmp_path / "data"))
    solutions = tmp_path / "data" / "gsm8k" / "example_model_solutions.jsonl"
    solutions.parent.mkdir(parents=True)
    with (data / "gsm8k" / solutions.name).open("rb") as lines:
        solutions.write_bytes(b"".join(islice(lines, n_lines)))
    monkeypatch.chdir(tmp_path)
    quickstart = Quickstart()

    make.olga(), make.ann()
    quickstart.run("create_project")
    assert f"{n_read:,} in the file" in quickstart.run("load_solutions")
    invitation = quickstart.run("invite").strip().removeprefix(settings.SITE_ADDRESS)
    assert "Published batch 0: 20 solutions" in quickstart.run("retrain")

    page = visit(make.ann(), invitation)
    page.get_by_role("button", name="Join as ann").click()
    page.get_by_role("link", name="Start labeling").click()
    expect(page.locator("[data-step='0']")).to_be_focused()
    label(page, "1 Enter")  # up to its first mistake
    n_steps = page.locator("[data-step]").count()
    label(page, " ".join(["3"] * n_steps) + " Enter")  # to its end
    n_steps = page.locator("[data-step]").count()
    label(page, " ".join(["u", "2", *["3"] * (n_steps - 1)]) + " Enter")  # with a neutral and a flag
    assert [one.finish_reason for one in Annotation.objects.order_by("pk")] == ["found_error", "solution", "solution"]
    assert StepLabel.objects.filter(flagged=True, rating=0).count() == 1
    while StepLabel.objects.count() < 6:  # short ones were drawn, and a training asks for six rated steps
        label(page, " ".join(["3"] * page.locator("[data-step]").count()) + " Enter")
    n_labeled = Annotation.objects.count()

    said = quickstart.run("retrain")
    version = ModelVersion.objects.get()
    assert version.state == "ready" and Path(tmp_path, version.artifact, "model.safetensors").is_file()
    assert Solution.objects.count() == n_loaded
    batch = Batch.objects.get(generation=1)
    assert f"Published batch 1: {Task.objects.filter(batch=batch).count()} solutions, " in said
    # Which solutions are drawn depends on their keys, and so does whether a model of four labels is better than the base rate.
    assert version.champion != ("The batch is drawn at random: no model serves, and model 1 waits for a person." in said)

    overview = visit(make.olga(), "/p/gsm8k/")
    expect(overview.locator("[data-loop]")).to_contain_text("Published")
    overview.get_by_role("link", name="Data").click()
    overview.get_by_role("button", name="Download labels").click()
    expect(overview.get_by_role("status")).to_contain_text("It waits for a worker.")
    export.run_order(DataOrder.objects.get().pk)
    with overview.expect_download() as download:
        overview.get_by_role("link", name="Download ").click()
    downloaded = Path(download.value.path())

    out = tmp_path / "gsm8k.jsonl"
    quickstart.run("export")
    quickstart.run("check_export")
    assert quickstart.left == []
    assert downloaded.read_bytes() == out.read_bytes()
    report = export.check_prm800k(out)
    assert (report.count, report.violations) == (n_labeled, [])
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["label"]["finish_reason"] for record in records[:3]] == ["found_error", "solution", "solution"]
    assert records[2]["label"]["steps"][0]["completions"][0] | {"text": ""} == {"text": "", "rating": 0, "flagged": True}
    questions = [record["question"] for record in records]  # two of the solutions end without an answer, and any may be drawn
    assert all(q["pre_generated_steps"][-1].count("\n\n# Answer\n\n") == (q["pre_generated_answer"] is not None) for q in questions)
