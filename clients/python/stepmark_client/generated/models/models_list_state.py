from typing import Literal

ModelsListState = Literal["failed", "queued", "ready", "running"]

MODELS_LIST_STATE_VALUES: set[ModelsListState] = {
    "failed",
    "queued",
    "ready",
    "running",
}


def check_models_list_state(value: str) -> ModelsListState:
    if value in MODELS_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODELS_LIST_STATE_VALUES!r}")
