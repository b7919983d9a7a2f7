from typing import Literal

SolutionsListSplit = Literal["test", "train"]

SOLUTIONS_LIST_SPLIT_VALUES: set[SolutionsListSplit] = {
    "test",
    "train",
}


def check_solutions_list_split(value: str) -> SolutionsListSplit:
    if value in SOLUTIONS_LIST_SPLIT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SOLUTIONS_LIST_SPLIT_VALUES!r}")
