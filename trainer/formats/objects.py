"""What containers give and readers take: the objects of a file. They keep numbers as written, and remember which keys were read."""

from collections import Counter
from collections.abc import Iterator, Set
from typing import Any

from trainer.counting import counted


class Numeral:
    """A number as the file writes it: `0.10`, `1e400` and 5,000 digits keep every character. A reader that needs a value converts it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text if len(self.text) <= 40 else f"{self.text[:40]}... ({len(self.text):,} characters)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numeral) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Cell(str):
    """A text of a CSV file, where every value is text. A reader that needs a number, a list or an object reads it from the text."""

    __slots__ = ()


class Fields(dict[str, Any]):
    """One object of a file. It remembers which of its keys a reader looked at."""

    __slots__ = ("_used",)
    _used: set[str]

    # A large file has millions of objects, and most of them are read key by key: the set is made at the first key, and a reader's key
    # costs no second call.
    @property
    def used(self) -> set[str]:
        try:
            return self._used
        except AttributeError:
            self._used = set()
            return self._used

    @used.setter
    def used(self, keys: set[str]) -> None:
        self._used = keys

    def __getitem__(self, key: str) -> Any:
        self.used.add(key)
        return _item_of(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        try:
            self._used.add(key)
        except AttributeError:
            self._used = {key}
        return _value_of(self, key, default)


_WHOLE = "\0"  # before a key: all inside was looked at
_item_of, _value_of = dict.__getitem__, dict.get


def use_keys(fields: Fields, keys: Set[str]) -> None:
    """Note that a reader looked at these keys."""
    try:
        fields._used |= keys
    except AttributeError:
        fields._used = set(keys)


def use_whole(fields: Fields, key: str) -> None:
    """Note that a reader looked at all that a key holds, also inside of its objects."""
    fields.used |= {key, _WHOLE + key}


def unused_keys(fields: Fields) -> set[str]:
    """Return the keys that no reader looked at and that hold something; `steps.note` is a key of an object inside `steps`."""
    names: set[str] = set()
    used = fields.used
    for key, value in fields.items():
        if value is None:
            continue
        if key not in used:
            names.add(key)
        elif isinstance(value, _NESTED) and _WHOLE + key not in used:
            for nested in _objects_in(value):
                if inner := unused_keys(nested):
                    names |= {f"{key}.{name}" for name in inner}
    return names


def unused_in_words(counts: Counter[str]) -> list[str]:
    """Return one sentence that names the unused keys, the most frequent first, or none."""
    keys = ", ".join(f"{key} ({count:,})" for key, count in counts.most_common())
    return [f"{counted(len(counts), 'key was', 'keys were')} not used: {keys}."] if counts else []


def left_out_in_words(counts: Counter[str]) -> list[str]:
    """Return a sentence for each thing that was left out of solutions, with their number."""
    return [f"{counted(count, 'solution')}: the {name} were left out." for name, count in counts.most_common()]


_NESTED = (Fields, list)


def _objects_in(value: object) -> Iterator[Fields]:
    if isinstance(value, Fields):
        yield value
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, Fields):
                yield item
            elif isinstance(item, list):
                yield from _objects_in(item)


def type_in_words(value: object) -> str:
    """Return what a value is, as a person would say it."""
    words: dict[type | tuple[type, ...], str] = {
        str: "a text",
        bool: "true or false",
        (Numeral, int, float): "a number",
        list: "a list",
        dict: "an object",
    }
    return next((word for types, word in words.items() if isinstance(value, types)), "null")
