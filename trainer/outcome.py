"""Judge an outcome reward model by solutions whose final answer was graded.

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
    """The figures of an ORM on held-out grades; None where one is undefined. Solutions with unread steps are counted and left out."""

    n_problems: int
    n_solutions: int
    n_unread_solutions: int
    share_right: float | None
    solution_auc: float | None  # separates right from wrong solutions by the score
    log_loss: float | None  # over the two outcomes, in nats
    base_rate_log_loss: float | None
    base_rates: tuple[float, float, float]  # of the training part: wrong, 0, right
    threshold: float = ORACLE_THRESHOLD

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def report_outcomes(
    graded: Sequence[GradedSolution], probabilities: Sequence[Probabilities], *, base_rates: tuple[float, float, float]
) -> OutcomeReport:
    """Report on graded solutions, given an ORM's step probabilities (steps read, 3) for each."""
    read = [
        (grade.right, p[-1, 2]) for grade, p in zip(graded, probabilities, strict=True) if len(p) == len(grade.solution.steps)
    ]  # only the last step counts
    right = np.array([r for r, _ in read], bool)
    positive = np.array([p for _, p in read], np.float64)
    return OutcomeReport(
        n_problems=len({grade.solution.problem_key for grade in graded}),
        n_solutions=len(graded),
        n_unread_solutions=len(graded) - len(read),
        share_right=float(right.mean()) if len(right) else None,
        solution_auc=auc(positive, right),
        log_loss=log_loss(np.stack((1 - positive, positive), 1), right.astype(np.int64)),
        base_rate_log_loss=log_loss(np.tile((base_rates[0], base_rates[2]), (len(right), 1)), right.astype(np.int64)),
        base_rates=base_rates,
    )


def outcome_rates(graded: Sequence[GradedSolution]) -> tuple[float, float, float]:
    """Return the shares (wrong, 0, right). Each outcome is counted once more than seen, so that neither is impossible."""
    share = (sum(grade.right for grade in graded) + 1) / (len(graded) + 2)
    return 1 - share, 0.0, share
