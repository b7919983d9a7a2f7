"""Choose the problems that a run holds out to judge the model: a share, by a hash of the problem.

Reads labeled or graded solutions; gives problem keys, or says what is missing. All solutions of a problem are on the same side. The hash of
a problem does not depend on others, so it stays on its side when labels and problems come, and a problem that nobody has labeled yet has a
side too: the text of a problem that will be held out is never read.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial

from trainer.config import TrainConfig
from trainer.counting import counted
from trainer.data import GradedSolution, LabeledSolution, SolutionText
from trainer.evaluate import split_place, split_problems
from trainer.statements import without_blanks


class TooLittleToLearn(ValueError):
    """Too few labels to train and to judge; the message says how many there are and how many are needed."""


def hold_out(labels: Sequence[LabeledSolution | GradedSolution], *, config: TrainConfig) -> frozenset[str]:
    """Choose the held-out problems, or raise TooLittleToLearn.

    These are the ones whose hash says so, with exceptions while there are few. Training needs a negative label and another one, so if all
    problems with such a label would be held out, the one nearest to the border is not. If then none is held out, the nearest one is that
    training can spare: a model that is not judged does not serve. With three problems or more there always is one.
    """
    labeled, negative, more = ("graded solution", "wrong", "Grade") if config.kind == "orm" else ("rated step", "negative", "Label")
    ratings = [(label.solution.problem_key, is_negative) for label in labels for is_negative in _negatives(label)]
    problems = {problem for problem, _ in ratings}
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
    place = partial(split_place, seed=config.split_seed)
    chosen = set(split_problems(problems, held_out=config.held_out, seed=config.split_seed))
    for wanted in (True, False):
        having = {problem for problem, is_negative in ratings if is_negative == wanted}
        if having <= chosen:
            chosen.remove(max(having, key=place))
    if not chosen:
        needed = [{problem for problem, is_negative in ratings if is_negative == wanted} for wanted in (True, False)]
        spared = [problem for problem in problems if all(having != {problem} for having in needed)]
        chosen = {min(spared, key=place)} if spared else set()
    return frozenset(chosen)


def readable(
    texts: Iterable[SolutionText], labels: Sequence[LabeledSolution | GradedSolution], *, held_out: frozenset[str], config: TrainConfig
) -> Iterator[SolutionText]:
    """Yield those of `texts`, solutions without labels, that a training can read.

    Left out are solutions of problems that are held out, or will be when they are labeled, and solutions that are among `labels`. Keys such
    as "line 5" are of one file only, so a held-out problem is also known by its statement.
    """
    known = {(label.solution.problem, label.solution.steps) for label in labels}
    statements = {without_blanks(label.solution.problem) for label in labels if label.solution.problem_key in held_out}

    @lru_cache(maxsize=10_000)  # a problem has many solutions, which mostly come together
    def can_be_read(problem_key: str, statement: str) -> bool:
        will_be_held_out = split_place(problem_key, seed=config.split_seed) < config.held_out
        return problem_key not in held_out and not will_be_held_out and without_blanks(statement) not in statements

    for text in texts:
        if can_be_read(text.problem_key, text.problem) and (text.problem, text.steps) not in known:
            yield text


def _negatives(label: LabeledSolution | GradedSolution) -> list[bool]:
    """Tell for each rating whether it is negative. The grade is the only rating of a graded solution."""
    if isinstance(label, GradedSolution):
        return [not label.right]
    ratings = (*label.supervised, *(a.rating for a in label.supervised_alternatives))
    return [rating == -1 for rating in ratings if rating is not None]
