"""Part of the experiment: what is done, as values. PURE: a Plan holds every setting of world, start, recipe, arms, sizes and seeds.

The same plan gives the same figures on the same machine; its fingerprint keeps points of another plan out of a folder.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from active_learning.selection import BadRecipe, Recipe
from active_learning.world import Habits, MistakeKind

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
UNIFORM = "uniform"
PROCESS, ORACLE, ANSWER = "process labels", "outcome, from the oracle", "outcome, from the final answer"


class BadPlan(ValueError):
    """A plan nobody can carry out, or a folder that holds another one; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment. Every solution counts once as labeled, whether by steps or as a whole.

    sizes: solutions that a strategy chooses beyond the `n_start` drawn at random, from which the selector learns. strategies: arm ->
    parts of its recipe; `uniform` is always among them. outcomes: whether outcome labels are compared too.
    """

    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    strategies: Mapping[str, tuple[tuple[str, float], ...]]
    shown: str = UNIFORM  # the arm whose PRM stands in the figure against N, named before anything is run
    outcomes: bool = True
    n_start: int = 50
    per_problem: int | None = None  # chosen solutions of one problem at most
    # The world
    world: int = 41_000  # its seed is this plus the run's; the test problems' is `test_world`
    test_world: int = 40_999
    n_problems: int = 300
    n_solutions: int = 10
    n_test_problems: int = 150
    n_test_solutions: int = 16
    n_best: int = 8  # best-of-N of every curve over labels
    skill: float = 0.5
    level: int = 2
    habits: Mapping[str, Any] | None = None  # settings of simulation.Habits; None: the demonstration's
    # The recipe, the same in every arm
    epochs: int = 4
    learning_rate: float = 5e-4
    outcome_epochs: int = 4
    token_budget: int = 2048
    held_out: float = 0.03
    uncertainty_heads: int = 0
    shape: Mapping[str, int] | None = None  # of a model from scratch, for tests; None: the shipped base

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise BadPlan(f"seeds are one or more different whole numbers, not {self.seeds}.")
        if len(self.sizes) < 2 or list(self.sizes) != sorted(set(self.sizes)) or self.sizes[0] < 1:
            raise BadPlan(f"sizes are two or more numbers above 0, each larger than the last, not {self.sizes}.")
        for arm in (UNIFORM, self.shown):
            if arm not in self.strategies:
                raise BadPlan(f"strategies lack {arm}: it is measured against, or shown against N.")
        pool = self.n_problems * self.n_solutions
        if self.n_start < 1 or self.n_start + self.sizes[-1] > pool:
            raise BadPlan(f"{self.n_start} + {self.sizes[-1]} solutions are more than the pool's {pool}: raise n_problems or n_solutions.")
        try:
            for parts in self.strategies.values():
                Recipe(parts, self.sizes[-1], per_problem=self.per_problem)
        except BadRecipe as error:
            raise BadPlan(str(error)) from error
        if not 1 <= self.n_best <= self.n_test_solutions:
            raise BadPlan(f"n_best is from 1 to the {self.n_test_solutions} solutions of a test problem, not {self.n_best}.")
        self.generator()

    def generator(self) -> Habits:
        """Return how the world's generator errs. Raises BadPlan."""
        if self.habits is None:
            return Habits()
        told = dict(self.habits)
        try:
            if "weights" in told:
                told["weights"] = {MistakeKind(kind): weight for kind, weight in told["weights"].items()}
            if "traps" in told:
                told["traps"] = frozenset(map(MistakeKind, told["traps"]))
            return Habits(**told)
        except (TypeError, ValueError) as error:
            raise BadPlan(f"habits cannot be used: {error}.") from error

    @property
    def labels(self) -> tuple[int, ...]:
        """How many solutions are labeled at each place of the curves: those of the start alone, then with each size."""
        return (self.n_start, *(self.n_start + size for size in self.sizes))

    @property
    def fingerprint(self) -> str:
        """Identify the plan but for its seeds, sizes and strategies: points of a smaller plan serve a larger one."""
        settings = {k: v for k, v in self.as_dict().items() if k not in ("seeds", "sizes", "strategies", "shown", "outcomes")}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build from what `as_dict` gave. Raises BadPlan."""
        if strange := sorted(settings.keys() - {field.name for field in fields(cls)}):
            raise BadPlan(f"A plan has no setting {strange[0]}.")
        told = dict(settings)
        for name in ("seeds", "sizes"):
            told[name] = tuple(told[name])
        told["strategies"] = {arm: tuple((name, weight) for name, weight in parts) for arm, parts in told["strategies"].items()}
        return cls(**told)

    def changed(self, **settings: Any) -> Self:
        return replace(self, **settings)
