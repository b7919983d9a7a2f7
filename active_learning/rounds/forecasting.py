"""What each named recipe would serve now, for the page that composes a round.

A choice from a million solutions takes seconds. So a worker makes those of a large project and stores them, and every page says when. In a
small project each view makes them anew.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import registry, selection
from active_learning.models import ModelKind, ModelVersion, Score, StoredForecasts
from active_learning.rounds.plan import RoundPlan
from active_learning.rounds.running import control_of
from active_learning.rounds.starting import next_generation
from active_learning.selection import PRESETS, Need, Recipe, RecipeForecast, Scorers
from annotation import eligibility
from annotation.eligibility import Use
from annotation.models import Project, Solution

log = logging.getLogger(__name__)

LARGE = 20_000  # solutions: of fewer, each view chooses anew
FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Forecasts:
    """What the recipes of PRESETS would serve, by name; without those that a worker still has to choose for."""

    by_recipe: Mapping[str, RecipeForecast]
    counted_at: datetime
    is_counting: bool  # a worker was asked, and has not stored all of them yet


def forecasts_of(project: Project) -> Forecasts:
    """Return what each recipe would serve now. Of a large project, what a worker stored; if that is missing or old, asks a worker."""
    chooser = registry.serving_version(project)
    if not _is_large(project, chooser):
        basis = _Basis(project, chooser)
        return Forecasts({name: basis.forecast(name) for name in PRESETS}, timezone.now(), is_counting=False)
    stored, _ = StoredForecasts.objects.get_or_create(project=project)
    known = stored.values.get("recipes", {}) if stored.values.get("basis") == _version_of(project, chooser) else {}
    is_complete = len(known) == len(PRESETS) and stored.counted_at is not None
    is_old = stored.counted_at is None or timezone.now() - stored.counted_at > FRESH
    if not is_complete or is_old:
        _ask_worker(project)
    by_recipe = {name: RecipeForecast(**values) for name, values in known.items() if name in PRESETS}
    return Forecasts(by_recipe, stored.counted_at or timezone.now(), is_counting=not is_complete)


def forecast_again(project_id: int) -> None:
    """Choose by each recipe and store what it would serve, one after the other, so that a page can show the first ones already."""
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        return
    chooser = registry.serving_version(project)
    basis, version, found = _Basis(project, chooser), _version_of(project, chooser), dict[str, dict[str, Any]]()
    before = StoredForecasts.objects.filter(project=project).values_list("values", flat=True).first() or {}
    known = before.get("recipes", {}) if before.get("basis") == version else {}
    for name in PRESETS:
        found[name] = asdict(basis.forecast(name))
        StoredForecasts.objects.filter(project=project).update(values={"basis": version, "recipes": known | found})
    StoredForecasts.objects.filter(project=project).update(counted_at=Now())


class _Basis:
    """What all recipes of a project are forecast with: the models, and the generation of the next batch."""

    def __init__(self, project: Project, chooser: ModelVersion | None) -> None:
        self.project, self.chooser, self.generation = project, chooser, next_generation(project)
        self.control = control_of(project) or chooser
        self.orm = registry.serving_version(project, ModelKind.ORM)

    def forecast(self, name: str) -> RecipeForecast:
        recipe = preset_recipe(self.project, name)
        if not RoundPlan(recipe).scores:
            return self._forecast(recipe, Scorers())
        if self.chooser is None:
            return RecipeForecast(why_not=self._why_no_model())
        control = self.control if recipe.needs(Need.CONTROL) else None
        orm = self.orm if recipe.needs(Need.ORM) else None
        return self._forecast(recipe, Scorers(self.chooser, control, orm))

    def _forecast(self, recipe: Recipe, scorers: Scorers) -> RecipeForecast:
        return selection.forecast(self.project, recipe, scorers, seed=0, generation=self.generation)

    def _why_no_model(self) -> str:
        if eligibility.counting(Use.TRAINING).filter(solution__problem__project=self.project).exists():
            return "It needs a model, and none serves yet. A round that trains first makes one from the labels so far and then chooses."
        return "It needs a model, and there are no labels to train one from. Begin with solutions at random."


def preset_recipe(project: Project, name: str) -> Recipe:
    """Return one of PRESETS with the size and the limit of the project."""
    return Recipe(PRESETS[name].parts, project.batch_size, project.per_problem)


def _is_large(project: Project, chooser: ModelVersion | None) -> bool:
    rows: Any = Score.objects.filter(model_version=chooser) if chooser else Solution.objects.filter(problem__project=project)
    return rows.order_by().values_list("solution" if chooser else "pk", flat=True)[LARGE : LARGE + 1].exists()


def _version_of(project: Project, chooser: ModelVersion | None) -> list[Any]:
    """Return what a stored forecast stands on. One with another model or other limits is not shown."""
    return [chooser and chooser.number, project.batch_size, project.per_problem]


def _ask_worker(project: Project) -> None:
    """Ask a worker, at most once a minute."""
    rows = StoredForecasts.objects.filter(Q(asked_at=None) | Q(asked_at__lt=Now() - FRESH), project=project)
    if not rows.update(asked_at=Now()):
        return
    try:
        current_app.send_task("active_learning.tasks.forecast_recipes", [project.pk], ignore_result=True, expires=60)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked what the recipes of %s would serve (%s).", project.slug, error)
