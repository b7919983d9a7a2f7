"""What the composer shows besides its form: recipes to begin with, and what stands in the way of a round."""

from typing import Any

from active_learning import registry
from active_learning.models import ModelKind
from active_learning.pages.rows import unfinished
from active_learning.selection import CONVINCING, MIXES, UNIFORM, Mix
from annotation.models import Project

PRESETS = {
    mix.name: mix
    for mix in (
        Mix(CONVINCING.name, CONVINCING.label, ((CONVINCING.name, 1.0),)),
        *MIXES.values(),
        Mix(UNIFORM.name, UNIFORM.label, ((UNIFORM.name, 1.0),)),
    )
}


def composer(project: Project, *, preset: str = "") -> dict[str, Any]:
    """Return what the composer shows besides its form: the recipes to begin with, and what stands in the way of a round now."""
    return {
        "presets": PRESETS.values(),
        "preset": preset,
        "unfinished": unfinished(project),
        "nothing_new": registry.nothing_new(project),
        "champion": registry.serving_version(project, ModelKind.PRM),
    }


def preset_recipe(project: Project, *, preset: str = "") -> dict[str, Any]:
    """Return the settings of a recipe to begin with; an unknown name gives convincing wrong answers."""
    mix = PRESETS.get(preset, PRESETS[CONVINCING.name])
    return {"parts": mix.parts, "size": project.batch_size, "per_problem": project.per_problem}
