"""Judge whether probabilities mean what they say: log-loss, calibration curve, and the temperature that would correct them.

Reads probabilities (N, 3) and classes (N,) 0, 1, 2; gives a Calibration. numpy only.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-7  # a probability of 0 would make one confident mistake an infinite log-loss
COLDEST, HOTTEST = 0.01, 100.0  # bounds of the temperature: it would go to 0 if a model makes no mistake


@dataclass(frozen=True, slots=True)
class Bin:
    """The steps with p(negative) from `low` to below `high`: the model's mean prediction, and the share that people rated negative."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of p(negative): a curve over bins of equal width (without empty ones) and its mean distance from the diagonal.

    A `temperature` above 1 means that the model is too sure. Dividing its log-probabilities by it gives `log_loss_after`.
    """

    temperature: float
    log_loss_before: float
    log_loss_after: float
    expected_error: float
    bins: tuple[Bin, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"bins": [asdict(bin_) for bin_ in self.bins]}


def log_loss(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> float | None:
    """Return the mean negative log-likelihood in nats of classes (N,) under probabilities (N, 3)."""
    if not len(classes):
        return None
    return float(losses(probabilities, classes).mean())


def losses(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the negative log-likelihood in nats of each of classes (N,) under probabilities (N, 3)."""
    return -np.log(np.maximum(probabilities[np.arange(len(classes)), classes].astype(np.float64), FLOOR))


def calibration(probabilities: NDArray[np.floating], classes: NDArray[np.integer], *, n_bins: int = 10) -> Calibration:
    """Return the calibration curve of p(negative) and the best temperature on these steps: probabilities (N, 3), classes (N,).

    Raises ValueError if there is no step.
    """
    if not len(classes):
        raise ValueError("There is no rated step for the calibration. Give at least one.")
    predicted, wrong = probabilities[:, 0].astype(np.float64), classes == 0
    places = np.minimum((predicted * n_bins).astype(np.int64), n_bins - 1)
    bins = tuple(
        Bin(b / n_bins, (b + 1) / n_bins, int(here.sum()), float(predicted[here].mean()), float(wrong[here].mean()))
        for b in range(n_bins)
        if (here := places == b).any()
    )
    temperature = fit_temperature(probabilities, classes)
    before, after = losses(probabilities, classes), losses(tempered(probabilities, temperature), classes)
    expected_error = sum(bin_.n * abs(bin_.predicted - bin_.observed) for bin_ in bins) / len(classes)
    return Calibration(temperature, float(before.mean()), float(after.mean()), expected_error, bins)


def tempered(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Divide the log-probabilities (N, 3) by `temperature` and normalise. A class that is impossible everywhere stays impossible."""
    logs = np.where(probabilities.max(axis=0) > 0, np.log(np.maximum(probabilities.astype(np.float64), FLOOR)), -np.inf) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> float:
    """Return the temperature with the smallest log-loss, between 0.01 and 100.

    The loss is convex in 1 / temperature. Its slope, the expected minus the observed log-probability, only rises, so halving an interval
    finds the one place where it is 0.
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), FLOOR))
    observed = logs[np.arange(len(classes)), classes].mean()
    cold, hot = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(50):  # 9.2 / 2^50: down to the last digit
        middle = (cold + hot) / 2
        if (tempered(probabilities, float(np.exp(middle))) * logs).sum(axis=1).mean() > observed:
            cold = middle  # still too sure: a higher temperature
        else:
            hot = middle
    return float(np.exp((cold + hot) / 2))
