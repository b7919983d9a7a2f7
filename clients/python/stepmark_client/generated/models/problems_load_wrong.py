from typing import Literal

ProblemsLoadWrong = Literal["refuse", "skip"]

PROBLEMS_LOAD_WRONG_VALUES: set[ProblemsLoadWrong] = {
    "refuse",
    "skip",
}


def check_problems_load_wrong(value: str) -> ProblemsLoadWrong:
    if value in PROBLEMS_LOAD_WRONG_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROBLEMS_LOAD_WRONG_VALUES!r}")
