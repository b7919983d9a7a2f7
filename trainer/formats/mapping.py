"""Labels of other tools: which field is what, and which value is which rating. People name what differs from the usual."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from trainer.formats.objects import Fields
from trainer.formats.values import BadLine, in_words

GOOD = ("1", "+1", "good", "positive", "correct", "right", "true", "yes", "valid")
NEUTRAL = ("0", "neutral", "okay", "ok", "neither")
BAD = ("-1", "bad", "negative", "incorrect", "wrong", "false", "no", "invalid")
NO_MISTAKE = ("-1", "none", "no", "no error", "no errors", "no mistake", "no mistakes", "all correct", "correct", "n/a")
PROBLEMS = ("problem", "question", "prompt", "problem_statement")
STEPS = ("steps", "solution_steps", "reasoning_steps", "model_output_steps", "completions", "cot_steps", "dialogue")
TEXTS = ("solution", "response", "completion", "reasoning", "model_output", "output")
ANSWERS = ("answer", "ground_truth_answer", "reference_answer", "ground_truth")
SOURCES = ("source", "generator", "model")
IDS = ("problem_id",)
_RATINGS = {"good": 1, "neutral": 0, "bad": -1, "unrated": None}
_FIELDS = {"problem": PROBLEMS, "steps": STEPS, "answer": ANSWERS, "source": SOURCES, "id": IDS}
_CONTROLS = ("ratings", "first_mistake")
_EXAMPLE = "Write lines like steps=chain, good=Valid,Right or counts_from=1"
_WORDS = {**dict.fromkeys(GOOD, 1), **dict.fromkeys(NEUTRAL, 0), **dict.fromkeys(BAD, -1)}


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """How a task of another tool is read.

    `fields`: our name -> the field of the task. `controls`: ratings, first_mistake -> the name of the control (Label Studio) or scheme
    (Potato). `values`: what a person chose -> the rating, None for no rating. `counts_from`: the number of the first step. `missing`:
    what a step without a rating counts as. `items`: the tasks by their ids, for files that have labels only.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, int | None] = field(default_factory=dict)
    counts_from: int | None = None
    missing: int | None = None
    items: Mapping[str, Fields] | None = None

    def names(self, ours: str, usual: Iterable[str]) -> tuple[str, ...]:
        """Return the fields that can hold what we call `ours`: the named one, or the usual ones."""
        return (self.fields[ours],) if ours in self.fields else tuple(usual)

    def rating(self, value: object, place: str, *, is_scale: bool = False) -> int | None:
        """Return the rating that a chosen value is. Raises BadLine for a value that nobody can know.

        With `is_scale` numbers are places on a scale, such as stars: 1 is then the worst, and only the mapping knows the middle.
        """
        word = plain_word(value)
        if word in self.values:
            return self.values[word]
        if word in _WORDS and not (is_scale and word.lstrip("+-").isdecimal()):
            return _WORDS[word]
        named = in_words(value)
        if is_scale:
            raise BadLine(f"{place} is {named} on a scale", "Say what they mean, such as --map good=4,5 --map neutral=3 --map bad=1,2")
        raise BadLine(
            f"{place} is {named}",
            f"Known values are {', '.join(GOOD)} (good), {', '.join(NEUTRAL)} (neutral) and {', '.join(BAD)} (bad). Say what another "
            f"one means, such as --map bad={word or 'Flawed'}, or name the ratings with --map ratings=NAME",
        )

    def first_mistake(self, value: object, place: str) -> int | None:
        """Return the index of the first mistake that a value names, from 0, or None for no mistake. Raises BadLine."""
        word = plain_word(value)
        number = re.fullmatch(r"(?:step\s*)?#?([+-]?\d{1,9})(?:\.0+)?", word)
        if word in NO_MISTAKE or (number and self.counts_from == 1 and int(number[1]) == 0):
            return None
        if number is None or int(number[1]) < 0:
            raise BadLine(f"{place} is {in_words(value)}", "It must be the number of a step, or none")
        if self.counts_from is None and not word.startswith("step"):
            raise BadLine(
                f"{place} is {word}, and nobody can know whether steps are numbered from 0 or from 1",
                "Say it with --map counts_from=0 or --map counts_from=1",
            )
        return int(number[1]) - (1 if self.counts_from is None else self.counts_from)


def plain_word(value: object) -> str:
    """Return a chosen value as one word in small letters: `Good ` is good, 1.0 is 1, and a long minus is a minus."""
    return _plain_text({True: "true", False: "false"}[value] if isinstance(value, bool) else str(value))


@lru_cache(1_000)  # people choose among few values
def _plain_text(text: str) -> str:
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", text.strip().casefold().replace("\u2212", "-"))


def read_mapping(lines: Iterable[str]) -> LabelMapping:
    """Return the mapping that lines of NAME=VALUE say. Raises BadLine for a name that does not exist, or a value that it cannot have."""
    fields: dict[str, str] = {}
    controls: dict[str, str] = {}
    values: dict[str, int | None] = {}
    counts_from: int | None = None
    missing: int | None = None
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name and not equals:
            continue
        if not equals or not value:
            raise BadLine(f"the mapping {in_words(line)} is not NAME=VALUE", _EXAMPLE)
        if name in _FIELDS:
            fields[name] = value
        elif name in _CONTROLS:
            controls[name] = value
        elif name in _RATINGS:
            values |= {plain_word(word): _RATINGS[name] for word in value.split(",") if word.strip()}
        elif name == "counts_from" and value in ("0", "1"):
            counts_from = int(value)
        elif name == "missing" and value in _RATINGS:
            missing = _RATINGS[value]
        else:
            allowed = {"counts_from": "0 or 1", "missing": ", ".join(_RATINGS)}.get(name)
            known = ", ".join((*_FIELDS, *_CONTROLS, *_RATINGS, "counts_from", "missing"))
            reason = f"the mapping {name} is {in_words(value)}" if allowed else f"the mapping {in_words(name)} is not known"
            raise BadLine(reason, f"It must be {allowed}" if allowed else f"The names are {known}. {_EXAMPLE}")
    return LabelMapping(fields, controls, values, counts_from, missing)
