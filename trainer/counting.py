"""Numbers with their nouns, and shares with their intervals, as sentences need them. The site and the trainer write them alike."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """k of n, and the 95 % interval of that share (Wilson's). There is none without any n."""

    k: int
    n: int

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The ends of the interval."""
        z, n = 1.959964, self.n
        if not n:
            return None
        middle, half = self.k + z * z / 2, z * math.sqrt(self.k * (n - self.k) / n + z * z / 4)
        return (middle - half) / (n + z * z), (middle + half) / (n + z * z)

    @property
    def interval(self) -> str:
        """The interval, in percent; empty without any n."""
        if not self.bounds:
            return ""
        low, high = self.bounds
        return f"{low:.0%} to {high:.0%}"

    @property
    def words(self) -> str:
        """The share and its interval, in percent."""
        return f"{self.k / self.n:.0%} ({self.interval})" if self.n else "–"


def counted(count: int, noun: str, several: str | None = None) -> str:
    """Write a number with its noun: 1 problem, 2 problems. `several` is the plural with the words that follow, where it is not noun + s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def short_time(minutes: float) -> str:
    """Write a short time with its unit, on one line: 24 s, 1.4 min, 12 min."""
    seconds = round(60 * minutes)
    if seconds < 60:
        return f"{seconds}\u00a0s"
    return f"{minutes:.1f}\u00a0min" if minutes < 9.95 else f"{minutes:,.0f}\u00a0min"
