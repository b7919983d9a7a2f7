"""Projects whose rounds draw both sides from one pool: what choosing is worth there is known, so intervals can be checked against it.

The protocol is in docs/rounds.md. `python -m tests.trainer.payoff_world FIRST LAST FALSE` prints a JSON line for each seed.
"""

import json
import sys

import numpy as np

from trainer import payoff
from trainer.payoff import ROUNDS, Payoff, Read, Sides, compared, spent

WIDTH, LOOKS, START, HELD_OUT, PROBLEMS = 8, 6, 20, 8, 6  # PROBLEMS: of each side in a round, with two solutions each


def project_of(seed: int, *, share_false: float = 0.0) -> list[Payoff]:
    """Return what a project finds out at each of LOOKS looks; share_false: false labels among those at random."""
    rng, direction = np.random.default_rng(seed), np.random.default_rng(7).normal(size=WIDTH)
    direction /= np.linalg.norm(direction)

    def drawn(n_problems: int, *, name: str, each: int = 1, share_false: float = 0.0) -> list[Read]:
        found = []
        for problem in range(n_problems):
            shift, level = rng.normal(size=WIDTH), rng.normal() * 0.7
            for _ in range(each):
                n = int(rng.integers(3, 8))
                states = shift + rng.normal(size=(n, WIDTH))
                is_wrong = rng.random(n) < 1 / (1 + np.exp(1.6 - level - 2 * states @ direction))
                if is_wrong.any():  # a labeler stops at the first mistake
                    n = int(is_wrong.argmax()) + 1
                is_wrong = is_wrong[:n] ^ (rng.random(n) < share_false)
                found.append(Read(states[:n].astype(np.float16), np.eye(3)[np.where(is_wrong, 0, 2)], f"{name}-{problem}"))
        return found

    start, judges = drawn(START, name="start"), drawn(HELD_OUT, name="held out")
    rounds: list[Sides] = []
    looks = []
    for number in range(LOOKS + ROUNDS - 1):
        chosen = drawn(PROBLEMS, name=f"chosen {number}", each=2)
        rounds.append((chosen, drawn(PROBLEMS, name=f"random {number}", each=2, share_false=share_false)))
        judges += drawn(HELD_OUT // 2, name=f"held out {number}")
        if (look := len(rounds) - ROUNDS + 1) > 0:
            looks.append(compared(start, rounds, judges, seed=seed, error=spent(look, n_strategies=1)))
    return looks


def says_that_choosing_pays(looks: list[Payoff]) -> bool:
    """Whether any of the looks tells that choosing pays."""
    return any((look.decides.get("low") or 0) > 0 for look in looks)


if __name__ == "__main__":
    payoff.REPLICATES = payoff.FEWEST_REPLICATES
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps([look.as_dict() for look in project_of(number, share_false=float(sys.argv[3]))]), flush=True)
