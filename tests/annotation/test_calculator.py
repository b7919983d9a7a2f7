"""The calculator: exact sums, the sums in a step, and what cannot be worked out. It must never keep a process busy."""

import re

import pytest

from annotation import calculator
from annotation.calculator import BadSum, sums_in, work_out


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("0.1 + 0.2", "0.3 = 3/10"),
        ("48/2", "24"),
        ("1/3", "1/3 ≈ 0.333333333333"),
        ("1/3 + 1/6", "0.5 = 1/2"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("2^-2", "0.25 = 1/4"),
        ("2**10", "1024"),
        ("1,234 * 2", "2468"),
        ("007 + 1", "8"),
        (".5 + 5.", "5.5 = 11/2"),
        ("20% of 50", "10"),
        ("15% * 80", "12"),
        ("7.5%", "0.075 = 3/40"),
        ("5!", "120"),
        ("2(3+4)(1+1)", "28"),
        ("(1+2)3", "9"),
        ("3 x 4", "12"),
        ("6 ÷ 4 × 2 − 1", "2"),
        ("sqrt(144)", "12"),
        ("sqrt(1/4)", "0.5 = 1/2"),
        ("√2 * √2", "≈ 2"),
        ("√9 + 1", "4"),
        ("sqrt(2)", "≈ 1.41421356237"),
        ("27^(1/3)", "3"),
        ("2π", "≈ 6.28318530718"),
        ("3² + 4²", "25"),
        ("½ + ¼", "0.75 = 3/4"),
        ("٤ + ٥", "9"),
        (r"\frac{1}{2} + \frac13", "5/6 ≈ 0.833333333333"),
        (r"\dfrac{\frac{1}{2}}{3}", "1/6 ≈ 0.166666666667"),
        (r"2\frac{1}{2}", "2.5 = 5/2"),
        (r"2\frac{3+1}{2}", "4"),
        (r"\sqrt[3]{8} \cdot 2^{10}", "2048"),
        (r"\left( 3 + 4 \right) \times 2", "14"),
        (r"\$5 \times 3", "15"),
        (r"10\% \cdot 30", "3"),
        ("3 + 4 =", "7"),
        ("10^30", "1000000000000000000000000000000"),
        ("10^50", "≈ 1e+50"),
        ("1 / 10^9", "0.000000001 = 1/1000000000"),
        ("0 * 5", "0"),
        ("1^999999999", "1"),
    ],
)  # fmt: skip
def test_a_sum_is_worked_out_exactly(written: str, result: str) -> None:
    assert work_out(written).results == (result,)


@pytest.mark.parametrize(
    ("written", "verdict", "is_equal"),
    [
        ("48/2 = 24", "Both sides are equal.", True),
        ("48/2 = 23", "The sides are not equal.", False),
        ("0.1 + 0.2 = 0.3", "Both sides are equal.", True),
        ("10/3 = 3.33", "The right side is the left side rounded to 2 decimal places.", True),
        ("10/3 = 3", "The right side is the left side rounded to 0 decimal places.", True),
        ("10/3 = 3.34", "The sides are not equal.", False),
        ("2 + 2 = 4 = 3 + 1", "All sides are equal.", True),
        ("sqrt(8) = 2 * sqrt(2)", "The sides are equal, as far as they are rounded here.", True),
    ],
)
def test_the_sides_of_an_equation_are_compared(written: str, verdict: str, is_equal: bool) -> None:
    worked = work_out(written)
    assert (worked.verdict, worked.is_equal) == (verdict, is_equal)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "There is no sum"),
        ("=", "There is no sum"),
        ("= 4", "A side of the equation is empty"),
        ("1/0", "divided by zero"),
        ("1/(2-2)", "divided by zero"),
        ("0^-1", "divided by zero"),
        ("π/(π-π)", "divided by zero"),
        ("3 +", "ends with “+”"),
        ("(3 + 4", "parentheses do not match"),
        ("3 4", "Two numbers stand next to each other"),
        ("3 + x", "“x” cannot be worked out"),
        ("__import__('os')", "cannot be worked out"),
        ("().__class__", "cannot be worked out"),
        ("9^9^9^9", "too large"),
        ("2^100000", "too large"),
        ("999!", "up to 300!"),
        ("2.5!", "no complete sum"),
        ("sqrt(-1)", "no real number"),
        ("(-8)^(1/3)", "no real number"),
        ("sqrt", "no complete sum"),
        ("sqrt()", "no complete sum"),
        ("1 + " * 80 + "1", "Shorten it"),
        ("()", "no complete sum"),
        ("3..4", "no complete sum"),
        ("π^999999", "too large"),
    ],
)
def test_what_cannot_be_worked_out_is_answered_with_a_sentence(written: str, words: str) -> None:
    with pytest.raises(BadSum, match=re.escape(words)) as refused:
        work_out(written)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "sums"),
    [
        ("Janet eats 3 and bakes with 4, so $3 + 4 = 7$ eggs are used.", ["3 + 4 = 7"]),
        ("She has 16 - 7 = 9 eggs to sell at $2 each, or $18 a day.", ["16 - 7 = 9"]),
        ("He runs <<48/2=24>>24 miles.", ["48/2=24"]),
        (r"\[ \frac{48}{2} = 24 \]", ["((48)/(2)) = 24"]),
        (r"So $5 \text{ eggs} \times 2 = 10$.", ["5   * 2 = 10"]),
        ("2x + 3 = 7", []),
        ("f(3) = 9 and x - 3 = 4", []),
        ("The total is 1,200 + 300 = 1,500.", ["1200 + 300 = 1500"]),
        ("She makes $18 a day.\n\n# Answer\n\n18", []),
        ("1. First, 2*3=6. Then 6 * 4 = 24.", ["2*3=6", "6 * 4 = 24"]),
        ("3 + 4 = 7, and again 3 + 4 = 7", ["3 + 4 = 7"]),
        ("1/0 is nothing, 1/2 is", ["1/2"]),
        ("She pays 20% of 50 dollars.", ["20% * 50"]),
        ("- 3 apples\n- 4 pears", []),
    ],
)
def test_the_sums_of_a_step_are_found(text: str, sums: list[str]) -> None:
    assert sums_in(text) == sums


def test_a_text_of_nothing_but_sums_gives_the_first_ones() -> None:
    assert len(sums_in(" und ".join(f"{number} + 1" for number in range(2000)))) == calculator.MOST_SUMS


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        r"\frac{" * 3000,
        "1 " * 10_000,
        "^{" * 9000,
        "2^" * 9000,
        "9!" * 9000,
        "." * 20_000,
        "1" * 20_000,
        "1" + " " * 19_000,
        "x +1 " * 4000,
        "1/0, " * 4000,
        "1/0 " * 5000,
        "\\frac{1" * 3000,
    ],
)
def test_no_text_keeps_the_search_busy(text: str) -> None:
    assert sums_in(text) == []
