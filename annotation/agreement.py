"""Measure how far several labelers of the same solutions agree. Pure numpy: no Django, no files.

Two figures, each with a 95 % bootstrap interval over solutions. *Alpha* is Krippendorff's, for ordered ratings (-1, 0, 1), on steps that at
least two people rated. It is optimistic here: people stop at the first mistake that they find, so the hard steps after it have few ratings.
*Exact agreement* is the share of pairs of readings of one solution that mark the same first mistake, or both none. Beside it stands
`by_chance`: the share that agrees if each reading is paired with readings of other solutions of about the same length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATINGS = (-1, 0, 1)
DRAWS = 1000
MINIMUM_SOLUTIONS = 10  # an interval over fewer says nothing


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval, from `n` solutions. None: there is nothing to compute it from."""

    value: float | None
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Agreement:
    alpha: Figure
    exact: Figure
    by_chance: float | None


@dataclass(frozen=True)
class Reading:
    """One person's reading of a solution: the ratings of its steps up to where the person stopped. A missing rating is None."""

    solution: int
    person: int
    ratings: tuple[int | None, ...]
    n_steps: int

    @property
    def first_mistake(self) -> int | None:
        """The step (from 0) that was rated negative first, or None."""
        return next((index for index, rating in enumerate(self.ratings) if rating == -1), None)


def agreement(readings: Sequence[Reading], *, seed: int = 0) -> Agreement:
    """Compute both figures over all solutions that at least two people read."""
    groups: dict[int, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.solution, []).append(reading)
    shared = [group for group in groups.values() if len({reading.person for reading in group}) > 1]
    if not shared:
        return Agreement(Figure(None, None, 0), Figure(None, None, 0), None)
    random = np.random.default_rng(seed)
    n = len(shared)
    weights = random.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float) if n >= MINIMUM_SOLUTIONS else None
    coincidences = np.array([_coincidences(group) for group in shared])
    pairs = np.array([_pairs(group) for group in shared])
    return Agreement(
        alpha=_figure(_alpha(coincidences.sum(axis=0)), weights, lambda w: [_alpha(c) for c in np.tensordot(w, coincidences, axes=1)], n),
        exact=_figure(_ratio(*pairs.sum(axis=0)), weights, lambda w: [_ratio(*sums) for sums in w @ pairs], n),
        by_chance=_by_chance(shared),
    )


def alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Compute Krippendorff's alpha for ordered ratings: one list of ratings per unit. None: no two ratings of one unit, or only one value.

    Source: K. Krippendorff, Computing Krippendorff's alpha-reliability, 2011.
    """
    return _alpha(sum((_unit(unit) for unit in units), np.zeros((3, 3))))


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


def _alpha(table: Floats) -> float | None:
    totals = table.sum(axis=1)
    n = totals.sum()
    if n < 2 or (totals > 0).sum() < 2:
        return None  # with one value only, there is nothing to disagree about
    distance = np.zeros((3, 3))
    for low in range(3):
        for high in range(low + 1, 3):
            distance[low, high] = distance[high, low] = (totals[low : high + 1].sum() - (totals[low] + totals[high]) / 2) ** 2
    expected = (np.outer(totals, totals) * distance).sum() / (n - 1)
    return float(1 - (table * distance).sum() / expected) if expected > 0 else None


def _pairs(group: Sequence[Reading]) -> tuple[float, float]:
    """How many pairs of readings agree on the first mistake, and how many there are, so that each solution counts once."""
    marks = [reading.first_mistake for reading in group]
    n = len(marks) * (len(marks) - 1) / 2
    same = sum(marks[a] == marks[b] for a in range(len(marks)) for b in range(a))
    return same / n, 1.0


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _figure(value: float | None, weights: Floats | None, resample: "object", n: int) -> Figure:
    if value is None or weights is None:
        return Figure(value, None, n)
    drawn = [one for one in resample(weights) if one is not None]  # type: ignore[operator]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(value, (float(low), float(high)), n)


def _by_chance(shared: Sequence[Sequence[Reading]]) -> float | None:
    """The share of agreeing pairs among readings of different solutions with the same number of steps."""
    by_length: dict[int, list[list[int | None]]] = {}
    for group in shared:
        by_length.setdefault(group[0].n_steps, []).append([reading.first_mistake for reading in group])
    same = total = 0.0
    for groups in by_length.values():
        if len(groups) < 2:
            continue
        marks = [mark for group in groups for mark in group]
        values = sorted(set(marks), key=lambda mark: -1 if mark is None else mark)
        counts = np.array([[group.count(value) for value in values] for group in groups], dtype=float)
        whole, inner = counts.sum(axis=0), counts
        same += float((whole**2).sum() - (inner**2).sum())
        total += float(whole.sum() ** 2 - (inner.sum(axis=1) ** 2).sum())
    return same / total if total else None
