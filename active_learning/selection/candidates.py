"""Candidates: what is known of the solutions that a batch may be chosen from. PURE: arrays, no database and no files."""

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

UNKNOWN, WRONG, RIGHT = -1, 0, 1  # outcomes: what is known of a final answer
MATRICES = ("states", "queued_states")  # kept to the precision of float16, so that a file holds exactly what was chosen from


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of one solution; nan or UNKNOWN where it is not known. Candidates says what each number is."""

    outcome: int
    score: float
    entropy: float
    confidence: float
    deviation: float
    orm: float
    majority: float
    control: float
    per_step: float
    conviction: float
    control_conviction: float
    margin: float
    change: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What is known of n solutions a batch may be chosen from: arrays (n,), nan, UNKNOWN or 0 where it is not known; states as rows."""

    solutions: NDArray[np.int64]
    problems: NDArray[np.int64]
    scores: Floats  # PRM: product over steps of p(neutral) + p(positive)
    outcomes: NDArray[np.int8]  # of the final answer
    entropy: Floats  # of the first mistake, nats
    confidence: Floats  # least max(mu, 1 - mu) of any step up to and including the first predicted mistake
    deviation: Floats  # greatest standard deviation between heads, of the same steps
    orm: Floats
    majority: Floats  # share of the problem's graded solutions with the same answer
    control: Floats  # score by the frozen control model
    strata: NDArray[np.int32]  # subject and level
    prefixes: NDArray[np.int64]  # hash of the steps up to and including the first doubtful one
    drawn: NDArray[np.bool_]  # one of a uniform draw from the whole pool: only these may be taken at random
    per_step: Floats  # geometric mean over steps of the calibrated p(neutral) + p(positive)
    conviction: Floats  # per_step, less what is usual for the problem
    control_conviction: Floats  # the same by the frozen control model
    margin: Floats  # by how much the most likely place of the first mistake leads the next one
    change: Floats  # expected length of the change of the head
    chance: Floats  # a seeded draw between 0 and 1
    states: NDArray[np.float16]  # (n, d), of a frozen base: `covering` says what stands for a solution; nan, or d = 0: not known
    queued_states: NDArray[np.float16]  # (m, d), of the m solutions that were queued before

    def __post_init__(self) -> None:
        flat = [field.name for field in fields(self) if field.name not in MATRICES]
        if uneven := [name for name in flat if getattr(self, name).shape != (len(self),)]:
            raise ValueError(f"{len(self)} solutions need as many {', '.join(uneven)}.")
        states, queued = self.states.shape, self.queued_states.shape
        if len(states) != 2 or len(queued) != 2 or states[0] != len(self) or states[1] != queued[1]:
            raise ValueError(
                f"{len(self)} solutions need as many rows of states, as wide as those queued before, not {states} and {queued}."
            )
        ordered = np.sort(self.solutions)
        if len(twice := ordered[1:][ordered[1:] == ordered[:-1]]):
            raise ValueError(f"Solution {twice[0]} is listed twice among the candidates.")

    @classmethod
    def of(cls, *, solutions: ArrayLike, problems: ArrayLike, **known: ArrayLike) -> Self:
        """Make candidates of the arrays that are known. Without `drawn`, all of them count as a draw from the whole pool."""
        given: dict[str, ArrayLike] = {"solutions": solutions, "problems": problems, **known}
        if strange := given.keys() - _KINDS.keys() - set(MATRICES):
            raise TypeError(f"Candidates have no field {', '.join(sorted(strange))}.")
        n = len(np.asarray(solutions))
        width = np.shape(given["states"])[1] if "states" in given else 0
        blank = {name: np.full(n, unknown) for name, (_, unknown) in _KINDS.items()}
        blank |= {"states": np.empty((n, 0)), "queued_states": np.empty((0, width))}
        kinds = {name: kind for name, (kind, _) in _KINDS.items()} | dict.fromkeys(MATRICES, np.float16)
        return cls(**{name: np.asarray((blank | given)[name], kind) for name, kind in kinds.items()})

    def __len__(self) -> int:
        return len(self.solutions)

    def __getitem__(self, index: int) -> Candidate:
        return Candidate(
            outcome=int(self.outcomes[index]),
            score=float(self.scores[index]),
            entropy=float(self.entropy[index]),
            confidence=float(self.confidence[index]),
            deviation=float(self.deviation[index]),
            orm=float(self.orm[index]),
            majority=float(self.majority[index]),
            control=float(self.control[index]),
            per_step=float(self.per_step[index]),
            conviction=float(self.conviction[index]),
            control_conviction=float(self.control_conviction[index]),
            margin=float(self.margin[index]),
            change=float(self.change[index]),
        )

    def take(self, indices: ArrayLike) -> "Candidates":
        """Return the candidates at these places, in this order. What was queued before stays the same."""
        places = np.asarray(indices, np.int64)
        taken = {field.name: getattr(self, field.name)[places] for field in fields(self) if field.name != "queued_states"}
        return Candidates(**taken, queued_states=self.queued_states)


# What the files of older rounds lack. Their replays choose without it.
ADDED = ("per_step", "conviction", "control_conviction", "margin", "change", "chance")
_KINDS: dict[str, tuple[type, float]] = {  # of each array, and what stands for unknown
    "solutions": (np.int64, 0), "problems": (np.int64, 0), "outcomes": (np.int8, UNKNOWN), "strata": (np.int32, 0),
    "prefixes": (np.int64, 0), "drawn": (np.bool_, True),
    **dict.fromkeys(("scores", "entropy", "confidence", "deviation", "orm", "majority", "control", *ADDED), (np.float64, math.nan)),
}  # fmt: skip
