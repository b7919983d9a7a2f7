"""A number and its noun agree."""

import pytest

from trainer.counting import counted, short_time


@pytest.mark.parametrize(
    ("count", "words", "written"),
    [
        (0, ("problem",), "0 problems"),
        (1, ("problem",), "1 problem"),
        (2, ("problem",), "2 problems"),
        (1_234, ("new solution",), "1,234 new solutions"),
        (1, ("key was", "keys were"), "1 key was"),
        (0, ("key was", "keys were"), "0 keys were"),
    ],
)
def test_a_number_agrees_with_its_noun(count: int, words: tuple[str, ...], written: str) -> None:
    assert counted(count, *words) == written


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0, "0 s"),
        (0.004, "0 s"),
        (0.4, "24 s"),
        (0.99, "59 s"),
        (0.9999, "1.0 min"),
        (1.44, "1.4 min"),
        (9.94, "9.9 min"),
        (9.96, "10 min"),
        (1234.5, "1,234 min"),
    ],
)
def test_a_short_time_has_a_unit_in_which_it_is_not_zero(minutes: float, words: str) -> None:
    assert short_time(minutes) == words.replace(" ", "\u00a0")
