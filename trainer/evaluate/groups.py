"""The same figures for parts of the problems: by difficulty, by subject, by source.

Reads a mapping of problem key to group; gives one GroupReport for each group. A problem is in one group with all its solutions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainer.evaluate.samples import BestOfN, Samples, best_of_n
from trainer.evaluate.steps import Judged, Report, choose_threshold, cross_fitted_thresholds, evaluate_steps, first_mistake_f1

UNGROUPED = "(none)"  # problems that the mapping does not name


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What the steps and the samples of one group of problems say of a model; None without any."""

    n_problems: int
    steps: Report | None
    best_of_n: BestOfN | None

    def as_dict(self) -> dict[str, Any]:
        """One row of a table, for JSON: the step figures, and each way of choosing at the largest N."""
        row: dict[str, Any] = {"n_problems": self.n_problems}
        if self.steps:
            names = ("n_solutions", "n_rated_steps", "share_negative", "step_auc", "position_auc", "log_loss", "base_rate_log_loss")
            row |= {name: getattr(self.steps, name) for name in names}
            row["first_mistake_f1"] = self.steps.first_mistake and self.steps.first_mistake.f1
        if self.best_of_n:
            row |= {"n": self.best_of_n.n[-1], "best_of_n": self.best_of_n.at_last()}
        return row


def difficulty_quintiles(problems: Sequence[Samples]) -> dict[str, str]:
    """Sort problems by their share of right samples and cut them into fifths; 1 is the hardest. Equal shares are cut by the order of keys.

    The name of a fifth tells its shares, such as "1 of 5: 0.00 to 0.12 right". Fewer than five problems leave fifths empty.
    """
    shares = {one.problem_key: float(one.right.mean()) for one in problems}
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
    """Report on each group of problems by itself, in the order of the groups' names; a problem without a group counts as "(none)".

    Base rates and threshold are those of all, since a group has too few solutions to choose its own. Without a threshold, two halves of
    all the problems are each judged at the one chosen on the other.
    """
    thresholds: float | dict[str, float] = cross_fitted_thresholds(judged) if threshold is None else threshold
    said = ("given", "two halves of all problems, each judged at the threshold chosen on the other")[threshold is None]
    at = choose_threshold(judged) if threshold is None else threshold
    named = {key: groups.get(key, UNGROUPED) for key in (*(one.problem_key for one in judged), *(one.problem_key for one in problems))}
    ns = [min(len(one.right) for one in problems)] if problems else []
    reports = {}
    for group in sorted(set(named.values())):
        mine = [one for one in judged if named[one.problem_key] == group]
        samples = [one for one in problems if named[one.problem_key] == group]
        steps = evaluate_steps(mine, base_rates=base_rates, threshold=at, threshold_split=said) if mine else None
        reports[group] = GroupReport(
            list(named.values()).count(group),
            steps and replace(steps, first_mistake=first_mistake_f1(mine, threshold=thresholds)),
            best_of_n(samples, ns=ns, seed=seed, trials=trials) if samples else None,
        )
    return reports
