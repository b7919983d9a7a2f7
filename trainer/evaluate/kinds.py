"""The step AUC of each kind of mistake: does a model tell the wrong steps of this kind from right steps?

Reads judged solutions and the kind of the first mistake of each, which only a simulation or a person knows. numpy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.data import seeded
from trainer.evaluate.comparison import resampled_auc
from trainer.evaluate.steps import Judged


@dataclass(frozen=True, slots=True)
class KindReport:
    """One kind of mistake. auc: the probability that its first wrong step has a higher p(negative) than a step that is not wrong.

    low, high: the 95 % interval from resamples of the problems; None with fewer than two problems.
    """

    auc: float
    low: float | None
    high: float | None
    n_wrong: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate_kinds(judged: Sequence[Judged], kinds: Sequence[str | None], *, seed: int = 0, trials: int = 1000) -> Mapping[str, KindReport]:
    """Report on each kind of first mistake, in the order of names. `kinds` has one for each solution, None where nothing is wrong.

    All kinds are compared with the same steps: those before the first mistake, of all solutions. A step that was not read does not count.
    """
    places = {key: place for place, key in enumerate(sorted({solution.problem_key for solution in judged}))}
    rated = [
        (places[solution.problem_key], row[0], kind if rating == -1 else None)
        for solution, kind in zip(judged, kinds, strict=True)
        for row, rating in zip(solution.probabilities, solution.supervised, strict=False)
        if rating is not None
    ]
    if not rated:
        return {}
    problems, negative = np.array([one[0] for one in rated]), np.array([one[1] for one in rated], np.float64)
    of_kind = np.array([one[2] or "" for one in rated])
    once = np.ones((1, len(places)), np.int64)
    times = seeded(seed, "kinds").multinomial(len(places), np.full(len(places), 1 / len(places)), size=trials)
    reports = {}
    for kind in sorted(set(of_kind) - {""}):
        kept = (of_kind == kind) | (of_kind == "")
        wrong = of_kind[kept] == kind

        def aucs(draws: Any, kept: Any = kept, wrong: Any = wrong) -> Any:
            return resampled_auc(negative[kept], wrong, problems=problems[kept], times=draws)

        whole = float(aucs(once)[0])
        if np.isnan(whole):  # no step is right
            continue
        spread = aucs(times) if len(places) > 1 else np.empty(0)
        spread = spread[~np.isnan(spread)]  # a resample can be without this kind
        low, high = np.quantile(spread, (0.025, 0.975)).tolist() if len(spread) else (None, None)
        reports[str(kind)] = KindReport(whole, low, high, int(wrong.sum()))
    return reports
