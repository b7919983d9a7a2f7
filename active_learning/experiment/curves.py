"""Part of the experiment: learning curves. PURE: arrays in, slopes, ratios and their intervals out.

values[arm] has the shape (seeds, sizes, problems): the best-of-N of each test problem, for each seed and size. The line of an arm is fitted
by least squares to its mean, over the logarithm of the number of labeled solutions, as in section 4.2 of "Let's Verify Step by Step".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95  # of every interval
# 97.5 % quantiles of Student's t distribution for 1, 2, .. degrees of freedom. With more seeds, the last one is used.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval. Without `value` it is unbounded or undefined. Without `low` or `high` that end is unbounded."""

    value: float | None
    low: float | None = None
    high: float | None = None
    is_unbounded: bool = False


def slope(labels: Floats, values: Floats) -> Floats:
    """Return the slope of the least-squares line over log(labels), for values (.., sizes): (..)."""
    x = np.log(labels) - np.log(labels).mean()
    slopes: Floats = values @ x / (x @ x)
    return slopes


def over_seeds(values: Floats) -> Estimate:
    """Return the mean of one figure over its seeds (seeds,), with the interval of Student's t distribution."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean)
    half = STUDENT[min(len(values), len(STUDENT) + 1) - 2] * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def resample(values: Mapping[str, Floats], *, rng: np.random.Generator, trials: int) -> dict[str, Floats]:
    """Draw seeds and test problems with replacement, the same for all arms. Return the mean curves of each arm: (trials, sizes)."""
    n_seeds, _, n_problems = next(iter(values.values())).shape
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=trials) / n_seeds  # (trials, seeds)
    problems = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=trials) / n_problems  # (trials, problems)
    return {arm: np.einsum("ts,snp,tp->tn", seeds, own, problems, optimize=True) for arm, own in values.items()}


def efficiency(
    labels: Floats, values: Mapping[str, Floats], *, arm: str, against: str, rng: np.random.Generator, trials: int = 2000
) -> Estimate:
    """Return the slope of the arm's line divided by the slope of the other line. The interval comes from resampling seeds and problems.

    If the arm's line rises and the other one does not, the ratio is unbounded; the ends of the interval follow the same rule. A draw in
    which neither line rises counts as 0. If neither line rises in the mean, there is no ratio and no interval.
    """
    mean = {name: slope(labels, own.mean(axis=(0, 2))) for name, own in values.items()}
    if max(mean[arm], mean[against]) <= 0:
        return Estimate(None)
    if arm == against:
        return Estimate(1.0, 1.0, 1.0)
    pair = {name: values[name] for name in (arm, against)}
    drawn = {name: slope(labels, own) for name, own in resample(pair, rng=rng, trials=trials).items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(drawn[against] > 0, drawn[arm] / drawn[against], np.where(drawn[arm] > 0, np.inf, 0.0))
    ends = np.quantile(ratios, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), method="nearest")
    low, high = (float(end) if math.isfinite(end) else None for end in ends)
    is_unbounded = bool(mean[against] <= 0)
    return Estimate(None if is_unbounded else float(mean[arm] / mean[against]), low, high, is_unbounded)


def equal_labels(labels: Floats, values: Mapping[str, Floats], *, arm: str, against: str) -> Floats:
    """Return how many times as many labels the other arm needs for the result of this arm, at each size: (sizes,).

    The number of labels is read from the line of the other arm. It is nan if that line does not rise.
    """
    own, other = (values[name].mean(axis=(0, 2)) for name in (arm, against))
    rise = slope(labels, other)
    if rise <= 0:
        return np.full(len(labels), np.nan)
    start = other.mean() - rise * np.log(labels).mean()
    times: Floats = np.exp(np.minimum((own - start) / rise, 60.0)) / labels
    return times
