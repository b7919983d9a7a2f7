"""A number and its noun agree."""

import pytest

from trainer.counting import counted


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
