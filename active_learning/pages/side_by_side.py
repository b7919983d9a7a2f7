"""The page of two models on one solution: what each says of every step, beside what people say, and the score by every version.

Reads what is stored; nothing is scored here, since the web process never loads a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from active_learning import registry, scoring
from active_learning.models import ModelKind, ModelState, ModelVersion, Score, StepScores
from active_learning.pages.solutions import JudgedStep, judged_solution
from annotation import queue
from annotation.models import Project, Solution
from trainer.evaluate import first_weak_step, solution_score

LISTED = 200  # newest versions
MARKED = 0.2  # a difference of p(correct) from which a step is marked


@dataclass(frozen=True, slots=True)
class ComparedStep:
    """One step as two versions see it. difference: p(correct) of the second minus that of the first; None: one of them is not known."""

    first: JudgedStep
    second: JudgedStep
    difference: float | None
    is_marked: bool


@dataclass(frozen=True, slots=True)
class OpinionRow:
    """What one version says of the solution. score: None if nothing is stored. has_steps: its probabilities of the steps are stored."""

    version: ModelVersion
    score: float | None
    weak: int | None
    has_steps: bool


def models_on_solution(project: Project, solution_id: int, first: int | None, second: int | None) -> dict[str, Any]:
    """Return two versions on one solution. Without a number: the one that serves, and the newest other one that scored the solution.

    Raises registry.NoSuchVersion and queue.NoSuchSolution.
    """
    solution = queue.find_solution(project, solution_id)
    ready = ModelVersion.objects.filter(project=project, kind=ModelKind.PRM, state=ModelState.READY)
    versions = list(ready.select_related("project").order_by("-number")[:LISTED])
    for number in (first, second):
        if number is not None:
            _check(registry.find(project, number))
    opinions = _opinions(solution, versions)
    chosen = _chosen(opinions, first, second)
    page: dict[str, Any] = {
        "solution": solution, "versions": versions, "opinions": opinions, "first": chosen[0], "second": chosen[1], "steps": [],
        "marked_from": MARKED, "gaps": [], "judged": None,
    }  # fmt: skip
    if chosen[0] is None or chosen[1] is None:
        return page
    both = [judged_solution(solution, version) for version in chosen if version]
    return page | {
        "judged": both,
        "steps": [_compared(one, other) for one, other in zip(both[0]["steps"], both[1]["steps"], strict=True)],
        "gaps": [_gap(version, judged) for version, judged in zip(chosen, both, strict=True) if version and not judged["is_scored"]],
        "consensus": both[0]["consensus"],
        "verdicts": both[0]["verdicts"],
    }


def _check(version: ModelVersion) -> None:
    """Raise NoSuchVersion for a version that can say nothing of steps."""
    if version.kind != ModelKind.PRM or version.state != ModelState.READY:
        raise registry.NoSuchVersion(f"Model {version.number} is no process reward model that is ready, so it says nothing of the steps.")


def _opinions(solution: Solution, versions: Sequence[ModelVersion]) -> list[OpinionRow]:
    keys = [version.pk for version in versions]
    rows = Score.objects.filter(model_version__in=keys, solution=solution).values_list("model_version", "score", "first_weak_step")
    scores: dict[int, tuple[float | None, int | None]] = {key: (score, weak) for key, score, weak in rows}
    stored = dict(StepScores.objects.filter(model_version__in=keys, solution=solution).values_list("model_version", "probabilities"))
    for version in versions:
        if (own := stored.get(version.pk)) and version.pk not in scores:
            probabilities = np.array(own, np.float32).reshape(-1, 3)
            threshold = version.metrics.get("threshold")
            weak = None if threshold is None else first_weak_step(probabilities, threshold=threshold)
            scores[version.pk] = (solution_score(probabilities, unread_steps=len(solution.steps) - len(probabilities)), weak)
    return [OpinionRow(version, *scores.get(version.pk, (None, None)), version.pk in stored) for version in versions]


def _chosen(opinions: Sequence[OpinionRow], first: int | None, second: int | None) -> list[ModelVersion | None]:
    """Return the two versions of the page. Those that serve and that said something of the solution come before others."""
    by_number = {row.version.number: row.version for row in opinions}
    ranked = sorted(opinions, key=lambda row: (not row.version.champion, not row.has_steps, row.score is None, -row.version.number))
    chosen: list[ModelVersion | None] = []
    for number in (first, second):
        free = (row.version for row in ranked if row.version.number not in (first, second) and row.version not in chosen)
        chosen.append(by_number.get(number) if number is not None else next(free, None))
    return chosen


def _compared(first: JudgedStep, second: JudgedStep) -> ComparedStep:
    difference = None if first.right is None or second.right is None else second.right - first.right
    is_marked = first.is_weak != second.is_weak or (difference is not None and abs(difference) >= MARKED)
    return ComparedStep(first, second, difference, is_marked)


def _gap(version: ModelVersion, judged: dict[str, Any]) -> tuple[ModelVersion, str]:
    """Say what is not stored of a version's opinion, and what brings it."""
    if judged["score"] is not None:
        return version, f"Model {version.number} scored this solution as a whole. The probabilities of its steps were not stored."
    if version.scores_file and not scoring.is_attached(version):
        return version, (
            f"The scores of model {version.number} are in a file. To load them again: manage.py scores --project {version.project.slug} "
            f"--restore {version.number}"
        )
    return version, f"Model {version.number} has no stored score of this solution."
