"""Which problems a run holds out to judge the model: a share chosen by hash, unless the labels are too few to spare them.

Reads labeled or graded solutions; gives problem keys, or says what is missing. A problem never stands on both sides.
"""

from collections.abc import Sequence

from trainer.config import TrainConfig
from trainer.data import GradedSolution, LabeledSolution
from trainer.evaluate import split_problems


class TooLittleToLearn(ValueError):
    """Not enough labels to train and judge on; the message says how many there are and how many are needed."""


def hold_out(labels: Sequence[LabeledSolution | GradedSolution], *, config: TrainConfig) -> frozenset[str]:
    """Choose the held-out problems, or raise TooLittleToLearn.

    A problem whose loss would leave training without a negative label, or without any other, stays in training: with a handful of
    labels there may be a single one.
    """
    labeled, negative, more = ("graded solutions", "wrong", "Grade") if config.kind == "orm" else ("rated steps", "negative", "Label")
    problems = {one.solution.problem_key for one in labels}
    found = [(one.solution.problem_key, is_negative) for one in labels for is_negative in _negatives(one)]
    n_negative = sum(is_negative for _, is_negative in found)
    if len(found) < config.minimum_rated_steps:
        raise TooLittleToLearn(
            f"There are {len(found)} {labeled} and at least {config.minimum_rated_steps} are needed. {more} more solutions first."
        )
    if not 0 < n_negative < len(found):
        raise TooLittleToLearn(
            f"Of {len(found)} {labeled} {n_negative} are {negative}: a model can only be trained if at least one is {negative} "
            f"and at least one is not. {more} more solutions first."
        )
    if len(problems) < config.minimum_problems:
        raise TooLittleToLearn(
            f"The {labeled} cover {len(problems)} problems and at least {config.minimum_problems} are needed, so that some can be held out "
            f"to judge the model. {more} solutions of other problems first."
        )
    chosen = set(split_problems(problems, held_out=config.held_out, seed=config.split_seed))
    for wanted in (True, False):
        having = {problem for problem, is_negative in found if is_negative == wanted}
        if having <= chosen:
            chosen.remove(min(having))
    return frozenset(chosen)


def _negatives(one: LabeledSolution | GradedSolution) -> list[bool]:
    """Tell of each label whether it is negative; of a graded solution the grade is the only one."""
    if isinstance(one, GradedSolution):
        return [not one.right]
    ratings = (*one.supervised, *(a.rating for a in one.supervised_alternatives))
    return [rating == -1 for rating in ratings if rating is not None]
