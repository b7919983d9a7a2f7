"""Recipes as the fields of a form: the composer's, and the schedule's."""

from collections.abc import Mapping
from typing import Any

from active_learning import registry
from active_learning.models import ModelKind, Schedule
from active_learning.pages.rows import unfinished
from active_learning.selection import CONVINCING, EXPLORE_MIX, MIXES, STRATEGIES, UNIFORM, Mix
from annotation.models import Project

TYPED = ("size", "per_problem", "n", "model", "budget")  # fields of a recipe's form besides weights and boxes


def composer(project: Project, *, preset: str = "", typed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what the composer shows: the recipe as it was typed, else of a preset, and what stands in the way of a round now."""
    presets = _presets()
    form = typed or recipe_form(
        {
            "parts": presets.get(preset, presets[CONVINCING.name]).parts,
            "size": project.batch_size,
            "per_problem": project.per_problem,
            "train": True,
        }
    )
    return {
        "form": form,
        "fields": recipe_fields(form),
        "presets": {mix.name: mix.label for mix in presets.values()},
        "preset": preset,
        "unfinished": unfinished(project),
        "champion": registry.serving_version(project, ModelKind.PRM),
    }


def _presets() -> dict[str, Mix]:
    """Return the recipes to begin with: the two most used strategies alone, and the named mixes."""
    alone = {strategy.name: Mix(strategy.name, strategy.label, ((strategy.name, 1.0),)) for strategy in (CONVINCING, UNIFORM)}
    return {CONVINCING.name: alone[CONVINCING.name], **MIXES, UNIFORM.name: alone[UNIFORM.name]}


def recipe_form(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe, and by what settings new solutions are sampled first, as the fields of a form show them: weights in per cent."""
    weights = {name: f"{100 * weight:g}" for name, weight in recipe["parts"]}
    texts = {name: "" if recipe.get(name) is None else str(recipe[name]) for name in TYPED}
    return {"weights": weights, **texts, **{name: bool(recipe.get(name)) for name in ("is_diverse", "is_stratified", "train")}}


def recipe_fields(form: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each strategy in words, with the weight the form gives it."""
    return [
        {
            "name": strategy.name,
            "label": strategy.label,
            "picks": strategy.picks,
            "note": strategy.note,
            "weight": form["weights"].get(strategy.name, ""),
        }
        for strategy in STRATEGIES.values()
    ]


def schedule_page(project: Project, kept: Schedule, *, typed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the recipe of scheduled rounds as the form shows it: as typed, as kept, or what is started where none was chosen."""
    usual = {"parts": EXPLORE_MIX.parts, "size": project.batch_size, "per_problem": project.per_problem}
    form = typed or recipe_form({**(kept.recipe or usual), **kept.sample})
    return {"form": form, "fields": recipe_fields(form)}
