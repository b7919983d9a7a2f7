"""The world of the demonstration: what its generator does wrong, and the truth about its solutions, found again by their text.

Pure. Most mistakes are misread conditions: words and sum match each other, but not the problem. No program that spoils right solutions at
random makes them, so the shipped base was not drilled on them, and labels have something to teach. docs/simulation.md has the figures.
"""

from collections.abc import Iterator
from functools import cache

from active_learning.world.problems import Habits, MistakeKind, SimulatedProblem
from active_learning.world.simulation import SimulatedSolution, make_world

SEED = 2306  # of no other world: benchmarks, base and experiments have seeds of their own
PREFIX = f"world-{SEED}-"  # of the external ids of its problems
N_PROBLEMS, N_SOLUTIONS = 300, 8
SKILL = 0.6
HABITS = Habits(
    weights={
        MistakeKind.MISREAD_CONDITION: 1.5,
        MistakeKind.SKIPPED_CONDITION: 0.3,
        MistakeKind.UNIT: 0.1,
        MistakeKind.SLIP: 0.08,
        MistakeKind.COPIED_NUMBER: 0.08,
        MistakeKind.WRONG_OPERATION: 0.08,
        MistakeKind.OTHER_QUESTION: 0.08,
    },
    traps=frozenset({MistakeKind.MISREAD_CONDITION}),
    mends=0.0,
)


def demonstrated_world(
    *, n_problems: int = N_PROBLEMS, n_solutions: int = N_SOLUTIONS
) -> Iterator[tuple[SimulatedProblem, list[SimulatedSolution]]]:
    """Yield the problems of the demonstration, each with its solutions; a smaller world is the beginning of the larger one."""
    return make_world(SEED, n_problems=n_problems, n_solutions=n_solutions, skill=SKILL, habits=HABITS)


def truth_of(statement: str, steps: tuple[str, ...]) -> SimulatedSolution | None:
    """Return the solution with these texts, ratings and kind of mistake included; None if the demonstration has none like it.

    The first call makes the whole world, which takes a second.
    """
    return _by_text().get((statement, steps))


@cache
def _by_text() -> dict[tuple[str, tuple[str, ...]], SimulatedSolution]:
    return {(problem.statement, solution.steps): solution for problem, solutions in demonstrated_world() for solution in solutions}
