"""The same figures for groups of problems: by difficulty, by subject, by source.

Reads a mapping of problem key to group; gives one GroupReport for each group. All solutions of a problem are in the same group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.data import seeded
from trainer.evaluate.comparison import resampled_auc
from trainer.evaluate.samples import BestOfN, Samples, best_of_n
from trainer.evaluate.steps import Judged, StepReport, choose_threshold, cross_fitted_thresholds, evaluate_steps, first_mistake_f1

UNGROUPED = "(none)"  # the group of problems that are not in the mapping
FEWEST = 10  # problems of a group; fewer say little about all problems of that kind


@dataclass(frozen=True, slots=True)
class GroupReport:
    """The figures of a model on the steps and on the samples of one group of problems; None where there are none.

    step_auc_interval: 95 %, from resamples of the group's problems; None if the AUC is undefined, or with fewer than two problems.
    """

    n_problems: int
    steps: StepReport | None
    best_of_n: BestOfN | None
    step_auc_interval: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """One row of a table, for JSON: the step figures, and each way of choosing at the largest N.

        too_few_labeled, too_few_sampled: the figures stand on fewer than FEWEST problems and say little about problems of this kind.
        """
        row: dict[str, Any] = {"n_problems": self.n_problems}
        if self.steps:
            names = ("n_solutions", "n_rated_steps", "share_negative", "step_auc", "position_auc", "log_loss", "base_rate_log_loss")
            row |= {name: getattr(self.steps, name) for name in names}
            row["step_auc_low"], row["step_auc_high"] = self.step_auc_interval or (None, None)
            row |= {"n_labeled_problems": self.steps.n_problems, "too_few_labeled": self.steps.n_problems < FEWEST}
            row["first_mistake_f1"] = self.steps.first_mistake and self.steps.first_mistake.f1
        if self.best_of_n:
            row |= {"n": self.best_of_n.n[-1], "best_of_n": self.best_of_n.at_last()}
            row |= {"n_sampled_problems": self.best_of_n.n_problems, "too_few_sampled": self.best_of_n.n_problems < FEWEST}
        return row


def difficulty_quintiles(problems: Sequence[Samples]) -> dict[str, str]:
    """Sort problems by their share of right samples and split them into fifths; 1 is the hardest. Equal shares are sorted by key.

    The name of a fifth contains its shares, such as "1 of 5: 0.00 to 0.12 right". With fewer than five problems some fifths are empty.
    """
    shares = {problem.problem_key: float(problem.right.mean()) for problem in problems}
    order = sorted(shares, key=lambda key: (shares[key], key))
    fifths = [order[len(order) * i // 5 : len(order) * (i + 1) // 5] for i in range(5)]
    return {
        key: f"{number} of 5: {shares[fifth[0]]:.2f} to {shares[fifth[-1]]:.2f} right"
        for number, fifth in enumerate(fifths, 1)
        for key in fifth
    }


def evaluate_groups(
    groups: Mapping[str, str],
    *,
    judged: Sequence[Judged] = (),
    problems: Sequence[Samples] = (),
    base_rates: tuple[float, float, float],
    threshold: float | None = None,
    seed: int = 0,
    trials: int = 1000,
) -> dict[str, GroupReport]:
    """Report on each group of problems separately, in the order of the groups' names. A problem without a group counts as "(none)".

    Base rates and threshold are those of all problems: a group has too few solutions to choose its own. Without a threshold, each half of
    the problems is judged at the threshold chosen on the other half.
    """
    thresholds: float | dict[str, float] = cross_fitted_thresholds(judged) if threshold is None else threshold
    split = ("given", "two halves of all problems, each judged at the threshold chosen on the other")[threshold is None]
    at = choose_threshold(judged) if threshold is None else threshold
    named = {
        key: groups.get(key, UNGROUPED)
        for key in (*(solution.problem_key for solution in judged), *(problem.problem_key for problem in problems))
    }
    ns = [min(len(problem.right) for problem in problems)] if problems else []
    reports = {}
    for group in sorted(set(named.values())):
        mine = [solution for solution in judged if named[solution.problem_key] == group]
        samples = [problem for problem in problems if named[problem.problem_key] == group]
        steps = evaluate_steps(mine, base_rates=base_rates, threshold=at, threshold_split=split) if mine else None
        reports[group] = GroupReport(
            list(named.values()).count(group),
            steps and replace(steps, first_mistake=first_mistake_f1(mine, threshold=thresholds)),
            best_of_n(samples, ns=ns, seed=seed, trials=trials) if samples else None,
            _auc_interval(mine, seed=seed, trials=trials),
        )
    return reports


def _auc_interval(judged: Sequence[Judged], *, seed: int, trials: int) -> tuple[float, float] | None:
    """Return the 95 % interval of the step AUC over the same steps as `evaluate_steps` counts. A resample draws whole problems."""
    keys = sorted({solution.problem_key for solution in judged})
    places = {key: place for place, key in enumerate(keys)}
    rated = [
        (places[solution.problem_key], row[0], rating == -1)
        for solution in judged
        for row, rating in zip(solution.probabilities, solution.supervised, strict=False)
        if rating is not None
    ]
    if len(keys) < 2 or not rated:
        return None
    columns = np.array(rated, np.float64)
    times = seeded(seed, "groups").multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=trials)
    values = resampled_auc(columns[:, 1], columns[:, 2] == 1, problems=columns[:, 0].astype(np.int64), times=times)
    values = values[~np.isnan(values)]  # a resample can contain only one class
    if not len(values):
        return None
    low, high = np.quantile(values, (0.025, 0.975)).tolist()
    return low, high
