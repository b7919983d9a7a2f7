"""Read encoded solutions with a network, each problem's text once for all its solutions, and give the states at their step ends.

Reads EncodedSolution; gives `score` batches of places and states (N, D). Two short cuts, both exact: the tokens that the solutions of a
problem begin with are read once and their cache is copied, and the last feed-forward layer reads the step ends alone.
A network whose states a short cut changes is read without it.
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import DynamicCache

from trainer.data import EncodedSolution, buckets, padded
from trainer.last_layer import last_feed_forward, reads_only
from trainer.model import RewardModel
from trainer.packing import attends_within_borders, check_packing, packed, packs

__all__ = ["Beginning", "Reader", "common_beginnings"]

log = logging.getLogger(__name__)

WORTH_SHARING = 256  # tokens: what a further forward and its mask cost a small network
SAME = 1e-4  # largest difference, relative to the largest state, that rounding explains in float32
LENGTH_DEPENDENT = ("dynamic", "longrope")  # rotations that change with the length of the whole: a beginning alone is another text
# How a network says that it cannot go on from a cache.
REFUSALS = (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Solutions, by their places in a list, whose first `length` tokens are the same; no step ends among these."""

    places: NDArray[np.int64]
    length: int

    @property
    def saved(self) -> int:
        """Tokens that need not be read again."""
        return (len(self.places) - 1) * self.length


def common_beginnings(encoded: Sequence[EncodedSolution], problems: Sequence[str]) -> list[Beginning]:
    """Find what the solutions of each problem begin with in common; a problem with one solution has nothing to share."""
    solutions: dict[str, list[int]] = {}
    for place, (one, problem) in enumerate(zip(encoded, problems, strict=True)):
        if len(one.step_ends):
            solutions.setdefault(problem, []).append(place)
    found = []
    for places in solutions.values():
        if len(places) > 1:
            shortest = min(int(encoded[place].step_ends[0]) for place in places)
            starts = np.stack([encoded[place].ids[:shortest] for place in places])
            agree = (starts == starts[0]).all(axis=0)
            found.append(Beginning(np.array(places), shortest if agree.all() else int(agree.argmin())))
    return found


class Reader:
    """Reads solutions with one model, a batch at a time; float32 unless `bfloat16`, padded unless `packing` is asked for.

    `token_budget` bounds rows x longest of a batch, the shared beginning included. Which short cuts leave the states as they are is
    tried once, on made-up text: `shares` and `last_feed_forward` say what is used. Raises PackingRefused.
    """

    def __init__(self, model: RewardModel, *, token_budget: int, bfloat16: bool = False, packing: bool = False) -> None:
        if packing:
            check_packing(model.network, bfloat16=bfloat16)
        self.model, self.token_budget, self.bfloat16, self.packing = model, token_budget, False, packing
        self.device = model.network.device
        self.last_feed_forward: nn.Module | None = None
        self.shares = False
        model.network.eval()
        self._try_short_cuts()
        self.bfloat16 = bfloat16

    def step_end_states(self, encoded: Sequence[EncodedSolution], problems: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield batch after batch (places, states (N, D)): the states at all step ends of these solutions, one after the other.

        A solution of which no step was read is in no batch.
        """
        alone = np.array([len(one.step_ends) > 0 for one in encoded])
        classes: dict[int, list[Beginning]] = {}  # by length: rows that go on from the same position need no mask of their own
        for beginning in common_beginnings(encoded, problems) if self.shares else ():
            classes.setdefault(beginning.length, []).append(beginning)
        for length, beginnings in sorted(classes.items(), reverse=True):
            if sum(one.saved for one in beginnings) >= WORTH_SHARING:
                at_once = max(1, self.token_budget // length)
                for start in range(0, len(beginnings), at_once):
                    chunk = beginnings[start : start + at_once]
                    alone[np.concatenate([one.places for one in chunk])] = False
                    yield from self._branches(encoded, chunk, length=length)
        rest = np.flatnonzero(alone).tolist()
        read, grouped = (self._packed_states, packs) if self.packing else (self._states, buckets)
        for group in grouped([len(encoded[place].ids) for place in rest], token_budget=self.token_budget):
            places = np.array(rest)[group]
            yield places, read([encoded[place] for place in places.tolist()])

    def _branches(
        self, encoded: Sequence[EncodedSolution], beginnings: Sequence[Beginning], *, length: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Read each beginning once, then what follows it: the beginnings are equally long, so no row is padded on the left."""
        stems = np.stack([encoded[one.places[0]].ids[:length] for one in beginnings]).astype(np.int64)
        cache, nowhere = DynamicCache(config=self.model.network.config), np.empty(0, np.int64)
        self._run(stems, nowhere, nowhere, cache=cache)
        places = np.concatenate([one.places for one in beginnings])
        stem_of = np.repeat(np.arange(len(beginnings)), [len(one.places) for one in beginnings])
        for group in buckets([len(encoded[place].ids) for place in places], token_budget=self.token_budget):
            copied = copy.deepcopy(cache)  # of the stems alone; what takes memory are the rows selected from it
            copied.reorder_cache(cast(torch.LongTensor, self._moved(stem_of[group])))
            ends = [
                EncodedSolution(encoded[place].ids[length:], encoded[place].step_ends - length, encoded[place].n_steps)
                for place in places[group]
            ]
            yield places[group], self._states(ends, cache=copied)

    def _states(self, encoded: Sequence[EncodedSolution], *, cache: DynamicCache | None = None) -> Tensor:
        rows = np.repeat(np.arange(len(encoded)), [len(one.step_ends) for one in encoded])
        columns = np.concatenate([one.step_ends for one in encoded]).astype(np.int64)
        return self._run(padded(encoded, pad_id=self.model.tokenizer.pad_id), rows, columns, cache=cache)

    def _packed_states(self, encoded: Sequence[EncodedSolution]) -> Tensor:
        ids, positions, ends, borders = packed(encoded)
        at = self._moved(np.zeros_like(ends)), self._moved(ends)
        starts, longest = self._moved(borders), int(np.diff(borders).max())
        with self._autocast(), attends_within_borders(self.model.network), reads_only(self.last_feed_forward, at):
            states = self.model.network.base_model(
                input_ids=self._moved(ids),
                position_ids=self._moved(positions),
                use_cache=False,
                cu_seq_lens_q=starts,
                cu_seq_lens_k=starts,
                max_length_q=longest,
                max_length_k=longest,
            ).last_hidden_state
        return states[at]

    def _run(self, ids: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64], *, cache: DynamicCache | None) -> Tensor:
        """Run ids (B, T), after what the cache holds, and return the states (N, D) at (rows, columns)."""
        tokens, at = self._moved(ids), (self._moved(rows), self._moved(columns))
        with self._autocast(), reads_only(self.last_feed_forward, at):
            if cache is None:
                return self.model.hidden_states(tokens)[at]
            return self.model.network.base_model(input_ids=tokens, past_key_values=cache, use_cache=True).last_hidden_state[at]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _moved(self, array: NDArray[np.integer]) -> Tensor:
        """Copy to the device; to a GPU from pinned memory, so that nothing waits for the copy."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor.to(self.device)

    @torch.inference_mode()
    def _try_short_cuts(self) -> None:
        """Read two made-up solutions with and without each short cut; keep those that change no state beyond rounding."""
        config, n_shared, n_tokens = self.model.network.config, 11, 29
        numbers = np.random.default_rng(0).integers(0, config.get_text_config().vocab_size, (2, n_tokens))
        numbers[1, :n_shared] = numbers[0, :n_shared]
        pair = [EncodedSolution(ids.astype(np.int32), np.array([n_shared, n_tokens - 1], np.int32), 2) for ids in numbers]
        plain = self._states(pair)
        self.last_feed_forward = last_feed_forward(self.model.network)
        if not _same(plain, self._states(pair)):
            self.last_feed_forward = None
        if (getattr(config.get_text_config(), "rope_parameters", None) or {}).get("rope_type") in LENGTH_DEPENDENT:
            return
        try:
            [(order, states)] = self._branches(pair, [Beginning(np.array([0, 1]), n_shared)], length=n_shared)
            self.shares = _same(plain.view(2, 2, -1)[torch.from_numpy(order)], states.view(2, 2, -1))
        except REFUSALS as error:
            log.debug("%s cannot go on from a copied cache: %s", type(self.model.network).__name__, error)


def _same(states: Tensor, others: Tensor) -> bool:
    """Compare states, not predictions: an untrained head gives the same prediction for all of them."""
    return bool((states - others).abs().max() < SAME * states.abs().max())
