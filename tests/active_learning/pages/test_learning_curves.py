"""The curves on the page of the models: what each version learned, from what is known without a label on."""

import re
from typing import Any

import pytest
from django.test import Client

from active_learning import pages
from active_learning.models import ModelVersion
from active_learning.pages.mistakes import mistake_table
from annotation.models import Project
from tests import make
from tests.proposals import page, path

pytestmark = pytest.mark.django_db


def version(project: Project, number: int, n: int, auc: float, **more: Any) -> ModelVersion:
    """Make a version that learned from n solutions with five rated steps each."""
    fields = {name: more.pop(name) for name in ("base", "config") if name in more}
    metrics = {
        "step_auc": auc, "log_loss": 0.4, "base_rate_log_loss": 0.5, "position_auc": 0.6, "first_mistake": {"f1": 0.3},
        "training": {"n_solutions": n, "n_rated_steps": 5 * n}, "base_rates": [0.2, 0.1, 0.7],
    }  # fmt: skip
    return make.version(project, number, metrics=metrics | more, **fields)


def same(*numbers: int, **left_out: int) -> dict[str, Any]:
    """Return figures of versions on the same labels, as judging keeps them."""
    figure = {"value": 0.75, "low": 0.7, "high": 0.8}
    own = {"step_auc": figure, "log_loss": figure, "first_mistake_f1": figure, "base_rate_log_loss": 0.55, "position_auc": 0.65}
    return {
        "n_solutions": 80,
        "n_problems": 40,
        "versions": {str(number): own for number in numbers},
        "n_newest": 160,
        "least": 40,
        "left_out": left_out,
    }


def rows(project: Project, name: str, *, by: str = "") -> dict[str, list[str]]:
    """Return the table of a chart: by the number of labels, the cells by their heads."""
    chart = next(one.chart for one in pages.learning_of(project, by=by).charts if one.key == name)
    assert chart is not None
    found: dict[str, list[str]] = {}
    for row in chart.rows:
        found.setdefault(row[0], []).extend(f"{head}: {cell}" for head, cell in zip(chart.header[1:], row[1:], strict=True) if cell)
    return found


def test_beside_the_models_stands_from_0_labels_on_what_a_model_says_that_learned_nothing(project: Project) -> None:
    version(project, 1, 20, 0.6)
    version(project, 2, 60, 0.7)
    auc = rows(project, "learning-step-auc")
    assert auc["0"] == ["always the base rates: 0.5000"]
    assert auc["60"] == ["model: PRM 2", "models: 0.7000", "position alone: 0.6000", "always the base rates: 0.5000"]
    assert rows(project, "learning-log-loss")["0"] == ["always the base rates: 0.5000"]
    assert rows(project, "learning-first-mistake-f1")["0"] == ["always the base rates: 0.0000"]


def test_the_axis_counts_rated_steps_too(project: Project, olga: Client) -> None:
    version(project, 1, 20, 0.6)
    assert list(rows(project, "learning-step-auc", by="steps")) == ["0", "100"]
    html = olga.get(path("models"), {"by": "steps"}).content.decode()
    assert re.search(r'\?by=steps#learning-title" aria-current="true"', html) and "rated steps that the model learned from" in html
    assert "labeled solutions that the model learned from" in olga.get(path("models"), {"by": "hope"}).content.decode()


def test_figures_on_the_same_labels_are_shown_where_all_versions_have_them(project: Project) -> None:
    version(project, 1, 20, 0.6)
    version(project, 2, 60, 0.7, learning=same(1, 2))
    learning = pages.learning_of(project)
    assert learning.measured == (
        "All models are measured on the same labels: those of 80 solutions of 40 problems that none of them learned from."
    )
    assert rows(project, "learning-step-auc")["20"][1:4] == ["models: 0.7500", "models low: 0.7000", "models high: 0.8000"]
    version(project, 3, 90, 0.7)  # it was not measured with the others
    assert "They are not the same for all" in pages.learning_of(project).measured
    assert rows(project, "learning-step-auc")["20"][1] == "models: 0.6000"


def test_versions_that_are_left_out_are_named_with_the_reason_and_not_drawn(project: Project) -> None:
    slip = {"auc": 0.6, "low": 0.5, "high": 0.7, "n_wrong": 9}
    for number in (1, 2, 3):
        version(project, number, 20 * number, 0.6, kinds={"slip": slip})
    version(project, 4, 90, 0.7, kinds={"slip": slip}, learning=same(3, 4, **{"1": 12, "2": 0}))
    assert list(rows(project, "learning-step-auc")) == ["0", "60", "90"]
    assert pages.learning_of(project).measured.endswith(
        "learned from. Left out, because too few solutions would be left for all: PRM 1 (12). At least 40 are needed; the newest model has "
        "160. Left out, because no step scores of these solutions are stored: PRM 2."
    )
    assert list(rows(project, "learning-kinds")) == ["20", "40", "60", "90"], "Kinds are measured on solutions of their own."


def test_two_versions_with_as_many_labels_are_two_rows_of_the_table(project: Project) -> None:
    version(project, 1, 20, 0.6)
    version(project, 2, 20, 0.7)
    assert [cell for cell in rows(project, "learning-step-auc")["20"] if cell.startswith("model")] == [
        "model: PRM 1", "models: 0.6000", "model: PRM 2", "models: 0.7000",
    ]  # fmt: skip


def test_each_of_six_kinds_of_mistakes_has_a_mark_of_its_own(project: Project) -> None:
    one = {"auc": 0.6, "low": 0.5, "high": 0.7, "n_wrong": 9}
    version(project, 1, 20, 0.6, kinds={f"kind_{n}": one for n in range(6)})
    chart = next(own.chart for own in pages.learning_of(project).charts if own.key == "learning-kinds")
    assert chart and len({line.shape for line in chart.lines if line.shape}) == 6


def test_the_page_says_whether_the_kinds_of_two_versions_stand_on_the_same_solutions(project: Project) -> None:
    one = {"slip": {"auc": 0.6, "low": 0.5, "high": 0.7, "n_wrong": 9}}
    on = {"n_solutions": 480, "n_problems": 60, "digest": "a"}
    version(project, 1, 96, 0.6, kinds=one, kinds_on=on)
    version(project, 2, 144, 0.6, kinds=one, kinds_on=on)
    table = mistake_table(project, until=2)
    assert table and table.measured.startswith("Kinds of mistakes are measured on the same 480 solutions of 60 problems")
    assert table.heads == [("PRM 1", "learned from 96 solutions"), ("PRM 2", "learned from 144 solutions")]
    version(project, 3, 150, 0.6, kinds=one, kinds_on=on | {"digest": "b"})
    assert "They can differ between models" in pages.learning_of(project).of_kinds


def test_versions_on_other_bases_are_lines_of_their_own(project: Project) -> None:
    version(project, 1, 20, 0.6)
    version(project, 2, 60, 0.7, base="smollm2", config={"frozen": True})
    auc = rows(project, "learning-step-auc")
    assert auc["20"][1] == "tiny: 0.6000" and auc["60"][1] == "smollm2, frozen: 0.7000"


def test_kinds_of_mistakes_are_drawn_where_they_are_known_and_begin_with_the_base(project: Project) -> None:
    slip = {"auc": 0.6, "low": 0.5, "high": 0.7, "n_wrong": 9}
    version(project, 1, 20, 0.6, kinds={"wrong_operation": slip}, kinds_before={"wrong_operation": slip | {"auc": 0.52}})
    version(project, 2, 60, 0.7, kinds={"wrong_operation": slip | {"auc": 0.8}, "slip": slip})
    found = rows(project, "learning-kinds")
    assert "wrong operation: 0.6000" in found["20"] and {"slip: 0.6000", "wrong operation: 0.8000"} <= set(found["60"])
    assert list(found) == ["20", "60"], "the newest version has no figures of the base"
    version(project, 3, 90, 0.7, kinds={"wrong_operation": slip}, kinds_before={"wrong_operation": slip | {"auc": 0.52}})
    assert "wrong operation: 0.5200" in rows(project, "learning-kinds")["0"]


def test_only_the_kind_with_the_most_wrong_steps_has_a_band_so_that_the_lines_are_seen(project: Project) -> None:
    one = {"auc": 0.6, "low": 0.5, "high": 0.7}
    version(project, 1, 20, 0.6, kinds={"slip": one | {"n_wrong": 9}, "unit": one | {"n_wrong": 30}, "copied_number": one | {"n_wrong": 2}})
    version(project, 2, 60, 0.7, kinds={"slip": one | {"n_wrong": 9}, "unit": one | {"n_wrong": 30}, "copied_number": one | {"n_wrong": 2}})
    chart = next(own.chart for own in pages.learning_of(project).charts if own.key == "learning-kinds")
    assert chart and {line.name: bool(line.band) for line in chart.lines} == {"copied number": False, "slip": False, "unit": True}


def test_without_a_measured_model_the_page_says_when_curves_appear(project: Project, olga: Client) -> None:
    html = page(olga, "models")
    assert "Curves appear when a model has been trained and measured on held-out labels." in html and "<figure" not in html


def test_the_part_that_the_page_asks_for_every_few_seconds_has_no_curves(project: Project, olga: Client) -> None:
    version(project, 1, 20, 0.6)
    assert "<figure" in page(olga, "models")
    assert "<figure" not in olga.get(path("models"), headers={"HX-Request": "true"}).content.decode()


def test_the_list_says_why_a_model_waits_for_a_person(project: Project, olga: Client) -> None:
    reason = "No PRM serves yet, and this one is not good enough to begin with: its log-loss is 0.6."
    make.version(project, 1, decision={"promoted": False, "reason": reason})
    make.version(project, 2, champion=True, decision={"promoted": True, "reason": "It is the first of its kind."})
    html = page(olga, "models")
    assert reason in html and "It is the first of its kind." not in html
