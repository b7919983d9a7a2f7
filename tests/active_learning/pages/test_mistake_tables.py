"""The table of kinds of mistakes on the page of a model of the demonstration: a column for each model, the kind that rose most first."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from active_learning.models import ModelVersion
from active_learning.pages.mistakes import SHOWN, mistake_table
from annotation.models import Project
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(db, home) -> Project:
    return make.project()


def kinds(**aucs: float) -> dict[str, Any]:
    return {name: {"auc": auc, "low": auc - 0.05, "high": min(1.0, auc + 0.05), "n_wrong": 40} for name, auc in aucs.items()}


def version(project: Project, number: int, **metrics: Any) -> ModelVersion:
    return make.version(project, number, metrics={"step_auc": 0.8, "log_loss": 0.4, "base_rate_log_loss": 0.5, **metrics})


def test_the_columns_are_the_base_and_the_models_so_far_and_what_rose_most_comes_first(project: Project) -> None:
    before = kinds(slip=0.99, misread_condition=0.7)
    version(project, 1, kinds=kinds(slip=0.98, misread_condition=0.8), kinds_before=before)
    version(project, 2, kinds=kinds(slip=0.99, misread_condition=0.95), kinds_before=before)
    version(project, 3)
    table = mistake_table(project, until=2)
    assert table is not None and [name for name, _ in table.heads] == ["Base", "PRM 1", "PRM 2"]
    assert [(name, count, [cell.auc for cell in cells]) for name, count, cells in table.rows] == [
        ("misread condition", 40, ["0.700", "0.800", "0.950"]),
        ("slip", 40, ["0.990", "0.980", "0.990"]),
    ]
    assert [name for name, _ in (mistake_table(project, until=1) or table).heads] == ["Base", "PRM 1"]


def test_a_kind_that_a_model_was_not_judged_on_has_a_dash(project: Project) -> None:
    version(project, 1, kinds=kinds(slip=0.9))
    version(project, 2, kinds=kinds(slip=0.9, unit=0.8))
    table = mistake_table(project, until=2)
    assert table is not None and [cell.auc for cell in dict((row[0], row[2]) for row in table.rows)["unit"]] == ["–", "0.800"]


def test_only_the_newest_models_have_a_column(project: Project) -> None:
    for number in range(1, SHOWN + 3):
        version(project, number, kinds=kinds(slip=0.9))
    table = mistake_table(project, until=SHOWN + 2)
    assert table is not None and [name for name, _ in table.heads] == [f"PRM {number}" for number in range(3, SHOWN + 3)]


def test_the_page_of_a_model_shows_the_table_only_where_kinds_are_known(project: Project) -> None:
    version(project, 1, kinds=kinds(misread_condition=0.8123))
    version(project, 2)
    rita = Client()
    rita.force_login(make.rita(project))
    known, unknown = (rita.get(reverse("model", args=[project.slug, number])).content.decode() for number in (1, 2))
    assert "By kind of mistake" in known and "Misread condition" in known and "0.812" in known
    assert "By kind of mistake" not in unknown
