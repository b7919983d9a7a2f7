"""The table of all formats, and which of them a file has."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from trainer.formats.containers import read_lines
from trainer.formats.generic import generic_problem, generic_solutions
from trainer.formats.gsm8k import gsm8k_problem, gsm8k_solutions, mr_gsm8k_problem, mr_gsm8k_solutions
from trainer.formats.json_objects import placed
from trainer.formats.label_studio import (
    labelstudio_min_problem,
    labelstudio_min_solutions,
    labelstudio_problem,
    labelstudio_solutions,
)
from trainer.formats.mapping import LabelMapping
from trainer.formats.maths import math_problem
from trainer.formats.objects import Cell, Fields
from trainer.formats.potato import is_label_column, potato_problem, potato_solutions
from trainer.formats.prm800k import prm800k_problem, prm800k_solutions
from trainer.formats.published import (
    MARK,
    chat_solutions,
    math_shepherd_solutions,
    openrlhf_solutions,
    orm_solutions,
    prmbench_solutions,
    processbench_solutions,
    rlhflow_solutions,
    trl_solutions,
)
from trainer.formats.qwen_math import qwen_math_problem, qwen_math_solutions
from trainer.formats.values import FILE_MEGABYTES, BadFile, BadLine, NewProblem, NewSolution
from trainer.steps import split_lines

LOOKED_AT = 20  # objects at the beginning of a file that must all have the signs of its format
_LABELS = re.compile(r"(^|_)(labels?|ratings?|correctness|annotations?|mistakes?|first_error|error_steps?|verdicts?|judge?ments?)(_|$)")


class Sign(NamedTuple):
    """What the value of a key must be, in words for a person and as a check."""

    words: str
    holds: Callable[[object], bool]


def is_list(value: object) -> bool:
    """Tell whether a value is a list, or a cell of a CSV file that looks like one."""
    return isinstance(value, list) or (isinstance(value, Cell) and value.startswith("["))


def _is_object(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, Cell) and value.startswith("{"))


def _ends_like(pattern: str) -> Callable[[object], bool]:
    """Return a check of a text's last line."""
    return lambda value: isinstance(value, str) and re.match(pattern, split_lines(value.rstrip())[-1].strip()) is not None


TEXT = Sign("a text", lambda value: isinstance(value, str))
LIST = Sign("a list", is_list)
OBJECT = Sign("an object", _is_object)
HASHES = Sign("a text whose last line is like `#### 18`", _ends_like(r"####\s*\S"))
ANY = Sign("", lambda value: value is not None)
MARKED = Sign(f"a text with {MARK} after each step", lambda value: isinstance(value, str) and MARK in value)


@dataclass(frozen=True, slots=True)
class Format:
    """How the objects of one format are recognized, and what they are turned into.

    An object of the format has all `signs`, one key of each group of `either`, no key of `without`, a value like `any_value`, and a key
    like `any_key`.
    """

    signs: Mapping[str, Sign]
    problem: Callable[..., NewProblem]
    solutions: Callable[..., list[NewSolution]] | None
    either: tuple[tuple[str, ...], ...] = ()
    any_value: Sign | None = None
    any_key: Sign | None = None
    without: frozenset[str] = field(default_factory=frozenset)
    takes_mapping: bool = False  # its readers take a LabelMapping as second argument

    def mapped(self, mapping: LabelMapping) -> "Format":
        """Return this format, read by a mapping. Raises BadLine if its fields have fixed names, so that no mapping changes anything."""
        if mapping == LabelMapping():
            return self
        if not self.takes_mapping:
            others = ", ".join(name for name, format_ in FORMATS.items() if format_.takes_mapping)
            raise BadLine("the fields of this format have fixed names", f"A mapping is for {others}. Leave --map and --items out")
        problem, solutions = partial(self.problem, mapping=mapping), self.solutions and partial(self.solutions, mapping=mapping)
        return replace(self, problem=problem, solutions=solutions)

    def fits(self, fields: Fields) -> bool:
        """Tell whether an object has every sign of the format."""
        return (
            all(sign.holds(dict.get(fields, key)) for key, sign in self.signs.items())
            and all(any(dict.get(fields, key) is not None for key in group) for group in self.either)
            and (self.any_value is None or any(map(self.any_value.holds, fields.values())))
            and (self.any_key is None or any(map(self.any_key.holds, fields)))
            and not any(dict.get(fields, key) is not None for key in self.without)
        )

    def __str__(self) -> str:
        signs = [f"{key} ({sign.words})" if sign.words else key for key, sign in self.signs.items()]
        values = [sign.words for sign in (self.any_value, self.any_key) if sign]
        return ", ".join([*signs, *(" or ".join(group) for group in self.either), *values])


class Detected(NamedTuple):
    """The format of a file, and why: the signs that its first objects have."""

    name: str
    reason: str


def _first_problem(solutions: Callable[[Fields], list[NewSolution]]) -> Callable[[Fields], NewProblem]:
    """Return the reader of a problem, for a format whose problems stand only in its solutions."""
    return lambda fields: solutions(fields)[0].problem


FORMATS: dict[str, Format] = {
    "prm800k": Format({"question": OBJECT, "label": OBJECT}, prm800k_problem, prm800k_solutions),
    "gsm8k_solutions": Format(
        {"question": TEXT, "ground_truth": Sign("a text whose last line is like `A: 18`", _ends_like(r"(A:|####)\s*\S"))},
        gsm8k_problem,
        gsm8k_solutions,
        any_value=Sign("an object with a solution", lambda value: isinstance(value, dict) and isinstance(dict.get(value, "solution"), str)),
    ),
    "mr_gsm8k": Format(
        {"question": TEXT, "model_output_steps": LIST},
        mr_gsm8k_problem,
        mr_gsm8k_solutions,
        either=(("model_output_solution_first_error_step", "model_output_solution_correctness"),),
    ),
    "gsm8k": Format({"question": TEXT, "answer": HASHES}, gsm8k_problem, None),
    "qwen_math": Format({"question": TEXT, "code": LIST, "pred": LIST, "gt": ANY}, qwen_math_problem, qwen_math_solutions),
    "processbench": Format(
        {"problem": TEXT, "steps": LIST, "label": ANY, "final_answer_correct": ANY},
        _first_problem(processbench_solutions),
        processbench_solutions,
    ),
    "math_shepherd": Format({"input": MARKED, "label": TEXT}, _first_problem(math_shepherd_solutions), math_shepherd_solutions),
    "openrlhf": Format({"input": MARKED, "value": LIST}, _first_problem(openrlhf_solutions), openrlhf_solutions),
    "trl": Format({"prompt": TEXT, "completions": LIST, "labels": LIST}, _first_problem(trl_solutions), trl_solutions),
    "orm": Format({"prompt": TEXT, "completion": TEXT, "label": ANY}, _first_problem(orm_solutions), orm_solutions),
    "rlhflow": Format(
        {},
        _first_problem(rlhflow_solutions),
        rlhflow_solutions,
        either=(("conversations", "messages"),),
        without=frozenset({"labels"}),
    ),
    "chat": Format({"messages": LIST, "labels": LIST}, _first_problem(chat_solutions), chat_solutions),
    "prmbench": Format({"modified_question": TEXT, "modified_process": LIST}, _first_problem(prmbench_solutions), prmbench_solutions),
    "labelstudio": Format({"data": OBJECT, "annotations": LIST}, labelstudio_problem, labelstudio_solutions, takes_mapping=True),
    "labelstudio_min": Format(
        {"annotation_id": ANY, "annotator": ANY},
        labelstudio_min_problem,
        labelstudio_min_solutions,
        either=(("lead_time", "updated_at"),),
        takes_mapping=True,
    ),
    "potato": Format({"label_annotations": OBJECT}, potato_problem, potato_solutions, either=(("id", "instance_id"),), takes_mapping=True),
    "potato_export": Format({"instance_id": ANY, "user_id": ANY, "labels": OBJECT}, potato_problem, potato_solutions, takes_mapping=True),
    "potato_state": Format({"user_id": ANY, "instance_id_to_label_to_value": OBJECT}, potato_problem, potato_solutions, takes_mapping=True),
    "potato_table": Format(
        {"instance_id": ANY},
        potato_problem,
        potato_solutions,
        either=(("user", "user_id"),),
        any_key=Sign("columns like step_1.good or step_1:::good", lambda key: isinstance(key, str) and is_label_column(key)),
        without=frozenset({"labels", "label_annotations"}),
        takes_mapping=True,
    ),
    "math": Format(
        {"problem": TEXT},
        math_problem,
        None,
        either=(("unique_id", "type"), ("solution", "answer"), ("level", "difficulty")),
        without=frozenset({"steps"}),
    ),
    "generic": Format({"problem": TEXT}, generic_problem, generic_solutions),
}


def detect_format(path: Path, *, megabytes: int = FILE_MEGABYTES) -> Detected:
    """Return the format of a file, by its first objects, and the reason. Raises BadFile if none fits, if two fit, or if the file is empty.

    `generic` is for files that no other format fits. It does not fit a file with keys that look like labels, which it does not read.
    """
    objects = islice(read_lines(path, megabytes=megabytes), LOOKED_AT)
    line, first = next(objects, (0, None))
    if first is None:
        raise BadFile(path, None, "the file is empty", "Give it one JSON object per line, or a table with at least one row")
    fitting = fitting_formats(first)
    keys = ", ".join(map(repr, list(first)[:12])) + (", ..." if len(first) > 12 else "") or "none"
    if len(fitting) > 1:
        raise BadFile(path, line, f"the formats {' and '.join(fitting)} fit (keys: {keys})", "Name the one that is meant with --format")
    if not fitting:
        raise BadFile(path, line, f"unknown format (keys: {keys})", f"Name the format with --format: {', '.join(FORMATS)}")
    (name,) = fitting
    detected = Detected(name, str(FORMATS[name]))
    with placed(path, line):
        refuse_unread_labels(first, detected)
    for number, fields in objects:
        if (others := fitting_formats(fields)) and name not in others:
            raise BadFile(
                path,
                number,
                f"the object has the format {' or '.join(others)}, but the file begins with the format {name}",
                "Give each format a file of its own, or name the format with --format",
            )
    return detected


def refuse_unread_labels(fields: Fields, detected: Detected) -> None:
    """Raise BadLine if a file was taken for `generic`, but this object has labels that `generic` does not read."""
    if detected.name != "generic" or not detected.reason:
        return
    if labels := sorted({key for key in _keys(fields) if looks_like_labels(key.rpartition(".")[2])} - {"ratings", "steps.rating"}):
        raise BadLine(
            f"the file has labels ({', '.join(labels)}) in a format that is not known",
            "Name the format with --format; --format generic loads the file without these labels",
        )


@lru_cache(maxsize=4_096)  # every line of a file has the same keys
def looks_like_labels(key: str) -> bool:
    """Tell whether a key is named as labels of people are: `labels`, `step_ratings`, `first_error_step`."""
    return _LABELS.search(key.lower()) is not None


def fitting_formats(fields: Fields) -> list[str]:
    """Return the formats whose signs an object has. `generic` counts only if no other fits."""
    names = [name for name, format_ in FORMATS.items() if format_.fits(fields)]
    return [name for name in names if name != "generic"] or names


def _keys(fields: Fields) -> Iterator[str]:
    """Yield the keys of an object that hold something, also of the objects in its steps."""
    for key, value in fields.items():
        if value is not None and value != []:
            yield key
    if isinstance(steps := dict.get(fields, "steps"), list):
        yield from (f"steps.{key}" for step in steps if isinstance(step, dict) for key in step)
