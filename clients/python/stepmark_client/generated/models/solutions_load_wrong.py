from typing import Literal

SolutionsLoadWrong = Literal["refuse", "skip"]

SOLUTIONS_LOAD_WRONG_VALUES: set[SolutionsLoadWrong] = {
    "refuse",
    "skip",
}


def check_solutions_load_wrong(value: str) -> SolutionsLoadWrong:
    if value in SOLUTIONS_LOAD_WRONG_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SOLUTIONS_LOAD_WRONG_VALUES!r}")
