"""A world a model of two layers learns in seconds: a step is wrong when its sum is, and sums are of numbers below three."""

import numpy as np

from trainer.config import TinyShape, TrainConfig
from trainer.data import LabeledSolution, SolutionText

SHAPE = TinyShape(layers=2, width=32, heads=2, feed_forward=64, merges=50)


def small(**changes: object) -> TrainConfig:
    """A recipe for this world."""
    recipe = {
        "shape": SHAPE,
        "token_budget": 1024,
        "context": 256,
        "epochs": 20,
        "language_model_epochs": 1,
        "learning_rate": 1e-2,
        "autocast": False,
        "minimum_updates": 1,
    }
    return TrainConfig.for_base(**(recipe | changes))


def sums(n_problems: int, *, seed: int = 0) -> list[LabeledSolution]:
    """Two solutions a problem, three sums each; labels stop at the first wrong one."""
    rng = np.random.default_rng(seed)
    labeled = []
    for problem in range(n_problems):
        for copy in range(2):
            steps, ratings = [], []
            for _ in range(3):
                a, b = (int(n) for n in rng.integers(0, 3, 2))
                wrong = rng.random() < 0.25
                steps.append(f"We add: {a} + {b} = {a + b + (int(rng.integers(1, 3)) if wrong else 0)}.")
                ratings.append(-1 if wrong else 1)
            stop = ratings.index(-1) + 1 if -1 in ratings else 3
            labeled.append(
                LabeledSolution(
                    SolutionText(f"{seed}-{problem}-{copy}", f"{seed}-{problem}", f"Problem {problem}: add the numbers.", tuple(steps)),
                    tuple(ratings[:stop]),
                )
            )
    return labeled
