from typing import Literal

BatchesListState = Literal["closed", "draft", "open", "paused"]

BATCHES_LIST_STATE_VALUES: set[BatchesListState] = {
    "closed",
    "draft",
    "open",
    "paused",
}


def check_batches_list_state(value: str) -> BatchesListState:
    if value in BATCHES_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {BATCHES_LIST_STATE_VALUES!r}")
