"""Judge reward models against people. numpy only: no model is loaded here.

Reads step probabilities with ratings (`Judged`) and graded samples with scores (`Samples`); gives reports as plain values.
docs/evaluation.md explains each figure.
"""

from trainer.evaluate.comparison import Comparison, Difference, compare, intervals_of, over_base_rate, resampled_auc
from trainer.evaluate.groups import FEWEST, UNGROUPED, GroupReport, difficulty_quintiles, evaluate_groups
from trainer.evaluate.kinds import KindReport, evaluate_kinds
from trainer.evaluate.samples import BestOfN, Curve, Samples, best_of_n, counts_to, expected_right, share_of_draws_inside
from trainer.evaluate.scores import AGGREGATES, ORACLE_THRESHOLD, Probabilities, aggregate, first_weak_step, score_per_step, solution_score
from trainer.evaluate.steps import (
    FirstMistakeF1,
    Judged,
    ProblemStraddles,
    StepReport,
    auc,
    base_rates,
    check_apart,
    choose_threshold,
    cross_fitted_thresholds,
    evaluate_steps,
    first_mistake_f1,
    first_mistake_interval,
    split_place,
    split_problems,
)
from trainer.evaluate.temperature import FLOOR, Bin, Calibration, calibration, log_loss

__all__ = [
    "AGGREGATES",
    "FEWEST",
    "FLOOR",
    "ORACLE_THRESHOLD",
    "UNGROUPED",
    "BestOfN",
    "Bin",
    "Calibration",
    "Comparison",
    "Curve",
    "Difference",
    "FirstMistakeF1",
    "GroupReport",
    "Judged",
    "KindReport",
    "Probabilities",
    "ProblemStraddles",
    "Samples",
    "StepReport",
    "aggregate",
    "auc",
    "base_rates",
    "best_of_n",
    "calibration",
    "check_apart",
    "choose_threshold",
    "compare",
    "counts_to",
    "cross_fitted_thresholds",
    "difficulty_quintiles",
    "evaluate_groups",
    "evaluate_kinds",
    "evaluate_steps",
    "expected_right",
    "first_mistake_f1",
    "first_mistake_interval",
    "first_weak_step",
    "intervals_of",
    "log_loss",
    "over_base_rate",
    "resampled_auc",
    "score_per_step",
    "share_of_draws_inside",
    "solution_score",
    "split_place",
    "split_problems",
]
