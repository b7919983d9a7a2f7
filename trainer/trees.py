"""Lay sequences with a common beginning out as one row: a solution and the alternatives of its steps share the text before them.

Reads the training sequences of one family (a solution and its alternatives); gives token ids, positions and a mask with which a causal
network computes for each sequence what it would compute for it alone. numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data import TrainingSequence


@dataclass(frozen=True, slots=True)
class Tree:
    """One row: the first sequence, then the rest of each other sequence after the beginning it shares with the first."""

    ids: NDArray[np.int32]  # (T,)
    forks: tuple[tuple[int, int], ...]  # for each sequence: how many tokens it shares with the first, and where its own begin

    def at(self, sequence: int, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the places in the row of a sequence's positions."""
        shared, begin = self.forks[sequence]
        wide = positions.astype(np.int64)
        return np.where(wide < shared, wide, wide - shared + begin)


def plant(family: Sequence[TrainingSequence]) -> Tree:
    """Lay out the sequences of one family as one row."""
    first = family[0].encoded.ids
    parts, forks, length = [first], [(len(first), 0)], len(first)
    for sequence in family[1:]:
        ids = sequence.encoded.ids
        n = min(len(ids), len(first))
        differ = np.flatnonzero(ids[:n] != first[:n])
        shared = int(differ[0]) if len(differ) else n
        parts.append(ids[shared:])
        forks.append((shared, length))
        length += len(ids) - shared
    return Tree(np.concatenate(parts), tuple(forks))


def masked(trees: Sequence[Tree], *, pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Stack trees into ids (B, T), positions (B, T) and a mask (B, 1, T, T) of what each token attends to. A pad attends to itself."""
    width = max(len(tree.ids) for tree in trees)
    ids = np.full((len(trees), width), pad_id, np.int64)
    positions = np.zeros((len(trees), width), np.int64)
    seen = np.zeros((len(trees), 1, width, width), bool)
    seen[:, 0, np.arange(width), np.arange(width)] = True
    for row, tree in enumerate(trees):
        ids[row, : len(tree.ids)] = tree.ids
        ends = [begin for _, begin in tree.forks[1:]] + [len(tree.ids)]
        for (shared, begin), end in zip(tree.forks, ends, strict=True):
            depth = shared if begin else 0
            positions[row, begin:end] = np.arange(depth, depth + end - begin)
            seen[row, 0, begin:end, :depth] = True
            seen[row, 0, begin:end, begin:end] = np.tri(end - begin, dtype=bool)
    return ids, positions, seen


def families(sequences: Sequence[TrainingSequence]) -> list[list[int]]:
    """Group the indices of sequences by family, in order. A sequence without a family is a group of its own."""
    groups: dict[object, list[int]] = {}
    for i, sequence in enumerate(sequences):
        groups.setdefault(sequence.family or i, []).append(i)
    return list(groups.values())
