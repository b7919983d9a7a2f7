"""Choose the problems that a run holds out to judge the model: a share, by a hash of the problem.

Reads labeled or graded solutions; gives problem keys, or says what is missing. All solutions of a problem are on the same side.
"""

from collections.abc import Sequence

from trainer.config import TrainConfig
from trainer.counting import counted
from trainer.data import GradedSolution, LabeledSolution
from trainer.evaluate import split_problems


class TooLittleToLearn(ValueError):
    """Too few labels to train and to judge; the message says how many there are and how many are needed."""


def hold_out(labels: Sequence[LabeledSolution | GradedSolution], *, config: TrainConfig) -> frozenset[str]:
    """Choose the held-out problems, or raise TooLittleToLearn.

    Training needs a negative label and another one. If there is only one problem with such a label, it stays in training.
    """
    labeled, negative, more = ("graded solution", "wrong", "Grade") if config.kind == "orm" else ("rated step", "negative", "Label")
    problems = {label.solution.problem_key for label in labels}
    ratings = [(label.solution.problem_key, is_negative) for label in labels for is_negative in _negatives(label)]
    n_negative = sum(is_negative for _, is_negative in ratings)
    if len(ratings) < config.minimum_rated_steps:
        raise TooLittleToLearn(
            f"There {'is' if len(ratings) == 1 else 'are'} {counted(len(ratings), labeled)}, but at least "
            f"{config.minimum_rated_steps} are needed. "
            f"{more} more solutions first."
        )
    if not 0 < n_negative < len(ratings):
        raise TooLittleToLearn(
            f"Of {counted(len(ratings), labeled)}, {counted(n_negative, 'is', 'are')} {negative}. Training needs at "
            f"least one that is {negative} and one that is "
            f"not. {more} more solutions first."
        )
    if len(problems) < config.minimum_problems:
        raise TooLittleToLearn(
            f"The {labeled}s cover {counted(len(problems), 'problem')}, but at least {config.minimum_problems} are "
            f"needed: some are held out to judge "
            f"the model. {more} solutions of other problems first."
        )
    chosen = set(split_problems(problems, held_out=config.held_out, seed=config.split_seed))
    for wanted in (True, False):
        having = {problem for problem, is_negative in ratings if is_negative == wanted}
        if having <= chosen:
            chosen.remove(min(having))
    return frozenset(chosen)


def _negatives(label: LabeledSolution | GradedSolution) -> list[bool]:
    """Tell for each rating whether it is negative. The grade is the only rating of a graded solution."""
    if isinstance(label, GradedSolution):
        return [not label.right]
    ratings = (*label.supervised, *(a.rating for a in label.supervised_alternatives))
    return [rating == -1 for rating in ratings if rating is not None]
