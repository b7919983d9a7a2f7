"""Bars of a chart of days, as `annotation/_bars.html` draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

HEIGHT = 120  # of the tallest bar, in the chart's own units
STRIDE = 40


@dataclass(frozen=True)
class Bar:
    """One day: its count, and where its bar is."""

    day: date
    count: int
    x: int
    y: float
    height: float


def bars_of(days: Sequence[tuple[date, int]]) -> list[Bar]:
    """Return a bar for each day, the tallest one as high as the chart."""
    most = max((count for _, count in days), default=0) or 1
    heights = [round(HEIGHT * count / most, 1) for _, count in days]
    return [
        Bar(day, count, STRIDE * place, round(HEIGHT - height, 1), height)
        for place, ((day, count), height) in enumerate(zip(days, heights, strict=True))
    ]
