"""The numbers that pages show of assignments and claims."""

import pytest

from annotation.views.shown_numbers import REAL, SHOWN, NoSuchNumber, real_number, shown_number


@pytest.mark.parametrize("number", [0, 1, 2, 2**26 - 1, 2**26, 2**31 - 1, REAL.stop - 1])
def test_a_number_is_read_as_it_was_shown(number: int) -> None:
    for place in (0, 1, 2**39):
        shown = shown_number(number, place=place)
        assert shown in SHOWN and real_number(shown, place=place) == number


def test_a_number_of_another_place_is_another_number() -> None:
    assert len({shown_number(1, place=place) for place in range(1000)}) == 1000


@pytest.mark.parametrize("shown", [-1, SHOWN.stop, 10**30])
def test_a_number_that_no_page_can_show_is_refused(shown: int) -> None:
    with pytest.raises(NoSuchNumber):
        real_number(shown)


def test_numbers_as_the_database_has_them_are_refused(settings: object) -> None:
    settings.SECRET_KEY = "the same in each run"  # type: ignore[attr-defined]
    refused = 0
    for number in range(1, 1001):
        try:
            real_number(number)
        except NoSuchNumber:
            refused += 1
    assert refused > 990


def test_a_number_shown_under_the_last_key_still_counts(settings: object) -> None:
    shown = shown_number(17)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]  # type: ignore[attr-defined]
    assert real_number(shown) == 17 and shown_number(17) != shown


def test_a_number_too_large_to_be_shown_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        shown_number(REAL.stop)
