from typing import Literal

ProblemsListSplit = Literal["test", "train"]

PROBLEMS_LIST_SPLIT_VALUES: set[ProblemsListSplit] = {
    "test",
    "train",
}


def check_problems_list_split(value: str) -> ProblemsListSplit:
    if value in PROBLEMS_LIST_SPLIT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROBLEMS_LIST_SPLIT_VALUES!r}")
