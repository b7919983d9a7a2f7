"""Stage: keys. Which keys do what on the labeling page, for each person. Reads and writes Keys; the labeling page gets the map.

A key is named as the browser names it (KeyboardEvent.key), a letter in lower case; the space bar is " ", and people write it "Space".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotation.models import Keys

if TYPE_CHECKING:
    from annotation.people import Person

MOST_KEYS = 4  # for one act


@dataclass(frozen=True)
class Act:
    """Something a key does: what people call it, and the keys of whoever chose no others."""

    words: str
    usual: tuple[str, ...]


ACTS = {
    "negative": Act("Negative: the step is wrong", ("1", "-")),
    "neutral": Act("Neutral: fine, but no progress", ("2", "0")),
    "positive": Act("Positive: it moves the solution on", ("3", "=", "+")),
    "up": Act("The step above", ("ArrowUp",)),
    "down": Act("The step below", ("ArrowDown",)),
    "first": Act("The first step", ("Home",)),
    "last": Act("The last step", ("End",)),
    "undo": Act("Undo", ("Backspace",)),
    "unsure": Act("Unsure about this step", ("u",)),
    "write": Act("Write the step by hand", ("w",)),
    "bad_problem": Act("Bad problem", ("b",)),
    "give_up": Act("Give up, or hand it on", ("g",)),
    "recent": Act("Reopen a submission", ("r",)),
    "submit": Act("Submit, and go on", ("Enter",)),
    "keys": Act("The list of keys", ("?",)),
}

NAMES = ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown", "Insert", "Delete", "Backspace", "Enter")
NAMED = {name.lower(): name for name in NAMES} | {"space": " "}
MODIFIERS = {"shift", "control", "ctrl", "alt", "altgraph", "meta", "capslock", "fn", "numlock"}
# Escape closes dialogs, Tab walks through the page, the function keys belong to the browser.
RESERVED = {"escape", "esc", "tab", "contextmenu"} | {f"f{number}" for number in range(1, 25)}


class BadKeys(ValueError):
    """Keys that cannot be. `faults` has a sentence for each act at fault, in the order of ACTS; the message is all of them."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(" ".join(faults.values()))
        self.faults = dict(faults)


def usual_keys() -> dict[str, list[str]]:
    """Return the keys of whoever chose no others: act -> keys."""
    return {name: list(act.usual) for name, act in ACTS.items()}


def key_map(person: "Person") -> dict[str, list[str]]:
    """Return the keys of a person: act -> keys. One query.

    What was chosen comes before what is usual, so that an act which a later version adds cannot take a key away.
    """
    chosen = Keys.objects.filter(person=person.pk).values_list("chosen", flat=True).first() or {}
    taken = {key for keys in chosen.values() for key in keys}
    return {name: chosen.get(name) or [key for key in keys if key not in taken] for name, keys in usual_keys().items()}


def choose_keys(person: "Person", chosen: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Give a person other keys: one to four for every act; return them as `key_map` does from now on.

    Raises BadKeys: an unknown act, an act without a key, a key used twice, a modifier, a key the browser needs, no key at all.
    """
    found = {name: [read_key(key) for key in chosen.get(name, ())] for name in ACTS}
    if faults := _faults(found, unknown=sorted(chosen.keys() - ACTS.keys())):
        raise BadKeys(faults)
    if found == usual_keys():
        reset_keys(person)
    else:
        own = {name: keys for name, keys in found.items() if keys != list(ACTS[name].usual)}
        Keys.objects.update_or_create(person_id=person.pk, defaults={"chosen": own})
    return found


def reset_keys(person: "Person") -> None:
    """Give a person the usual keys back."""
    Keys.objects.filter(person=person.pk).delete()


def read_key(written: str) -> str:
    """Return a key as the browser names it, from how people write it: `A` is `a`, `Space` is the space bar, `enter` is `Enter`."""
    return NAMED.get(written.lower()) or (written.lower() if len(written) == 1 else written)


def write_key(key: str) -> str:
    """Return a key as people write it, without a blank in it; what `read_key` reads."""
    return "Space" if key == " " else key


def _faults(chosen: Mapping[str, list[str]], *, unknown: list[str]) -> dict[str, str]:
    faults = {name: f"There is no act {name}; the acts are {', '.join(ACTS)}." for name in unknown}
    owners: dict[str, str] = {}
    for name, keys in chosen.items():
        words = ACTS[name].words
        if not 1 <= len(keys) <= MOST_KEYS:
            faults[name] = f"“{words}” has {len(keys) or 'no'} key{'s' if len(keys) > 1 else ''}. Give it one to {MOST_KEYS}."
        for key in keys:
            if fault := _fault_of(key):
                faults.setdefault(name, f"“{words}” cannot have {write_key(key)}: {fault}")
            elif (owner := owners.setdefault(key, name)) != name:
                faults.setdefault(name, f"{write_key(key)} is the key of “{ACTS[owner].words}” already. Choose another one for “{words}”.")
            elif keys.count(key) > 1:
                faults.setdefault(name, f"“{words}” has {write_key(key)} twice. Once is enough.")
    return faults


def _fault_of(key: str) -> str | None:
    if key.lower() in MODIFIERS:
        return "it only changes what other keys do."
    if key.lower() in RESERVED:
        return "the browser needs it."
    if key in NAMED.values() or (len(key) == 1 and key.isprintable() and not key.isspace()):
        return None
    return "no key has this name. Write one character, or the name of a key, such as Enter, Space, Delete or PageDown."
