"""How an outcome reward model is judged: by solutions graded by their final answer, no steps.

Reads graded solutions and step probabilities; gives a report. The score is p(positive) at the last step (arXiv 2305.20050).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.data import GradedSolution
from trainer.evaluate import ORACLE_THRESHOLD, Probabilities, auc, log_loss


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """What held-out grades say of an ORM. None where it is undefined; solutions not read to their end are counted and left out."""

    n_problems: int
    n_solutions: int
    n_unread_solutions: int
    share_right: float | None
    solution_auc: float | None  # right against wrong, by the score
    log_loss: float | None  # of the two outcomes, in nats
    base_rate_log_loss: float | None
    base_rates: tuple[float, float, float]  # wrong, 0, right: of the training part
    threshold: float = ORACLE_THRESHOLD

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def report_outcomes(
    graded: Sequence[GradedSolution], probabilities: Sequence[Probabilities], *, base_rates: tuple[float, float, float]
) -> OutcomeReport:
    """Report on graded solutions, given an ORM's step probabilities (steps read, 3) of each."""
    read = [
        (one.right, p[-1, 2]) for one, p in zip(graded, probabilities, strict=True) if len(p) == len(one.solution.steps)
    ]  # only the last step's counts
    right = np.array([r for r, _ in read], bool)
    positive = np.array([p for _, p in read], np.float64)
    return OutcomeReport(
        n_problems=len({one.solution.problem_key for one in graded}),
        n_solutions=len(graded),
        n_unread_solutions=len(graded) - len(read),
        share_right=float(right.mean()) if len(right) else None,
        solution_auc=auc(positive, right),
        log_loss=log_loss(np.stack((1 - positive, positive), 1), right.astype(np.int64)),
        base_rate_log_loss=log_loss(np.tile((base_rates[0], base_rates[2]), (len(right), 1)), right.astype(np.int64)),
        base_rates=base_rates,
    )


def outcome_rates(graded: Sequence[GradedSolution]) -> tuple[float, float, float]:
    """Return the shares of wrong, of nothing, and of right, each outcome counted once more than seen so that none is impossible."""
    share = (sum(one.right for one in graded) + 1) / (len(graded) + 2)
    return 1 - share, 0.0, share
