"""The values of one line: each function reads a key, checks its type and raises BadLine with the remedy."""

from typing import Any

from trainer.formats.containers import Fields
from trainer.formats.values import BadLine


def read_text(fields: Fields, key: str, *also: str) -> str:
    """Return the text under the first of these keys that has one."""
    for name in (key, *also):
        if isinstance(value := fields.get(name), str):
            return value
    raise BadLine(
        f"{key!r} is {'missing' if key not in fields else 'not text'}", f"Give {key!r} a text, or name the right format with --format"
    )


def read_optional(fields: Fields, key: str, *also: str) -> str | None:
    """Return the text or number under the first of these keys that is not null, as text."""
    for name in (key, *also):
        value = fields.get(name)
        if isinstance(value, bool | list | dict):
            raise BadLine(f"{name!r} is a {type(value).__name__}", f"Give {name!r} a text, or null")
        if value is not None:
            return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return None


def read_whole(fields: Fields, key: str, lowest: int, highest: int) -> int | None:
    """Return a whole number within a range, or None."""
    value = fields.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest):
        raise BadLine(f"{key!r} is {value!r}", f"Give {key!r} a whole number from {lowest} to {highest}, or null")
    return value


def read_list(fields: Fields, key: str) -> list[Any]:
    """Return the list under a key."""
    if not isinstance(value := fields.get(key), list):
        raise BadLine(f"{key!r} is {'missing' if key not in fields else 'not a list'}", f"Give {key!r} a list")
    return value


def read_object(value: object, name: str) -> Fields:
    """Return a value that must be an object."""
    if not isinstance(value, dict):
        raise BadLine(f"{name} is not an object", f"Write {name} as an object")
    return value


def read_rating(fields: Fields) -> int | None:
    """Return -1, 0, 1 or None."""
    rating = fields.get("rating")
    if rating is not None and (isinstance(rating, bool) or rating not in (-1, 0, 1)):
        raise BadLine(f"a rating is {rating!r}", "A rating must be -1, 0, 1 or null")
    return rating


def read_flag(fields: Fields) -> bool | None:
    """Return true, false or None."""
    if not isinstance(flagged := fields.get("flagged"), bool | None):
        raise BadLine(f"'flagged' is {flagged!r}", "'flagged' must be true, false or null")
    return flagged


def read_split(fields: Fields, *keys: str) -> str:
    """Return train or test, also for a name such as phase1_train. Any other name is returned as it is, and check_problem refuses it."""
    named = str(next((fields[key] for key in keys if fields.get(key) is not None), "train"))
    return next((split for split in ("train", "test") if named == split or named.endswith(f"_{split}")), named)


def steps_of(text: str) -> list[str]:
    """Split a text into steps at its line breaks. A closing answer block stays with the last step."""
    body, mark, answer = text.rstrip().partition("\n\n# Answer\n\n")
    lines = [line.rstrip() for line in body.splitlines() if line.strip()]
    return [*lines[:-1], lines[-1] + mark + answer] if lines else []


def with_answer(steps: list[str], answer: str) -> tuple[str, ...]:
    """Append the answer to the last step, as PRM800K does."""
    return (*steps[:-1], f"{steps[-1]}\n\n# Answer\n\n{answer}") if steps else (f"# Answer\n\n{answer}",)
