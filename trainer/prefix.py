"""Read encoded solutions with a network and give the states at their step ends. The text of a problem is read once for its solutions.

Reads EncodedSolution; gives `score` batches of places and states (N, D). Two short cuts save work without changing the result: the tokens
with which the solutions of a problem begin are read once and their cache is copied; the last feed-forward layer runs only at step ends.
A short cut that would change the states of a network is not used.
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
from trainer.model import RewardModel, rotations
from trainer.output import made_up_ids
from trainer.packing import PackingRefused, attends_within_borders, check_packing, moved, packed, packed_inputs, packs
from trainer.states import state_key

__all__ = ["Beginning", "Reader", "common_beginnings"]

log = logging.getLogger(__name__)

WORTH_SHARING = 256  # tokens: less does not pay for another forward pass and its mask
AT_ONCE = 256  # solutions whose kept states are given at once
SAME = 1e-4  # largest difference, relative to the largest state, that float32 rounding can make
LENGTH_DEPENDENT = ("dynamic", "longrope")  # rotations depend on the length of the whole text, so a beginning cannot be read alone
# Errors of a network that cannot continue from a cache.
REFUSALS = (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Solutions (places in a list) whose first `length` tokens are the same. No step ends within them."""

    places: NDArray[np.int64]
    length: int

    @property
    def saved(self) -> int:
        """The number of tokens that need not be read again."""
        return (len(self.places) - 1) * self.length


def common_beginnings(encoded: Sequence[EncodedSolution], problems: Sequence[str]) -> list[Beginning]:
    """Find the common beginning of the solutions of each problem that has at least two."""
    solutions: dict[str, list[int]] = {}
    for place, (solution, problem) in enumerate(zip(encoded, problems, strict=True)):
        if len(solution.step_ends):
            solutions.setdefault(problem, []).append(place)
    beginnings = []
    for places in solutions.values():
        if len(places) > 1:
            shortest = min(int(encoded[place].step_ends[0]) for place in places)
            starts = np.stack([encoded[place].ids[:shortest] for place in places])
            agree = (starts == starts[0]).all(axis=0)
            beginnings.append(Beginning(np.array(places), shortest if agree.all() else int(agree.argmin())))
    return beginnings


class Reader:
    """Read solutions with one model, one batch at a time: in float32 unless `bfloat16`, padded unless `packing`.

    `token_budget` limits rows x longest of a batch, shared beginning included. Made-up text shows once which short cuts keep the states
    as they are: `shares` and `last_feed_forward` say which are used. Raises PackingRefused.
    """

    def __init__(self, model: RewardModel, *, token_budget: int, bfloat16: bool = False, packing: bool = False) -> None:
        if packing:
            if model.frozen is not None:
                raise PackingRefused("Solutions are not packed for a frozen base. Score without packing.")
            check_packing(model.network, bfloat16=bfloat16)
        self.model, self.token_budget, self.bfloat16, self.packing = model, token_budget, False, packing
        self.device = model.network.device
        self.last_feed_forward: nn.Module | None = None
        self.shares = False
        # On a processor, states that are kept must not depend on what else was missing in the cache, not even by their rounding.
        self.each_alone = model.states is not None and self.device.type == "cpu"
        model.network.eval()
        self._try_short_cuts()
        self.bfloat16 = bfloat16

    def step_end_states(self, encoded: Sequence[EncodedSolution], problems: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield batches (places, states (N, D)): the states at all step ends of the solutions at these places, in this order.

        A solution of which no step was read is in no batch. States in the model's cache are not read again, and new ones are kept there.
        """
        cache = self.model.states
        if cache is None:
            yield from self._read(encoded, problems)
            return
        cache.refresh()
        keys = [state_key(solution) for solution in encoded]
        found = {key: own for key in dict.fromkeys(keys) if (own := cache.get(key)) is not None}
        kept = [place for place, key in enumerate(keys) if key in found and len(encoded[place].step_ends)]
        at_once = 1 if self.each_alone else AT_ONCE  # heads round as they do for a solution that was read just now
        for start in range(0, len(kept), at_once):
            places = kept[start : start + at_once]
            yield np.array(places), torch.from_numpy(np.concatenate([found[keys[place]] for place in places])).to(self.device)
        same: dict[bytes, list[int]] = {}
        for place, key in enumerate(keys):
            if key not in found:
                same.setdefault(key, []).append(place)
        firsts = [places[0] for places in same.values()]
        try:
            for batch, states in self._read([encoded[place] for place in firsts], [problems[place] for place in firsts]):
                rows = states.half().cpu().numpy()
                start = 0
                for place in (firsts[one] for one in batch.tolist()):
                    stop = start + len(encoded[place].step_ends)
                    cache.put(keys[place], rows[start:stop])
                    for other in same[keys[place]][1:]:  # the same text once more
                        yield np.array([other]), states[start:stop]
                    start = stop
                yield np.array(firsts)[batch], states
        finally:
            cache.flush()

    def _read(self, encoded: Sequence[EncodedSolution], problems: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        alone = np.array([len(solution.step_ends) > 0 for solution in encoded])
        classes: dict[int, list[Beginning]] = {}  # by length: rows that continue from the same position need no mask
        for beginning in common_beginnings(encoded, problems) if self.shares and not self.each_alone else ():
            classes.setdefault(beginning.length, []).append(beginning)
        for length, beginnings in sorted(classes.items(), reverse=True):
            if sum(beginning.saved for beginning in beginnings) >= WORTH_SHARING:
                at_once = max(1, self.token_budget // length)
                for start in range(0, len(beginnings), at_once):
                    chunk = beginnings[start : start + at_once]
                    alone[np.concatenate([beginning.places for beginning in chunk])] = False
                    yield from self._branches(encoded, chunk, length=length)
        rest = np.flatnonzero(alone).tolist()
        if self.each_alone:
            for place in rest:  # in order, so that the time left can be told
                yield np.array([place]), self._states([encoded[place]])
            return
        read, grouped = (self._packed_states, packs) if self.packing else (self._states, buckets)
        for group in grouped([len(encoded[place].ids) for place in rest], token_budget=self.token_budget):
            places = np.array(rest)[group]
            yield places, read([encoded[place] for place in places.tolist()])

    def _branches(
        self, encoded: Sequence[EncodedSolution], beginnings: Sequence[Beginning], *, length: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Read each beginning once, then the rest of its solutions. All have the same length, so no row is padded on the left."""
        stems = np.stack([encoded[beginning.places[0]].ids[:length] for beginning in beginnings]).astype(np.int64)
        cache, nowhere = DynamicCache(config=self.model.network.config), np.empty(0, np.int64)
        self._run(stems, nowhere, nowhere, cache=cache)
        places = np.concatenate([beginning.places for beginning in beginnings])
        stem_of = np.repeat(np.arange(len(beginnings)), [len(beginning.places) for beginning in beginnings])
        for group in buckets([len(encoded[place].ids) for place in places], token_budget=self.token_budget):
            copied = copy.deepcopy(cache)  # a copy of the beginnings only; the rows selected from it take the memory
            copied.reorder_cache(cast(torch.LongTensor, self._moved(stem_of[group])))
            ends = [
                EncodedSolution(encoded[place].ids[length:], encoded[place].step_ends - length, encoded[place].n_steps)
                for place in places[group]
            ]
            yield places[group], self._states(ends, cache=copied)

    def _states(self, encoded: Sequence[EncodedSolution], *, cache: DynamicCache | None = None) -> Tensor:
        rows = np.repeat(np.arange(len(encoded)), [len(solution.step_ends) for solution in encoded])
        columns = np.concatenate([solution.step_ends for solution in encoded]).astype(np.int64)
        return self._run(padded(encoded, pad_id=self.model.tokenizer.pad_id), rows, columns, cache=cache)

    def _packed_states(self, encoded: Sequence[EncodedSolution]) -> Tensor:
        row = packed(encoded)
        ends = row[2]
        at = self._moved(np.zeros_like(ends)), self._moved(ends)
        inputs = packed_inputs(*row, device=self.device)
        with self._autocast(), attends_within_borders(self.model.network), reads_only(self.last_feed_forward, at):
            states = self.model.read(**inputs)
        return states[at]

    def _run(self, ids: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64], *, cache: DynamicCache | None) -> Tensor:
        """Run ids (B, T) after the tokens in the cache and return the states (N, D) at (rows, columns)."""
        tokens, at = self._moved(ids), (self._moved(rows), self._moved(columns))
        with self._autocast(), reads_only(self.last_feed_forward, at):
            if cache is None:
                return self.model.hidden_states(tokens)[at]
            return self.model.read(input_ids=tokens, past_key_values=cache, use_cache=True)[at]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _moved(self, array: NDArray[np.integer]) -> Tensor:
        return moved(array, self.device)

    @torch.inference_mode()
    def _try_short_cuts(self) -> None:
        """Read two made-up solutions with and without each short cut; use those that change the states by no more than rounding."""
        n_shared, n_tokens = 11, 29
        numbers = made_up_ids(self.model.network, length=2 * n_tokens).reshape(2, n_tokens).cpu().numpy()
        numbers[1, :n_shared] = numbers[0, :n_shared]
        pair = [EncodedSolution(ids.astype(np.int32), np.array([n_shared, n_tokens - 1], np.int32), 2) for ids in numbers]
        plain = self._states(pair)
        self.last_feed_forward = last_feed_forward(self.model.network)
        if not _same(plain, self._states(pair)):
            self.last_feed_forward = None
        if any(rope.get("rope_type") in LENGTH_DEPENDENT for rope in rotations(self.model.network.config)):
            return
        try:
            [(order, states)] = self._branches(pair, [Beginning(np.array([0, 1]), n_shared)], length=n_shared)
            self.shares = _same(plain.view(2, 2, -1)[torch.from_numpy(order)], states.view(2, 2, -1))
        except REFUSALS as error:
            log.debug("%s cannot continue from a copied cache: %s", type(self.model.network).__name__, error)


def _same(states: Tensor, others: Tensor) -> bool:
    """Compare states, not predictions: an untrained head predicts the same for all states."""
    return bool((states - others).abs().max() < SAME * states.abs().max())
