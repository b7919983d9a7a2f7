"""Sequences that begin alike, laid out as one: a solution and the alternatives of its steps share the text before them.

Reads training sequences of one family (a solution and its alternatives); gives rows of token ids with the mask and the positions under
which a causal network computes for each sequence what it would compute for it alone. numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data import TrainingSequence


@dataclass(frozen=True, slots=True)
class Tree:
    """One row: the first sequence, then of each other one what follows its common beginning with the first."""

    ids: NDArray[np.int32]  # (T,)
    forks: tuple[tuple[int, int], ...]  # of each sequence: how many tokens it shares with the first, and where its own begin

    def at(self, sequence: int, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """Say where in the row a sequence's positions lie."""
        shared, begin = self.forks[sequence]
        wide = positions.astype(np.int64)
        return np.where(wide < shared, wide, wide - shared + begin)


def plant(family: Sequence[TrainingSequence]) -> Tree:
    """Lay the sequences of one family out as one row."""
    first = family[0].encoded.ids
    parts, forks, length = [first], [(len(first), 0)], len(first)
    for one in family[1:]:
        ids = one.encoded.ids
        n = min(len(ids), len(first))
        differ = np.flatnonzero(ids[:n] != first[:n])
        shared = int(differ[0]) if len(differ) else n
        parts.append(ids[shared:])
        forks.append((shared, length))
        length += len(ids) - shared
    return Tree(np.concatenate(parts), tuple(forks))


def masked(trees: Sequence[Tree], *, pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Stack trees into ids (B, T), positions (B, T) and what each token attends to, (B, 1, T, T); pads attend to themselves."""
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
    """Group the indices of sequences by family, in order; those that name none stand alone."""
    groups: dict[object, list[int]] = {}
    for i, one in enumerate(sequences):
        groups.setdefault(one.family or i, []).append(i)
    return list(groups.values())
