"""What a round is asked to do, and what it finds out: two values, each with one way into the row of the round and one way out.

A plan comes from a page, a command or a schedule, and does not change once the round is queued. Findings are written by the round's stages.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from active_learning import registry, sampling
from active_learning.models import Labels, ModelKind, Round
from active_learning.rounds.states import RoundRefused
from active_learning.selection import CONVINCING, MIXES, UNIFORM, BadRecipe, Need, Recipe, is_frozen, switched, why_no_states
from annotation import queue
from annotation.models import Project
from trainer.config import BadBase, BadConfig, TrainConfig

# --- what is asked for --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Everything a round is asked to do. Raises RoundRefused if the settings contradict each other.

    recipe: how the batch is chosen; None: the round trains and scores, and publishes nothing (a recipe of size 0 counts as None).
    train: train a model first; None: only if the recipe needs a model, or if there is no recipe. review: propose the batch; a person
    publishes it. sample: settings of new solutions that are drawn before the scoring (`sampling.check`); empty: none are drawn.
    kind, preset, base, seed: of the model that is trained; base None: the project's. labels: what it learns of a solution that several
    people labeled (models.Labels). resume: continue the newest training that broke off, with its own labels and config. An ORM chooses
    nothing: it is trained to be compared with.
    """

    recipe: Recipe | None = None
    train: bool | None = None
    review: bool = False
    sample: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ModelKind.PRM
    preset: str | None = None
    base: str | None = None
    seed: int = 0
    resume: bool = False
    labels: str = Labels.EACH

    def __post_init__(self) -> None:
        if self.recipe and not self.recipe.size:
            object.__setattr__(self, "recipe", None)
        if self.kind == ModelKind.ORM and (self.recipe or self.sample):
            raise RoundRefused("An ORM is trained to be compared with and chooses no solutions. Leave out the size and the strategy.")
        if not self.recipe and (self.review or self.train is False):
            raise RoundRefused("Nothing would be chosen. Give a size above 0.")
        if self.recipe and self.recipe.size > queue.MAX_BATCH:
            raise RoundRefused(f"A batch holds up to {queue.MAX_BATCH:,} solutions, not {self.recipe.size:,}.")
        if self.train is None:
            object.__setattr__(self, "train", self.recipe is None or self.recipe.needs_model)
        if self.labels not in Labels.values:
            raise RoundRefused(f"A model cannot learn from labels in the form {self.labels}. Known: {', '.join(Labels.values)}.")
        if self.labels != Labels.EACH and self.kind == ModelKind.ORM:
            raise RoundRefused("An ORM learns from outcomes, not from labels. Leave out what it learns of labels.")

    @property
    def size(self) -> int:
        """How many solutions the batch holds; 0: there is none."""
        return self.recipe.size if self.recipe else 0

    @property
    def scores(self) -> bool:
        """Whether a model scores the pool: always, unless an ORM is trained or the recipe needs no model."""
        return self.kind == ModelKind.PRM and (self.recipe is None or self.recipe.needs_model)

    @property
    def strategy(self) -> str:
        """The recipe's name: its only strategy, the name of a mix, `mix`, or nothing."""
        if self.recipe is None:
            return ""
        if len(self.recipe.parts) == 1:
            return self.recipe.parts[0][0]
        parts = self.recipe.parts
        return next((mix.name for mix in MIXES.values() if Recipe(mix.parts, self.recipe.size).parts == parts), "mix")

    def config(self, project: Project) -> TrainConfig:
        """Return what the model is trained by. Raises RoundRefused."""
        try:
            return registry.config_for(project, kind=self.kind, preset=self.preset, base=self.base, seed=self.seed)
        except (BadBase, BadConfig) as error:
            raise RoundRefused(str(error)) from error

    def checked(self, project: Project) -> Self:
        """Return the plan as the project can follow it now, with the base and the settings of sampling filled in. Raises RoundRefused."""
        if self.scores and not self.train and registry.serving_version(project) is None:
            raise RoundRefused(f"{project.slug} has no serving model to choose with. Train one first, or choose at random.")
        if self.resume and (self.preset or self.base or self.seed or self.labels != Labels.EACH):
            raise RoundRefused(
                "A training that is resumed keeps its base, config, seed and labels. Leave out preset, base, seed and labels."
            )
        if self.resume:  # its config is that of its start, whatever the project's is today
            base, freezes = None, is_frozen(registry.resumable(project, kind=self.kind))
        else:
            config = self.config(project)
            base, freezes = config.base, config.frozen
        if self.recipe and self.recipe.needs(Need.STATES):
            serving = registry.serving_version(project)
            if not (self.train and freezes) and not is_frozen(serving):
                raise RoundRefused(why_no_states(project, serving, recipe=self.recipe))
        if self.train and self.labels != Labels.EACH:
            try:
                registry.check_consensus(project)
            except registry.NoConsensus as error:
                raise RoundRefused(str(error)) from error
        return replace(self, base=base, sample=checked_sampling(self.sample) if self.sample else {})

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for JSON: every field, the recipe as its settings."""
        settings = {name: getattr(self, name) for name in self.__dataclass_fields__}
        texts = {"kind": str(self.kind), "labels": str(self.labels)}
        return settings | {"recipe": self.recipe and self.recipe.as_dict(), "sample": dict(self.sample)} | texts

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a plan of what `as_dict` gave. Raises RoundRefused."""
        if strange := sorted(settings.keys() - cls.__dataclass_fields__.keys()):
            raise RoundRefused(f"A plan has no field {strange[0]}. Known: {', '.join(cls.__dataclass_fields__)}.")
        return cls(**{**settings, "recipe": checked_recipe(settings["recipe"]) if settings.get("recipe") else None})


def plan_of(round_: Round) -> RoundPlan:
    """Return what a round was asked to do."""
    return RoundPlan.from_settings(round_.plan)


def recipe_for(
    project: Project,
    *,
    strategy: str = CONVINCING.name,
    size: int | None = None,
    per_problem: int | None = None,
    globally: bool = False,
    is_diverse: bool = False,
    is_stratified: bool = False,
) -> Recipe:
    """Return how a batch is chosen: by a strategy, one of MIXES, or parts such as "convincing:0.7,uniform:0.3". Raises RoundRefused.

    `size` is how many solutions are published, `per_problem` the limit per problem (defaults: the project's), `globally` lifts that limit.
    """
    return checked_recipe(
        {
            "parts": MIXES[strategy].parts if strategy in MIXES else list(map(_part, strategy.split(","))),
            "size": project.batch_size if size is None else size,
            "per_problem": None if globally else per_problem if per_problem is not None else project.per_problem,
            "is_diverse": is_diverse,
            "is_stratified": is_stratified,
        }
    )


def _part(text: str) -> tuple[str, float | str]:
    name, _, weight = text.partition(":")
    with suppress(ValueError):  # the recipe refuses what is not a number, and names it
        return name.strip(), float(weight or 1)
    return name.strip(), weight


def checked_recipe(settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe that some settings describe. Raises RoundRefused."""
    try:
        return Recipe.from_settings(settings)
    except BadRecipe as error:
        raise RoundRefused(str(error)) from error


def checked_sampling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of sampling as they are stored. Raises RoundRefused."""
    try:
        return sampling.check(settings)
    except sampling.BadSampling as error:
        raise RoundRefused(str(error)) from error


# --- what is found out --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Findings:
    """What a round found out while it ran. None or empty: not (yet) known.

    chosen_with, control, orm: numbers of the model versions whose scores it chose by. resumed: number of the version whose training
    it continues. mix: figures of the choice and of as many solutions at random (`pool.describe`). short: a sentence, if fewer solutions
    fit the recipe than were asked for. unreadable: a sentence, if the model that serves cannot be loaded, so that the round goes on as if
    none served. at_random: a sentence, if the recipe needs a model and none serves: why the batch is a random draw.
    switch: what the strategy that switches stood for, and the figures that decided (`selection.Decision`).
    payoff: what labels that earlier rounds chose taught beside labels at random, by strategy
    (`payoffs.measure`).
    """

    chosen_with: int | None = None
    control: int | None = None
    orm: int | None = None
    resumed: int | None = None
    mix: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    short: str = ""
    unreadable: str = ""
    at_random: str = ""
    switch: Mapping[str, Any] = field(default_factory=dict)
    payoff: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what is known, for JSON."""
        return {name: value for name, value in asdict(self).items() if value}


def findings_of(round_: Round) -> Findings:
    """Return what a round has found out so far."""
    return Findings(**round_.findings)


def recipe_followed(plan: RoundPlan, findings: Findings) -> Recipe | None:
    """Return the recipe by which a round chooses: that of its plan, or a random draw of the same size if no model serves.

    What the switch stands for takes its place as soon as that is decided.
    """
    if plan.recipe and findings.at_random:
        return replace(plan.recipe, parts=((UNIFORM.name, 1.0),), is_diverse=False)
    if plan.recipe and findings.switch:
        return switched(plan.recipe, findings.switch["takes"])
    return plan.recipe
