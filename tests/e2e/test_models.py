"""The pages of the models in a real browser: open to everybody, narrow and wide, and alive while a model is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from playwright.sync_api import Page, expect

from active_learning.models import ModelVersion, StepScores
from annotation.models import Project, Solution
from tests import make
from tests.e2e.test_accessibility import reviewed, violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
CURVE = [{"stage": "reward model", "done": n, "total": 60, "rating_loss": 2 / n, "token_loss": 3 / n} for n in range(1, 61)]
NS = [1, 2, 5, 10, 50, 100]
SHARES = {"PRM": 0.1, "ORM": 0.08, "majority": 0.06, "PRM-weighted voting": 0.07, "oracle": 0.14, "mean": 0.0}


def curve(rise: float) -> dict[str, list[float]]:
    mean = [0.3 + rise * n for n in range(len(NS))]
    return {"mean": mean, "low": [one - 0.05 for one in mean], "high": [one + 0.05 for one in mean]}


METRICS = {
    "n_problems": 9, "n_solutions": 12, "n_rated_steps": 40, "step_auc": 0.8125, "log_loss": 0.41, "base_rate_log_loss": 0.53,
    "threshold": 0.5, "first_mistake": {"f1": 0.433, "accuracy_wrong": 0.5, "accuracy_right": 0.25},
    "best_of_n": {"n": NS, "n_problems": 70, "n_samples": 100, "curves": {name: curve(rise) for name, rise in SHARES.items()}},
    "calibration": {
        "temperature": 1.5, "expected_error": 0.04,
        "bins": [{"low": n / 10, "high": (n + 1) / 10, "n": 9, "predicted": n / 10 + 0.05, "observed": n / 12} for n in range(10)],
    },
    "training": {"n_problems": 30, "n_solutions": 50, "n_rated_steps": 90, "n_parameters": 1_500_000, "seconds": 61.0, "curve": CURVE},
}  # fmt: skip
FIGURES = {
    name: {"champion": 0.41, "challenger": 0.52, "difference": 0.11, "low": 0.06, "high": 0.19}
    for name in ("log_loss", "step_auc", "first_mistake_f1")
}
WORSE = {
    "promoted": False, "by": None, "champion": 1, "before": 1, "reason": "It is significantly worse than model 1.",
    "comparison": {"n_problems": 70, "n_solutions": 90, "figures": FIGURES, "worse": True},
}  # fmt: skip


@pytest.fixture
def project(settings: Any, tmp_path: Path) -> Project:
    """A champion, a challenger that waits, one that failed and one that is trained; a labeled solution that the first one scored."""
    settings.STEPMARK_HOME = tmp_path
    made = make.project("sums", name="Sums")
    make.batch(made, [make.solution(make.problem(made), ["So $x^2 = 4$.", "Then it is 3.", "So it is.\n\n# Answer\n\n18"])])
    reviewed(made)
    told = {"project": made, "base": "tiny", "sha256": "ab" * 32, "ready_at": Now(), "metrics": METRICS, "config": {"seed": 3}}
    serves = {"champion": True, "decision": {"promoted": True, "reason": "It is the first.", "before": None}}
    for number, more in ((1, serves), (2, {"decision": WORSE})):
        folder = tmp_path / "models" / "sums" / str(number)
        folder.mkdir(parents=True)
        (folder / "README.md").write_text("# Process reward model\n\n" + "word " * 90)
        (folder / "manifest.json").write_text(json.dumps({"README.md": "00"}))
        ModelVersion.objects.create(number=number, state="ready", artifact=f"models/sums/{number}", **told, **more)
    ModelVersion.objects.create(project=made, number=3, base="tiny", state="failed", failure="The loss became infinite.")
    progress = {"stage": "reward model", "done": 3, "total": 60, "seconds_left": 70, "curve": CURVE[:3]}
    ModelVersion.objects.create(project=made, number=4, base="tiny", state="running", progress=progress)
    for one in Solution.objects.filter(problem__project=made):
        rows = [[0.1, 0.2, 0.7], [0.5, 0.0, 0.5], [0.95, 0.05, 0.0]]
        StepScores.objects.create(model_version=ModelVersion.objects.get(number=1), solution=one, probabilities=rows, held_out=True)
    return made


def test_the_pages_of_the_models_have_no_violation_and_fit_their_window(visit: Visit, look: dict, project: Project) -> None:
    solution = Solution.objects.get(problem__project=project)
    pages = {
        "models/": "PRM 4",
        "models/1/": "serves",
        "models/2/": "Why it waits",
        "models/3/": "infinite",
        "models/4/": "about 1 min left; step 3 of 60",
        "models/compare/?a=1&b=2": "significantly worse",
        f"models/1/solutions/{solution.pk}/": "p(correct)",
        f"models/2/solutions/{solution.pk}/": "Score them",
    }
    page = visit(make.olga(project), "/p/sums/models/", **look)
    start = page.url.removesuffix("models/")
    for path, words in pages.items():
        page.goto(start + path)
        expect(page.locator("main")).to_contain_text(words)
        page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")
        assert violations(page) == [], path


def test_a_chart_says_in_numbers_what_it_shows(visit: Visit, project: Project) -> None:
    page = visit(make.rita(project), "/p/sums/models/1/", java_script_enabled=False)
    best = page.locator("figure", has=page.get_by_role("img", name="Share of problems solved"))
    expect(best.locator("svg[role=img] polyline")).to_have_count(6)
    best.get_by_text("As a table").click()
    expect(best.get_by_role("row", name="100 0.8000")).to_be_visible()


def test_the_losses_of_a_running_training_are_drawn_as_they_come_and_its_end_shows_the_page(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/models/4/")
    expect(page.locator("main")).to_contain_text("3 of 60")
    progress = {"stage": "reward model", "done": 41, "total": 60, "seconds_left": 9, "curve": CURVE[:41]}
    ModelVersion.objects.filter(number=4).update(progress=progress)
    expect(page.locator("main")).to_contain_text("41 of 60")
    ModelVersion.objects.filter(number=4).update(state="ready", sha256="cd" * 32, ready_at=Now(), metrics=METRICS, progress={})
    expect(page.get_by_role("button", name="Let it serve")).to_be_visible()


def test_a_waiting_version_is_put_into_service_and_taken_back_in_a_click_each(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/models/2/")
    page.get_by_role("button", name="Let it serve").click()
    expect(page.get_by_role("status")).to_contain_text("Model 2 serves now.")
    page.get_by_role("button", name="Roll back to PRM 1").click()
    expect(page.get_by_role("status")).to_contain_text("Model 1 serves again.")


def test_a_scored_solution_appears_without_a_click(visit: Visit, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)  # each thread can have another current app
    solution = Solution.objects.get(problem__project=project)
    page = visit(make.rita(project), f"/p/sums/models/2/solutions/{solution.pk}/")
    page.get_by_role("button", name="Score them").click()
    expect(page.locator("main")).to_contain_text("A worker will score this solution")
    rows = [[0.1, 0.2, 0.7], [0.5, 0.0, 0.5], [0.95, 0.05, 0.0]]
    StepScores.objects.create(model_version=ModelVersion.objects.get(number=2), solution=solution, probabilities=rows)
    expect(page.locator("[data-shaded]")).to_have_count(3)
    shades = page.locator("[data-shaded]").evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    assert len(set(shades)) == 3
    expect(page.locator(".katex").first).to_be_visible()
