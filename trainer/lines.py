"""The files of the command line: solutions in, JSON lines out, and progress on standard error.

Reads the trainer's own format ({"problem": .., "steps": [..], "ratings": [..], ..}, docs/trainer.md) and the formats of docs/formats.md.
A wrong line is refused with its number and a remedy.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from trainer.answers import Grade, Grader, stated_answer
from trainer.counting import counted
from trainer.data import BadLabels, LabeledSolution, RatedAlternative, SolutionText
from trainer.display import shown_progress
from trainer.files import write_file
from trainer.formats import (
    FORMATS,
    BadFile,
    BadLine,
    Cell,
    Detected,
    Fields,
    LabelMapping,
    NewProblem,
    NewSolution,
    check_solution,
    choose_steps_by,
    cut_solution,
    detect_format,
    fitting_formats,
    left_out_in_words,
    place_in_words,
    read_lines,
    refuse_unread_labels,
    unused_in_words,
    unused_keys,
)
from trainer.progress import Progress
from trainer.statements import without_blanks
from trainer.steps import StepFigures

MEGABYTES = 1_000_000  # the largest file: a reward model reads one solution after the other
GRADED_AT_ONCE = 1_000
_OUTCOMES = {"correct": True, "wrong": False}
Say = Callable[[str], None]


class BadInput(ValueError):
    """An input that cannot be used; the message names the file, the line and the remedy."""


@dataclass(frozen=True, slots=True)
class SolutionLine:
    """A solution of a file, as a reward model reads it, with what else the file says of it. `number` is its line or row."""

    labeled: LabeledSolution
    number: int
    is_own: bool  # of the trainer's own format, which states `right`; of another one, the answer can be graded if no grade is recorded
    right: bool | None = None
    answer: str | None = None
    has_answer: bool = True  # the line has the key, with a text or null
    reference_answer: str | None = None
    subject: str | None = None
    source: str | None = None
    problem: NewProblem | None = None  # of another format than the trainer's own


def with_ratings(labeled: Sequence[LabeledSolution], *, path: Path) -> list[LabeledSolution]:
    """Return the solutions that have a rating. Raises BadInput if there is none: is the file empty, or are there no ratings in it?"""
    if not labeled:
        raise BadInput(f"{path} holds no solution. Give one JSON mapping per line, with problem, steps and ratings.")
    if rated := [solution for solution in labeled if solution.n_rated]:
        return rated
    raise BadInput(
        f"{path}: it has {counted(len(labeled), 'solution')}, and none has a rating. Give the key ratings in each "
        f"line: a list of -1, 0 or 1, one "
        "for each step, from the first step on."
    )


def read_solutions(path: Path, *, format: str | None = None, say: Say | None = None) -> Iterator[LabeledSolution]:
    """Yield each solution of a file with its ratings, if the file has any. The rest is as in `read_solution_lines`."""
    for line in read_solution_lines(path, format=format, say=say):
        yield line.labeled


def read_solution_lines(
    path: Path, *, format: str | None = None, mapping: LabelMapping | None = None, say: Say | None = None
) -> Iterator[SolutionLine]:
    """Yield each solution of a file: of the trainer's own format, or of one that docs/formats.md describes, which `format` can name.
    `mapping` says what fields and values of other labeling tools mean.

    At the end `say` gets a sentence for what was recognized, left out or not used. Raises BadInput with the line and the remedy.
    """
    notes: list[str] = []
    unused: Counter[str] = Counter()
    lines_of_keys: dict[str, int] = {}
    try:
        first = next(read_lines(path, megabytes=MEGABYTES), None)
        if first is None:
            return  # with nothing in it, a file has no format either
        is_own = format is None and _is_own(first[1])
        for line in _read_own(path, unused) if is_own else _read_format(path, format, mapping or LabelMapping(), unused, notes):
            key = line.labeled.solution.key
            if (earlier := lines_of_keys.setdefault(key, line.number)) != line.number:
                reason = f"the key {key!r} was already used in {place_in_words(earlier)}"
                raise BadFile(path, line.number, reason, "Give each solution its own")
            yield line
    except BadFile as bad:
        raise BadInput(str(bad)) from None
    if say:
        for note in [*notes, *unused_in_words(unused)]:
            say(f"{path}: {note}")


def _is_own(fields: Fields) -> bool:
    """Tell whether an object has the trainer's own format: `steps` as texts, and the signs of no other format."""
    steps = fields.get("steps")
    if isinstance(steps, Cell):
        is_rated = steps.lstrip("[ ").startswith("{")
    else:
        is_rated = isinstance(steps, list) and any(isinstance(step, dict) for step in steps)
    return "steps" in fields and not is_rated and set(fitting_formats(fields)) <= {"generic"}


def _read_own(path: Path, unused: Counter[str]) -> Iterator[SolutionLine]:
    from trainer.schema import check_line

    for number, fields in read_lines(path, megabytes=MEGABYTES):
        try:
            own = check_line(fields)
            place = place_in_words(number)
            solution = SolutionText(own.key or place, own.problem_key or without_blanks(own.problem), own.problem, tuple(own.steps))
            alternatives = tuple(RatedAlternative(other.step_index, other.text, other.rating) for other in own.alternatives or ())
            soft: Any = (
                None if own.soft is None else tuple(None if row is None else tuple(row) for row in own.soft)
            )  # LabeledSolution checks it
            labeled = LabeledSolution(solution, tuple(own.ratings or ()), alternatives, soft)
        except BadLine as bad:
            raise BadFile(path, number, bad.reason, bad.remedy) from None
        except BadLabels as bad:
            reason, _, remedy = str(bad).removesuffix(".").partition(". ")
            raise BadFile(path, number, reason, remedy or "Correct the line") from None
        unused.update(own.unknown_keys())
        yield SolutionLine(
            labeled,
            number,
            is_own=True,
            right=own.right,
            answer=own.answer,
            has_answer="answer" in own.model_fields_set,
            subject=own.subject,
            source=own.source,
        )


def _read_format(path: Path, name: str | None, mapping: LabelMapping, unused: Counter[str], notes: list[str]) -> Iterator[SolutionLine]:
    detected = Detected(name, "") if name else detect_format(path, megabytes=MEGABYTES)
    if detected.reason:
        notes.append(f"The format is {detected.name}: the file has {detected.reason}.")
    try:
        format_ = FORMATS[detected.name].mapped(mapping)
    except BadLine as bad:
        raise BadFile(path, None, f"it has the format {detected.name}, and {bad.reason}", bad.remedy) from None
    read = format_.solutions
    if read is None:
        raise BadFile(path, None, f"a file of format {detected.name} has problems but no solutions", "Give a file with solutions")
    rule, why = choose_steps_by(path, format_, megabytes=MEGABYTES)
    n_bad_problems, figures = 0, StepFigures()
    left_out: Counter[str] = Counter()
    for number, fields in read_lines(path, megabytes=MEGABYTES):
        place = place_in_words(number)
        solutions = []
        try:
            refuse_unread_labels(fields, detected)
            for uncut in read(fields):
                solutions.append(solution := cut_solution(uncut, by=rule))
                check_solution(solution)
                if uncut.text is not None:
                    figures.add(solution.steps, text=uncut.text, place=place)
        except BadLine as bad:
            raise BadFile(path, number, bad.reason, bad.remedy) from None
        unused.update(unused_keys(fields))
        for nth, solution in enumerate(solutions, 1):
            left_out.update(solution.left_out)
            if solution.annotation and solution.annotation.finish_reason == "bad_problem":
                n_bad_problems += 1
                continue
            key = f"{place}.{nth}" if len(solutions) > 1 else place
            answer = solution.final_answer if solution.final_answer is not None else stated_answer(solution.steps)
            yield SolutionLine(
                _labeled(solution, key),
                number,
                is_own=False,
                right=solution.right,
                answer=answer,
                reference_answer=solution.problem.answer,
                subject=solution.problem.subject or None,
                source=solution.source or None,
                problem=solution.problem,
            )
    if figures.solutions:
        notes.append(f"The texts are cut by {rule}: {why}. {figures}")
    notes += left_out_in_words(left_out)
    if n_bad_problems:
        notes.append(f"{counted(n_bad_problems, 'solution was', 'solutions were')} left out: a labeler called the problem bad.")


def _labeled(solution: NewSolution, key: str) -> LabeledSolution:
    """Return a solution of a file with its labels, as the site's trainings read them."""
    problem, steps = solution.problem, solution.steps
    ratings: list[int | None] = [None] * len(steps)
    alternatives = []
    for label in solution.annotation.labels if solution.annotation else ():
        if label.step_index >= len(steps):
            continue  # of a step that nobody wrote
        if label.text is None:
            ratings[label.step_index] = label.rating
        elif label.rating is not None:
            alternatives.append(RatedAlternative(label.step_index, label.text, label.rating))
    problem_key = problem.external_id if problem.external_id is not None else without_blanks(problem.statement)
    return LabeledSolution(SolutionText(key, problem_key, problem.statement, steps), tuple(ratings), tuple(alternatives))


def read_graded_lines(
    path: Path, lines: Iterable[SolutionLine], *, say: Say, needs_answer: bool = True
) -> Iterator[tuple[SolutionText, bool, str | None]]:
    """Yield each solution, whether its final answer is right, and that answer or None.

    The trainer's own format states `right`, and so does a file that records the grade. Otherwise the answer is compared with the
    reference answer; solutions that cannot be graded are left out, and `say` gets their number. Raises BadInput.
    """
    n_ungraded = 0
    remaining = iter(lines)
    with ExitStack() as stack:
        grader: Grader | None = None
        while chunk := list(islice(remaining, GRADED_AT_ONCE)):
            grades: Iterator[Grade] = iter(())
            if pairs := [(line.answer, line.reference_answer) for line in chunk if not line.is_own and line.right is None]:
                grader = grader or stack.enter_context(Grader())
                grades = iter(grader.grade_answers(pairs))
            for line in chunk:
                if line.is_own:
                    right: bool | None = _right(path, line, needs_answer=needs_answer)
                else:
                    right = _OUTCOMES.get(next(grades).outcome) if line.right is None else line.right
                if right is None:
                    n_ungraded += 1
                else:
                    yield line.labeled.solution, right, line.answer
    if n_ungraded:
        say(f"{path}: {counted(n_ungraded, 'solution was', 'solutions were')} left out: it is not certain whether the answer is right.")


def _right(path: Path, line: SolutionLine, *, needs_answer: bool) -> bool:
    if line.right is None:
        raise BadInput(f"{path} {place_in_words(line.number)}: right must be true or false, the grade of the final answer.")
    if needs_answer and not line.has_answer:
        raise BadInput(f"{path} {place_in_words(line.number)}: answer must be the text of the final answer, or null where there is none.")
    return line.right


def add_format_option(parser: argparse.ArgumentParser, option: str, *, of_problems: bool = False) -> None:
    """Declare --format, which names the format of the file of another option."""
    meaning = f"the format of {option}, if its first objects do not show it (docs/formats.md)"
    parser.add_argument("--format", choices=[name for name, format_ in FORMATS.items() if of_problems or format_.solutions], help=meaning)


def say_on_stderr(sentence: str) -> None:
    """Print a sentence above the progress bars, once for all processes of a training."""
    if os.environ.get("RANK", "0") == "0":
        tqdm.write(sentence, file=sys.stderr)


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
