"""Compare champion and challenger: is a new model worse than the one that serves, by more than chance explains?

Reads two sequences of Judged over the same solutions; gives a Comparison with intervals from a paired bootstrap over problems.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import seeded
from trainer.evaluate.steps import Judged, cross_fitted_thresholds
from trainer.evaluate.temperature import losses

Floats = NDArray[np.float64]
FIGURES = ("log_loss", "step_auc", "first_mistake_f1")
AT_ONCE = 2_000_000  # resamples x steps in memory at once


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both models, the difference challenger - champion, and its 95 % interval; None where undefined."""

    champion: float | None
    challenger: float | None
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on the same solutions. `worse` if the whole interval of the log-loss is above 0, or that of the step AUC below 0.

    Also if only the champion has a log-loss: the challenger gives probabilities that are not numbers.
    """

    n_problems: int
    n_solutions: int
    figures: dict[str, Difference]

    @property
    def worse(self) -> bool:
        loss, highest = self.figures["log_loss"], self.figures["step_auc"].high
        lowest = loss.low
        if loss.challenger is None and loss.champion is not None:
            return True
        return (lowest is not None and lowest > 0) or (highest is not None and highest < 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"worse": self.worse}


def compare(champion: Sequence[Judged], challenger: Sequence[Judged], *, seed: int = 0, trials: int = 2000) -> Comparison:
    """Compare two models by log-loss, step AUC and first-mistake F1 over the same solutions in the same order.

    The bootstrap draws a problem with all its solutions, for both models at once. With fewer than two problems there is no interval, and
    the challenger is not worse. A step that a model did not read counts as 1/3 for each class. F1 uses thresholds chosen on the other half
    of the problems, for each model separately. Raises ValueError if the solutions differ.
    """
    if len(champion) != len(challenger):
        raise ValueError(
            f"The champion judged {len(champion)} solutions and the challenger {len(challenger)}. Give both the same solutions."
        )
    for i, (a, b) in enumerate(zip(champion, challenger, strict=True)):
        if (a.problem_key, a.ratings, a.n_steps) != (b.problem_key, b.ratings, b.n_steps):
            raise ValueError(
                f"Solution {i} is not the same for both: problem {a.problem_key} and problem {b.problem_key}. Give both in the same order."
            )
    keys = sorted({solution.problem_key for solution in champion})
    numbers = {key: i for i, key in enumerate(keys)}
    once = np.ones((1, len(keys)))
    times = seeded(seed, "paired").multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=trials) if len(keys) > 1 else once[:0]
    models = [_FigureParts.of(judged, numbers) for judged in (champion, challenger)]
    figures = {}
    for name in FIGURES:
        whole = [float(getattr(model, name)(once)[0]) for model in models]
        spread = getattr(models[1], name)(times) - getattr(models[0], name)(times)
        spread = spread[~np.isnan(spread)]  # a resample can contain only one class
        low, high = np.quantile(spread, (0.025, 0.975)).tolist() if len(spread) else (None, None)
        figures[name] = Difference(_defined(whole[0]), _defined(whole[1]), _defined(whole[1] - whole[0]), low, high)
    return Comparison(len(keys), len(champion), figures)


def intervals_of(judged: Sequence[Judged], *, seed: int = 0, trials: int = 2000) -> dict[str, tuple[float | None, float | None]]:
    """Return the 95 % interval of each of FIGURES of one model, from a bootstrap over problems; None where one is undefined."""
    keys = sorted({solution.problem_key for solution in judged})
    if len(keys) < 2:
        return {name: (None, None) for name in FIGURES}
    parts = _FigureParts.of(judged, {key: i for i, key in enumerate(keys)})
    times = seeded(seed, "paired").multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=trials)
    found: dict[str, tuple[float | None, float | None]] = {}
    for name in FIGURES:
        values = getattr(parts, name)(times)
        values = values[~np.isnan(values)]  # a resample can contain only one class
        low, high = np.quantile(values, (0.025, 0.975)).tolist() if len(values) else (None, None)
        found[name] = (low, high)
    return found


def over_base_rate(judged: Sequence[Judged], *, base_rates: Sequence[float]) -> dict[str, Any]:
    """Compare the log-loss of a model with that of always answering the base rates, as with a champion; {} without solutions."""
    if not judged:
        return {}
    always = [replace(one, probabilities=np.tile(np.array(base_rates, np.float32), (one.n_steps, 1))) for one in judged]
    comparison = compare(always, judged)
    return asdict(comparison.figures["log_loss"]) | {"n_problems": comparison.n_problems}


@dataclass(frozen=True, slots=True)
class _FigureParts:
    """The parts of one model's figures, each with its problem, so that a resample is a weight for each problem."""

    problems: NDArray[np.int64]  # (steps,)
    negative: Floats  # (steps,) p(negative)
    wrong: NDArray[np.bool_]  # (steps,) rated negative
    losses: Floats  # (steps,)
    hits: Floats  # (problems, 4): wrong solutions recognised, all wrong, right solutions recognised, all right

    @classmethod
    def of(cls, judged: Sequence[Judged], numbers: dict[str, int]) -> "_FigureParts":
        rated = [
            (numbers[solution.problem_key], *(solution.probabilities[i] if i < len(solution.probabilities) else (1 / 3,) * 3), rating + 1)
            for solution in judged
            for i, rating in enumerate(solution.supervised)
            if rating is not None
        ]
        columns = np.array(rated, np.float64).reshape(-1, 5)
        probabilities, classes = columns[:, 1:4], columns[:, 4].astype(np.int64)
        hits = np.zeros((len(numbers), 4))
        thresholds = cross_fitted_thresholds(judged)
        for solution in judged:
            if solution.tells_first_mistake:
                hit = solution.is_recognised(threshold=thresholds[solution.problem_key])
                column = 2 if solution.first_mistake is None else 0
                hits[numbers[solution.problem_key], column : column + 2] += (hit, 1)
        return cls(columns[:, 0].astype(np.int64), probabilities[:, 0], classes == 0, losses(probabilities, classes), hits)

    def log_loss(self, times: NDArray[Any]) -> Floats:
        """Return the mean loss of each resample: times (R, problems) -> (R,)."""
        sums, counts = (np.bincount(self.problems, weights=w, minlength=times.shape[1]) for w in (self.losses, np.ones(len(self.losses))))
        return _ratio(times @ sums, times @ counts)

    def step_auc(self, times: NDArray[Any]) -> Floats:
        """Return the AUC of each resample: (R, problems) -> (R,)."""
        return resampled_auc(self.negative, self.wrong, problems=self.problems, times=times)

    def first_mistake_f1(self, times: NDArray[Any]) -> Floats:
        """Return the harmonic mean of both accuracies of each resample: (R, problems) -> (R,)."""
        named, n_wrong, unblamed, n_right = (times @ self.hits).T
        wrong, right = _ratio(named, n_wrong), _ratio(unblamed, n_right)
        return np.where(wrong + right == 0, 0.0, _ratio(2 * wrong * right, wrong + right))


def resampled_auc(negative: Floats, wrong: NDArray[np.bool_], *, problems: NDArray[np.int64], times: NDArray[Any]) -> Floats:
    """Return the step AUC of each resample, where a step counts as often as its problem was drawn; nan over one class.

    negative, wrong, problems: (steps,), p(negative), whether the step is rated negative, and the place of its problem.
    times: (R, problems), how often each problem was drawn. Returns (R,).
    """
    order = np.flatnonzero(~wrong)[np.argsort(negative[~wrong])]
    rest, of_wrong, drawn_wrong = negative[order], negative[wrong], problems[wrong]
    below, upto = np.searchsorted(rest, of_wrong, "left"), np.searchsorted(rest, of_wrong, "right")
    values = []
    for part in np.array_split(times.astype(np.int64), 1 + len(times) * len(wrong) // AT_ONCE):
        ranks = np.zeros(
            (len(part), len(rest) + 1), np.int64
        )  # how many of the other steps, counted as often as drawn, are below each place
        np.cumsum(part[:, problems[order]], axis=1, out=ranks[:, 1:])
        drawn = part[:, drawn_wrong]
        pairs = ((ranks[:, below] + ranks[:, upto]) * drawn).sum(axis=1) / 2
        values.append(_ratio(pairs, drawn.sum(axis=1) * ranks[:, -1]))
    return np.concatenate(values)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
