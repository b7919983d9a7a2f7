"""The files of the command line: JSON lines in and out, and progress on standard error.

Reads one solution per line: {"problem": .., "steps": [..], "ratings": [..], "problem_key": .., "key": .., "alternatives": [..], ..}.
A wrong line is refused with its number and a remedy. docs/trainer.md describes the formats.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from trainer.data import LabeledSolution, RatedAlternative, SolutionText
from trainer.display import shown_progress
from trainer.files import write_file
from trainer.progress import Progress
from trainer.statements import without_blanks


class BadInput(ValueError):
    """An input that cannot be used; the message names the file, the line and the remedy."""


def read_solutions(path: Path) -> Iterator[LabeledSolution]:
    """Yield each line as a labeled solution, without ratings if the line has none. Raises BadInput."""
    keys: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                labeled = _solution(line, number)
            except (ValueError, TypeError, KeyError) as error:
                reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
                raise BadInput(f"{path}, line {number}: {reason}") from error
            if (first := keys.setdefault(labeled.solution.key, number)) != number:
                raise BadInput(
                    f"{path}, line {number}: the key {labeled.solution.key!r} was already used in line {first}. Give each solution its own."
                )
            yield labeled


def with_ratings(labeled: Sequence[LabeledSolution], *, path: Path) -> list[LabeledSolution]:
    """Return the solutions that have a rating. Raises BadInput if there is none: is the file empty, or are there no ratings in it?"""
    if not labeled:
        raise BadInput(f"{path} holds no solution. Give one JSON mapping per line, with problem, steps and ratings.")
    if rated := [solution for solution in labeled if solution.n_rated]:
        return rated
    raise BadInput(
        f"{path}: none of its {len(labeled):,} solutions has a rating. Give the key ratings in each line: a list of -1, 0 or 1, one "
        "for each step, from the first step on."
    )


def _solution(line: bytes, number: int) -> LabeledSolution:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}. Save the file as UTF-8.") from error
    try:
        fields = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}). Each line holds one JSON mapping.") from error
    if not isinstance(fields, dict):
        raise ValueError("a line must hold a JSON mapping with at least the keys problem and steps.")
    problem, steps, ratings = fields["problem"], fields["steps"], fields.get("ratings", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step.strip() for step in steps):
        raise ValueError("steps must be a list of at least one non-empty text.")
    if not isinstance(problem, str) or not problem.strip():
        raise ValueError("problem must be a non-empty text.")
    if not isinstance(ratings, list):
        raise ValueError("ratings must be a list of -1, 0, 1 or null, one for each step, from the first step on.")
    for name in (problem, *steps):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError("the text holds half a surrogate pair, which is not a character. Correct the text.") from error
    alternatives = tuple(
        RatedAlternative(other["step_index"], other["text"], other["rating"]) for other in fields.get("alternatives") or []
    )
    solution = SolutionText(
        str(fields.get("key", f"line {number}")), str(fields.get("problem_key", without_blanks(problem))), problem, tuple(steps)
    )
    soft = fields.get("soft")
    if soft is not None and not (isinstance(soft, list) and all(row is None or isinstance(row, list) for row in soft)):
        raise ValueError("soft must be a list of three probabilities or null, one for each step, from the first step on.")
    posterior = None if soft is None else tuple(None if row is None else tuple(row) for row in soft)
    return LabeledSolution(solution, tuple(ratings), alternatives, posterior)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice in one mapping. Remove one of them.")
    return fields


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a progress callback that shows each phase on standard error."""
    with shown_progress() as display:
        yield lambda now: display.show(now.phase, now.done, now.total, now.seconds_left, now.loss)


@contextmanager
def output(path: Path | None, *, overwrite: bool = False) -> Iterator[TextIO]:
    """Give the file to write to, or standard output for None. The file appears only when it is complete. Raises OutputRefused."""
    if path is None:
        yield sys.stdout
    elif is_device(path):
        with path.open("w", encoding="utf-8") as file:
            yield file
    else:
        with write_file(path, overwrite=overwrite) as raw, TextIOWrapper(raw, encoding="utf-8") as file:
            yield file


def is_device(path: Path) -> bool:
    """Tell whether a path is a pipe or a device, where nothing can be lost."""
    return path.exists() and not path.is_file() and not path.is_dir()
