"""Choose which solutions people see next, by a recipe of strategies. PURE: arrays in, indices out, randomness passed in.

Reads what `pool` knows of the solutions a batch may be chosen from; `rounds` writes the choice down with its reasons. The same
candidates, recipe and generator give the same choice, whatever order the candidates come in, but for ties.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

UNKNOWN, WRONG, RIGHT = -1, 0, 1
CONFIDENT, STEADY = 0.95, 0.005  # ActPRM's thresholds: a solution is asked about below the first or above the second
DOUBTED = 0.5  # a right answer that the PRM scores lower is one whose reasoning it takes for wrong

CONVINCING, REST, UNIFORM, CONTROL = "convincing", "convincing_rest", "uniform", "control"
ENTROPY, UNCERTAIN, DISAGREEMENT = "entropy", "uncertain", "disagreement"
STRATEGIES = {
    CONVINCING: "wrong answers the model scores highest",
    REST: "all other solutions, those the model scores highest",
    ENTROPY: "solutions whose first mistake the model is least sure of",
    UNCERTAIN: "solutions with a step the model's heads doubt or dispute",
    DISAGREEMENT: "right answers with doubtful steps, then where PRM, ORM and majority differ most",
    UNIFORM: "at random, without a model",
    CONTROL: "wrong answers the frozen control model scores highest",
}
PAPER_MIX = ((CONVINCING, 0.8), (REST, 0.2))
HALF_MIX = ((CONVINCING, 0.5), (UNIFORM, 0.5))  # the best in the simulated world: docs/experiment.md


class BadRecipe(ValueError):
    """A recipe nobody can follow; the message names the field and what to put there."""


# --- what is known, what is wanted, what was chosen ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What is known of n solutions a batch may be chosen from: arrays (n,), nan, UNKNOWN or 0 where it is not known."""

    solutions: NDArray[np.int64]
    problems: NDArray[np.int64]
    scores: Floats  # PRM: product over steps of p(neutral) + p(positive)
    outcomes: NDArray[np.int8]  # of the final answer
    entropy: Floats  # of the first mistake, nats
    confidence: Floats  # least max(mu, 1 - mu) of any step up to and including the first predicted mistake
    deviation: Floats  # greatest standard deviation between heads, of the same steps
    orm: Floats
    majority: Floats  # share of the problem's graded solutions with the same answer
    control: Floats  # score by the frozen control model
    strata: NDArray[np.int32]  # subject and level
    prefixes: NDArray[np.int64]  # hash of the steps up to and including the first doubtful one
    drawn: NDArray[np.bool_]  # one of a uniform draw from the whole pool: only these may be taken at random

    def __post_init__(self) -> None:
        if uneven := [field.name for field in fields(self) if getattr(self, field.name).shape != (len(self),)]:
            raise ValueError(f"{len(self)} solutions need as many {', '.join(uneven)}.")
        ordered = np.sort(self.solutions)
        if len(twice := ordered[1:][ordered[1:] == ordered[:-1]]):
            raise ValueError(f"Solution {twice[0]} stands twice among the candidates.")

    @classmethod
    def of(cls, *, solutions: ArrayLike, problems: ArrayLike, **known: ArrayLike) -> Self:
        """Make candidates of what is known; the rest is unknown, and all count as a draw from the whole pool unless `drawn` is told."""
        given: dict[str, ArrayLike] = {"solutions": solutions, "problems": problems, **known}
        if strange := given.keys() - _KINDS.keys():
            raise TypeError(f"Candidates know nothing of {', '.join(sorted(strange))}.")
        nothing = {name: np.full(len(np.asarray(solutions)), unknown) for name, (_, unknown) in _KINDS.items()}
        return cls(**{name: np.asarray((nothing | given)[name], kind) for name, (kind, _) in _KINDS.items()})

    def __len__(self) -> int:
        return len(self.solutions)

    def take(self, indices: ArrayLike) -> "Candidates":
        """Return the candidates at these places, in this order."""
        return Candidates(**{field.name: getattr(self, field.name)[np.asarray(indices, np.int64)] for field in fields(self)})

    def save(self, path: Path) -> None:
        """Write all arrays to one .npz file; equal candidates give equal bytes."""
        with path.open("wb") as target:
            np.savez_compressed(target, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Candidates":
        """Read what `save` wrote. Raises ValueError if the file is damaged or holds something else."""
        try:
            with path.open("rb") as source, np.load(source, allow_pickle=False) as kept:
                return cls(**{field.name: kept[field.name] for field in fields(cls)})
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} holds no candidates of a round ({error}). Restore it from a backup.") from error


_KINDS: dict[str, tuple[type, float]] = {  # of each array, and what stands for unknown
    "solutions": (np.int64, 0), "problems": (np.int64, 0), "outcomes": (np.int8, UNKNOWN), "strata": (np.int32, 0),
    "prefixes": (np.int64, 0), "drawn": (np.bool_, True),
    **dict.fromkeys(("scores", "entropy", "confidence", "deviation", "orm", "majority", "control"), (np.float64, math.nan)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a batch is made of. Raises BadRecipe.

    parts: (strategy, weight), served interleaved; weights sum to 1. size: solutions. per_problem: at most so many of one problem, None: any
    number. is_diverse: at most one solution of a problem with the same steps up to the first doubtful one. is_stratified: subjects and
    levels as among the candidates.
    """

    parts: tuple[tuple[str, float], ...]
    size: int
    per_problem: int | None = None
    is_diverse: bool = False
    is_stratified: bool = False

    def __post_init__(self) -> None:
        parts = _parts(self.parts)
        total = sum(weight for _, weight in parts)
        # Within rounding it is 1 already, and dividing once more would let a kept recipe drift.
        object.__setattr__(self, "parts", parts if abs(total - 1) < 1e-9 else tuple((name, weight / total) for name, weight in parts))
        _whole("size", self.size, least=0)
        if self.per_problem is not None:
            _whole("per_problem", self.per_problem, least=1)
        for name in ("is_diverse", "is_stratified"):
            if not isinstance(getattr(self, name), bool):
                raise BadRecipe(f"{name} is true or false, not {getattr(self, name)!r}.")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a recipe of what a form, a file or a row says; `parts` as pairs or as {strategy: weight}."""
        names = {field.name for field in fields(cls)}
        if strange := sorted(map(str, settings.keys() - names)):
            raise BadRecipe(f"A recipe has no field {strange[0]}. Known: {', '.join(sorted(names))}.")
        if missing := [name for name in ("parts", "size") if name not in settings]:
            raise BadRecipe(f"{missing[0]} is missing: say which strategies, and how many solutions.")
        return cls(**settings)

    @property
    def needs_model(self) -> bool:
        """Whether any part reads a score."""
        return any(name != UNIFORM for name, _ in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings this recipe can be made of again, fit for JSON."""
        return asdict(self) | {"parts": [list(part) for part in self.parts]}


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Places among the candidates in serving order, and for each the place in `recipe.parts` of the strategy that took it."""

    indices: Indices
    parts: NDArray[np.int64]


def _parts(told: Any) -> tuple[tuple[str, float], ...]:
    pairs = list(told.items()) if isinstance(told, Mapping) else told
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        raise BadRecipe(f"parts is one or more pairs of strategy and weight, not {told!r}.")
    parts = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise BadRecipe(f"parts holds pairs of strategy and weight, not {pair!r}.")
        name, weight = pair
        if name not in STRATEGIES:
            raise BadRecipe(f"There is no strategy named {name}. Known: {', '.join(STRATEGIES)}.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise BadRecipe(f"The weight of {name} in parts is a number above 0, not {weight!r}. Leave a strategy out to give it nothing.")
        parts.append((name, float(weight)))
    names = [name for name, _ in parts]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadRecipe(f"{twice[0]} stands twice in parts. Give it one weight.")
    return tuple(parts)


def _whole(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadRecipe(f"{name} is a whole number of at least {least}, not {value!r}.")


# --- in which order each strategy would take them -----------------------------------------------------------------------------


def _best_first(key: Floats) -> Indices:
    """Return the places of the highest keys first; nan is never taken, ties go to the earlier place."""
    order = np.argsort(-key, kind="stable").astype(np.int64)  # nan sorts last
    return order[: int(np.count_nonzero(~np.isnan(key)))]


def _uncertain(of: Candidates, _: np.random.Generator) -> Indices:
    confidence, deviation = np.nan_to_num(of.confidence, nan=1.0), np.nan_to_num(of.deviation, nan=0.0)
    order = np.lexsort((-deviation, confidence)).astype(np.int64)
    return order[((confidence < CONFIDENT) | (deviation > STEADY))[order]]


def _disagreement(of: Candidates, _: np.random.Generator) -> Indices:
    is_doubted = (of.outcomes == RIGHT) & (of.scores < DOUBTED)
    return _best_first(np.where(is_doubted, 2 - of.scores, _gap(of)))  # the doubted: above 1.5; a gap is at most 1


def _gap(of: Candidates) -> Floats:
    """Return how far the PRM's score lies from the ORM's or the majority's, whichever is further; nan where neither is known."""
    return np.fmax(abs(of.scores - of.orm), abs(of.scores - of.majority))


def _uniform(of: Candidates, rng: np.random.Generator) -> Indices:
    by_solution = np.argsort(of.solutions, kind="stable").astype(np.int64)  # so that the draw does not hang on the candidates' order
    return rng.permutation(by_solution[of.drawn[by_solution]])


_ORDERS: dict[str, Callable[[Candidates, np.random.Generator], Indices]] = {
    CONVINCING: lambda of, _: _best_first(np.where(of.outcomes == WRONG, of.scores, np.nan)),
    REST: lambda of, _: _best_first(np.where(of.outcomes != WRONG, of.scores, np.nan)),
    ENTROPY: lambda of, _: _best_first(of.entropy),
    UNCERTAIN: _uncertain,
    DISAGREEMENT: _disagreement,
    UNIFORM: _uniform,
    CONTROL: lambda of, _: _best_first(np.where(of.outcomes == WRONG, of.control, np.nan)),
}


# --- choosing -----------------------------------------------------------------------------------------------------------------


def choose(candidates: Candidates, recipe: Recipe, *, rng: np.random.Generator) -> Choice:
    """Return `recipe.size` candidates, fewer only where no more may be taken.

    Each part gets its share of the places (largest remainder). The uniform part draws first and from everything, so that what it holds
    says something of the whole pool; the others follow in their order, each taking its best of what is left. A part that runs out leaves
    its places to the others. Caps, diversity and strata hold over the whole batch; strata give way where a stratum runs out.
    """
    names = [name for name, _ in recipe.parts]
    shares = apportion(recipe.size, [weight for _, weight in recipe.parts])
    orders = [_ORDERS[name](candidates, rng).tolist() for name in names]
    batch, promised = _Batch(candidates, recipe), 0
    for part in sorted(range(len(names)), key=lambda part: names[part] != UNIFORM):
        promised += int(shares[part])
        batch.fill(orders[part], part=part, places=int(shares[part]), promised=promised)
    for is_strict in (True, False) if recipe.is_stratified else (False,):
        for part, name in enumerate(names):
            places = recipe.size - len(batch.part_of)
            batch.fill(orders[part], part=part, places=places, promised=recipe.size if is_strict else None, is_uniform=name == UNIFORM)
    return batch.served(n_parts=len(names))


class _Batch:
    """A batch that is being filled, and the limits it keeps."""

    def __init__(self, candidates: Candidates, recipe: Recipe) -> None:
        self.problems, self.prefixes = candidates.problems.tolist(), candidates.prefixes.tolist()
        self.recipe = recipe
        self.part_of: dict[int, int] = {}  # place among the candidates -> part
        self.n_of_problem: dict[int, int] = {}
        self.seen: set[tuple[int, int]] = set()
        names, strata = np.unique(candidates.strata, return_inverse=True)
        self.strata: list[int] = strata.tolist()
        # A shortlist by score may be of one stratum; the draw is as the pool is.
        counted = strata[candidates.drawn] if candidates.drawn.any() else strata
        self.stratum_shares = np.bincount(counted, minlength=len(names)) / max(1, len(counted))
        self.n_of_stratum = [0] * len(names)

    def fill(self, order: list[int], *, part: int, places: int, promised: int | None, is_uniform: bool = False) -> None:
        """Take from the front of `order` until `places` are filled.

        promised: how many places of the batch count for the strata by now; None: strata are no limit. is_uniform: what others took before
        is passed on to this part as it is met, without filling a place; leaving it to them would tilt the draw away from their taste.
        """
        most = None
        if self.recipe.is_stratified and promised is not None:
            most = apportion(promised, self.stratum_shares).tolist()
        for index in order:
            if places <= 0:
                return
            if index in self.part_of:
                if is_uniform and self.part_of[index] != part:
                    del self.part_of[index]
                    self.part_of[index] = part  # after what the part has: its order is the draw's
            elif self._fits(index, most):
                self._take(index, part)
                places -= 1

    def _fits(self, index: int, most: list[int] | None) -> bool:
        problem, prefix, recipe = self.problems[index], self.prefixes[index], self.recipe
        if recipe.per_problem is not None and self.n_of_problem.get(problem, 0) >= recipe.per_problem:
            return False
        if recipe.is_diverse and prefix and (problem, prefix) in self.seen:
            return False
        return most is None or self.n_of_stratum[self.strata[index]] < most[self.strata[index]]

    def _take(self, index: int, part: int) -> None:
        problem = self.problems[index]
        self.part_of[index] = part
        self.n_of_problem[problem] = self.n_of_problem.get(problem, 0) + 1
        self.n_of_stratum[self.strata[index]] += 1
        self.seen.add((problem, self.prefixes[index]))

    def served(self, *, n_parts: int) -> Choice:
        """Return what was taken with the parts interleaved evenly, each in the order in which it took."""
        indices = np.fromiter(self.part_of.keys(), np.int64, len(self.part_of))
        parts = np.fromiter(self.part_of.values(), np.int64, len(self.part_of))
        when = np.empty(len(parts))
        for part in range(n_parts):
            mine = np.flatnonzero(parts == part)
            when[mine] = (np.arange(len(mine)) + 0.5) / max(1, len(mine))
        order = np.lexsort((parts, when))
        return Choice(indices[order], parts[order])


def apportion(n: int, weights: ArrayLike) -> Indices:
    """Divide n places by weights that sum to 1: whole shares first, what is left by largest remainder, ties to the earlier."""
    exact = n * np.asarray(weights, np.float64)
    shares = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(-np.round(exact - shares, 9), kind="stable")
    shares[by_remainder[: max(0, n - int(shares.sum()))]] += 1
    return shares


# --- saying why ---------------------------------------------------------------------------------------------------------------


def why(candidates: Candidates, index: int, strategy: str) -> str:
    """Say in a sentence of at most 200 characters, with its numbers, why the strategy took this candidate."""
    known = {field.name: getattr(candidates, field.name)[index].item() for field in fields(candidates)}
    score = "not scored" if math.isnan(known["scores"]) else f"scored {known['scores']:.2f}"
    match strategy:
        case "convincing":
            return f"A wrong answer that convinces the model: {score}."
        case "convincing_rest":
            return f"{_ANSWER[known['outcomes']]} that convinces the model: {score}."
        case "entropy":
            return f"The model is unsure where its first mistake is: entropy {known['entropy']:.2f} nats, {score}."
        case "uncertain":
            said = [f"a step judged with a confidence of {known['confidence']:.3f} (below {CONFIDENT})"] * (known["confidence"] < CONFIDENT)
            said += [f"a step on which the heads differ by {known['deviation']:.4f} (above {STEADY})"] * (known["deviation"] > STEADY)
            return f"The model is unsure: {' and '.join(said)}."
        case "disagreement":
            if known["outcomes"] == RIGHT and known["scores"] < DOUBTED:
                return f"A right answer whose reasoning the model doubts: {score}."
            others = [("ORM", known["orm"]), ("majority", known["majority"])]
            told = [f"{name} {value:.2f}" for name, value in others if not math.isnan(value)]
            return f"Judgements differ: PRM {known['scores']:.2f}, {', '.join(told)}."
        case "uniform":
            return f"Drawn at random ({score})."
        case "control":
            return f"A wrong answer that convinces the frozen control model: scored {known['control']:.2f} by it."
    raise ValueError(f"There is no strategy named {strategy}. Known: {', '.join(STRATEGIES)}.")


_ANSWER = {RIGHT: "A right answer", WRONG: "A wrong answer", UNKNOWN: "An answer not known to be right or wrong"}
