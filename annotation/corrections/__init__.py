"""Stage: corrections. A wrong reference answer is corrected, or solutions are graded again, after a person saw what that changes.

Reads problems, solutions and the queue. `prepared` grades into temporary tables and writes nothing; its plan says what changes, and
`CorrectionPlan.apply` writes Problem, Solution and Events in one transaction. Labels stay. Scores follow by a trigger of active_learning.
"""

from annotation.corrections.plans import (
    CorrectionPlan,
    CorrectionRefused,
    NothingChanges,
    QueuedForFalseReason,
    ShownBefore,
    hold_outcomes,
    prepared,
    prepared_again,
)
from annotation.corrections.problems import NoSuchProblem, change_of_answer, correct, find_problem, look, shown_problem
from annotation.corrections.regrading import RegradeUnderWay, last_regrade, look_at_regrade, request_regrade, run_regrade, sweep_regrades
from annotation.ingest import ProblemChange, read_changes

__all__ = [
    "CorrectionPlan",
    "CorrectionRefused",
    "NoSuchProblem",
    "NothingChanges",
    "ProblemChange",
    "QueuedForFalseReason",
    "ShownBefore",
    "RegradeUnderWay",
    "change_of_answer",
    "correct",
    "find_problem",
    "hold_outcomes",
    "last_regrade",
    "look",
    "look_at_regrade",
    "prepared",
    "prepared_again",
    "read_changes",
    "request_regrade",
    "run_regrade",
    "shown_problem",
    "sweep_regrades",
]
