"""The values of one line: each function reads a key, checks its type and raises BadLine with the remedy."""

import math
from decimal import Decimal
from typing import Any

from trainer.formats.json_objects import parse_cell
from trainer.formats.objects import Cell, Fields, Numeral, type_in_words
from trainer.formats.values import BadLine, in_words

_FLAGS = {"true": True, "false": False}


def read_text(fields: Fields, key: str, *also: str) -> str:
    """Return the text under the first of these keys that has one."""
    for name in (key, *also):
        if isinstance(value := fields.get(name), str):
            return value
    if isinstance(value := fields.get(key), Cell | None):
        raise BadLine(f"{key!r} is {'missing' if key not in fields else 'empty'}", _format_remedy(key))
    raise BadLine(f"{key!r} is {type_in_words(value)}", _format_remedy(key))


def _format_remedy(key: str) -> str:
    return f"Give {key!r} a text, or name the right format with --format"


def read_optional(fields: Fields, key: str, *also: str) -> str | None:
    """Return the text or number under the first of these keys that is not null. A number keeps the digits it was written with."""
    for name in (key, *also):
        value = fields.get(name)
        if isinstance(value, bool | list | dict):
            raise BadLine(f"{name!r} is {type_in_words(value)}", f"Give {name!r} a text, a number or null")
        if value is not None:
            return value.text if isinstance(value, Numeral) else str(value)
    return None


def read_whole(fields: Fields, key: str, lowest: int, highest: int, *, or_else: str = "null") -> int | None:
    """Return a whole number within a range, or None. `3.0`, which pandas writes for 3, is whole. `or_else` says what else is allowed."""
    if (value := fields.get(key)) is None:
        return None
    if (number := as_whole(value)) is None or not lowest <= number <= highest:
        raise BadLine(f"{key!r} is {in_words(value)}", f"Give {key!r} a whole number from {lowest} to {highest}, or {or_else}")
    return number


def as_whole(value: object) -> int | None:
    """Return the whole number of at most 18 digits that a value is, or None: `1`, `1.0` and `1e0` are 1; true and a text are none."""
    if isinstance(value, Numeral) and value.text.isdecimal() and len(value.text) <= 18:  # the usual case, without a Decimal
        return int(value.text)
    number = _number(value)
    if number is None or not abs(number) < 10**18 or number != int(number):
        return None
    return int(number)


def read_number(fields: Fields, key: str) -> float | None:
    """Return a finite number, or None."""
    if (value := fields.get(key)) is None:
        return None
    if (number := as_number(value)) is None:
        raise BadLine(f"{key!r} is {in_words(value)}", f"Give {key!r} a number that is not too large, or null")
    return number


def as_number(value: object) -> float | None:
    """Return the finite number that a value is, or None: true and a text are none."""
    number = _number(value)
    return float(number) if number is not None and math.isfinite(float(number)) else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, Numeral | Cell | int | float):
        return None
    try:
        number = Decimal(value.text if isinstance(value, Numeral) else value)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def read_list(fields: Fields, key: str) -> list[Any]:
    """Return the list under a key. A cell of a CSV file holds it as JSON."""
    if isinstance(value := fields.get(key), Cell):
        value = fields[key] = parse_cell(value, key, "a list", '["Add.", "So 5."]')
    if not isinstance(value, list):
        raise BadLine(f"{key!r} is {'missing' if key not in fields else type_in_words(value)}", f"Give {key!r} a list")
    return value


def read_texts(fields: Fields, key: str) -> list[str]:
    """Return the list of texts under a key."""
    values = read_list(fields, key)
    for number, value in enumerate(values, 1):
        if not isinstance(value, str):
            raise BadLine(f"number {number} of {key!r} is {type_in_words(value)}", f"Give {key!r} a list of texts")
    return values


def read_object(fields: Fields, key: str) -> Fields:
    """Return the object under a key. A cell of a CSV file holds it as JSON."""
    if isinstance(value := fields.get(key), Cell):
        value = fields[key] = parse_cell(value, key, "an object", '{"1": ["So 6."]}')
    return as_object(value, f"{key!r}")


def as_object(value: object, name: str) -> Fields:
    """Return a value that must be an object. `name` says in a sentence what it is."""
    if not isinstance(value, dict):
        raise BadLine(f"{name} is {'missing' if value is None else type_in_words(value)}", f"Write {name} as an object")
    return value if isinstance(value, Fields) else Fields(value.items())


def read_rating(fields: Fields) -> int | None:
    """Return -1, 0, 1 or None."""
    return as_rating(fields.get("rating"))


def as_rating(value: object) -> int | None:
    """Return the rating -1, 0, 1 or None that a value is. pandas writes 1 as `1.0`."""
    if value is None:
        return None
    if (rating := as_whole(value)) not in (-1, 0, 1):
        raise BadLine(f"a rating is {in_words(value)}", "A rating must be -1, 0, 1 or null")
    return rating


def read_flag(fields: Fields, key: str = "flagged") -> bool | None:
    """Return true, false or None."""
    flag = fields.get(key)
    if isinstance(flag, Cell):
        flag = _FLAGS.get(flag.lower(), flag)
    if not isinstance(flag, bool | None):
        raise BadLine(f"{key!r} is {in_words(flag)}", f"{key!r} must be true, false or null")
    return flag


def read_split(fields: Fields, *keys: str) -> str:
    """Return train or test, also for a name such as phase1_train. Any other name is returned as it is, and check_problem refuses it."""
    named = str(next((fields[key] for key in keys if fields.get(key) is not None), "train"))
    return next((split for split in ("train", "test") if named == split or named.endswith(f"_{split}")), named)


def with_answer(steps: list[str], answer: str) -> tuple[str, ...]:
    """Append the answer to the last step, as PRM800K does."""
    return (*steps[:-1], f"{steps[-1]}\n\n# Answer\n\n{answer}") if steps else (f"# Answer\n\n{answer}",)
