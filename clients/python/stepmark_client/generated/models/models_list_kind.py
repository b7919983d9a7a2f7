from typing import Literal

ModelsListKind = Literal["orm", "prm"]

MODELS_LIST_KIND_VALUES: set[ModelsListKind] = {
    "orm",
    "prm",
}


def check_models_list_kind(value: str) -> ModelsListKind:
    if value in MODELS_LIST_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODELS_LIST_KIND_VALUES!r}")
