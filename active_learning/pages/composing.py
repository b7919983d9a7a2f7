"""What the composer shows besides its form: recipes to begin with, what each would serve now, and what stands in the way of a round."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from active_learning import registry, rounds
from active_learning.models import ModelKind
from active_learning.pages.payoffs import payoffs_of
from active_learning.pages.remaining import in_minutes
from active_learning.pages.rows import unfinished
from active_learning.selection import CONTROL, PRESETS, UNIFORM, Mix, RecipeForecast
from annotation import quality
from annotation.models import Project


@dataclass(frozen=True, slots=True)
class RecipeCard:
    """One named recipe. forecast: None while a worker still chooses. time: of the people who label, in words; empty: not known."""

    mix: Mix
    forecast: RecipeForecast | None
    time: str
    is_chosen: bool
    is_recommended: bool
    size: int  # that was asked for


@dataclass(frozen=True, slots=True)
class RecipeCards:
    """The named recipes, and when it was found out what they would serve. silent: why no worker does that; empty: one does, or need not."""

    cards: Sequence[RecipeCard]
    counted_at: datetime
    is_counting: bool
    silent: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The recipe that the composer recommends, and why: sentences."""

    mix: Mix
    why: str


AT_RANDOM = (
    "On real labels no way of choosing taught a model more than chance on both sets of labels that we tried (docs/real-labels.md). Labels "
    "at random also describe all solutions. To find out whether choosing pays here, take a recipe that also has another part: after three "
    "such rounds the page of a round says it."
)


def composer(project: Project, *, preset: str = "") -> dict[str, Any]:
    """Return what the composer shows besides its form: the recipes to begin with, and what stands in the way of a round now."""
    return {
        **recipes(project, preset=preset),
        "unfinished": unfinished(project),
        "nothing_new": registry.nothing_new(project),
    }


def recipes(project: Project, *, preset: str = "") -> dict[str, Any]:
    """Return the named recipes with what each would serve now, and which one the form begins with."""
    recommended = recommendation(project)
    chosen = preset if preset in PRESETS else recommended.mix.name
    forecasts, pace = rounds.forecasts_of(project), _pace(project)
    cards = []
    for name, mix in PRESETS.items():
        forecast = forecasts.by_recipe.get(name)
        labels = forecast.n_solutions * project.overlap if forecast else 0
        time = in_minutes(labels * pace / 1000) if labels and pace else ""
        cards.append(RecipeCard(mix, forecast, time, name == chosen, name == recommended.mix.name, project.batch_size))
    silent = rounds.why_silent(rounds.life_signs(), "default") if forecasts.is_counting else ""
    return {
        "recipes": RecipeCards(cards, forecasts.counted_at, forecasts.is_counting, silent),
        "recommended": recommended,
        "preset": chosen,
        "chosen": PRESETS[chosen],
        "champion": registry.serving_version(project, ModelKind.PRM),
    }


def _pace(project: Project) -> float | None:
    """Return the mean milliseconds that people took for a solution. None: nobody has labeled one."""
    work = quality.figures_of(project)[0].by_person.values()
    timed = sum(solutions for _, _, _, solutions, _ in work)
    return sum(ms for _, _, ms, _, _ in work) / timed if timed else None


def recommendation(project: Project) -> Recommendation:
    """Return the recipe that the composer recommends: at random, until the project's own rounds show that choosing pays.

    Then it is the first recipe with what pays and a part at random, so that the rounds go on to compare.
    """
    at_random, found = PRESETS[UNIFORM.name], payoffs_of(project)
    if found and (best := found.best):
        fitting = [mix for mix in PRESETS.values() if {best.name, UNIFORM.name} <= {name for name, _ in mix.parts}]
        if registry.serving_version(project) is None:
            why = f"“{best.label}” taught more than chance in this project, but no model serves now that could choose. Train one first."
            return Recommendation(at_random, why)
        if not fitting:
            why = (
                f"“{best.label}” taught more than chance in this project, but no recipe here has it. To use it, open “Change weights and "
                "limits” and give it a weight beside a part at random."
            )
            return Recommendation(at_random, why)
        return Recommendation(fitting[0], best.sentence)
    sentences = [row.sentence for row in found.rows if row.name != CONTROL.name] if found else []
    is_known = any(row.name != CONTROL.name for row in found.known) if found else False
    return Recommendation(at_random, " ".join(sentences if is_known else [AT_RANDOM, *sentences]))


def preset_settings(project: Project, *, preset: str = "") -> dict[str, Any]:
    """Return the settings of a recipe to begin with; by default of the recommended one."""
    mix = PRESETS.get(preset) or recommendation(project).mix
    return {"parts": mix.parts, "size": project.batch_size, "per_problem": project.per_problem}
