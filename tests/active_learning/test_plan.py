"""The plan of a round as a value: what it fills in, what it refuses, and its way into a row and out again."""

import json
from pathlib import Path
from typing import Any

import pytest

from active_learning import registry
from active_learning.models import ModelVersion
from active_learning.rounds import Findings, RoundPlan, RoundRefused
from active_learning.selection import MIXES, Recipe
from annotation.models import Project
from tests import make

UNIFORM = Recipe((("uniform", 1.0),), 5)
CONVINCING = Recipe((("convincing", 1.0),), 5, per_problem=2, is_diverse=True)


@pytest.mark.parametrize(
    "plan",
    [
        RoundPlan(),
        RoundPlan(UNIFORM, review=True, seed=3),
        RoundPlan(CONVINCING, train=False, sample={"model": "owner/name", "n": 4}),
        RoundPlan(kind="orm", preset="lora", base="owner/name"),
        RoundPlan(CONVINCING, resume=True),
        RoundPlan(labels="soft"),
    ],
)
def test_a_plan_comes_out_of_json_as_it_went_in(plan: RoundPlan) -> None:
    assert RoundPlan.from_settings(json.loads(json.dumps(plan.as_dict()))) == plan


def test_findings_hold_only_what_is_known() -> None:
    findings = Findings(chosen_with=3, mix={"chosen": {"n_solutions": 4}})
    assert findings.as_dict() == {"chosen_with": 3, "mix": {"chosen": {"n_solutions": 4}}}
    assert Findings(**json.loads(json.dumps(findings.as_dict()))) == findings


@pytest.mark.parametrize(("recipe", "trains", "scores"), [(UNIFORM, False, False), (CONVINCING, True, True), (None, True, True)])
def test_a_model_is_trained_where_the_recipe_needs_one(recipe: Recipe | None, trains: bool, scores: bool) -> None:
    plan = RoundPlan(recipe)
    assert (plan.train, plan.scores) == (trains, scores)


def test_the_quick_preset_is_a_very_small_model_whatever_base_the_project_has() -> None:
    project = Project(slug="sums", base_model="owner/name")
    config = RoundPlan(preset="quick").config(project)
    assert config.is_tiny and (config.shape.layers, config.shape.width, config.epochs) == (1, 32, 1)
    assert RoundPlan(preset="quick", base="tiny").config(project) == config
    with pytest.raises(RoundRefused, match="The preset quick has its own base. Leave out owner/other"):
        RoundPlan(preset="quick", base="owner/other").config(project)


def test_a_resumed_training_keeps_to_the_base_of_its_start_whatever_the_project_has_today(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPMARK_HOME", str(tmp_path))
    project, by_states = make.project(base_model="smollm2"), RoundPlan(Recipe((("herding", 1.0),), 5), resume=True)
    for freezes in (True, False):
        started = ModelVersion(project=project, config={"frozen": freezes})
        monkeypatch.setattr(registry, "resumable", lambda *_, version=started, **__: version)
        if freezes:
            assert by_states.checked(project) == by_states
        else:
            with pytest.raises(RoundRefused, match="reads the states of a frozen base"):
                by_states.checked(project)


def test_a_round_whose_base_was_not_fetched_is_refused_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPMARK_HOME", str(tmp_path))
    for plan, project in ((RoundPlan(), Project(slug="sums", base_model="smollm2")), (RoundPlan(base="smollm2"), Project(slug="sums"))):
        with pytest.raises(RoundRefused, match="The base smollm2 was not fetched yet.* Fetch it once with: script/base smollm2"):
            plan.config(project)


def test_a_project_that_keeps_its_base_frozen_trains_heads_unless_a_preset_says_otherwise() -> None:
    project = Project(slug="sums", frozen_base=True)
    assert RoundPlan().config(project).frozen and RoundPlan(kind="orm").config(project).frozen
    assert not RoundPlan(preset="tiny").config(project).frozen
    assert RoundPlan(preset="frozen").config(Project(slug="sums")).frozen and not RoundPlan().config(Project(slug="sums")).frozen


def test_a_recipe_of_size_0_chooses_nothing() -> None:
    assert RoundPlan(Recipe((("uniform", 1.0),), 0)) == RoundPlan()


@pytest.mark.parametrize(
    ("parts", "name"),
    [((("entropy", 1),), "entropy"), *((mix.parts, name) for name, mix in MIXES.items()), ((("entropy", 0.5), ("uniform", 0.5)), "mix")],
)
def test_a_recipe_is_called_by_its_strategy_or_its_mix(parts: Any, name: str) -> None:
    assert RoundPlan(Recipe(parts, 5)).strategy == name


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "orm", "recipe": CONVINCING.as_dict()}, "chooses no solutions"),
        ({"kind": "orm", "sample": {"model": "m", "n": 1}}, "chooses no solutions"),
        ({"review": True}, "Nothing would be chosen"),
        ({"train": False}, "Nothing would be chosen"),
        ({"recipe": CONVINCING.as_dict() | {"size": 10_001}}, "A batch holds up to 10,000 solutions, not 10,001."),
        ({"recipe": {"parts": [["magic", 1]], "size": 5}}, "magic"),
        ({"labels": "best"}, "in the form best. Known: each, consensus, soft."),
        ({"kind": "orm", "labels": "soft"}, "An ORM learns from outcomes"),
        ({"colour": "red"}, "A plan has no field colour"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(RoundRefused, match=reason):
        RoundPlan.from_settings(settings)
