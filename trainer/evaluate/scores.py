"""Reduce the step probabilities of a solution to one score, and find its first weak step.

Reads (n_steps, 3) probabilities: negative, neutral, positive; gives a score from 0 to 1. Rounds select by `solution_score`. `AGGREGATES`
are the eight scores that the paper compares (arXiv 2305.20050, appendix F.2).
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.temperature import FLOOR, tempered

Probabilities = NDArray[np.float32]  # (n_steps, 3)
ORACLE_THRESHOLD = 0.2  # p(negative) above which the paper's oracle counts a step as wrong (section 4.1)
OVER_STEPS: Mapping[str, Callable[[NDArray[np.float64]], np.floating]] = {
    "product": np.prod,
    "min": np.min,
    "last": lambda right: right[-1],
    "mean": np.mean,
}


def aggregate(probabilities: Probabilities, *, over_steps: str = "product", neutral_is: str = "positive", unread_steps: int = 0) -> float:
    """Reduce (n_steps, 3) probabilities to one score: product, minimum, last or mean (`over_steps`) of p(right) of the steps.

    A neutral step counts as right, or with `neutral_is="negative"` as wrong. A solution that was not read to its end scores 0.
    """
    if unread_steps or not len(probabilities):
        return 0.0
    from_class = {"positive": 1, "negative": 2}[neutral_is]
    return float(OVER_STEPS[over_steps](probabilities[:, from_class:].sum(axis=1, dtype=np.float64)))


AGGREGATES: Mapping[str, Callable[..., float]] = {  # each takes (probabilities, *, unread_steps=0)
    f"{over_steps}, neutral as {neutral_is}": partial(aggregate, over_steps=over_steps, neutral_is=neutral_is)
    for neutral_is in ("positive", "negative")
    for over_steps in OVER_STEPS
}


def solution_score(probabilities: Probabilities, *, unread_steps: int = 0) -> float:
    """Return the probability that all steps are right: the product of p(neutral) + p(positive) over (n_steps, 3) probabilities."""
    return aggregate(probabilities, unread_steps=unread_steps)


def score_per_step(probabilities: Probabilities, *, temperature: float = 1.0, unread_steps: int = 0) -> float:
    """Return the geometric mean over the steps of p(neutral) + p(positive), with the log-probabilities divided by `temperature`.

    The product prefers short solutions: each step more is a factor below 1. This mean compares solutions of any length. A solution that
    was not read to its end gets 0.
    """
    if unread_steps or not len(probabilities):
        return 0.0
    right = 1.0 - tempered(probabilities, temperature)[:, 0]
    return float(np.exp(np.log(np.maximum(right, FLOOR)).mean()))


def first_weak_step(probabilities: Probabilities, *, threshold: float = ORACLE_THRESHOLD) -> int | None:
    """Return the index of the first step with p(negative) above `threshold`, or None."""
    weak = np.flatnonzero(probabilities[:, 0] > threshold)
    return int(weak[0]) if len(weak) else None
