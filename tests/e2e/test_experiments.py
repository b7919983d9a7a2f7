"""The pages of the experiments in a real browser: accessible, narrow and wide, with the numbers behind each figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from active_learning.experiment import ABLE
from annotation.models import Project
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
LABELS = list(ABLE.labels)


def curve(start: float, rise: float, *, n: int = len(LABELS)) -> list[dict[str, Any]]:
    return [{"value": start + rise * i, "low": start + rise * i - 0.02, "high": start + rise * i + 0.02, "seeds": []} for i in range(n)]


def row(strategy: str, value: float | None) -> dict[str, Any]:
    """A strategy whose slope exceeds that of random labels by `value`; None: the random labels."""
    estimate = value and {"value": value, "low": value - 0.02, "high": value + 0.02}
    compared = {cost: {"slope": estimate, "area": estimate} for cost in ("labels", "steps", "seconds")}
    ratio = {"value": 2.75, "low": 1.25, "high": None} if value and value > 0 else {"value": None, "low": None, "high": None}
    return {
        "strategy": strategy,
        "parts": [],
        "best_of_n": {"value": 0.8, "low": 0.7, "high": 0.9},
        "step_auc": [0.5, 0.9123],
        "first_mistake_f1": [0.1, 0.8],
        "differences": value and {"best_of_n": compared, "step_auc": compared},
        "efficiency": value and {"best_of_n": ratio, "step_auc": ratio},
        "mistakes_share": 0.8,
        "mistakes": {},
        "n_problems": 9,
    }


@pytest.fixture
def finished(transactional_db: None, settings: Any, tmp_path: Path) -> Path:
    """One experiment with results, one that is not finished."""
    settings.STEPMARK_HOME = tmp_path
    results = {
        "format": 2,
        "protocol": {"name": "able", "sha256": "ab12" * 16, "why": "It was named before.", "notes": ["This run has other seeds."]},
        "primary": {"arm": "mix 80/20", "against": "uniform", "figure": "best_of_n", "cost": "labels"},
        "name": "full",
        "plan": ABLE.as_dict(),
        "labels": LABELS,
        "n_points": 70,
        "seconds": 1800.0,
        "world": {
            "n_test_problems": 120,
            "n_test_solutions": 16,
            "share_right_answers": 0.5,
            "share_wrong_reasoning_of_right_answers": 0.1,
        },
        "few": {
            "n_labels": 5,
            **{name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("step_auc", "first_mistake_f1", "best_of_n")},
            "auc_by_kind": {"slip": 0.51, "unit": 0.48},
        },
        "a": {"process labels": curve(0.6, 0.05), "outcome, from the oracle": curve(0.5, 0.03)},
        "b": {"uniform": curve(0.6, 0.02), "mix 80/20": curve(0.6, 0.06)},
        "c": {"n": [1, 2, 4, 8], "curves": {"PRM": curve(0.5, 0.09), "majority": curve(0.5, 0.05)}},
        "table": [row("uniform", None), row("mix 80/20", 0.05), row("entropy", -0.03)],
    }
    project = make.project()
    for name in ("full", "begun"):
        (tmp_path / "experiments" / name).mkdir(parents=True)
        (tmp_path / "experiments" / name / "plan.json").write_text(json.dumps(ABLE.as_dict()))
        (tmp_path / "experiments" / name / "project.txt").write_text(f"{project.pk}\n")
    (tmp_path / "experiments" / "full" / "results.json").write_text(json.dumps(results))
    return tmp_path


def test_the_pages_of_the_experiments_have_no_violation_and_fit_their_window(visit: Visit, look: dict, finished: Path) -> None:
    page = visit(make.rita(Project.objects.get()), "/experiments/", **look)
    start = page.url
    for path, words in {"": "+0.0500 (+0.0300 to +0.0700)", "full/": "with 5 labels", "begun/": "Models trained and judged"}.items():
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
    expect(drawn.get_by_role("row", name=f"{LABELS[-1]} 0.6600 0.6400")).to_be_visible()
    table = page.get_by_role("group", name="Strategies")
    expect(table.get_by_role("row", name="mix 80/20")).to_contain_text("ratio of slopes 2.75 (1.25 to unbounded)")
    expect(table.get_by_role("row", name="Unclear first mistake")).to_contain_text("no ratio: random labels taught nothing")
    expect(page.get_by_text("SHA-256 ab12")).to_be_visible()
