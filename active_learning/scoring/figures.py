"""One solution's row of Score: the figures that strategies use, and the hash of its first steps."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from active_learning.models import ModelVersion, Score
from active_learning.registry import ProgressCallback, load, readable_solutions, serving_version, trainer_progress, trainer_solution
from active_learning.scoring.partitions import ScoringFailed
from annotation.models import Project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.score import RewardModel, ScoredSolution


COLDEST, HOTTEST = 0.25, 4.0  # bounds of the temperature that choosing trusts


def step_scores(version: ModelVersion, solution_ids: list[int], *, progress: ProgressCallback) -> dict[int, list[float]]:
    """Return p(neutral) + p(positive) of each step of some solutions."""
    from trainer.score import score_solutions

    rows = readable_solutions(version.project, pk__in=solution_ids).values_list("pk", "problem_id", "problem__statement", "steps")
    scores = score_solutions(load(version), map(trainer_solution, rows), progress=trainer_progress(progress))
    return {int(one.key): (1.0 - one.probabilities[:, 0]).astype(float).round(6).tolist() for one in scores}


def marks_of_champion(project: Project, solutions: Sequence[int]) -> dict[int, int]:
    """Return what the serving model would mark in those of some solutions that it has scored: a step from 1, or 0 for no mistake."""
    champion = serving_version(project)
    if champion is None:
        return {}
    rows = Score.objects.filter(model_version=champion, solution__in=list(solutions)).values_list("solution", "first_weak_step")
    return {solution: 0 if weak is None else weak + 1 for solution, weak in rows}


def score_rows(
    version: ModelVersion, rows: Sequence[Any], *, model: "RewardModel", beat: Callable[[int], None]
) -> Iterator[tuple[Any, ...]]:
    """Yield the COLUMNS of each (solution, problem, outcome, statement, steps). Calls `beat` with the number read. Raises ScoringFailed."""
    from trainer.evaluate import score_per_step
    from trainer.score import score_solutions

    temperature = choosing_temperature(version)
    solutions = (trainer_solution((key, problem, statement, steps)) for key, problem, _, statement, steps in rows)
    for row, one in zip(rows, score_solutions(model, solutions, progress=lambda now: beat(now.done)), strict=True):
        key, problem, outcome, _, steps = row
        # The column is float32. COPY refuses a number that is too small for it, so it becomes 0 here.
        product = float(np.float32(one.score))
        if not np.isfinite(product):  # nan would be sorted above every score
            raise ScoringFailed(f"Model {version.number} gives solution {key} a score that is not a number. Train it again.")
        weak, *figures = _figures(one, model.threshold)
        if one.kind == "orm":
            yield version.pk, key, problem, product, weak, outcome, *figures, None, None, None, None
            continue
        prefix = prefix_hash(problem, steps if weak is None else steps[: weak + 1])
        per_step = score_per_step(one.probabilities, temperature=temperature, unread_steps=one.unread_steps)
        negative = one.probabilities[:, 0]
        change = None if one.changes is None else expected_change(negative, one.changes)
        yield version.pk, key, problem, product, weak, outcome, *figures, prefix, per_step, first_mistake_margin(negative), change


def choosing_temperature(version: ModelVersion) -> float:
    """Return the temperature of a version's held-out calibration, within bounds; 1 if it was not judged.

    It is fitted on as many labels as are held out. With few of them it can be far off.
    """
    found = (version.metrics.get("calibration") or {}).get("temperature") or 1.0
    return min(max(float(found), COLDEST), HOTTEST)


def _figures(one: "ScoredSolution", threshold: float) -> tuple[int | None, float | None, float | None, float | None]:
    """Return the first weak step, the entropy, the confidence and the deviation; None for those that the model does not have."""
    from trainer.score import first_weak_step

    if one.kind == "orm" or not len(one.probabilities):
        return None, None, None, None
    weak = first_weak_step(one.probabilities, threshold=threshold)
    entropy = first_mistake_entropy(one.probabilities[:, 0])
    if one.means is None or one.deviations is None:
        return weak, entropy, None, None
    cut = first_doubted(one.means)
    means, deviations = one.means[:cut], one.deviations[:cut]
    return weak, entropy, float(np.maximum(means, 1 - means).min()), float(deviations.max())


def first_doubted(means: "NDArray[np.floating]") -> int | None:
    """Return how many steps ActPRM reads (arXiv 2504.10559): up to and including the first mistake that the heads predict.

    means: (n_steps,) mean of p(negative) over the heads. A mistake is predicted where it is above one half. None: nowhere, so all steps.
    """
    doubted = np.flatnonzero(means > 0.5)
    return int(doubted[0]) + 1 if len(doubted) else None


def _places(negative: "NDArray[np.floating]") -> "NDArray[np.float64]":
    """Return (n_steps + 1,) probabilities of where the first mistake is, given (n_steps,) p(negative); the last place is "nowhere"."""
    none_until = np.concatenate([[1.0], np.cumprod(1.0 - negative.astype(np.float64))])
    return np.append(negative * none_until[:-1], none_until[-1])


def first_mistake_margin(negative: "NDArray[np.floating]") -> float | None:
    """Return by how much the most likely place of the first mistake leads the next one; "nowhere" is one of the places.

    Margin sampling: Scheffer, Decomain and Wrobel, *Active Hidden Markov Models for Information Extraction*, 2001. None without a step.
    """
    if not len(negative):
        return None
    second, first = np.sort(_places(negative))[-2:]
    return float(first - second)


def expected_change(negative: "NDArray[np.floating]", changes: "NDArray[np.floating]") -> float:
    """Return how much the head is expected to change if a solution is labeled: (n_steps,) p(negative) and change of each rated step.

    A labeler stops at the first mistake, so a step counts as far as it is likely to be reached.
    """
    reached = np.cumprod(np.append(1.0, 1.0 - negative[:-1].astype(np.float64)))
    return float(np.float32((reached * changes).sum()))


def first_mistake_entropy(negative: "NDArray[np.floating]") -> float:
    """Return the entropy in nats of where the first mistake is, given (n_steps,) p(negative); "nowhere" is one of the places."""
    places = _places(negative)
    places = places[places > 0]
    return max(0.0, float(-(places * np.log(places)).sum()))


def prefix_hash(problem: int, steps: Iterable[str]) -> int:
    """Return a signed 64-bit hash of a problem's first steps, the same in every process; never 0."""
    text = "\0".join((str(problem), *steps)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), signed=True) or 1
