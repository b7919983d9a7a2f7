"""The trainer's own format: the schema that checks every line whole, before anything is trained.

Reads the objects of a file. Returns `OwnLine` values with numbers and texts of the right types. Raises BadLine with the key, the value
and what it must be. Keys that the schema does not know stay in `model_extra`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from trainer.formats import (
    BadLine,
    Cell,
    Fields,
    Numeral,
    as_number,
    as_rating,
    as_whole,
    clean_text,
    in_words,
    looks_like_labels,
    read_list,
)

_MUST_BE = {
    "problem": "problem must be a non-empty text",
    "steps": "steps must be a list of at least one non-empty text",
    "ratings": "ratings must be a list of -1, 0, 1 or null, one for each step, from the first step on",
    "soft": "soft must be a list of three probabilities or null, one for each step, from the first step on",
    "alternatives": 'alternatives must be a list of objects like {"step_index": 1, "text": "..", "rating": 1}',
    "right": "right must be true or false, the grade of the final answer",
    "answer": "answer must be the text of the final answer, or null where there is none",
}
_LISTS = ("steps", "ratings", "soft", "alternatives")


def _filled(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("empty")
        clean_text(value)
    return value


def _as_text(value: Any) -> Any:
    text = value.text if isinstance(value, Numeral) else str(value) if type(value) in (int, float) else value
    return clean_text(text) if isinstance(text, str) else text


def _whole(value: Any) -> Any:
    return value if (number := as_whole(value)) is None else number


def _number(value: Any) -> Any:
    return value if (number := as_number(value)) is None else number


Filled = Annotated[str, BeforeValidator(_filled)]
Name = Annotated[str, BeforeValidator(_as_text)]
Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]
Rating = Annotated[int | None, BeforeValidator(as_rating)]
Probability = Annotated[float, Field(strict=True), BeforeValidator(_number)]


class OwnAlternative(BaseModel):
    """Another text for a step of a line."""

    model_config = ConfigDict(extra="allow")
    step_index: Whole
    text: Filled
    rating: Annotated[int, BeforeValidator(as_rating)]


class OwnLine(BaseModel):
    """One line of the trainer's own format."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    problem: Filled
    steps: Annotated[list[Filled], Field(min_length=1)]
    ratings: list[Rating] | None = None
    alternatives: list[OwnAlternative] | None = None
    soft: list[list[Probability] | None] | None = None
    right: StrictBool | None = None
    answer: Name | None = None
    key: Name | None = None
    problem_key: Name | None = None
    subject: Name | None = None
    source: Name | None = None
    id: Name | None = None
    level: Name | None = None
    split: Name | None = None
    reference_solution: Name | None = None
    draw: Any = None
    drawn_with: Any = None

    def unknown_keys(self) -> set[str]:
        """Return the keys that the format does not have and that hold something."""
        names = {key for key, value in (self.model_extra or {}).items() if value is not None}
        return names | {f"alternatives.{key}" for other in self.alternatives or () for key in other.model_extra or {}}


def check_line(fields: Fields) -> OwnLine:
    """Return a line with checked values. Raises BadLine for the first value that cannot be, and for labels under another name."""
    for key in _LISTS:
        if isinstance(fields.get(key), str):  # a cell of a CSV file holds a list as JSON
            read_list(fields, key)
    if isinstance(right := fields.get("right"), str):
        fields["right"] = {"true": True, "false": False}.get(right.lower() if isinstance(right, Cell) else "", right)
    if fields.get("ratings") is None and (labels := [key for key in fields if fields.get(key) is not None and looks_like_labels(key)]):
        raise BadLine(f"the line has {labels[0]!r}, but no 'ratings'", f"Rename {labels[0]!r} to 'ratings': -1, 0, 1 or null for each step")
    try:
        return OwnLine.model_validate(dict(fields))
    except ValidationError as error:
        raise BadLine(*_in_words(error.errors()[0])) from None


def _in_words(error: Mapping[str, Any]) -> tuple[str, str]:
    place, value, cause = error["loc"], error["input"], error.get("ctx", {}).get("error")
    name = str(place[0]) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place[1:])
    if error["type"] == "missing":
        return f"the key {str(place[-1])!r} is missing", _MUST_BE.get(str(place[0]), f"Give {place[-1]!r} a value")
    shown = f"{name} contains {cause}" if isinstance(cause, BaseException) and "position" in str(cause) else f"{name} is {in_words(value)}"
    return shown, _MUST_BE.get(str(place[0]), f"{place[0]} must be a text or a number")
