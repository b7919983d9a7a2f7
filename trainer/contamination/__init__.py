"""Find problems of public benchmarks among other problems: the same words and signs, or most of the same word sequences.

A model that learned from such problems knows what it is later judged on. Pure: no torch, no Django. Stepmark ships fingerprints (hashes, no
texts) of MATH-500, the test problems of GSM8K, and the problems of ProcessBench from both (`script/benchmark_problems.py` makes them).
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

SEQUENCE = 5  # words
NEAR = 0.6  # share of a benchmark problem's sequences that another text must hold to be near it
FEWEST = 5  # sequences: a shorter problem is compared as a whole only, because formulas of a few words are alike by chance
SHIPPED = Path(__file__).with_name("fingerprints.npz")

_LAYOUT = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|text|textbf|textit|mathrm|mbox)(?![a-z])")
_FRACTION = re.compile(r"\\[dt]frac(?![a-z])")
_WORD = re.compile(r"[^\W_]+")
_SIGN = re.compile(r"[-+*/=<>^|%()\[\]]|(?<=[\d)])!")  # without them, k < 0 is k > 0 and x - 1 is x + 1
_DELIMITER = re.compile(r"\\[()\[\]]")  # where formulas begin and end, and no part of them
_DASH = re.compile("[‐‑‒–−]")


@dataclass(frozen=True)
class Match:
    """One problem that is a benchmark's. `share`: of the benchmark problem's word sequences, 1 for the same words and signs."""

    benchmark: str
    benchmark_id: str
    problem_id: str
    share: float

    @property
    def is_exact(self) -> bool:
        return self.share == 1.0


@dataclass(frozen=True)
class Fingerprint:
    """The problems of one benchmark as hashes. `sequences` of problem i are those from `starts[i]` to `starts[i + 1]`."""

    ids: tuple[str, ...]
    texts: NDArray[np.uint64]
    sequences: NDArray[np.uint32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, problems: Iterable[tuple[str, str]]) -> Self:
        """Make the fingerprint of problems, given as pairs of id and text. A text that was there before is left out."""
        ids: dict[int, str] = {}
        sequences: list[list[int]] = []
        for problem_id, text in problems:
            if (whole := _hash(words_and_signs_of(text))) not in ids:
                ids[whole] = problem_id
                sequences.append(sorted(_sequences(words_of(text))))
        starts = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
        joined = [sequence for own in sequences for sequence in own]
        return cls(tuple(ids.values()), np.array(list(ids), np.uint64), np.array(joined, np.uint32), starts)

    def __len__(self) -> int:
        return len(self.ids)


def words_of(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a text in lower case, without punctuation, and without the commands of LaTeX that only lay it out."""
    return tuple(_WORD.findall(_without_layout(text)))


def words_and_signs_of(text: str) -> tuple[str, ...]:
    """Return the same words, with the signs of arithmetic and the brackets between them."""
    text = _DASH.sub("-", _DELIMITER.sub(" ", _without_layout(text)))
    return tuple(re.findall(f"{_WORD.pattern}|{_SIGN.pattern}", text))


def _without_layout(text: str) -> str:
    return _FRACTION.sub(r" \\frac ", _LAYOUT.sub(" ", unicodedata.normalize("NFKC", text).casefold()))


class Finder:
    """Compares one problem after the other with benchmarks. Memory grows with the benchmarks alone."""

    def __init__(self, benchmarks: Mapping[str, Fingerprint]) -> None:
        self._indexes = {name: _Index(fingerprint) for name, fingerprint in benchmarks.items()}

    def matches(self, problem_id: str, text: str) -> list[Match]:
        """Return for each benchmark the problem that has the same words and signs, or else the nearest one, if one is near.

        Near: at least NEAR of the benchmark problem's word sequences are in the text.
        """
        whole, sequences = _hash(words_and_signs_of(text)), _sequences(words_of(text))
        nearest = {name: index.nearest(whole, sequences) for name, index in self._indexes.items()}
        return [Match(name, found[0], problem_id, found[1]) for name, found in nearest.items() if found]


@cache
def shipped() -> Mapping[str, Fingerprint]:
    """Return the fingerprints that come with Stepmark, by the benchmark's name."""
    with np.load(SHIPPED) as stored:
        names = [str(name) for name in stored["names"]]
        return {
            name: Fingerprint(
                tuple(map(str, stored[f"{name}/ids"])), stored[f"{name}/texts"], stored[f"{name}/sequences"], stored[f"{name}/starts"]
            )
            for name in names
        }


def store(benchmarks: Mapping[str, Fingerprint], path: Path) -> None:
    """Write fingerprints to a file. The same fingerprints give the same arrays."""
    arrays: dict[str, NDArray[np.generic]] = {"names": np.array(list(benchmarks))}
    for name, fingerprint in benchmarks.items():
        arrays |= {
            f"{name}/ids": np.array(fingerprint.ids),
            f"{name}/texts": fingerprint.texts,
            f"{name}/sequences": fingerprint.sequences,
            f"{name}/starts": fingerprint.starts,
        }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # the stub takes the names for options


class _Index:
    """Where the word sequences of a benchmark are."""

    def __init__(self, fingerprint: Fingerprint) -> None:
        self.fingerprint = fingerprint
        self.wholes = {int(whole): place for place, whole in enumerate(fingerprint.texts)}
        self.places: dict[int, list[int]] = defaultdict(list)
        for place in range(len(fingerprint)):
            for sequence in fingerprint.sequences[fingerprint.starts[place] : fingerprint.starts[place + 1]].tolist():
                self.places[sequence].append(place)
        self.lengths = np.diff(fingerprint.starts).tolist()

    def nearest(self, whole: int, sequences: Iterable[int]) -> tuple[str, float] | None:
        """Return the id of the nearest problem and its share, or None."""
        ids = self.fingerprint.ids
        if (same := self.wholes.get(whole)) is not None:
            return ids[same], 1.0
        shared = Counter(place for sequence in sequences for place in self.places.get(sequence, ()))
        near = {place: n / self.lengths[place] for place, n in shared.items() if self.lengths[place] >= FEWEST}
        best = max(near, key=lambda place: (near[place], -place), default=None)
        # All sequences, and yet not the same: there is more in the other text, or another sign.
        return (ids[best], min(near[best], 0.99)) if best is not None and near[best] >= NEAR else None


def _sequences(words: Sequence[str]) -> set[int]:
    return {_hash(words[start : start + SEQUENCE]) & 0xFFFFFFFF for start in range(len(words) - SEQUENCE + 1)}


def _hash(words: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest())
