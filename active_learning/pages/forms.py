"""Recipes as the fields of a form: the composer's, and the schedule's."""

from collections.abc import Mapping
from typing import Any

from active_learning import registry, rounds
from active_learning.models import ModelKind, Schedule
from active_learning.pages.rows import unfinished
from active_learning.selection import HALF_MIX, PAPER_MIX, STRATEGIES
from annotation.models import Project

TYPED = ("size", "per_problem", "n", "model", "budget")  # fields of a recipe's form besides weights and boxes
PRESETS = {
    "convincing": ("Convincing wrong answers", (("convincing", 1.0),)),
    "half": ("Half of them, half at random", HALF_MIX),
    "paper": ("The paper’s 80/20", PAPER_MIX),
    "explore": ("With a floor of 10 % at random", rounds.MIXES["explore"]),
    "uniform": ("At random", (("uniform", 1.0),)),
}
NEEDS = {
    "uncertain": "Only a model with uncertainty heads gives any.", "disagreement": "Reads the ORM in service too, if there is one.",
    "control": "The model that chose the first batch; until there is one, the model in service.",
}  # fmt: skip


def composer(project: Project, *, preset: str = "", typed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what the composer shows: the recipe as it was typed, else of a preset, and what stands in the way of a round now."""
    parts = PRESETS.get(preset, PRESETS["convincing"])[1]
    form = typed or recipe_form({"parts": parts, "size": project.batch_size, "per_problem": project.per_problem, "train": True})
    return {
        "form": form,
        "fields": recipe_fields(form),
        "presets": {name: words for name, (words, _) in PRESETS.items()},
        "preset": preset,
        "unfinished": unfinished(project),
        "champion": registry.serving_version(project, ModelKind.PRM),
    }


def recipe_form(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe, and by what settings new solutions are sampled first, as the fields of a form show them: weights in per cent."""
    weights = {name: f"{100 * weight:g}" for name, weight in recipe["parts"]}
    texts = {name: "" if recipe.get(name) is None else str(recipe[name]) for name in TYPED}
    return {"weights": weights, **texts, **{name: bool(recipe.get(name)) for name in ("is_diverse", "is_stratified", "train")}}


def recipe_fields(form: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the strategies with what they mean and the weight the form gives them."""
    return [
        {"name": name, "words": words, "needs": NEEDS.get(name, ""), "weight": form["weights"].get(name, "")}
        for name, words in STRATEGIES.items()
    ]


def schedule_page(project: Project, kept: Schedule, *, typed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the recipe of scheduled rounds as the form shows it: as typed, as kept, or what is started where none was chosen."""
    usual = {"parts": rounds.MIXES["explore"], "size": project.batch_size, "per_problem": project.per_problem}
    form = typed or recipe_form({**(kept.recipe or usual), **kept.generate})
    return {"form": form, "fields": recipe_fields(form)}
