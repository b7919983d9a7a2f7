"""The table of all formats, and which of them a file has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer.formats.containers import Fields, read_lines
from trainer.formats.generic import generic_problem, generic_solutions
from trainer.formats.gsm8k import gsm8k_problem, gsm8k_solutions, mr_gsm8k_problem, mr_gsm8k_solutions
from trainer.formats.maths import math_problem
from trainer.formats.prm800k import prm800k_problem, prm800k_solutions
from trainer.formats.values import FILE_MEGABYTES, BadFile, NewProblem, NewSolution


@dataclass(frozen=True, slots=True)
class Format:
    """How a line of one format is recognized, and what it is turned into."""

    looks_like: Callable[[Fields], bool]
    problem: Callable[[Fields], NewProblem]
    solutions: Callable[[Fields], list[NewSolution]] | None


FORMATS: dict[str, Format] = {  # in the order in which they are tried
    "prm800k": Format(lambda fields: isinstance(fields.get("question"), dict) and "label" in fields, prm800k_problem, prm800k_solutions),
    "gsm8k_solutions": Format(lambda fields: {"question", "ground_truth"} <= fields.keys(), gsm8k_problem, gsm8k_solutions),
    "mr_gsm8k": Format(lambda fields: "model_output_steps" in fields, mr_gsm8k_problem, mr_gsm8k_solutions),
    "gsm8k": Format(lambda fields: {"question", "answer"} <= fields.keys(), gsm8k_problem, None),
    "math": Format(
        lambda fields: "problem" in fields and "steps" not in fields and ("unique_id" in fields or "type" in fields), math_problem, None
    ),
    "generic": Format(lambda fields: "problem" in fields, generic_problem, generic_solutions),
}


def detect_format(path: Path, *, megabytes: int = FILE_MEGABYTES) -> str:
    """Return the name of a file's format, by its first object. Raises BadFile if the file is empty or its format is unknown."""
    line, first = next(read_lines(path, megabytes=megabytes), (None, None))
    if first is None:
        raise BadFile(path, None, "the file is empty", "Give it one JSON object per line")
    for name, format_ in FORMATS.items():
        if format_.looks_like(first):
            return name
    raise BadFile(
        path,
        line,
        f"unknown format (keys: {', '.join(map(repr, list(first)[:8]))})",
        f"Name the format with --format: {', '.join(FORMATS)}",
    )
