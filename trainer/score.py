"""Score solutions with a trained reward model: one forward per solution, three probabilities per step.

Reads a stream of solutions and holds one window of it; yields StepScores in the order of the stream. float32, so scores reproduce.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from trainer.data import EncodedSolution, Solution, buckets, encode, padded, windows
from trainer.evaluate import Probabilities, first_weak_step, solution_score
from trainer.model import RewardModel, load_prm
from trainer.progress import Clock, Progress

__all__ = ["RewardModel", "StepScores", "first_weak_step", "load_prm", "score_solutions", "solution_score"]

WINDOW = 4096  # solutions sorted by length at a time: memory stays flat however long the stream


@dataclass(frozen=True, slots=True)
class StepScores:
    """Probabilities of the steps that were read, (n_steps read, 3) float32: negative, neutral, positive."""

    key: str
    probabilities: Probabilities
    unread_steps: int = 0  # steps beyond the model's context

    @property
    def score(self) -> float:
        """The product of p(neutral) + p(positive); 0 for a solution that was not read to its end."""
        return solution_score(self.probabilities, unread_steps=self.unread_steps)


def score_solutions(
    model: RewardModel,
    solutions: Iterable[Solution],
    *,
    token_budget: int = 16384,
    total: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[StepScores]:
    """Yield the step scores of each solution, in order, reading the stream a window at a time.

    Batches are grouped by length within a window; a score does not depend on its neighbours beyond float32 rounding. `total` lets
    `progress` tell the time left; an exception it raises ends the run.
    """
    clock, done = Clock("scoring", total, progress), 0
    for window in windows(solutions, size=WINDOW):
        encoded = encode(window, tokenizer=model.tokenizer, context=model.context)
        probabilities: list[Probabilities] = [np.empty((0, 3), np.float32)] * len(window)
        for group in buckets([len(one.ids) for one in encoded], token_budget=token_budget):
            for i, rows in zip(group, step_probabilities(model, [encoded[i] for i in group]), strict=True):
                probabilities[i] = rows
            done += len(group)
            clock.tick(done)
        for solution, one, rows in zip(window, encoded, probabilities, strict=True):
            yield StepScores(solution.key, rows, one.unread_steps)


@torch.inference_mode()
def step_probabilities(model: RewardModel, encoded: list[EncodedSolution]) -> list[Probabilities]:
    """Run one batch and return, for each solution, its (steps read, 3) float32 probabilities."""
    model.network.eval()
    device = model.network.device
    states = model.hidden_states(torch.from_numpy(padded(encoded, pad_id=model.tokenizer.pad_id)).to(device))  # (B, T, D)
    counts = [len(one.step_ends) for one in encoded]
    rows = torch.from_numpy(np.repeat(np.arange(len(encoded)), counts)).to(device)
    columns = torch.from_numpy(np.concatenate([one.step_ends for one in encoded]).astype(np.int64)).to(device)
    flat = model.rating_log_probabilities(states[rows, columns]).exp().cpu().numpy()  # (steps of the batch, 3)
    return np.split(flat, np.cumsum(counts)[:-1])
