"""Charts are geometry: numbers in, places in a drawing and a table out."""

import csv
import io

import pytest

from active_learning.charts import FRAME, Point, line_chart, log_ticks, ticks


def points(path: str) -> list[tuple[float, ...]]:
    return [tuple(float(part) for part in pair.split(",")) for pair in path.split()]


def test_the_ends_of_the_data_stand_at_the_ends_of_the_axis() -> None:
    chart = line_chart([("loss", [Point(0, 1.0), Point(50, 3.0), Point(100, 2.0)])], x_words="steps", y_words="nats")
    xs = [x for x, _ in points(chart.lines[0].path)]
    assert (xs[0], xs[-1]) == (FRAME["left"], FRAME["right"])
    assert xs[1] == pytest.approx((FRAME["left"] + FRAME["right"]) / 2)


def test_more_stands_higher_and_on_its_tick() -> None:
    chart = line_chart([("loss", [Point(0, 1.0), Point(1, 3.0)])], x_words="steps", y_words="nats")
    (_, low), (_, high) = points(chart.lines[0].path)
    assert high < low
    assert {tick.words: tick.at for tick in chart.y_ticks}["3"] == high


def test_a_logarithmic_axis_gives_every_factor_of_ten_the_same_room() -> None:
    chart = line_chart([("PRM", [Point(n, 0.5) for n in (1, 10, 100)])], x_words="N", y_words="solved", is_x_logarithmic=True)
    first, second, third = [x for x, _ in points(chart.lines[0].path)]
    assert second - first == pytest.approx(third - second)
    assert [tick.words for tick in chart.x_ticks] == ["1", "2", "5", "10", "20", "50", "100"]


def test_a_band_encloses_its_line() -> None:
    chart = line_chart([("PRM", [Point(1, 0.5, 0.4, 0.6), Point(2, 0.7, 0.6, 0.9)])], x_words="N", y_words="solved")
    (line,) = chart.lines
    upper, lower = points(line.band)[:2], points(line.band)[2:][::-1]
    for (x, y), (x_high, high), (x_low, low) in zip(points(line.path), upper, lower, strict=True):
        assert x == x_high == x_low
        assert high < y < low


def test_the_table_holds_every_number_and_a_gap_stays_a_gap() -> None:
    chart = line_chart([("a", [Point(1, 0.25), Point(2, 0.5)]), ("b", [Point(2, 0.125)])], x_words="N", y_words="share")
    assert chart.header == ("N", "a", "b")
    assert chart.rows == (("1", "0.2500", ""), ("2", "0.5000", "0.1250"))
    assert chart.csv == "N,a,b\n1,0.2500,\n2,0.5000,0.1250\n"


def test_a_name_with_commas_quotes_and_lines_survives_the_csv() -> None:
    name = 'PRM "one", of\ntwo lines'
    chart = line_chart([(name, [Point(1000, 0.25)])], x_words="N", y_words="share")
    assert list(csv.reader(io.StringIO(chart.csv))) == [["N", name], ["1,000", "0.2500"]]


def test_a_series_keeps_its_look_when_another_one_is_empty() -> None:
    chart = line_chart([("PRM", []), ("ORM", [Point(1, 0.5)])], x_words="N", y_words="share")
    assert [(line.name, line.place) for line in chart.lines] == [("ORM", 2)]


def test_there_is_no_chart_of_nothing() -> None:
    assert line_chart([("a", [])], x_words="x", y_words="y") is None
    assert line_chart([("a", [Point(1, None)])], x_words="x", y_words="y") is None


def test_one_point_is_a_chart() -> None:
    chart = line_chart([("a", [Point(1, 0.0)])], x_words="x", y_words="y")
    assert len(points(chart.lines[0].path)) == 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 0.62), (3, 4712), (-2, 2), (0.5, 0.5), (0, 0), (1e-7, 3e-7)])
def test_ticks_are_few_and_enclose_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low + 1e-9 and found[-1] >= high - 1e-9
    assert 2 <= len(found) <= 8


def test_no_logarithmic_tick_is_printed_over_an_end() -> None:
    found = log_ticks(1, 11)
    assert found == [1, 2, 5, 11]
