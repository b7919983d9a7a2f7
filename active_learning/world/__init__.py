"""The simulated world: word problems, a generator that makes mistakes, and an oracle that knows every mistake. Pure.

`stories` is data. `problems` makes a problem from a story. `simulation` solves it, with or without mistakes.
`demonstrated` is the world of the demonstration.
"""

from active_learning.world.demonstrated import N_PROBLEMS, N_SOLUTIONS, PREFIX, demonstrated_world, truth_of
from active_learning.world.problems import Habits, MistakeKind, SimulatedProblem
from active_learning.world.simulation import OracleLabels, SimulatedSolution, label, make_world, noisy_label, sample_solution

__all__ = [
    "N_PROBLEMS",
    "N_SOLUTIONS",
    "PREFIX",
    "Habits",
    "MistakeKind",
    "OracleLabels",
    "SimulatedProblem",
    "SimulatedSolution",
    "demonstrated_world",
    "label",
    "make_world",
    "noisy_label",
    "sample_solution",
    "truth_of",
]
