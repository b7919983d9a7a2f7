from typing import Literal

RoundsListState = Literal["cancelled", "failed", "proposed", "published", "queued", "sampling", "scoring", "selecting", "training"]

ROUNDS_LIST_STATE_VALUES: set[RoundsListState] = {
    "cancelled",
    "failed",
    "proposed",
    "published",
    "queued",
    "sampling",
    "scoring",
    "selecting",
    "training",
}


def check_rounds_list_state(value: str) -> RoundsListState:
    if value in ROUNDS_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ROUNDS_LIST_STATE_VALUES!r}")
