"""Score solutions with a trained reward model: three probabilities per step, and what the uncertainty heads think of them.

Reads a stream of solutions and holds two windows of it, one being scored and one being tokenised; yields StepScores in the order of the
stream. float32 unless asked otherwise, so scores reproduce. docs/scoring.md says what makes it fast.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.data import EncodedSolution, Solution, encode, windows
from trainer.evaluate import Probabilities, first_weak_step, solution_score
from trainer.model import RewardModel, load_prm
from trainer.prefix import Reader
from trainer.progress import Clock, Progress

__all__ = ["RewardModel", "StepScores", "first_weak_step", "load_prm", "on_fastest_device", "score_solutions", "solution_score"]

log = logging.getLogger(__name__)

WINDOW = 4096  # solutions sorted by length at a time: memory stays flat however long the stream
NUMBERS_AT_ONCE = 2**18  # a processor is fastest while the states of a batch, tokens x width, stay in its second cache: 1 MiB
TOKENS_AT_LEAST, TOKENS_ON_GPU = 512, 65536  # fewer starve the matrix product of a wide network; a GPU wants to be full


@dataclass(frozen=True, slots=True)
class StepScores:
    """Probabilities of the steps that were read, (n_steps read, 3) float32: negative, neutral, positive.

    `means` and `deviations`, (n_steps read,) float32, are those of p(negative) over the uncertainty heads; None without heads. Of an
    outcome reward model (`kind` "orm") each row says whether the final answer will be right, and neutral is 0.
    """

    key: str
    probabilities: Probabilities
    unread_steps: int = 0  # steps beyond the model's context
    deviations: NDArray[np.float32] | None = None
    means: NDArray[np.float32] | None = None
    kind: str = "prm"

    @property
    def score(self) -> float:
        """The product of p(neutral) + p(positive), of an ORM the last p(positive); 0 for a solution that was not read to its end."""
        if self.kind == "orm":
            return float(self.probabilities[-1, 2]) if len(self.probabilities) and not self.unread_steps else 0.0
        return solution_score(self.probabilities, unread_steps=self.unread_steps)


def score_solutions(
    model: RewardModel,
    solutions: Iterable[Solution],
    *,
    token_budget: int | None = None,
    bfloat16: bool = False,
    packing: bool = False,
    total: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[StepScores]:
    """Yield the step scores of each solution, in order, reading the stream a window at a time.

    A score does not depend on its neighbours beyond float32 rounding. `token_budget` bounds the tokens of one forward (None: what suits
    the device); `bfloat16` trades exact scores for speed; `packing` puts solutions end to end where a GPU can, and raises PackingRefused
    elsewhere. `total` lets `progress` tell the time left; an exception it raises ends the run.
    """
    clock, done = Clock("scoring", total, progress), 0
    reader = Reader(model, token_budget=token_budget or suitable_budget(model), bfloat16=bfloat16, packing=packing)
    for window, encoded in encoded_ahead(solutions, model=model):
        figures: list[NDArray[np.float32]] = [np.empty((0, 5), np.float32)] * len(window)
        for places, table in tables(reader, window, encoded, clock=clock, before=done):
            counts = [len(encoded[place].step_ends) for place in places]
            for place, own in zip(places, np.split(table.cpu().numpy(), np.cumsum(counts)[:-1]), strict=True):
                figures[place] = own
        done += len(window)
        clock.tick(done)
        for solution, one, rows in zip(window, encoded, figures, strict=True):
            means, deviations = (None, None) if model.heads is None else (rows[:, 3], rows[:, 4])
            yield StepScores(solution.key, rows[:, :3], one.unread_steps, deviations, means, model.kind)


@torch.inference_mode()
def tables(
    reader: Reader, window: Sequence[Solution], encoded: Sequence[EncodedSolution], *, clock: Clock, before: int
) -> list[tuple[NDArray[np.int64], Tensor]]:
    """Read a window and return, batch by batch, the places of its solutions and the figures of all their steps, still on the device.

    A GPU works on while batches are made, and is waited for once. Out of its memory, the window is read again in batches half as large.
    """
    while True:
        try:
            done: list[tuple[NDArray[np.int64], Tensor]] = []
            for places, states in reader.step_end_states(encoded, [solution.problem for solution in window]):
                done.append((places, step_figures(reader.model, states)))
                clock.tick(before + sum(len(some) for some, _ in done))
            return done
        except torch.OutOfMemoryError:
            if reader.token_budget < max(len(one.ids) for one in encoded):  # one solution a batch already
                raise
            reader.token_budget //= 2
            log.warning("The GPU is out of memory: reading goes on with %d tokens at once.", reader.token_budget)
            torch.cuda.empty_cache()


def on_fastest_device(model: RewardModel) -> RewardModel:
    """Move the model to the GPU if there is one; in place, and returned."""
    if torch.cuda.is_available():
        for part in (model.network, model.heads):
            if part is not None:
                nn.Module.to(part, "cuda")
    return model


def suitable_budget(model: RewardModel) -> int:
    """Return how many tokens of one forward suit the device and the width of the network."""
    if model.network.device.type != "cpu":
        return TOKENS_ON_GPU
    return max(TOKENS_AT_LEAST, NUMBERS_AT_ONCE // model.network.config.get_text_config().hidden_size)


def step_figures(model: RewardModel, states: Tensor) -> Tensor:
    """Turn step-end states (N, D) into (N, 3) probabilities or, with uncertainty heads, (N, 5): mean and deviation beside them; float32."""
    probabilities = model.rating_log_probabilities(states).exp()
    return probabilities if model.heads is None else torch.cat([probabilities, model.uncertainty(states)], dim=1)


def encoded_ahead(solutions: Iterable[Solution], *, model: RewardModel) -> Iterator[tuple[list[Solution], list[EncodedSolution]]]:
    """Yield window after window with its token ids, the next one being tokenised meanwhile.

    The tokenizer gives the lock of the interpreter free, so the network does not wait. The stream itself is read by the caller's
    thread: it may hang on a database connection.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="tokenise") as pool:
        ready: tuple[list[Solution], Future[list[EncodedSolution]]] | None = None
        for window in windows(solutions, size=WINDOW):
            ahead = window, pool.submit(encode, window, tokenizer=model.tokenizer, context=model.context)
            if ready:
                yield ready[0], ready[1].result()
            ready = ahead
        if ready:
            yield ready[0], ready[1].result()
