"""Cutting the solutions that a file gives as texts, and the rule for all of them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from trainer.counting import counted
from trainer.formats.containers import read_lines
from trainer.formats.detection import LOOKED_AT, Format
from trainer.formats.tasks import CUT_SHORT
from trainer.formats.values import FILE_MEGABYTES, BadFile, BadLine, NewSolution, Progress
from trainer.steps import AUTO, RULES, RuleChoice, choose_rule, cut


def cut_solution(solution: NewSolution, *, by: str) -> NewSolution:
    """Return a solution with steps: its text is cut by the rule. Steps that the file gives stay as they are.

    Raises BadLine if the labels of a text rate a step that it does not have.
    """
    if solution.text is None:
        return solution
    steps, annotation = tuple(cut(solution.text, by=by)), solution.annotation
    if annotation is not None:
        n_rated = 1 + max((label.step_index for label in annotation.labels), default=-1)
        if n_rated > len(steps):
            raise BadLine(
                f"step {n_rated} is rated, but the text has {counted(len(steps), 'step')} when it is cut by {by}",
                "Cut it as it was cut for the people who rated it, with --steps-by, or give the steps as a list",
            )
        if annotation.finish_reason == "solution" and n_rated < len(steps):
            annotation = replace(annotation, finish_reason="give_up", reason=CUT_SHORT)
    return replace(solution, steps=steps, text=None, annotation=annotation)


def has_texts(path: Path, format_: Format, *, megabytes: int = FILE_MEGABYTES) -> bool:
    """Tell whether one of the first objects of a file has a solution as a text, which must be cut. Raises BadFile if none can be read."""
    for _, fields in islice(read_lines(path, megabytes=megabytes), LOOKED_AT):
        try:
            if any(solution.text is not None for solution in (format_.solutions(fields) if format_.solutions else [])):
                return True
        except BadLine:
            continue
    return False


def choose_steps_by(
    path: Path, format_: Format, *, named: str = AUTO, megabytes: int = FILE_MEGABYTES, progress: Progress | None = None
) -> RuleChoice:
    """Return the rule for the texts of a file: the named one, or the one that fits all its texts best, and why.

    `auto` reads the file once. It passes over lines that cannot be read: the load names them. Raises BadFile for an unknown rule.
    """
    if named in RULES:
        return RuleChoice(named, "")
    if named != AUTO:
        raise BadFile(path, None, f"unknown rule {named!r} for steps", f"The rules are {', '.join((*RULES, AUTO))}")
    return choose_rule(_texts(path, format_, megabytes, progress))


def _texts(path: Path, format_: Format, megabytes: int, progress: Progress | None) -> Iterator[str]:
    seen = False

    def tell(_: str, done: int, total: int | None) -> None:
        if progress and seen:  # a file that gives its steps has no such stage
            progress("choosing how to cut", done, total)

    for _, fields in read_lines(path, megabytes=megabytes, progress=tell):
        try:
            solutions = format_.solutions(fields) if format_.solutions else []
        except BadLine:
            continue
        for solution in solutions:
            if solution.text is not None:
                seen = True
                yield solution.text
