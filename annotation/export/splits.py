"""Stage: export, splits: which part of a data set a problem belongs to. Pure: no database."""

import hashlib
from dataclasses import dataclass
from typing import Any

PARTS = ("train", "valid", "test")


class BadSplitRule(ValueError):
    """Shares that do not divide a data set. The message says why."""


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Divide a data set by its problems: no problem is in two parts, and a later snapshot has each problem in the same part.

    A hash of the problem's id decides, so the parts have these shares of many problems, and not exactly. A problem of the project's test
    split is always in `test`. Raises BadSplitRule: shares below 0, or a sum that is not 1.
    """

    train: float = 0.9
    valid: float = 0.05
    test: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        shares = {part: getattr(self, part) for part in PARTS}
        for part, share in shares.items():
            if not 0 <= share <= 1:
                raise BadSplitRule(f"{part} is {share}. A share is a number from 0 to 1.")
        if abs(sum(shares.values()) - 1) > 1e-9:
            raise BadSplitRule(f"The shares of train, valid and test are {sum(shares.values()):g} in sum. They must be 1 in sum.")

    @property
    def spec(self) -> dict[str, Any]:
        """The rule as JSON values."""
        return {"train": self.train, "valid": self.valid, "test": self.test, "seed": self.seed}

    def part_of(self, problem_id: str, *, split: str) -> str:
        """Return the part of a problem. `split`: that of the project, train or test."""
        if split == "test":
            return "test"
        digest = hashlib.sha256(f"{self.seed} {problem_id}".encode()).digest()
        place = int.from_bytes(digest[:8]) / 2**64
        return "train" if place < self.train else "valid" if place < self.train + self.valid else "test"
