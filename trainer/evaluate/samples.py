"""Best-of-N: one of N uniform samples of a problem is chosen. How often is it right?

Reads Samples, one per problem: right or wrong, answer classes, scores. Gives a BestOfN: mean curves with bootstrap bands over problems.
A choice by score is averaged over all draws in closed form; a vote over all draws if there are few, else over seeded draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.counting import counted
from trainer.data import seeded

Floats = NDArray[np.float64]
MAJORITY, WEIGHTED, ORACLE, MEAN = "majority", "PRM-weighted voting", "oracle", "mean"
WEIGHTS = "PRM"  # the score that weights the votes


@dataclass(frozen=True, slots=True)
class Samples:
    """The uniform samples of one problem: `right` (N,), the class of each final answer (N,) and, by name of the model, scores (N,).

    Answers that mean the same have the same class. A class below 0 means no answer and no vote.
    """

    problem_key: str
    right: NDArray[np.bool_]
    answers: NDArray[np.integer]
    scores: Mapping[str, NDArray[np.floating]]

    def __post_init__(self) -> None:
        sizes = {"answers": len(self.answers)} | {name: len(values) for name, values in self.scores.items()}
        for name, size in sizes.items():
            if size != len(self.right) or not size:
                raise ValueError(
                    f"Problem {self.problem_key} has {counted(len(self.right), 'sample')} but {size} {name}. Give as "
                    f"many, and at least one."
                )
        for name, values in self.scores.items():
            if np.isnan(values).any():
                raise ValueError(f"Problem {self.problem_key} has a score by {name} that is not a number. Score its samples again.")


@dataclass(frozen=True, slots=True)
class Curve:
    """For each N the share of problems whose chosen sample is right, with its 95 % band."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def as_dict(self) -> dict[str, list[float]]:
        """Plain values for JSON."""
        return {name: list(values) for name, values in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class BestOfN:
    """One curve for each way of choosing among `n` samples. `n_samples` is the smallest number of samples of a problem."""

    n: tuple[int, ...]
    n_problems: int
    n_samples: int
    curves: Mapping[str, Curve]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        curves = {name: curve.as_dict() for name, curve in self.curves.items()}
        return {"n": list(self.n), "n_problems": self.n_problems, "n_samples": self.n_samples, "curves": curves}

    def at_last(self) -> dict[str, dict[str, float]]:
        """Return mean, low and high of each curve at its last N."""
        return {name: {"mean": c.mean[-1], "low": c.low[-1], "high": c.high[-1]} for name, c in self.curves.items()}


def best_of_n(problems: Sequence[Samples], *, ns: Sequence[int] | None = None, seed: int = 0, trials: int = 1000) -> BestOfN:
    """Return how often the sample chosen among N is right, averaged over problems, for each N of `ns`.

    There is one curve for each score ("PRM", "ORM", ..), for `majority`, for `PRM-weighted voting` if there is a score "PRM", for `oracle`
    (right if any sample is) and for `mean` (a random sample). Ties are decided at random, and the curve is the expected value. `trials` is
    the number of draws of a vote (all draws, if there are fewer) and of resamples for the bands. By default N goes from 1 to the smallest
    number of samples. Raises ValueError.
    """
    ns = _checked(problems, ns)
    inside = {size: share_of_draws_inside(size, ns=ns) for size in {len(problem.right) for problem in problems}}
    values: dict[str, list[Floats]] = {}
    for problem in problems:
        table = inside[len(problem.right)]
        mine = {name: expected_right(scores, problem.right, inside=table) for name, scores in problem.scores.items()}
        mine |= vote(problem, ballots=ballots_of(problem), ns=ns, trials=trials, seed=seed)
        mine[ORACLE] = expected_right(problem.right.astype(np.float64), problem.right, inside=table)
        mine[MEAN] = np.full(len(ns), problem.right.mean())
        for name, curve in mine.items():
            values.setdefault(name, []).append(curve)
    resampled = seeded(seed, "bands").multinomial(len(problems), np.full(len(problems), 1 / len(problems)), size=trials) / len(problems)
    curves = {}
    for name, rows in values.items():
        low, high = np.quantile(resampled @ np.array(rows), (0.025, 0.975), axis=0)
        curves[name] = Curve(tuple(np.mean(rows, axis=0).tolist()), tuple(low.tolist()), tuple(high.tolist()))
    return BestOfN(tuple(ns), len(problems), min(inside), curves)


def share_of_draws_inside(n_samples: int, *, ns: Sequence[int]) -> Floats:
    """Return, for each N and each c from 0 to `n_samples`, the share of the draws of N that lie within c given samples: (len(ns), c).

    This is C(c, N) / C(n_samples, N), as a running product so that no factorial overflows.
    """
    within = np.arange(n_samples + 1.0)
    share, rows = np.ones(n_samples + 1), {}
    for drawn in range(max(ns)):
        share = share * np.maximum(within - drawn, 0) / (n_samples - drawn)
        rows[drawn + 1] = share
    return np.array([rows[n] for n in ns])


def expected_right(scores: NDArray[np.floating], right: NDArray[np.bool_], *, inside: Floats) -> Floats:
    """Return the expected value of `right` at the highest score of a uniform draw, over all draws, ties at random: (len(ns),).

    The best sample of a draw has the score s if the draw lies within the samples up to s, but not within those below s. Samples with the
    same score are equally likely.
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    share_right = np.bincount(places, weights=right) / counts  # of each group of equal scores, lowest first
    upto = np.concatenate([[0], np.cumsum(counts)])
    return np.diff(inside[:, upto], axis=1) @ share_right


def ballots_of(samples: Samples) -> dict[str, NDArray[np.floating]]:
    """Return the weight of each sample in each vote: 1 in `majority`, the PRM score in the weighted vote. Raises ValueError."""
    ballots: dict[str, NDArray[np.floating]] = {MAJORITY: np.ones(len(samples.right))}
    if WEIGHTS in samples.scores:
        ballots[WEIGHTED] = samples.scores[WEIGHTS]
        if (samples.scores[WEIGHTS] < 0).any():
            raise ValueError(
                f"Problem {samples.problem_key} has a negative {WEIGHTS} score, which cannot be a weight in a vote. Give probabilities."
            )
    return ballots


def vote(samples: Samples, *, ballots: Mapping[str, NDArray[np.floating]], ns: Sequence[int], trials: int, seed: int) -> dict[str, Floats]:
    """Return how often the answer with the largest sum of weights among N samples is right, ties at random: (len(ns),) per ballot.

    A ballot is a weight (n_samples,) for each sample. All ballots use the same draws: all draws if there are at most `trials`, else
    `trials` orders of the samples, of which the first N are taken.
    """
    n_samples, voting = len(samples.right), samples.answers >= 0
    _, classes = np.unique(samples.answers, return_inverse=True)
    share_right = np.bincount(classes, weights=samples.right) / np.bincount(classes)  # 0 or 1 if grades and classes agree
    orders = seeded(seed, "vote", samples.problem_key).permuted(np.tile(np.arange(n_samples), (trials, 1)), axis=1)
    weights = [voting.astype(np.float64), *(voting * own for own in ballots.values())]

    def count(drawn: NDArray[np.int64]) -> Floats:
        places = (np.arange(len(drawn))[:, None] * len(share_right) + classes[drawn]).ravel()
        size = len(drawn) * len(share_right)
        return np.array([np.bincount(places, weights=own[drawn].ravel(), minlength=size) for own in weights]).reshape(
            len(weights), len(drawn), len(share_right)
        )

    values = {name: np.empty(len(ns)) for name in ballots}
    counted, running = 0, np.zeros((len(weights), trials, len(share_right)))
    for i in np.argsort(ns):
        n = ns[i]
        if comb(n_samples, n) <= trials:
            votes, *sums = count(all_draws(n_samples, n))
        else:
            running += count(orders[:, counted:n])
            counted, (votes, *sums) = n, running
        for name, own in zip(ballots, sums, strict=True):
            best = np.where(votes > 0, own, -1.0).max(axis=1, keepdims=True)
            winners = (votes > 0) & (own >= best * (1 - 1e-9))  # a sum in another order differs in the last digit
            values[name][i] = ((winners @ share_right) / np.maximum(winners.sum(axis=1), 1)).mean()
    return values


@lru_cache(maxsize=64)
def all_draws(n_samples: int, n: int) -> NDArray[np.int64]:
    """List every draw of n samples: (draws, n)."""
    return np.array(list(combinations(range(n_samples), n)))


def counts_to(n_samples: int, *, points: int = 24) -> list[int]:
    """Return the N of a curve from 1 to `n_samples`, evenly spaced on a logarithmic axis, ends included."""
    return sorted({round(n) for n in np.geomspace(1, n_samples, points)})


def _checked(problems: Sequence[Samples], ns: Sequence[int] | None) -> list[int]:
    if not problems:
        raise ValueError("There is no problem with samples. Give at least one.")
    keys = [problem.problem_key for problem in problems]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"Problem {twice} is given twice. Put all its samples into one Samples.")
    for problem in problems:
        if set(problem.scores) != set(problems[0].scores):
            raise ValueError(
                f"Problem {problem.problem_key} is scored by {sorted(problem.scores)}, problem {keys[0]} by {sorted(problems[0].scores)}. "
                "Score all with the same models."
            )
    least = min(problems, key=lambda problem: len(problem.right))
    chosen = counts_to(len(least.right)) if ns is None else list(ns)
    if not chosen or not 1 <= min(chosen) <= max(chosen) <= len(least.right):
        raise ValueError(
            f"Problem {least.problem_key} has {counted(len(least.right), 'sample')}. Choose N from 1 to that number, "
            f"or leave the problem out."
        )
    return chosen
