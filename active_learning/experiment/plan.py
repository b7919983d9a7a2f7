"""Part of the experiment: the plan. PURE: a Plan holds every setting: world, start, training, arms, sizes and seeds.

The same plan gives the same figures with the same code on the same machine. Its fingerprint keeps models of another plan out of a folder.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from active_learning.experiment.bases import Undrilled
from active_learning.selection import STRATEGIES, BadRecipe, Need, Recipe
from active_learning.world import Habits, MistakeKind

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
UNIFORM = "uniform"
# Three more arms: the selector, which learns from the random start alone; what the first few labels of the start give; and the ORM that
# knows the final answers of the whole pool, which cost no label.
START, FEW, POOL = "start", "few", "pool"
# Settings that decide which models there are, or what their labels cost, but not what becomes of one.
NOT_OF_MODELS = ("seeds", "sizes", "strategies", "shown", "outcomes", "reading", "judging")
PROCESS, ORACLE, ANSWER = "process labels", "outcome, from the oracle", "outcome, from the final answer"


def short_name(arm: str) -> str:
    """Return the name of an arm as files have it."""
    return re.sub("[^a-z0-9]+", "-", arm.lower())


class BadPlan(ValueError):
    """A plan that cannot be carried out, or a folder that holds another plan. The message says what to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of an experiment. A labeled solution counts once, with process labels as with an outcome label.

    sizes: how many solutions a strategy chooses in addition to the `n_start` random ones. The selector learns from the random ones.
    strategies: arm -> parts of its recipe. `uniform` is always one of the arms.
    """

    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    strategies: Mapping[str, tuple[tuple[str, float], ...]]
    shown: str = UNIFORM  # the arm of the primary figure, and whose PRM is in figure (c); named before the run
    outcomes: bool = True  # whether outcome labels are compared too
    n_start: int = 50
    per_problem: int | None = None  # most solutions that are chosen from one problem
    # The world
    world: int = 41_000  # the seed of a pool is this number plus the seed of the run; `test_world` is the seed of the test problems
    test_world: int = 40_999
    n_problems: int = 300
    n_solutions: int = 10
    n_test_problems: int = 150
    n_test_solutions: int = 16
    n_best: int = 8  # the N of figures (a) and (b)
    skill: float = 0.5
    level: int = 2
    habits: Mapping[str, Any] | None = None  # settings of world.Habits; None: its own defaults
    # The training config, the same in every arm
    epochs: int = 4
    learning_rate: float = 5e-4
    outcome_epochs: int = 4
    token_budget: int = 2048
    held_out: float = 0.03
    uncertainty_heads: int = 0
    shape: Mapping[str, int] | None = None  # train a model of this shape from scratch, for tests; None: use a base
    frozen: bool = False  # train heads on the states of the base, which never changes: seconds for a model
    undrilled: Mapping[str, Any] | None = None  # settings of bases.Undrilled, a base that the run makes; None: the shipped one
    # What labels cost: an assumption of the plan, not a measurement
    reading: float = 20.0  # characters a second, of the problem and of the steps up to the last rated one
    judging: float = 5.0  # seconds for the rating of a step

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise BadPlan(f"seeds must be one or more different whole numbers from 0 on, not {', '.join(map(str, self.seeds)) or 'none'}.")
        if len(self.sizes) < 2 or list(self.sizes) != sorted(set(self.sizes)) or self.sizes[0] < 1:
            raise BadPlan(f"sizes must be two or more numbers above 0, each larger than the one before it, not {self.sizes}.")
        for arm in (UNIFORM, self.shown):
            if arm not in self.strategies:
                raise BadPlan(f"{arm} is missing from strategies. Add it: the other arms are compared with it, or figure (c) shows it.")
        names = [short_name(arm) for arm in (START, FEW, POOL, *self.strategies)]
        if again := [arm for arm, name in zip(self.strategies, names[3:], strict=True) if names.count(name) > 1]:
            raise BadPlan(f"The files of the strategy {again[0]} would have the names of another one. Give it another name.")
        pool = self.n_problems * self.n_solutions
        if self.n_start < 1 or self.n_start + self.sizes[-1] > pool:
            raise BadPlan(
                f"{self.n_start} + {self.sizes[-1]} solutions are more than the {pool} of the pool. Raise n_problems or n_solutions."
            )
        if self.per_problem is not None and self.sizes[-1] > self.n_problems * self.per_problem:
            raise BadPlan(
                f"{self.sizes[-1]} solutions cannot be chosen from {self.n_problems} problems with at most {self.per_problem} of each. "
                "Choose smaller sizes, or raise n_problems or per_problem."
            )
        try:
            for parts in self.strategies.values():
                Recipe(parts, self.sizes[-1], per_problem=self.per_problem)
        except BadRecipe as error:
            raise BadPlan(str(error)) from error
        if not 1 <= self.n_best <= self.n_test_solutions:
            raise BadPlan(f"n_best must be from 1 to {self.n_test_solutions}, the solutions of a test problem, not {self.n_best}.")
        if min(self.reading, self.judging) <= 0:
            raise BadPlan(f"reading and judging must be above 0, not {self.reading} and {self.judging}.")
        if self.undrilled is not None and not self.frozen:
            raise BadPlan("undrilled names a base whose states are read. Set frozen too, or leave undrilled out.")
        if self.needs(Need.STATES) and not self.frozen:
            raise BadPlan("A strategy that chooses by states needs a frozen base. Choose other strategies, or set frozen.")
        if self.shape is not None and self.frozen:
            raise BadPlan("A model of shape is trained from scratch, so it has no base to keep frozen. Leave out one of them.")
        self.generator()
        self._check_worlds(self.base())

    def _check_worlds(self, base: Undrilled | None) -> None:
        """Refuse a world that serves twice: a model would be judged on problems that it or its base has read."""
        taken = {self.test_world: "test_world"}
        if base is not None and taken.setdefault(base.world, "the world of the base") == "test_world":
            raise BadPlan(f"The base would read the test problems: its world is {base.world}, and so is test_world. Change one of them.")
        if min(self.world, *taken) < 0:
            raise BadPlan(f"Worlds are whole numbers from 0 on, not {min(self.world, *taken)}.")
        for seed in self.seeds:
            if other := taken.get(self.world + seed):
                raise BadPlan(f"The pool of seed {seed} is the world {self.world + seed}, which is {other} too. Choose another seed.")

    def base(self) -> Undrilled | None:
        """Return the base that the run makes. None: it uses another one. Raises BadPlan."""
        if self.undrilled is None:
            return None
        try:
            return Undrilled(**self.undrilled)
        except (TypeError, ValueError) as error:
            raise BadPlan(f"undrilled cannot be used: {error}.") from error

    def generator(self) -> Habits:
        """Return the habits of the generator of this world. Raises BadPlan."""
        if self.habits is None:
            return Habits()
        settings = dict(self.habits)
        try:
            if "weights" in settings:
                settings["weights"] = {MistakeKind(kind): weight for kind, weight in settings["weights"].items()}
            if "traps" in settings:
                settings["traps"] = frozenset(map(MistakeKind, settings["traps"]))
            return Habits(**settings)
        except (TypeError, ValueError) as error:
            raise BadPlan(f"habits cannot be used: {error}.") from error

    def needs(self, need: Need) -> bool:
        """Return whether the recipe of any arm has this need."""
        return any(need in STRATEGIES[name].needs for parts in self.strategies.values() for name, _ in parts)

    @property
    def labels(self) -> tuple[int, ...]:
        """The number of labeled solutions at each point of the curves: the start alone, then the start with each size."""
        return (self.n_start, *(self.n_start + size for size in self.sizes))

    @property
    def fingerprint(self) -> str:
        """A hash of what a trained model depends on, so a larger plan can use the models of a smaller one."""
        settings = {k: v for k, v in self.as_dict().items() if k not in NOT_OF_MODELS}
        base, habits = self.base(), asdict(self.generator())  # with their defaults, which another release may change
        settings |= {"undrilled": base and asdict(base), "habits": habits | {"traps": sorted(habits["traps"])}}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build a plan from the values of `as_dict`. Raises BadPlan."""
        if unknown := sorted(settings.keys() - {field.name for field in fields(cls)}):
            raise BadPlan(f"A plan has no setting {unknown[0]}.")
        values = dict(settings)
        for name in ("seeds", "sizes"):
            values[name] = tuple(values[name])
        values["strategies"] = {arm: tuple((name, weight) for name, weight in parts) for arm, parts in values["strategies"].items()}
        return cls(**values)

    def changed(self, **settings: Any) -> Self:
        """Return this plan with other settings. Raises BadPlan."""
        return replace(self, **settings)
