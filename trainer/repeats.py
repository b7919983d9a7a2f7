"""Put exact repeats of a labeled solution together, and bound what one problem counts, before a training.

Reads labeled solutions and their sequences; gives fewer of them, with the shares of their ratings as soft labels, and says how many. A
merged solution teaches the mean of what its repeats teach. Pure: the same labels in the same order give the same result; in another order,
that of the solutions, and which key of its repeats a merged one has, are others. What models are judged on is not changed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import UNRATED, LabeledSolution, RatedAlternative, TrainingSequence

TIMES_THE_MEAN = 4.0  # a problem counts at most as much as this many problems of mean weight


@dataclass(frozen=True, slots=True)
class Repeats:
    """What was put together: labels of whole solutions before, the different solutions, those of them of which two people rated the same
    step differently; problems that were capped.

    n_capped_steps: the rated steps of the capped problems, before. counts_as: as how many rated steps each of them counts now.
    """

    n_labeled: int
    n_remaining: int
    n_conflicting: int
    n_capped_problems: int = 0
    n_capped_steps: int = 0
    counts_as: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def merge_repeats(labeled: Sequence[LabeledSolution]) -> tuple[list[LabeledSolution], Repeats]:
    """Merge solutions of one problem that have the same statement and steps, in the order of their first labels.

    If the labels of repeats differ, the merged solution has soft labels: at each step the shares of the ratings given there. A step or an
    alternative counts as the share of the repeats that rate it, so one after a mistake that some people saw counts less.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[LabeledSolution]] = {}
    for one in labeled:
        groups.setdefault((one.solution.problem_key, one.solution.problem, one.solution.steps), []).append(one)
    merged = [_merged(group) for group in groups.values()]
    return merged, Repeats(len(labeled), len(merged), sum(_differ(group) for group in groups.values()))


def _differ(group: Sequence[LabeledSolution]) -> bool:
    """Tell whether two of some repeats rate the same step differently. A label that stops earlier says nothing of the rest."""
    given = [{rating for rating in step if rating is not None} for step in zip_longest(*(one.supervised for one in group))]
    return any(len(ratings) > 1 for ratings in given)


def learned_rates(labeled: Iterable[LabeledSolution]) -> tuple[float, float, float]:
    """Return the shares of negative, neutral and positive among the steps that a model learns, by their weights, alternatives left out.

    Each is counted once more than seen, so that none is impossible.
    """
    counts = np.ones(3) + sum((step_targets(one).sum(0) for one in labeled), np.zeros(3))
    negative, neutral, positive = (counts / counts.sum()).tolist()
    return negative, neutral, positive


def cap_problems(sequences: Sequence[TrainingSequence], repeats: Repeats) -> tuple[list[TrainingSequence], Repeats]:
    """Bound the weight of each problem, the sum over its rated steps, by TIMES_THE_MEAN times the mean weight of the problems."""
    weights: dict[str, float] = {}
    for sequence in sequences:
        weights[sequence.problem_key] = weights.get(sequence.problem_key, 0.0) + sequence.weight
    most = TIMES_THE_MEAN * sum(weights.values()) / max(1, sum(weight > 0 for weight in weights.values()))
    factors = {key: most / weight for key, weight in weights.items() if weight > most}
    n_steps = sum(sequence.n_rated for sequence in sequences if sequence.problem_key in factors)
    capped = [_weighted(sequence, factors[key]) if (key := sequence.problem_key) in factors else sequence for sequence in sequences]
    return capped, replace(repeats, n_capped_problems=len(factors), n_capped_steps=n_steps, counts_as=most if factors else 0.0)


def _merged(group: Sequence[LabeledSolution]) -> LabeledSolution:
    first = group[0]
    if len(group) == 1:
        return first
    if all(one.soft is None and one.supervised == first.supervised for one in group):
        return replace(first, alternatives=_alternatives(group, plain=True))
    each = np.stack([step_targets(one) for one in group]).mean(0)  # (steps, 3): the share of the repeats that gave each rating
    weights = np.minimum(each.sum(-1), 1.0)
    soft = tuple(tuple((row / row.sum()).tolist()) if row.sum() > 0 else None for row in each)
    ratings = tuple(None if one is None else int(np.argmax(one)) - 1 for one in soft)
    return LabeledSolution(first.solution, ratings, _alternatives(group, plain=False), soft, tuple(weights.tolist()))


def step_targets(labels: LabeledSolution) -> NDArray[np.float64]:
    """Return what a solution teaches at each step: the probabilities of the ratings times the weight of the step, (steps, 3)."""
    targets = np.zeros((len(labels.solution.steps), 3))
    if labels.soft is not None:
        for row, posterior, weight in zip(targets, labels.soft, labels.weights or (1.0,) * len(labels.soft), strict=False):
            row[:] = np.multiply(posterior or 0.0, weight)
        return targets
    for row, rating in zip(targets, labels.supervised, strict=False):
        if rating is not None:
            row[rating + 1] = 1.0
    return targets


def _alternatives(group: Sequence[LabeledSolution], *, plain: bool) -> tuple[RatedAlternative, ...]:
    """Return each alternative once, with the shares of its ratings. plain: one that all repeats rate the same has only this rating."""
    given: dict[tuple[int, str], NDArray[np.float64]] = {}
    for labels in group:
        own: dict[tuple[int, str], list[int]] = {}
        for one in labels.supervised_alternatives:
            own.setdefault((one.step_index, one.text), []).append(one.rating)
        for place, ratings in own.items():
            shares = given.setdefault(place, np.zeros(3))
            for rating in ratings:
                shares[rating + 1] += 1 / len(ratings)
    merged = []
    for place, counts in given.items():
        rating = int(np.argmax(counts)) - 1
        if plain and counts[rating + 1] == len(group):
            merged.append(RatedAlternative(*place, rating))
        else:
            negative, neutral, positive = (counts / counts.sum()).tolist()
            merged.append(RatedAlternative(*place, rating, (negative, neutral, positive), min(1.0, counts.sum() / len(group))))
    return tuple(merged)


def _weighted(sequence: TrainingSequence, factor: float) -> TrainingSequence:
    soft = sequence.soft if sequence.soft is not None else np.eye(3, dtype=np.float32)[np.maximum(sequence.classes, 0)]
    rated = (sequence.classes != UNRATED)[:, None]
    return replace(sequence, soft=np.where(rated, soft * np.float32(factor), 0).astype(np.float32))
