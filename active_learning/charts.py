"""The geometry of the charts. PURE: series of numbers in; points, ticks and a table out, in the units of the drawing.

templates/charts/ turns a Chart into SVG with its data in a table, readable without JavaScript. static/css/models.css sets the colours.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 12, 34  # margins, for the numbers of the ticks
# A mark for each series, around its point: disc, square, triangle, diamond, cross, triangle on its tip.
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-4-4h8v8h-8z", "M0-5l5 9h-10z", "M0-5l5 5-5 5-5-5z", "M-4-4l8 8M4-4l-8 8", "M0 5l5-9h-10z",
)  # fmt: skip
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}
MARKS = 12  # most points of a line with a mark: marks tell series apart without colour


class Point(NamedTuple):
    """One value of a series. `low` and `high` bound its band, if it has one. None: no value. `of`: what it belongs to, such as a model."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    of: str = ""


class Tick(NamedTuple):
    """A number on an axis, and its place in the drawing."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """A series as drawn. `place` counts from 1 and sets colour, dash and `shape`: series differ without colour too."""

    name: str
    place: int
    path: str  # "x,y x,y ..": of a polyline
    band: str  # of a polygon; empty without a band
    marks: tuple[tuple[float, float], ...]

    @property
    def shape(self) -> str:
        """The path of its mark."""
        return SHAPES[min(self.place, len(SHAPES)) - 1]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of WIDTH by HEIGHT and the numbers it shows."""

    x_words: str
    y_words: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_diagonal_drawn: bool = False

    @property
    def frame(self) -> dict[str, int]:
        """Where the axes are."""
        return FRAME

    @property
    def csv(self) -> str:
        """The table as comma-separated values."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
        return text.getvalue()


def line_chart(
    series: Sequence[tuple[str, Sequence[Point]]],
    *,
    x_words: str,
    y_words: str,
    is_x_logarithmic: bool = False,
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    is_diagonal_drawn: bool = False,
    name_of: Callable[[float], str] | None = None,
    of_words: str = "",
) -> Chart | None:
    """Lay out lines with optional bands over shared axes; None if there is no value. The place of a series sets its colour.

    `name_of` writes a place of the x axis in words, such as a day. `of_words` heads the column of what points belong to, if they say so.
    """
    name_of = name_of or words
    points = [p for _, line in series for p in line if p.y is not None]
    if not points:
        return None
    x_low, x_high = x_range or (min(p.x for p in points), max(p.x for p in points))
    spread = [y for p in points for y in (p.y, p.low, p.high) if y is not None]
    y_ends = y_range or (min(spread), max(spread))
    y_numbers = ticks(*y_ends)
    y_low, y_high = (y_numbers[0], y_numbers[-1]) if y_range is None else y_range
    is_log = is_x_logarithmic and x_low > 0

    def across(x: float) -> float:
        share = _share(math.log(x), math.log(x_low), math.log(x_high)) if is_log else _share(x, x_low, x_high)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def down(y: float) -> float:
        return round(HEIGHT - BOTTOM - min(1.0, max(0.0, _share(y, y_low, y_high))) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for place, (name, values) in enumerate(series, start=1):
        drawn = [(across(p.x), down(p.y), p) for p in values if p.y is not None]
        if not drawn:
            continue
        bounded = [(x, p.low, p.high) for x, _, p in drawn if p.low is not None and p.high is not None]
        band = [(x, down(high)) for x, _, high in bounded] + [(x, down(low)) for x, low, _ in reversed(bounded)]
        stride = math.ceil(len(drawn) / MARKS)
        marks = tuple((x, y) for x, y, _ in drawn[::stride])
        lines.append(Line(name, place, _path([(x, y) for x, y, _ in drawn]), _path(band), marks))
    x_numbers = log_ticks(x_low, x_high) if is_log else [n for n in ticks(x_low, x_high) if x_low <= n <= x_high]
    return Chart(
        x_words,
        y_words,
        tuple(lines),
        tuple(Tick(across(n), name_of(n)) for n in x_numbers),
        tuple(Tick(down(n), words(n)) for n in y_numbers if y_low <= n <= y_high),
        *_table(series, x_words, name_of, of_words),
        is_diagonal_drawn,
    )


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Choose round numbers, 1, 2 or 5 times a power of ten apart, that enclose the range."""
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    power = 10.0 ** math.floor(math.log10((high - low) / about))
    step = next(power * n for n in (1, 2, 5, 10) if (high - low) / (power * n) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Choose 1, 2 and 5 times powers of ten within the range, its ends included."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [n * 10.0**power for power in powers for n in (1, 2, 5) if low < n * 10.0**power < high]
    # A number close to an end would be printed over it.
    return [low, *(n for n in inside if n / low > 1.3 and high / n > 1.3), *([high] if high > low else [])]


def words(number: float) -> str:
    """Write an axis number exactly and as short as possible."""
    return f"{number:,.0f}" if number == int(number) else f"{number:.6g}"


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _table(
    series: Sequence[tuple[str, Sequence[Point]]], x_words: str, name_of: Callable[[float], str], of_words: str
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return a row for every x and what has a point there, and for every series a column and those of its band."""
    places = list(dict.fromkeys(sorted(((p.x, p.of) for _, line in series for p in line), key=lambda place: place[0])))
    header, columns = [x_words], [[name_of(x) for x, _ in places]]
    if any(of for _, of in places):
        header.append(of_words)
        columns.append([of for _, of in places])
    for name, line in series:
        if not line:
            continue
        here = {(p.x, p.of): p for p in line}
        is_banded = any(p.low is not None for p in line)
        for suffix, part in (("", "y"), (" low", "low"), (" high", "high"))[: 3 if is_banded else 1]:
            header.append(name + suffix)
            numbers = [getattr(here.get(place), part, None) for place in places]
            columns.append(["" if number is None else f"{number:.4f}" for number in numbers])
    return tuple(header), tuple(zip(*columns, strict=True))
