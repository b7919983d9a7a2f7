"""Recipes: what a batch is chosen by. PURE."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from active_learning.selection.strategies import ALL, CONTROL, CONVINCING, STRATEGIES, UNIFORM, Need

Parts = tuple[tuple[str, float], ...]  # (name of a strategy, weight)


class BadRecipe(ValueError):
    """A recipe that cannot be used; the message names the field and what to put there."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a batch is chosen by. Raises BadRecipe.

    parts: (strategy, weight), served interleaved; weights sum to 1. size: solutions. per_problem: the most of one problem, None: no
    limit. is_diverse: at most one solution of a problem with the same steps up to the first doubtful one. is_stratified: subjects and
    levels as among the candidates.
    """

    parts: Parts
    size: int
    per_problem: int | None = None
    is_diverse: bool = False
    is_stratified: bool = False

    def __post_init__(self) -> None:
        parts = _parts(self.parts)
        total = sum(weight for _, weight in parts)
        # Within rounding it is 1 already, and dividing once more would change a stored recipe a little each time.
        object.__setattr__(self, "parts", parts if abs(total - 1) < 1e-9 else tuple((name, weight / total) for name, weight in parts))
        _check_whole("size", self.size, least=0)
        if self.per_problem is not None:
            _check_whole("per_problem", self.per_problem, least=1)
        for name in ("is_diverse", "is_stratified"):
            if not isinstance(getattr(self, name), bool):
                raise BadRecipe(f"{name} must be true or false, not {getattr(self, name)!r}.")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a recipe from a form, a file or a row; `parts` as pairs or as {strategy: weight}."""
        names = {field.name for field in fields(cls)}
        if strange := sorted(map(str, settings.keys() - names)):
            raise BadRecipe(f"A recipe has no field {strange[0]}. Known: {', '.join(sorted(names))}.")
        if missing := [name for name in ("parts", "size") if name not in settings]:
            raise BadRecipe(f"{missing[0]} is missing: a recipe needs strategies and the number of solutions.")
        return cls(**settings)

    @property
    def needs_model(self) -> bool:
        """Whether any part reads a score."""
        return self.needs(Need.MODEL)

    def needs(self, need: Need) -> bool:
        """Return whether any part has this need."""
        return any(need in STRATEGIES[name].needs for name, _ in self.parts)

    @property
    def without_floor(self) -> str:
        """Why a recipe without a part at random is worth another thought, in a sentence; empty: it has one."""
        return without_floor(name for name, _ in self.parts)

    @property
    def needs_only_states(self) -> bool:
        """Whether some part reads the states of a frozen base, and every other one is a draw: then no score is read."""
        strategies = [STRATEGIES[name] for name, _ in self.parts]
        return self.needs(Need.STATES) and all(strategy.is_draw or Need.STATES in strategy.needs for strategy in strategies)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings this recipe can be made from again, fit for JSON."""
        return asdict(self) | {"parts": [list(part) for part in self.parts]}


def without_floor(names: Iterable[str]) -> str:
    """Say what a recipe of these strategies lacks if none of them draws at random; empty: one does, or there is none at all."""
    listed = [STRATEGIES[name] for name in names]
    if not listed or any(strategy.is_draw for strategy in listed):
        return ""
    return (
        f"This recipe has no part “{UNIFORM.label}”, so nobody can see whether its choice teaches more than a random one, and its labels "
        "do not describe all solutions. Give that part 10 to 20 %."
    )


@dataclass(frozen=True, slots=True)
class Mix:
    """Parts of a recipe that have a name of their own in commands, and a label for people.

    asks: a sentence for managers, which solutions people are asked to label. advice: when it helps, in another one.
    """

    name: str
    label: str
    parts: Parts
    asks: str
    advice: str


PAPER_MIX = Mix(
    "paper",
    "80 % convincing wrong answers, 20 % the most convincing of all",
    ((CONVINCING.name, 0.8), (ALL.name, 0.2)),
    "Mostly solutions that look right and are wrong, and some that look right whatever their answer.",
    "The mix of the paper. It has no part at random, so its labels do not describe all solutions.",
)
HALF_MIX = Mix(
    "half",
    "Half convincing wrong answers, half at random",
    ((CONVINCING.name, 0.5), (UNIFORM.name, 0.5)),
    "Half solutions that look right and are wrong, half solutions at random.",
    "The random half keeps the model from doubting everything, and it gives figures without bias.",
)
# What a schedule starts with: a random part keeps the figures unbiased, and the frozen control stands next to the newest model.
EXPLORE_MIX = Mix(
    "explore",
    "80 % convincing wrong answers, 10 % at random, 10 % control",
    ((CONVINCING.name, 0.8), (UNIFORM.name, 0.1), (CONTROL.name, 0.1)),
    "Mostly solutions that look right and are wrong, with a control group.",
    "One in ten is at random and one in ten is chosen by the first model. They show whether newer models choose better.",
)
MIXES: Mapping[str, Mix] = {mix.name: mix for mix in (PAPER_MIX, HALF_MIX, EXPLORE_MIX)}
# What the composer begins with, in the order of the page.
PRESETS: Mapping[str, Mix] = {
    mix.name: mix
    for mix in (
        Mix(
            UNIFORM.name,
            UNIFORM.label,
            ((UNIFORM.name, 1.0),),
            "Solutions at random.",
            "It needs no model. Its labels describe all solutions.",
        ),
        HALF_MIX,
        EXPLORE_MIX,
        PAPER_MIX,
        Mix(
            CONVINCING.name,
            CONVINCING.label,
            ((CONVINCING.name, 1.0),),
            "Only solutions that look right and are wrong.",
            "A model that learns only from these doubts everything after a while. Keep a part at random.",
        ),
    )
}


def _parts(given: Any) -> Parts:
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        raise BadRecipe(f"parts must be one or more pairs of strategy and weight, not {given!r}.")
    parts = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise BadRecipe(f"parts must hold pairs of strategy and weight, not {pair!r}.")
        name, weight = pair
        if name not in STRATEGIES:
            raise BadRecipe(f"There is no strategy named {name}. Known: {', '.join(STRATEGIES)}.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise BadRecipe(f"The weight of {name} in parts must be a number above 0, not {weight!r}. To take none, leave it out.")
        parts.append((name, float(weight)))
    names = [name for name, _ in parts]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadRecipe(f"{twice[0]} is listed twice in parts. Give it one weight.")
    return tuple(parts)


def _check_whole(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadRecipe(f"{name} must be a whole number of at least {least}, not {value!r}.")
