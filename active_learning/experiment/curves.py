"""Part of the experiment: learning curves. PURE: arrays in, slopes, areas, their differences and intervals out.

values[arm] has the shape (seeds, sizes, problems): the best-of-N of each test problem, for each seed and size. A figure of all test
problems together, such as step AUC, has one problem: (seeds, sizes, 1). A cost is what the labels of a point cost, (seeds, sizes):
solutions, rated steps or seconds. Slopes and areas are over the logarithm of the cost, as in section 4.2 of "Let's Verify Step by Step".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95  # of every interval
# 97.5 % quantiles of Student's t distribution for 1 to 9 degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
NORMAL = 1.959964  # and of the normal distribution
LARGEST_RATIO = 1000.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval. Without `value` there is none. Without `low` or `high` that end is not known or unbounded."""

    value: float | None
    low: float | None = None
    high: float | None = None


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution. From 10 degrees of freedom on by the expansion of Cornish and Fisher."""
    if freedom < len(STUDENT) + 1:
        return STUDENT[max(1, math.floor(freedom)) - 1]
    z, n = NORMAL, freedom
    first, second = (z**3 + z) / (4 * n), (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
    return z + first + second + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)


def over_seeds(values: Floats) -> Estimate:
    """Return the mean of one figure over its seeds (seeds,), with the interval of Student's t distribution."""
    return crossed(values[:, None])


def crossed(values: Floats) -> Estimate:
    """Return the mean of values (seeds, problems) with its interval over both: other seeds and other test problems were possible.

    The variance of the mean of crossed random effects is that of the means of the seeds, plus that of the means of the problems, less that
    of what remains, which both contain. It is never taken for less than either of the two. Degrees of freedom after Satterthwaite. With
    one seed there is no interval; one problem means a figure of all problems together, whose interval is over the seeds alone. Where a
    value is not a number there is no mean.
    """
    n_seeds, n_problems = values.shape
    if not np.isfinite(values).all():
        return Estimate(None)
    mean = float(values.mean())
    if n_seeds < 2:
        return Estimate(mean)
    of_seeds = float(values.mean(1).var(ddof=1)) / n_seeds
    if n_problems < 2:
        half = student(n_seeds - 1) * math.sqrt(of_seeds)
        return Estimate(mean, mean - half, mean + half)
    of_problems = float(values.mean(0).var(ddof=1)) / n_problems
    rest = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + mean
    n_rest = (n_seeds - 1) * (n_problems - 1)
    of_rest = float((rest**2).sum()) / n_rest / (n_seeds * n_problems)
    sum_of_squares = of_seeds**2 / (n_seeds - 1) + of_problems**2 / (n_problems - 1) + of_rest**2 / n_rest
    variance = max(of_seeds + of_problems - of_rest, of_seeds, of_problems)
    if sum_of_squares <= 0:
        return Estimate(mean, mean, mean)
    half = student(max(variance**2 / sum_of_squares, min(n_seeds, n_problems) - 1)) * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half)


def slopes(costs: Floats, values: Floats) -> Floats:
    """Return the slope of the least-squares line over log(costs): values (seeds, sizes, problems) -> (seeds, problems)."""
    x = np.log(costs)
    x = x - x.mean(1, keepdims=True)
    lines: Floats = np.einsum("sn,snp->sp", x, values) / (x**2).sum(1)[:, None]
    return lines


def areas(costs: Floats, values: Floats, *, between: tuple[float, float]) -> Floats:
    """Return the mean height of each curve over log(costs) between two costs, for each seed and problem: (seeds, problems).

    A curve is straight between its points. Outside of them it is as high as its first or last point.
    """
    ends = np.log(between)
    heights = []
    for own_costs, own_values in zip(np.log(costs), values, strict=True):
        inside = own_costs[(own_costs > ends[0]) & (own_costs < ends[1])]
        places = np.array([ends[0], *inside, ends[1]])
        weights = np.stack([np.interp(places, own_costs, unit) for unit in np.eye(len(own_costs))], 1)  # (places, sizes): it is linear
        steps = np.diff(places)
        trapezium = (steps[:, None] * (weights[1:] + weights[:-1]) / 2).sum(0) / steps.sum()
        heights.append(trapezium @ own_values)
    found: Floats = np.stack(heights)
    return found


def common_range(costs: Mapping[str, Floats]) -> tuple[float, float]:
    """Return the costs between which the curves of all arms and seeds have points."""
    return max(float(own[:, 0].max()) for own in costs.values()), min(float(own[:, -1].min()) for own in costs.values())


def difference(costs: Mapping[str, Floats], values: Mapping[str, Floats], *, arm: str, against: str, figure: str) -> Estimate:
    """Return by how much the "slope" or the "area" of one arm exceeds that of another, with the interval of the paired difference.

    A seed has the same pool, start and test problems in both arms, so the difference is taken for each seed and test problem. There is none
    where a value is not known, where costs do not rise from point to point, or where the costs of the two arms have no range in common.
    """
    pair = {name: costs[name] for name in (arm, against)}
    if not all(np.isfinite(own).all() and (np.diff(own, axis=1) > 0).all() for own in pair.values()):
        return Estimate(None)
    if figure == "slope":
        mine, other = (slopes(costs[name], values[name]) for name in pair)
    else:
        between = common_range(pair)
        if between[0] >= between[1]:
            return Estimate(None)
        mine, other = (areas(costs[name], values[name], between=between) for name in pair)
    return crossed(mine - other)


def efficiency(costs: Mapping[str, Floats], values: Mapping[str, Floats], *, arm: str, against: str) -> Estimate:
    """Return the slope of the arm divided by the slope of the other, if the other rises beyond noise. Otherwise there is no ratio.

    The other rises beyond noise if the lower end of its slope's interval is above 0. The interval of the ratio is Fieller's: all r for
    which the interval of (slope - r * other slope) covers 0.
    """
    mine, other = (slopes(costs[name], values[name]) for name in (arm, against))
    base = crossed(other)
    if base.value is None or base.low is None or base.low <= 0 or not np.isfinite(mine).all():
        return Estimate(None)
    ratio = float(mine.mean()) / base.value
    ends = (_end(lambda r: _covers_0(mine - r * other), ratio, direction) for direction in (-1, 1))
    return Estimate(ratio, *ends)


def _covers_0(values: Floats) -> bool:
    found = crossed(values)
    return found.low is not None and found.high is not None and found.low <= 0 <= found.high


def _end(covers: Callable[[float], bool], start: float, direction: int) -> float | None:
    """Return where an interval around `start` ends in a direction, to a thousandth; None if it goes on beyond LARGEST_RATIO."""
    inside, width = start, 0.001
    while covers(start + direction * width):
        inside, width = start + direction * width, 2 * width
        if width > LARGEST_RATIO:
            return None
    outside = start + direction * width
    while abs(outside - inside) > 0.0005:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if covers(middle) else (inside, middle)
    return inside
