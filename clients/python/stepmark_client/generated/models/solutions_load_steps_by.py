from typing import Literal

SolutionsLoadStepsBy = Literal["lines", "numbered", "paragraphs", "sentences"]

SOLUTIONS_LOAD_STEPS_BY_VALUES: set[SolutionsLoadStepsBy] = {
    "lines",
    "numbered",
    "paragraphs",
    "sentences",
}


def check_solutions_load_steps_by(value: str) -> SolutionsLoadStepsBy:
    if value in SOLUTIONS_LOAD_STEPS_BY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SOLUTIONS_LOAD_STEPS_BY_VALUES!r}")
