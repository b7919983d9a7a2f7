"""Judge step probabilities by human ratings: step AUC, log-loss, first-mistake F1, base rates, and the split by problem.

Reads arrays and ratings, gives a StepReport. Step probabilities are (n_steps, 3): negative, neutral, positive.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.scores import ORACLE_THRESHOLD, Probabilities
from trainer.evaluate.temperature import Calibration, calibration, log_loss


class ProblemStraddles(ValueError):
    """A model would be judged on a problem it was trained on; the message names the problem."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One solution with a model's and a person's view: probabilities of the steps read, ratings (None = unrated), number of steps."""

    problem_key: str
    probabilities: Probabilities
    ratings: tuple[int | None, ...]
    n_steps: int

    @property
    def first_mistake(self) -> int | None:
        return next((i for i, rating in enumerate(self.ratings) if rating == -1), None)

    @property
    def supervised(self) -> tuple[int | None, ...]:
        """The ratings up to and including the first negative."""
        return self.ratings if self.first_mistake is None else self.ratings[: self.first_mistake + 1]

    @property
    def tells_first_mistake(self) -> bool:
        """Whether the ratings say where the first mistake is, or that there is none: no step before it is unrated."""
        mistake = self.first_mistake
        seen = self.ratings[: self.n_steps if mistake is None else mistake]
        return None not in seen and (mistake is not None or len(self.ratings) == self.n_steps > 0)

    @property
    def recognised(self) -> tuple[np.float32, np.float32]:
        """The range of thresholds on p(negative), second one excluded, at which the first step above is the first mistake.

        For a solution without a mistake, no step is above. A step that was not read is never above, and a solution with unread steps is
        never recognised as right.
        """
        mistake, n_read = self.first_mistake, len(self.probabilities)
        negative = self.probabilities[:, 0].astype(np.float32)
        if mistake is None:
            return negative.max(initial=-1.0), np.float32(np.inf if n_read == self.n_steps else -np.inf)
        return negative[:mistake].max(initial=-1.0), negative[mistake] if mistake < n_read else np.float32(-np.inf)

    def is_recognised(self, *, threshold: float) -> bool:
        """Whether the first step with p(negative) above `threshold` is the first mistake; without a mistake, whether no step is above."""
        low, high = self.recognised
        return bool(low <= np.float32(threshold) < high)


@dataclass(frozen=True, slots=True)
class FirstMistakeF1:
    """First-mistake F1 as in ProcessBench (arXiv 2412.06559): the harmonic mean of two accuracies, from 0 to 1."""

    f1: float
    accuracy_wrong: float  # share of solutions with a mistake whose first mistake is found exactly
    accuracy_right: float  # share of solutions without a mistake in which none is found
    n_wrong: int
    n_right: int


@dataclass(frozen=True, slots=True)
class StepReport:
    """The figures of a model on held-out ratings; None where one is undefined, such as an AUC over one class."""

    n_problems: int
    n_solutions: int
    n_rated_steps: int
    n_unread_steps: int
    share_negative: float | None
    step_auc: float | None
    position_auc: float | None  # of the step's index alone: labels stop at the first mistake, so mistakes come late
    log_loss: float | None
    base_rate_log_loss: float | None
    base_rates: tuple[float, float, float]
    first_mistake: FirstMistakeF1 | None
    threshold: float
    threshold_split: str
    calibration: Calibration | None  # None if all ratings are of one class

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"calibration": self.calibration and self.calibration.as_dict()}


def split_problems(problem_keys: Iterable[str], *, held_out: float = 0.2, seed: int | str = 0) -> frozenset[str]:
    """Choose the held-out problems by a hash of (seed, key), so that a problem stays on its side when new labels arrive.

    With two problems or more, at least one is held out and at least one is not.
    """
    places = {key: split_place(key, seed=seed) for key in problem_keys}
    chosen = {key for key, place in places.items() if place < held_out}
    if len(places) > 1 and not chosen:
        chosen = {min(places, key=places.__getitem__)}
    elif len(chosen) == len(places) > 1:
        chosen.remove(max(places, key=places.__getitem__))
    return frozenset(chosen)


def split_place(problem_key: str, *, seed: int | str = 0) -> float:
    """Return the place of a problem in [0, 1), by a hash of (seed, key). Below the share that is held out, it is held out."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{problem_key}".encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64


def check_apart(problem_keys: Iterable[str], *, trained_on: Collection[str]) -> None:
    """Raise ProblemStraddles if a model was trained on one of `problem_keys`: the figures would show what it remembers."""
    both = sorted(set(problem_keys) & set(trained_on))
    if both:
        raise ProblemStraddles(
            f"The model was trained on {len(both)} of the problems to be judged, such as {both[0]!r}. Leave them out: a problem with "
            "all its solutions is on one side of the split."
        )


def auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the probability that a positive has a higher score than a negative (Mann-Whitney; ties count half). None over one class."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of each group of equal scores, from 1
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def base_rates(ratings: Iterable[int | None]) -> tuple[float, float, float]:
    """Return the shares of negative, neutral and positive. Each is counted once more than seen, so that none is impossible."""
    counts = np.ones(3)
    for rating in ratings:
        if rating is not None:
            counts[rating + 1] += 1
    negative, neutral, positive = (counts / counts.sum()).tolist()
    return negative, neutral, positive


def first_mistake_f1(judged: Sequence[Judged], *, threshold: float | Mapping[str, float]) -> FirstMistakeF1 | None:
    """Compare the first step above `threshold` (a number, or one per problem) with the first mistake.

    None unless there are solutions with and without a mistake.
    """
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for solution in judged:
        if solution.tells_first_mistake:
            chosen = threshold if isinstance(threshold, float) else threshold[solution.problem_key]
            hits[solution.first_mistake is not None].append(solution.is_recognised(threshold=chosen))
    if not hits[True] or not hits[False]:
        return None
    wrong, right = float(np.mean(hits[True])), float(np.mean(hits[False]))
    return FirstMistakeF1(2 * wrong * right / (wrong + right) if wrong + right else 0.0, wrong, right, len(hits[True]), len(hits[False]))


def first_mistake_interval(
    judged: Sequence[Judged], *, threshold: float | Mapping[str, float], seed: int, times: int = 1000
) -> tuple[float, float] | None:
    """Return the 95 % interval of the first-mistake F1 over resampled problems (percentiles). None where F1 is undefined.

    A resample without a wrong solution, or without a right one, has no F1 and is left out.
    """
    complete = [solution for solution in judged if solution.tells_first_mistake]
    wrong = np.array([solution.first_mistake is not None for solution in complete], bool)
    if not wrong.any() or wrong.all():
        return None
    found = np.array(
        [one.is_recognised(threshold=threshold if isinstance(threshold, float) else threshold[one.problem_key]) for one in complete]
    )
    keys, places = np.unique([solution.problem_key for solution in complete], return_inverse=True)
    counts = np.stack([np.bincount(places, side, len(keys)) for side in (wrong, wrong & found, ~wrong, ~wrong & found)], 1)
    drawn = np.random.default_rng(seed).multinomial(len(keys), np.full(len(keys), 1 / len(keys)), times) @ counts  # (times, 4)
    drawn = drawn[(drawn[:, 0] > 0) & (drawn[:, 2] > 0)]
    if not len(drawn):
        return None
    named, unblamed = drawn[:, 1] / drawn[:, 0], drawn[:, 3] / drawn[:, 2]
    low, high = np.percentile(2 * named * unblamed / np.maximum(named + unblamed, 1e-9), [2.5, 97.5])
    return float(low), float(high)


def choose_threshold(judged: Sequence[Judged]) -> float:
    """Return the p(negative) threshold with the best first-mistake F1 over these solutions, or the paper's 0.2 if F1 is undefined."""
    complete = [solution for solution in judged if solution.tells_first_mistake]
    wrong = np.array([solution.first_mistake is not None for solution in complete], bool)
    if not wrong.any() or wrong.all() or not any(len(solution.probabilities) for solution in complete):
        return ORACLE_THRESHOLD
    candidates = np.unique(
        np.quantile(np.concatenate([solution.probabilities[:, 0] for solution in complete]), np.linspace(0, 1, 101)).astype(np.float32)
    )
    low, high = np.array([solution.recognised for solution in complete]).T[..., None]  # (solutions, 1) each
    hits = (low <= candidates) & (candidates < high)
    named, unblamed = hits[wrong].mean(axis=0), hits[~wrong].mean(axis=0)
    f1 = 2 * named * unblamed / np.maximum(named + unblamed, 1e-9)
    return float(candidates[f1.argmax()])


def cross_fitted_thresholds(judged: Sequence[Judged]) -> dict[str, float]:
    """Return for each problem the threshold chosen on the other half of the problems, so that it was not chosen on that problem."""
    # A hash of its own: by that of a split, the problems that it holds out would all be in one half.
    half = split_problems((solution.problem_key for solution in judged), held_out=0.5, seed="halves")
    first = choose_threshold([solution for solution in judged if solution.problem_key in half])
    second = choose_threshold([solution for solution in judged if solution.problem_key not in half])
    return {solution.problem_key: second if solution.problem_key in half else first for solution in judged}


def evaluate_steps(
    judged: Sequence[Judged],
    *,
    base_rates: tuple[float, float, float],
    threshold: float | None = None,
    threshold_split: str = "given",
    trained_on: Collection[str] = (),
) -> StepReport:
    """Report on judged solutions, and compare with a model that always answers `base_rates` (those of the training part).

    Ratings after the first negative are ignored. With a `threshold`, the first-mistake F1 uses it, and `threshold_split` says where it was
    chosen. Without one, each half of the problems is judged at the threshold chosen on the other half; the `threshold` in the report is
    chosen on all. Raises ProblemStraddles if a problem is in `trained_on`.
    """
    check_apart((solution.problem_key for solution in judged), trained_on=trained_on)
    rated = [
        (place, row, rating + 1)
        for solution in judged
        for place, (row, rating) in enumerate(zip(solution.probabilities, solution.supervised, strict=False))  # both can stop early
        if rating is not None
    ]
    places, rows, classes = zip(*rated, strict=True) if rated else ((), (), ())
    stacked, truth = np.array(rows, np.float64).reshape(-1, 3), np.array(classes, np.int64)
    thresholds: float | dict[str, float] = cross_fitted_thresholds(judged) if threshold is None else float(threshold)
    return StepReport(
        n_problems=len({solution.problem_key for solution in judged}),
        n_solutions=len(judged),
        n_rated_steps=len(truth),
        n_unread_steps=sum(solution.n_steps - len(solution.probabilities) for solution in judged),
        share_negative=float((truth == 0).mean()) if len(truth) else None,
        step_auc=auc(stacked[:, 0], truth == 0),
        position_auc=auc(np.array(places, np.float64), truth == 0),
        log_loss=log_loss(stacked, truth),
        base_rate_log_loss=log_loss(np.tile(base_rates, (len(truth), 1)), truth),
        base_rates=base_rates,
        first_mistake=first_mistake_f1(judged, threshold=thresholds),
        threshold=choose_threshold(judged) if threshold is None else float(threshold),
        threshold_split=threshold_split
        if threshold is not None
        else "two halves of these problems, each judged at the threshold chosen on the other",
        calibration=calibration(stacked, truth) if len(set(classes)) > 1 else None,
    )
