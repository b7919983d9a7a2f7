"""Settling the consensus of labelers, where a project wants what a reward model says as the prior (quality.settle).

Reads the step scores of a version; writes through quality.settle. Lowest of the registry: training reads the consensus.
"""

from collections.abc import Sequence

import numpy as np
from django.db.models import Q
from numpy.typing import NDArray

from active_learning.models import ModelKind, ModelState, ModelVersion, Selection, StepScores
from annotation import quality
from annotation.models import Project


class NoPrior(ValueError):
    """A version that cannot be the prior of a consensus. The message says why."""


def settle(project: Project, *, prior: int | None = None) -> quality.Settled:
    """Settle a whole project. prior: number of a PRM whose step scores are the prior; by default there is none. Raises NoPrior."""
    return quality.settle(project, prior=None if prior is None else prior_from(project, prior))


def settle_new() -> dict[str, quality.Settled]:
    """Settle what is new in all projects, each with its own prior if it has one. Return what was done, by project."""
    return quality.settle_new(_prior_or_none)


def prior_from(project: Project, number: int) -> quality.Prior:
    """Return where a version expects first mistakes, in the solutions whose steps it has scored. Raises NoPrior."""
    version = ModelVersion.objects.filter(project=project, number=number).first()
    if version is None:
        raise NoPrior(f"{project} has no model {number}. Name a PRM of this project.")
    if version.kind != ModelKind.PRM or version.state != ModelState.READY:
        raise NoPrior(f"Model {number} is no ready PRM, so it says nothing about steps. Name another model.")
    chances = {}
    # A round stores the steps of what it chose; p(correct) alone is enough here.
    chose = Q(round__findings__chosen_with=number) | Q(round__findings__chosen_with__isnull=True, round__model_version=version)
    chosen = Selection.objects.filter(chose, round__project=project)
    for solution, right in chosen.values_list("solution", "step_scores").iterator():
        if right:
            chances[solution] = first_mistakes([1 - share for share in right])
    stored = StepScores.objects.filter(model_version=version).values_list("solution", "probabilities")
    for solution, probabilities in stored.iterator():
        chances[solution] = first_mistakes([row[0] for row in probabilities])
    if not chances:
        raise NoPrior(f"Model {number} has scored the steps of no solution yet, so it gives no prior. Let a round choose a batch with it.")
    return quality.Prior(number, chances)


def first_mistakes(negative: Sequence[float]) -> NDArray[np.float64]:
    """Turn p(negative) of each step into the chances that it is the first mistake, then that there is none: (steps + 1,)."""
    wrong = np.array([*negative, 1.0])
    return wrong * np.concatenate([[1.0], np.cumprod(1 - wrong[:-1])])


def _prior_or_none(project: Project, number: int) -> quality.Prior | None:
    try:
        return prior_from(project, number)
    except NoPrior:  # its scores are gone: people alone decide
        return None
