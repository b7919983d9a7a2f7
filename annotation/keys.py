"""Stage: keys. Which keys do what on the labeling page, for each person. Reads and writes Keys; the labeling page gets the map.

A key has the name that the browser gives it (KeyboardEvent.key). A letter is in lower case. The space bar is " "; people write it "Space".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotation.models import Keys

if TYPE_CHECKING:
    from annotation.people import Person

MOST_KEYS = 4  # per action


@dataclass(frozen=True)
class Action:
    """Something a key does: its name for people, and its default keys."""

    words: str
    defaults: tuple[str, ...]


ACTIONS = {
    "negative": Action("Negative: the step is wrong", ("1", "-")),
    "neutral": Action("Neutral: fine, but no progress", ("2", "0")),
    "positive": Action("Positive: it moves the solution forward", ("3", "=", "+")),
    "up": Action("The step above", ("ArrowUp",)),
    "down": Action("The step below", ("ArrowDown",)),
    "first": Action("The first step", ("Home",)),
    "last": Action("The last step", ("End",)),
    "undo": Action("Undo", ("Backspace",)),
    "unsure": Action("Unsure about the step just rated, or the one in focus", ("u",)),
    "write": Action("Write the step yourself", ("w",)),
    "bad_problem": Action("Bad problem", ("b",)),
    "give_up": Action("Give up, or pass it on", ("g",)),
    "recent": Action("Reopen a submission", ("r",)),
    "calculate": Action("Open the calculator", ("c",)),
    "submit": Action("Submit and continue", ("Enter",)),
    "keys": Action("Show the list of keys", ("?",)),
}

NAMES = ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown", "Insert", "Delete", "Backspace", "Enter")
NAMED = {name.lower(): name for name in NAMES} | {"space": " "}
MODIFIERS = {"shift", "control", "ctrl", "alt", "altgraph", "meta", "capslock", "fn", "numlock"}
# Escape closes dialogs, Tab moves through the page, and the browser uses the function keys.
RESERVED = {"escape", "esc", "tab", "contextmenu"} | {f"f{number}" for number in range(1, 25)}


class BadKeys(ValueError):
    """Keys that cannot be used. `faults` has a sentence for each action at fault, in the order of ACTIONS; the message is all of them."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(" ".join(faults.values()))
        self.faults = dict(faults)


def default_keys() -> dict[str, list[str]]:
    """Return the default keys: action -> keys."""
    return {name: list(action.defaults) for name, action in ACTIONS.items()}


def key_map(person: "Person") -> dict[str, list[str]]:
    """Return the keys of a person: action -> keys. One query.

    Chosen keys win over default keys, so that an action added in a later version cannot take a key away.
    """
    chosen: dict[str, list[str]] = Keys.objects.filter(person=person.pk).values_list("chosen", flat=True).first() or {}
    taken = {key for keys in chosen.values() for key in keys}
    return {name: chosen.get(name) or [key for key in keys if key not in taken] for name, keys in default_keys().items()}


def choose_keys(person: "Person", chosen: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Store a person's keys, one to four for each action, and return them as `key_map` does from now on.

    Raises BadKeys: an unknown action, an action without a key, a key used twice, a modifier, a key the browser needs, no key at all.
    """
    read = {name: [read_key(key) for key in chosen.get(name, ())] for name in ACTIONS}
    if faults := _faults(read, unknown=sorted(chosen.keys() - ACTIONS.keys())):
        raise BadKeys(faults)
    if read == default_keys():
        reset_keys(person)
    else:
        own = {name: keys for name, keys in read.items() if keys != list(ACTIONS[name].defaults)}
        Keys.objects.update_or_create(person_id=person.pk, defaults={"chosen": own})
    return read


def reset_keys(person: "Person") -> None:
    """Restore a person's default keys."""
    Keys.objects.filter(person=person.pk).delete()


def read_key(written: str) -> str:
    """Return the browser's name of a key from the way people write it: `A` is `a`, `Space` is the space bar, `enter` is `Enter`."""
    return NAMED.get(written.lower()) or (written.lower() if len(written) == 1 else written)


def write_key(key: str) -> str:
    """Return a key as people write it, without a space in it. `read_key` reads it back."""
    return "Space" if key == " " else key


def _faults(chosen: Mapping[str, list[str]], *, unknown: list[str]) -> dict[str, str]:
    faults = {name: f"There is no action {name}. The actions are {', '.join(ACTIONS)}." for name in unknown}
    owners: dict[str, str] = {}
    for name, keys in chosen.items():
        words = ACTIONS[name].words
        if not 1 <= len(keys) <= MOST_KEYS:
            faults[name] = f"“{words}” has {len(keys) or 'no'} key{'s' if len(keys) > 1 else ''}. Choose one to {MOST_KEYS}."
        for key in keys:
            if fault := _fault_of(key):
                faults.setdefault(name, f"“{words}” cannot use {write_key(key)}: {fault}")
            elif (owner := owners.setdefault(key, name)) != name:
                faults.setdefault(
                    name, f"{write_key(key)} is already the key for “{ACTIONS[owner].words}”. Choose another key for “{words}”."
                )
            elif keys.count(key) > 1:
                faults.setdefault(name, f"“{words}” has {write_key(key)} twice. Remove one of them.")
    return faults


def _fault_of(key: str) -> str | None:
    if key.lower() in MODIFIERS:
        return "it only changes what other keys do."
    if key.lower() in RESERVED:
        return "the browser needs it."
    if key in NAMED.values() or (len(key) == 1 and key.isprintable() and not key.isspace()):
        return None
    return "no key has this name. Write one character, or the name of a key, such as Enter, Space, Delete or PageDown."
