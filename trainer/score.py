"""Score solutions with a trained reward model: three probabilities per step, and the figures of the uncertainty heads.

Reads a stream of solutions and yields a ScoredSolution for each, in the same order. Two windows of the stream are in memory: one is
scored while the next is tokenised. Scores are float32 unless the caller chooses otherwise, so they reproduce. What makes it fast:
docs/scoring.md.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.data import EncodedSolution, SolutionText, encode, windows
from trainer.evaluate import Probabilities, first_weak_step, solution_score
from trainer.model import RewardModel, load_prm
from trainer.prefix import Reader
from trainer.progress import Clock, Progress

__all__ = ["RewardModel", "ScoredSolution", "first_weak_step", "load_prm", "on_fastest_device", "score_solutions", "solution_score"]

log = logging.getLogger(__name__)

WINDOW = 4096  # solutions that are sorted by length together: memory does not grow with the stream
NUMBERS_AT_ONCE = 2**18  # a processor is fastest while the states of a batch (tokens x width) fit into its second cache: 1 MiB
TOKENS_AT_LEAST, TOKENS_ON_GPU = 512, 65536  # fewer tokens make the matrix products of a wide network slow; a GPU needs many


@dataclass(frozen=True, slots=True)
class ScoredSolution:
    """One solution's step probabilities, (n_steps read, 3) float32: negative, neutral, positive.

    `means` and `deviations`, (n_steps read,) float32, are mean and standard deviation of p(negative) over the uncertainty heads; None
    without heads. `changes`, (n_steps read,) float32, is how much the head above a frozen base would change if the step were rated
    (`FrozenHeads.expected_change`); None for other models. For an outcome reward model (`kind` "orm") a row says whether the final answer
    will be right, and neutral is 0.
    """

    key: str
    probabilities: Probabilities
    unread_steps: int = 0  # steps beyond the model's context
    deviations: NDArray[np.float32] | None = None
    means: NDArray[np.float32] | None = None
    kind: str = "prm"
    changes: NDArray[np.float32] | None = None

    @property
    def score(self) -> float:
        """The product of p(neutral) + p(positive) over the steps; for an ORM the last p(positive). 0 if some steps were not read."""
        if self.kind == "orm":
            return float(self.probabilities[-1, 2]) if len(self.probabilities) and not self.unread_steps else 0.0
        return solution_score(self.probabilities, unread_steps=self.unread_steps)


def score_solutions(
    model: RewardModel,
    solutions: Iterable[SolutionText],
    *,
    token_budget: int | None = None,
    bfloat16: bool = False,
    packing: bool = False,
    total: int | None = None,
    progress: Progress | None = None,
) -> Iterator[ScoredSolution]:
    """Yield a ScoredSolution for each solution, in order. Reads the stream one window at a time.

    A score does not depend on the other solutions, except for float32 rounding. `token_budget` limits the tokens of one forward pass
    (None: what suits the device). `bfloat16` is faster and less exact. `packing` puts solutions end to end and needs a GPU: it raises
    PackingRefused elsewhere. With `total`, `progress` gets the time left; an exception that it raises ends the run.
    """
    clock, done = Clock("scoring", total, progress), 0
    reader = Reader(model, token_budget=token_budget or suitable_budget(model), bfloat16=bfloat16, packing=packing)
    for window, encoded in encoded_ahead(solutions, model=model):
        figures: list[NDArray[np.float32]] = [np.empty((0, 6), np.float32)] * len(window)
        for places, table in tables(reader, window, encoded, clock=clock, before=done):
            counts = [len(encoded[place].step_ends) for place in places]
            for place, own in zip(places, np.split(table.cpu().numpy(), np.cumsum(counts)[:-1]), strict=True):
                figures[place] = own
        done += len(window)
        clock.tick(done)
        for solution, ids, rows in zip(window, encoded, figures, strict=True):
            means, deviations = (rows[:, 3], rows[:, 4]) if model.has_uncertainty else (None, None)
            changes = rows[:, -1] if model.frozen_heads is not None else None
            yield ScoredSolution(solution.key, rows[:, :3], ids.unread_steps, deviations, means, model.kind, changes)


@torch.inference_mode()
def tables(
    reader: Reader, window: Sequence[SolutionText], encoded: Sequence[EncodedSolution], *, clock: Clock, before: int
) -> list[tuple[NDArray[np.int64], Tensor]]:
    """Read a window; return for each batch the places of its solutions and the figures of their steps, still on the device.

    A GPU keeps working while the next batches are made, and is waited for once. If its memory is full, the window is read again with half
    the token budget.
    """
    while True:
        try:
            done: list[tuple[NDArray[np.int64], Tensor]] = []
            n_done = before
            for places, states in reader.step_end_states(encoded, [solution.problem for solution in window]):
                done.append((places, step_figures(reader.model, states)))
                n_done += len(places)
                clock.tick(n_done)
            return done
        except torch.OutOfMemoryError:
            if reader.token_budget < max(len(one.ids) for one in encoded):  # each batch is one solution already
                raise
            reader.token_budget //= 2
            log.warning("The GPU's memory is full. Scoring goes on with at most %d tokens in a batch.", reader.token_budget)
            torch.cuda.empty_cache()


def on_fastest_device(model: RewardModel) -> RewardModel:
    """Move the model to the GPU if there is one, and return it."""
    if torch.cuda.is_available():
        for part in (model.network, model.heads, model.frozen_heads):
            if part is not None:
                nn.Module.to(part, "cuda")
    return model


def suitable_budget(model: RewardModel) -> int:
    """Return the number of tokens per forward pass that suits the device and the width of the network."""
    if model.network.device.type != "cpu":
        return TOKENS_ON_GPU
    return max(TOKENS_AT_LEAST, NUMBERS_AT_ONCE // model.network.config.get_text_config().hidden_size)


def step_figures(model: RewardModel, states: Tensor) -> Tensor:
    """Turn step-end states (N, D) into figures, float32: the probabilities (N, 3); with uncertainty heads their mean and deviation; above a
    frozen base the expected change, which comes last.
    """
    figures = [model.rating_log_probabilities(states).exp()]
    if model.has_uncertainty:
        figures.append(model.uncertainty(states))
    if model.frozen_heads is not None:
        figures.append(model.frozen_heads.expected_change(states, kind=model.kind)[:, None])
    return torch.cat(figures, dim=1) if len(figures) > 1 else figures[0]


def encoded_ahead(solutions: Iterable[SolutionText], *, model: RewardModel) -> Iterator[tuple[list[SolutionText], list[EncodedSolution]]]:
    """Yield each window with its token ids while a thread tokenises the next one.

    The tokenizer releases Python's global lock, so the network does not wait. The caller's thread reads the stream, because the stream
    may use a database connection.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="tokenise") as pool:
        ready: tuple[list[SolutionText], Future[list[EncodedSolution]]] | None = None
        for window in windows(solutions, size=WINDOW):
            ahead = window, pool.submit(encode, window, tokenizer=model.tokenizer, context=model.context)
            if ready:
                yield ready[0], ready[1].result()
            ready = ahead
        if ready:
            yield ready[0], ready[1].result()
