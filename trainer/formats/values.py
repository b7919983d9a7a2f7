"""What a line of a file is turned into, the checks of every text in it, and the limits. Reads and writes nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from trainer.counting import counted

STEP_CHARACTERS = 20_000
SOLUTION_CHARACTERS = 500_000
STEPS = 2_000
ALTERNATIVES = 16  # of one step
LINE_BYTES = 5_000_000
FILE_MEGABYTES = 200
JSON_DEPTH = 32
GZIP_RATIO = 200
AFTER_MISTAKE = "ratings after the first mistake"  # what is left out of a solution, in words

Finish = Literal["solution", "found_error", "bad_problem", "give_up"]  # why a sitting ended
FINISHES = get_args(Finish)
Progress = Callable[[str, int, int | None], None]


class BadText(ValueError):
    """A text that cannot be stored or shown. The message names the character."""


class BadLine(ValueError):
    """One line that cannot be loaded: the reason and the remedy, each a sentence without its full stop."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}.")
        self.reason, self.remedy = reason, remedy


class Row(int):
    """The number of a row in a file without lines."""


class Item(int):
    """The number of an object in a file that has several objects in one line."""


def place_in_words(number: int) -> str:
    """Return where an object stands in its file: line 3, row 3 or object 3."""
    return f"{'row' if isinstance(number, Row) else 'object' if isinstance(number, Item) else 'line'} {number}"


class BadFile(ValueError):
    """A file that cannot be loaded. The message says where, why and what to do. Nothing was stored."""

    def __init__(self, path: Path | str, line: int | None, reason: str, remedy: str) -> None:
        place = "" if line is None else f" {place_in_words(line)}"
        super().__init__(f"{path}{place}: {reason}. {remedy}.")
        self.path, self.line, self.reason, self.remedy = path, line, reason, remedy


@dataclass(frozen=True, slots=True)
class NewProblem:
    """A problem to load. Without an external_id its statement identifies it."""

    statement: str
    answer: str | None = None
    reference_solution: str | None = None
    external_id: str | None = None
    subject: str = ""
    level: str = ""
    split: str = "train"


@dataclass(frozen=True, slots=True)
class NewLabel:
    """The rating of one text at one step. `text` None means the solution's own step. If the solution has no such step,
    it marks a step without any completion."""

    step_index: int
    rating: int | None
    text: str | None = None
    by_labeler: bool = False
    flagged: bool | None = None
    chosen: bool = False
    shown_at: int | None = None


@dataclass(frozen=True, slots=True)
class NewAnnotation:
    """All labels of one sitting, as a file gives them. Two with equal `canonical` are the same."""

    labels: tuple[NewLabel, ...]
    finish_reason: Finish
    canonical: bytes
    labeler: UUID | None = None  # None: the file does not say, so each annotation counts as another person's
    person: str = ""  # what another tool calls the labeler: it becomes a pseudonym when it is stored
    created_at: datetime | None = None
    generation: int | None = 0
    is_gold: bool = False  # a quality-control label
    reason: str = ""
    total_ms: int | None = None
    verifier_score: float | None = None
    question: dict[str, str | None] = field(default_factory=dict)  # the ground truth as the file gives it


class NewAlternative(NamedTuple):
    """Another text for one step, to be shown next to the solution's own."""

    step_index: int
    text: str


@dataclass(frozen=True, slots=True)
class NewSolution:
    """A solution to load, with its problem and, if the file has them, its labels and other texts for its steps.

    A reader gives either `steps` or, with no steps, the `text` of the whole solution. `cut_solution` cuts a text.
    """

    problem: NewProblem
    steps: tuple[str, ...]
    final_answer: str | None = None
    source: str = ""
    annotation: NewAnnotation | None = None
    alternatives: tuple[NewAlternative, ...] = ()
    text: str | None = None
    right: bool | None = None  # the grade of the final answer that the file records
    left_out: tuple[str, ...] = ()  # what the file says of this solution and nobody reads, in words


def in_words(value: object) -> str:
    """Return a value as a message shows it: as JSON names it, and not longer than 60 characters."""
    text = {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def clean_text(text: str) -> str:
    """Return the text unchanged if it can be stored and shown byte for byte.

    Raises BadText for a NUL, which PostgreSQL cannot store, and for a lone surrogate, which is not a character and has no UTF-8.
    """
    if "\0" in text:
        raise BadText(f"a NUL character at position {text.index(chr(0)) + 1}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadText(f"half of a surrogate pair (\\u{ord(text[error.start]):04x}) at position {error.start + 1}") from None
    return text


def check_solution(solution: NewSolution) -> None:
    """Raise BadLine if the solution is above a limit or has a text that cannot be stored."""
    problem, steps = solution.problem, solution.steps
    if not steps:
        raise BadLine("the solution is empty", "Give it at least one step, or leave the line out")
    if len(steps) > STEPS:
        raise BadLine(f"the solution has {len(steps):,} steps, the limit is {STEPS:,}", "Leave the line out")
    _check_text("the source", solution.source, 200)
    if not (len(max(steps, key=len)) <= STEP_CHARACTERS and _is_plain("".join(steps)) and all(map(str.strip, steps))):
        for number, step in enumerate(steps, 1):
            _check_text(f"step {number}", step, STEP_CHARACTERS)
            if solution.annotation is None and not step.strip():
                raise BadLine(f"step {number} is empty", "Every step needs text")
    if (length := sum(map(len, steps))) > SOLUTION_CHARACTERS:
        raise BadLine(f"the solution has {length:,} characters, the limit is {SOLUTION_CHARACTERS:,}", "Leave the line out")
    _check_text("the final answer", solution.final_answer or "", STEP_CHARACTERS)
    for label in solution.annotation.labels if solution.annotation else ():
        if label.text:
            _check_text(f"a completion of step {label.step_index + 1}", label.text, STEP_CHARACTERS)
    if solution.alternatives:
        _check_alternatives(solution)
    check_problem(problem)


def _check_alternatives(solution: NewSolution) -> None:
    for index, text in solution.alternatives:
        if not 0 <= index < len(solution.steps):
            raise BadLine(
                f"step {index + 1} has alternatives, but the solution has {counted(len(solution.steps), 'step')}",
                "Number the steps from 1, and give alternatives only for steps that the solution has",
            )
        if not text.strip():
            raise BadLine(f"an alternative of step {index + 1} is empty", "Every alternative needs text")
        _check_text(f"an alternative of step {index + 1}", text, STEP_CHARACTERS)
    for index, count in Counter(alternative.step_index for alternative in solution.alternatives).items():
        if count > ALTERNATIVES:
            raise BadLine(f"step {index + 1} has {count} alternatives, the limit is {ALTERNATIVES}", "Leave some out")


def check_problem(problem: NewProblem) -> None:
    """Raise BadLine if the problem is above a limit or has a text that cannot be stored."""
    if not problem.statement.strip():
        raise BadLine("the problem is empty", "Every problem needs a statement")
    if problem.external_id is not None and not problem.external_id.strip():
        raise BadLine("the id of the problem is empty", "Give the problem an id, or leave the id out")
    for name, text, limit in (
        ("the problem", problem.statement, SOLUTION_CHARACTERS),
        ("the answer", problem.answer, STEP_CHARACTERS),
        ("the reference solution", problem.reference_solution, SOLUTION_CHARACTERS),
        ("the id", problem.external_id, 200),
        ("the subject", problem.subject, 200),
        ("the level", problem.level, 40),
    ):
        _check_text(name, text or "", limit)
    if problem.split not in ("train", "test"):
        raise BadLine(f"the split is {in_words(problem.split)}", "A split must be train or test")


def _is_plain(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _check_text(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise BadLine(f"{name} has {len(text):,} characters, the limit is {limit:,}", "Shorten it, or leave the line out")
    if _is_plain(text):
        return
    try:
        clean_text(text)
    except BadText as bad:
        raise BadLine(f"{name} contains {bad}", "Remove that character") from None
