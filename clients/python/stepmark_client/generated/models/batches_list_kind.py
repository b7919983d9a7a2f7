from typing import Literal

BatchesListKind = Literal["calibration", "imported", "imported_gold", "practice", "review", "screening", "selected"]

BATCHES_LIST_KIND_VALUES: set[BatchesListKind] = {
    "calibration",
    "imported",
    "imported_gold",
    "practice",
    "review",
    "screening",
    "selected",
}


def check_batches_list_kind(value: str) -> BatchesListKind:
    if value in BATCHES_LIST_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {BATCHES_LIST_KIND_VALUES!r}")
