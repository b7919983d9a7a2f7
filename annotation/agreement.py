"""Measure how far several labelers of the same solutions agree. Pure numpy: no Django, no files.

Three figures, each with a 95 % bootstrap interval over problems (Poisson weights). *Alpha* is Krippendorff's, for ordered ratings
(-1, 0, 1), on steps that at least two people rated. It is optimistic here: people stop at the first mistake that they find, so the hard
steps after it have few ratings. *Exact agreement* is the share of pairs of readings that mark the same first mistake, or both none.
*On mistakes* is the same share of those pairs in which somebody marked a mistake: easy solutions without one do not raise it. Each solution
counts once, however many people read it. Giving up, or reporting a bad problem, is no opinion on the first mistake.

`chance` says what would agree anyway: each reading is compared with readings of other solutions.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.counting import Share

Floats = NDArray[np.float64]
RATINGS = (-1, 0, 1)
DRAWS = 1000
MINIMUM_PROBLEMS = 10  # an interval over fewer says nothing
LENGTH_BINS = 4  # chance compares readings of solutions of about the same length


@dataclass(frozen=True)
class Measured:
    """A value with its 95 % interval, from `n` solutions. None: there is nothing to compute it from.

    `is_few`: it comes from so few problems that an interval would say nothing.
    """

    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    is_few: bool = False

    @property
    def as_share(self) -> str:
        """The value and its interval in percent; "few" instead of an interval that would say nothing."""
        return self._written(lambda value: f"{value:.0%}")

    @property
    def as_number(self) -> str:
        """The value and its interval with two decimals."""
        return self._written(lambda value: f"{value:.2f}")

    def _written(self, write: Callable[[float], str]) -> str:
        if self.value is None:
            return "–"
        if self.interval is None:
            return f"{write(self.value)} (few)" if self.is_few else write(self.value)
        return f"{write(self.value)} ({write(self.interval[0])} to {write(self.interval[1])})"


@dataclass(frozen=True)
class Agreement:
    """The three figures. `n` solutions were read by at least two people; these made `pairs` pairs of verdicts."""

    alpha: Measured
    exact: Measured
    on_mistakes: Measured
    n: int
    pairs: int


@dataclass(frozen=True)
class Reading:
    """One person's reading of a solution: the ratings of its steps up to where the person stopped. A missing rating is None.

    `is_verdict` is False where the person gave up or reported a bad problem: then no first mistake is known.
    """

    solution: int
    person: int
    ratings: tuple[int | None, ...]
    n_steps: int
    is_verdict: bool = True

    @property
    def first_mistake(self) -> int | None:
        """The step (from 0) that was rated negative first, or None."""
        return next((index for index, rating in enumerate(self.ratings) if rating == -1), None)


@dataclass
class Draws:
    """The bootstrap: how often each problem stands in each of the drawn samples. Figures of one project share them, so they are paired.

    Solutions of one problem come and go together: people agree on all of them more easily, or on none. A solution without a problem in
    `problem_of` stands alone.
    """

    solutions: Iterable[int]
    problem_of: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0
    columns: dict[int, int] = field(init=False)
    weights: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        places: dict[Hashable, int] = {}
        problems = {solution: self.problem_of.get(solution, (solution,)) for solution in sorted(set(self.solutions))}
        self.columns = {solution: places.setdefault(problem, len(places)) for solution, problem in problems.items()}
        self.weights = np.random.default_rng(self.seed).poisson(1.0, (DRAWS, len(places))).astype(np.float32)

    def count_problems(self, solutions: Iterable[int]) -> int:
        """Return of how many problems these solutions are."""
        return len({self.columns[solution] for solution in solutions})

    def sums(self, solutions: Sequence[int], values: Floats) -> Floats:
        """Add up the rows of values, (solutions, columns), in each draw: (DRAWS, columns)."""
        columns, places = np.unique([self.columns[solution] for solution in solutions], return_inverse=True)
        totals = np.zeros((len(columns), values.shape[1]))
        np.add.at(totals, places, values)
        return self.weights[:, columns].astype(float) @ totals


def shared_readings(readings: Iterable[Reading]) -> dict[int, list[Reading]]:
    """Group readings by solution, and keep the solutions that at least two people read.

    Of several readings of one solution by one person, the last one counts: nobody agrees with themselves.
    """
    groups: dict[int, dict[int, Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.solution, {})[reading.person] = reading
    return {solution: list(people.values()) for solution, people in groups.items() if len(people) > 1}


def agreement(readings: Iterable[Reading], *, draws: Draws | None = None) -> Agreement:
    """Compute the figures over all solutions that at least two people read."""
    groups = shared_readings(readings)
    solutions = list(groups)
    draws = draws or Draws(solutions)
    tables = np.array([_coincidences(group) for group in groups.values()]).reshape(-1, 9)
    pairs = np.array([_pairs(group) for group in groups.values()]).reshape(-1, 4)
    judged, marked = pairs[:, 1] > 0, pairs[:, 3] > 0
    rated = tables.sum(axis=1) > 0

    def figure(rows: NDArray[np.bool_], values: Floats, statistic: Callable[[Floats], Floats], *, is_share: bool) -> Measured:
        chosen = [solution for solution, row in zip(solutions, rows, strict=True) if row]
        if not chosen:
            return Measured()
        return _measured(chosen, values[rows], statistic, draws=draws, is_share=is_share)

    return Agreement(
        alpha=figure(rated, tables, lambda sums: _alphas(sums.reshape(-1, 3, 3)), is_share=False),
        exact=figure(judged, pairs[:, :2], _ratios, is_share=True),
        on_mistakes=figure(marked, pairs[:, 2:], _ratios, is_share=True),
        n=len(groups),
        pairs=sum(_n_pairs(sum(reading.is_verdict for reading in group)) for group in groups.values()),
    )


def alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Compute Krippendorff's alpha for ordered ratings: one list of ratings per unit. None: no two ratings of one unit, or only one value.

    Source: K. Krippendorff, Computing Krippendorff's alpha-reliability, 2011.
    """
    return _known(_alphas(sum((_unit(unit) for unit in units), np.zeros((3, 3)))[None])[0])


def chance(readings: Iterable[Reading], *, group_of: Mapping[int, Hashable] | None = None) -> float | None:
    """Compute which share of pairs would agree if each reading were paired with readings of other solutions.

    The others have about the same length, and the same group (such as the level of the problem) if groups are given. Where a solution is
    alone in its group, all solutions of about its length stand in for it; those alone there are left out. None: too few solutions.
    """
    groups = {solution: [reading for reading in group if reading.is_verdict] for solution, group in shared_readings(readings).items()}
    groups = {solution: group for solution, group in groups.items() if len(group) > 1}
    if len(groups) < 2:
        return None
    lengths = np.array([group[0].n_steps for group in groups.values()])
    bins = np.searchsorted(np.quantile(lengths, np.arange(1, LENGTH_BINS) / LENGTH_BINS), lengths, side="left")
    coarse: dict[Hashable, list[int]] = {}
    fine: dict[Hashable, list[int]] = {}
    for solution, place in zip(groups, bins, strict=True):
        coarse.setdefault(int(place), []).append(solution)
        fine.setdefault((int(place), (group_of or {}).get(solution)), []).append(solution)
    marks = {solution: _mark_shares(group) for solution, group in groups.items()}
    shares = {key: _sums([marks[solution] for solution in members]) for key, members in [*coarse.items(), *fine.items()]}
    agreed = []
    for solution, place in zip(groups, bins, strict=True):
        key: Hashable = (int(place), (group_of or {}).get(solution))
        members = fine[key]
        if len(members) < 2:
            key = int(place)
            members = coarse[key]
        if len(members) < 2:
            continue
        own = marks[solution]
        agreed.append(sum(share * (shares[key][mark] - share) for mark, share in own.items()) / (len(members) - 1))
    return float(np.mean(agreed)) if agreed else None


def above_chance(value: float | None, expected: float | None) -> float | None:
    """Return how much of what chance leaves open is agreed on: 0 as by chance, 1 always. None: unknown, or chance leaves nothing open."""
    return None if value is None or expected is None or expected >= 1 else (value - expected) / (1 - expected)


def same_as(truth: Mapping[int, int | None], readings: Iterable[Reading], *, draws: Draws | None = None) -> Measured:
    """Compute which share of verdicts marks the first mistake that `truth` names for the solution. Each solution counts once."""
    hits: dict[int, list[bool]] = {}
    for reading in readings:
        if reading.is_verdict and reading.solution in truth:
            hits.setdefault(reading.solution, []).append(reading.first_mistake == truth[reading.solution])
    if not hits:
        return Measured()
    rows = np.array([[np.mean(each), 1.0] for each in hits.values()])
    return _measured(list(hits), rows, _ratios, draws=draws or Draws(hits), is_share=True)


def _unit(values: Sequence[int]) -> Floats:
    """The coincidences of one unit: how often each pair of values stands in it, each value counted once in total."""
    counts = np.array([list(values).count(rating) for rating in RATINGS], dtype=float)
    if counts.sum() < 2:
        return np.zeros((3, 3))
    return (np.outer(counts, counts) - np.diag(counts)) / (counts.sum() - 1)


def _coincidences(group: Sequence[Reading]) -> Floats:
    longest = max(len(reading.ratings) for reading in group)
    table = np.zeros((3, 3))
    for index in range(longest):
        ratings = [reading.ratings[index] for reading in group if len(reading.ratings) > index]
        table += _unit([rating for rating in ratings if rating is not None])
    return table


def _alphas(tables: Floats) -> Floats:
    """Alpha of each table of coincidences, (n, 3, 3); NaN where only one value occurs: there is nothing to disagree about."""
    totals = tables.sum(axis=2)
    n = totals.sum(axis=1)
    distance = np.zeros_like(tables)
    for low in range(3):
        for high in range(low + 1, 3):
            between = totals[:, low : high + 1].sum(axis=1) - (totals[:, low] + totals[:, high]) / 2
            distance[:, low, high] = distance[:, high, low] = between**2
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2)) / np.maximum(n - 1, 1)
    observed = (tables * distance).sum(axis=(1, 2))
    is_known = (n >= 2) & (expected > 0)
    return np.where(is_known, 1 - observed / np.where(is_known, expected, 1), np.nan)


def _pairs(group: Sequence[Reading]) -> tuple[float, float, float, float]:
    """Which share of pairs of verdicts agrees, and 1; which share has a mistake and agrees, and has a mistake. Zeros without a pair."""
    marks = [reading.first_mistake for reading in group if reading.is_verdict]
    n = _n_pairs(len(marks))
    if not n:
        return 0.0, 0.0, 0.0, 0.0
    same = both_none = 0
    for place, mark in enumerate(marks):
        same += marks[:place].count(mark)
        both_none += mark is None and marks[:place].count(None)
    return same / n, 1.0, (same - both_none) / n, (n - both_none) / n


def _n_pairs(n: int) -> int:
    return n * (n - 1) // 2


def _ratios(sums: Floats) -> Floats:
    """The first column over the second; NaN where that is 0."""
    return np.where(sums[:, 1] > 0, sums[:, 0] / np.where(sums[:, 1] > 0, sums[:, 1], 1), np.nan)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _measured(solutions: Sequence[int], values: Floats, statistic: Callable[[Floats], Floats], *, draws: Draws, is_share: bool) -> Measured:
    """Compute a figure from one row of values per solution, with its interval if they are of enough problems."""
    value, n = _known(statistic(values.sum(axis=0)[None])[0]), draws.count_problems(solutions)
    if n < MINIMUM_PROBLEMS:
        return Measured(value, None, len(solutions), is_few=True)
    return Measured(value, _interval(value, statistic(draws.sums(solutions, values)), n=n, is_share=is_share), len(solutions))


def _interval(value: float | None, drawn: Floats, *, n: int, is_share: bool) -> tuple[float, float] | None:
    """The middle 95 % of the draws. Where all solutions are alike the draws know no doubt: a share has Wilson's interval of n problems."""
    drawn = drawn[~np.isnan(drawn)]
    if value is None or not len(drawn):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    if high - low > 1e-12:
        return float(low), float(high)
    return Share(round(value * n), n).bounds if is_share else None


def _mark_shares(group: Sequence[Reading]) -> dict[int | None, float]:
    """How often each first mistake is marked in the readings of one solution, as shares."""
    shares: dict[int | None, float] = {}
    for reading in group:
        shares[reading.first_mistake] = shares.get(reading.first_mistake, 0.0) + 1 / len(group)
    return shares


def _sums(parts: Iterable[Mapping[int | None, float]]) -> dict[int | None, float]:
    sums: dict[int | None, float] = {}
    for part in parts:
        for mark, share in part.items():
            sums[mark] = sums.get(mark, 0.0) + share
    return sums
