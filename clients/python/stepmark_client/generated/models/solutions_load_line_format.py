from typing import Literal

SolutionsLoadLineFormat = Literal["generic", "labelstudio", "labelstudio_min", "potato", "potato_table"]

SOLUTIONS_LOAD_LINE_FORMAT_VALUES: set[SolutionsLoadLineFormat] = {
    "generic",
    "labelstudio",
    "labelstudio_min",
    "potato",
    "potato_table",
}


def check_solutions_load_line_format(value: str) -> SolutionsLoadLineFormat:
    if value in SOLUTIONS_LOAD_LINE_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SOLUTIONS_LOAD_LINE_FORMAT_VALUES!r}")
