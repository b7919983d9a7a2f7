"""The simulated world: word problems, a generator that makes mistakes, and an oracle that knows every mistake. Pure.

`stories` is data. `problems` makes a problem from a story. `simulation` solves it, with or without mistakes.
"""

from active_learning.world.problems import Habits, MistakeKind, SimulatedProblem
from active_learning.world.simulation import OracleLabels, SimulatedSolution, label, make_world, noisy_label, sample_solution

__all__ = [
    "Habits",
    "MistakeKind",
    "OracleLabels",
    "SimulatedProblem",
    "SimulatedSolution",
    "label",
    "make_world",
    "noisy_label",
    "sample_solution",
]
