from typing import Literal

SolutionsListOutcome = Literal["correct", "ungraded", "unsure", "wrong"]

SOLUTIONS_LIST_OUTCOME_VALUES: set[SolutionsListOutcome] = {
    "correct",
    "ungraded",
    "unsure",
    "wrong",
}


def check_solutions_list_outcome(value: str) -> SolutionsListOutcome:
    if value in SOLUTIONS_LIST_OUTCOME_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SOLUTIONS_LIST_OUTCOME_VALUES!r}")
