"""Choosing: which candidates a recipe takes. PURE: arrays in, indices out, randomness passed in.

The same candidates, recipe and generator give the same choice, whatever order the candidates come in, except for ties.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from active_learning.selection.candidates import Candidates, Indices
from active_learning.selection.recipes import Recipe
from active_learning.selection.strategies import STRATEGIES


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Places among the candidates in serving order, and for each the place of its strategy in `recipe.parts`."""

    indices: Indices
    parts: NDArray[np.int64]


def choose(candidates: Candidates, recipe: Recipe, *, rng: np.random.Generator) -> Choice:
    """Return `recipe.size` candidates, or fewer if no more fit the recipe.

    Each part gets its share of the places (largest remainder). A random draw comes first and from everything, so that it stays a fair
    sample of the whole pool; the others follow in their order, each taking its best of what is left. A part that runs out leaves its
    places to the others. The limit per problem, diversity and strata hold for the whole batch; a stratum that runs out sets no limit.
    """
    strategies = [STRATEGIES[name] for name, _ in recipe.parts]
    shares = apportion(recipe.size, [weight for _, weight in recipe.parts])
    orders = [strategy.order(candidates, rng, recipe.size).tolist() for strategy in strategies]
    batch, promised = _Batch(candidates, recipe), 0
    for part in sorted(range(len(strategies)), key=lambda part: not strategies[part].is_draw):
        promised += int(shares[part])
        batch.fill(orders[part], part=part, places=int(shares[part]), promised=promised)
    for is_strict in (True, False) if recipe.is_stratified else (False,):
        for part, strategy in enumerate(strategies):
            places = recipe.size - len(batch.part_of)
            batch.fill(orders[part], part=part, places=places, promised=recipe.size if is_strict else None, is_draw=strategy.is_draw)
    return batch.served(n_parts=len(strategies))


class _Batch:
    """A batch that is being filled, with its limits."""

    def __init__(self, candidates: Candidates, recipe: Recipe) -> None:
        self.problems, self.prefixes = candidates.problems.tolist(), candidates.prefixes.tolist()
        self.recipe = recipe
        self.part_of: dict[int, int] = {}  # place among the candidates -> part
        self.n_of_problem: dict[int, int] = {}
        self.seen: set[tuple[int, int]] = set()
        names, strata = np.unique(candidates.strata, return_inverse=True)
        self.strata: list[int] = strata.tolist()
        # A shortlist by score can be of one stratum; the draw has the shares of the pool.
        counted = strata[candidates.drawn] if candidates.drawn.any() else strata
        self.stratum_shares = np.bincount(counted, minlength=len(names)) / max(1, len(counted))
        self.n_of_stratum = [0] * len(names)

    def fill(self, order: list[int], *, part: int, places: int, promised: int | None, is_draw: bool = False) -> None:
        """Take from the front of `order` until `places` are filled.

        promised: number of places in the batch that the strata divide so far; None: strata set no limit. is_draw: a candidate that
        another part took before passes to this part, without filling a place. Otherwise the draw would miss what the others prefer.
        """
        most = None
        if self.recipe.is_stratified and promised is not None:
            most = apportion(promised, self.stratum_shares).tolist()
        for index in order:
            if places <= 0:
                return
            if index in self.part_of:
                if is_draw and self.part_of[index] != part:
                    del self.part_of[index]
                    self.part_of[index] = part  # after the others of this part: its order is the draw's
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
        """Return what was taken, with the parts interleaved evenly and each in its own order."""
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
