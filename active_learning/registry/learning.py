"""What the versions of a project learned, all measured on the same labels: those of solutions that were held out from every one of them.

Reads the step scores that judging has stored; gives plain values, which the newest version keeps. So a page reads a few numbers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db.models import Count

from active_learning.models import ModelKind, ModelState, ModelVersion, StepScores

if TYPE_CHECKING:
    from trainer.data import LabeledSolution
    from trainer.evaluate import Judged

VERSIONS = 24  # the newest ones are compared
SAME = 500  # most solutions on which all are measured
FEWEST_SAME = 10
TRIALS = 500  # resamples for an interval


def on_the_same(version: ModelVersion, unseen: Sequence["LabeledSolution"]) -> dict[str, Any]:
    """Measure a PRM and the versions before it on the labels `unseen` of solutions that were held out from all of them.

    Returns {"n_solutions", "n_problems", "versions": {number: figures, each with low and high}}; empty if there are too few such labels.
    """
    from trainer.evaluate import evaluate_steps, intervals_of

    ready = ModelVersion.objects.filter(project=version.project, kind=ModelKind.PRM, state=ModelState.READY, number__lte=version.number)
    rates = {
        key: (number, rates)
        for key, number, rates in ready.order_by("-number").values_list("pk", "number", "metrics__base_rates")[:VERSIONS]
        if rates
    }
    stored = StepScores.objects.filter(model_version__in=rates, held_out=True)
    shared = stored.values("solution").annotate(n=Count("pk")).filter(n=len(rates)).order_by("solution")
    keys = list(shared.values_list("solution", flat=True)[:SAME])
    judged = _judged(stored.filter(solution__in=keys), unseen)
    first = next(iter(judged.values()), [])
    n_problems = len({one.problem_key for one in first})
    if len(rates) < 2 or len(first) < FEWEST_SAME or n_problems < 2:
        return {}
    versions = {}
    for key, own in judged.items():
        number, base_rates = rates[key]
        report, spread = evaluate_steps(own, base_rates=tuple(base_rates)), intervals_of(own, trials=TRIALS)
        f1 = report.first_mistake.f1 if report.first_mistake else None
        figures = {"step_auc": report.step_auc, "log_loss": report.log_loss, "first_mistake_f1": f1}
        versions[str(number)] = {
            **{name: {"value": value, "low": spread[name][0], "high": spread[name][1]} for name, value in figures.items()},
            "base_rate_log_loss": report.base_rate_log_loss,
            "position_auc": report.position_auc,
        }
    return {"n_solutions": len(first), "n_problems": n_problems, "versions": versions}


def _judged(stored: Any, unseen: Sequence["LabeledSolution"]) -> dict[int, list["Judged"]]:
    """Return what each version says of the labeled solutions, by version, in the same order for all."""
    from trainer.evaluate import Judged

    by_key: dict[int, list[LabeledSolution]] = {}
    for labeled in unseen:
        by_key.setdefault(int(labeled.solution.key), []).append(labeled)
    judged: dict[int, list[Judged]] = {}
    for version, key, probabilities in stored.order_by("solution").values_list("model_version", "solution", "probabilities"):
        read = np.array(probabilities, np.float32).reshape(-1, 3)
        judged.setdefault(version, []).extend(
            Judged(own.solution.problem_key, read, own.ratings, len(own.solution.steps)) for own in by_key.get(key, [])
        )
    return judged
