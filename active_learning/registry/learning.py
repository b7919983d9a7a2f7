"""What the versions of a project learned, all measured on the same labels: those of solutions that were held out from every one of them.

Reads the step scores that judging has stored; gives plain values, which the newest version keeps. So a page reads a few numbers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db.models import QuerySet

from active_learning.models import ModelKind, ModelState, ModelVersion, StepScores
from annotation.models import Project, Solution

if TYPE_CHECKING:
    from trainer.data import LabeledSolution
    from trainer.evaluate import Judged

VERSIONS = 16  # the newest ones are compared, and drawn
FEWEST_SAME = 10  # solutions on which all are measured
LEAST_SHARE = 0.25  # of the newest version's solutions that all must have in common: intervals get twice as wide at most
TRIALS = 500  # resamples for an interval


def measured_versions(project: Project) -> QuerySet[ModelVersion]:
    """Return the ready PRMs that learned from labels and have held-out figures, the newest first."""
    ready = ModelVersion.objects.filter(project=project, kind=ModelKind.PRM, state=ModelState.READY)
    return ready.filter(metrics__training__n_solutions__gt=0, metrics__log_loss__isnull=False).order_by("-number")


def on_the_same(version: ModelVersion, unseen: Sequence["LabeledSolution"]) -> dict[str, Any]:
    """Measure a PRM and the versions before it on the labels `unseen` of solutions that were held out from all of them.

    A version with which too few of these solutions would be left is left out, so that it does not spoil the comparison of the others.
    Returns {"n_solutions", "n_problems", "versions": {number: figures, each with low and high}, "n_newest": solutions of the newest
    version, "least": how many of them all must share, "left_out": {number: how many all would have shared with it}}; empty if there are
    too few such labels, or if no other version is left.
    """
    from trainer.evaluate import evaluate_steps, intervals_of

    found = measured_versions(version.project).filter(number__lte=version.number)[:VERSIONS]
    rates = {key: (number, rates) for key, number, rates in found.values_list("pk", "number", "metrics__base_rates")}
    stored = StepScores.objects.filter(model_version__in=rates, held_out=True)
    labels = _as_loaded(unseen, keys=set(stored.values_list("solution", flat=True)))
    held_out: dict[int, set[int]] = {key: set() for key in rates}
    for key, solution in stored.values_list("model_version", "solution"):
        held_out[key] |= {solution} & labels.keys()
    n_newest = len(held_out.get(version.pk, ()))
    least = max(FEWEST_SAME, math.ceil(LEAST_SHARE * n_newest))
    shared, left_out = _in_common(held_out, newest=version.pk, least=least)
    compared = [key for key in rates if key not in left_out]
    judged = _judged(stored.filter(model_version__in=compared, solution__in=shared), labels)
    n_problems = len({one.problem_key for one in judged.get(version.pk, [])})
    if version.pk not in compared or len(compared) < 2 or n_problems < 2:
        return {}
    versions = {}
    for key in sorted(compared, key=lambda one: rates[one][0]):
        number, base_rates = rates[key]
        report, spread = evaluate_steps(judged[key], base_rates=tuple(base_rates)), intervals_of(judged[key], trials=TRIALS)
        f1 = report.first_mistake.f1 if report.first_mistake else None
        figures = {"step_auc": report.step_auc, "log_loss": report.log_loss, "first_mistake_f1": f1}
        versions[str(number)] = {
            **{name: {"value": value, "low": spread[name][0], "high": spread[name][1]} for name, value in figures.items()},
            "base_rate_log_loss": report.base_rate_log_loss,
            "position_auc": report.position_auc,
        }
    return {
        "n_solutions": len(shared), "n_problems": n_problems, "versions": versions, "n_newest": n_newest, "least": least,
        "left_out": {str(rates[key][0]): n for key, n in left_out.items()},
    }  # fmt: skip


def _in_common(held_out: Mapping[int, set[int]], *, newest: int, least: int) -> tuple[set[int], dict[int, int]]:
    """Return the solutions that were held out from all versions that are compared, and the versions that are left out.

    held_out: by version, the newest first. Each one is taken unless fewer than `least` solutions would be left in common; then its number
    of them is returned.
    """
    shared, left_out = held_out.get(newest, set()), dict[int, int]()
    for key, own in held_out.items():
        if len(both := shared & own) >= least:
            shared = both
        else:
            left_out[key] = len(both)
    return shared, left_out


def _as_loaded(unseen: Sequence["LabeledSolution"], *, keys: set[int]) -> dict[int, list["LabeledSolution"]]:
    """Return the labels of these solutions by solution, without those of interactive walks, whose steps are others than the scored ones."""
    loaded = {key: tuple(steps) for key, steps in Solution.objects.filter(pk__in=keys).values_list("pk", "steps")}
    labels: dict[int, list[LabeledSolution]] = {}
    for labeled in unseen:
        if loaded.get(key := int(labeled.solution.key)) == labeled.solution.steps:
            labels.setdefault(key, []).append(labeled)
    return labels


def _judged(stored: QuerySet[StepScores], labels: Mapping[int, Sequence["LabeledSolution"]]) -> dict[int, list["Judged"]]:
    """Return what each version says of the labeled solutions, by version, in the same order for all."""
    from trainer.evaluate import Judged

    judged: dict[int, list[Judged]] = {}
    for version, key, probabilities in stored.order_by("solution").values_list("model_version", "solution", "probabilities"):
        read = np.array(probabilities, np.float32).reshape(-1, 3)
        judged.setdefault(version, []).extend(
            Judged(own.solution.problem_key, read, own.ratings, len(own.solution.steps)) for own in labels[key]
        )
    return judged
