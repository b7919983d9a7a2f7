"""Choose which scored solutions people see next. PURE: arrays in, indices out, randomness passed in.

Reads what the candidate query returned (tens of thousands of rows at most); `rounds` writes the choice down.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def most_convincing_wrong(scores: NDArray[np.floating], problems: NDArray[np.int64], *, size: int, per_problem: int | None) -> Indices:
    """Return the indices of the `size` highest scores, best first, at most `per_problem` of one problem.

    `scores` and `problems` are (n,) and hold wrong-answer solutions only. Ties go to the earlier index, so the choice is reproducible.
    Source: "Let's Verify Step by Step", section 2.4: convincing wrong-answer solutions, top-K per problem or globally (`per_problem` None).
    """
    order = np.argsort(-scores, kind="stable").astype(np.int64)
    if per_problem is not None:
        order = order[_rank_within(problems[order]) < per_problem]
    return order[:size]


def random_pick(problems: NDArray[np.int64], *, size: int, per_problem: int | None, rng: np.random.Generator) -> Indices:
    """Return up to `size` indices drawn uniformly, at most `per_problem` of one problem: the floor every strategy is measured against."""
    order = rng.permutation(len(problems)).astype(np.int64)
    if per_problem is not None:
        order = order[_rank_within(problems[order]) < per_problem]
    return order[:size]


def _rank_within(problems: NDArray[np.int64]) -> Indices:
    """Return for each place how many earlier places hold the same problem."""
    by_problem = np.argsort(problems, kind="stable")
    ordered = problems[by_problem]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.int64)
    ranks = np.empty(len(problems), np.int64)
    ranks[by_problem] = np.arange(len(problems)) - np.repeat(starts, np.diff(np.r_[starts, len(problems)]))
    return ranks
