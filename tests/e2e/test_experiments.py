"""The pages of the experiments in a real browser: accessible, narrow and wide, with the numbers behind each figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from active_learning.experiment import FULL
from annotation.models import Project
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
LABELS = list(FULL.labels)


def curve(start: float, rise: float, *, n: int = len(LABELS)) -> list[dict[str, Any]]:
    return [{"value": start + rise * i, "low": start + rise * i - 0.02, "high": start + rise * i + 0.02, "seeds": []} for i in range(n)]


def row(strategy: str, value: float | None, high: float | None) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "parts": [],
        "best_of_n": {"value": 0.8, "low": 0.7, "high": 0.9},
        "step_auc": [0.5, 0.9123],
        "first_mistake_f1": [0.1, 0.8],
        "slope": 0.1,
        "efficiency": {"value": value, "low": value and 1.25, "high": high},
        "equal_labels": [1.0, value],
        "mistakes_share": 0.8,
        "mistakes": {},
        "n_problems": 9,
    }


@pytest.fixture
def finished(transactional_db: None, settings: Any, tmp_path: Path) -> Path:
    """One experiment with results, one that is not finished."""
    settings.STEPMARK_HOME = tmp_path
    results = {
        "format": 1,
        "name": "full",
        "plan": FULL.as_dict(),
        "labels": LABELS,
        "n_points": 70,
        "seconds": 1800.0,
        "best": "mix 80/20",
        "world": {
            "n_test_problems": 120,
            "n_test_solutions": 16,
            "share_right_answers": 0.5,
            "share_wrong_reasoning_of_right_answers": 0.1,
        },
        "nothing": {"step_auc": 0.5, "first_mistake_f1": 0.0, "log_loss": 1.1, "best_of_n": 0.45},
        "a": {"process labels": curve(0.6, 0.05), "outcome, from the oracle": curve(0.5, 0.03)},
        "b": {"uniform": curve(0.6, 0.02), "mix 80/20": curve(0.6, 0.06)},
        "c": {"n": [1, 2, 4, 8, 16], "curves": {"PRM": curve(0.5, 0.09), "majority": curve(0.5, 0.05)}},
        "table": [row("uniform", 1.0, 1.0), row("mix 80/20", 2.75, None), row("entropy", None, None)],
    }
    project = make.project()
    for name in ("full", "begun"):
        (tmp_path / "experiments" / name).mkdir(parents=True)
        (tmp_path / "experiments" / name / "plan.json").write_text(json.dumps(FULL.as_dict()))
        (tmp_path / "experiments" / name / "project.txt").write_text(f"{project.pk}\n")
    (tmp_path / "experiments" / "full" / "results.json").write_text(json.dumps(results))
    return tmp_path


def test_the_pages_of_the_experiments_have_no_violation_and_fit_their_window(visit: Visit, look: dict, finished: Path) -> None:
    page = visit(make.rita(Project.objects.get()), "/experiments/", **look)
    start = page.url
    for path, words in {"": "2.8", "full/": "without labels", "begun/": "Models trained and judged"}.items():
        page.goto(start + path)
        expect(page.locator("main")).to_contain_text(words)
        page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")
        assert violations(page) == [], path


def test_an_experiment_is_found_from_the_list_and_says_its_figures_in_numbers(visit: Visit, finished: Path) -> None:
    page = visit(make.rita(Project.objects.get()), "/experiments/", java_script_enabled=False)
    page.get_by_role("link", name="full").click()
    drawn = page.locator("figure", has=page.get_by_role("img", name="for each strategy"))
    expect(drawn.locator("svg[role=img] polyline")).to_have_count(2)
    drawn.get_by_text("As a table").click()
    expect(drawn.get_by_role("row", name=f"{LABELS[-1]} 0.6800")).to_be_visible()
    table = page.get_by_role("group", name="Strategies")
    expect(table.get_by_role("row", name="mix 80/20")).to_contain_text("2.75 (1.25 to unbounded)")
    expect(table.get_by_role("row", name="Unclear first mistake")).to_contain_text("undefined")
