"""Stage: ingest, lines that a program sends, one JSON object a line: problems or solutions in the format `generic`, or tasks of another
labeling tool with their labels.

They go through the same temporary tables as a file, in one transaction. What is known stays, so the same lines again change nothing. Every
wrong line is found at once, and either nothing is stored or all the others are.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from annotation.ingest.staging import hold_project, staged
from annotation.ingest.values import LoadReport
from annotation.models import Event, Problem, Project
from trainer.formats import (
    FORMATS,
    BadFile,
    BadLine,
    Detected,
    Format,
    NewProblem,
    NewSolution,
    check_problem,
    check_solution,
    cut_solution,
    read_mapping,
    read_object,
    unused_keys,
)
from trainer.statements import without_blanks
from trainer.steps import LINES, RULES, RuleChoice

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST_LINES = 10_000
WAIT_SECONDS = 10.0  # for another load of the project
SHOWN_FAULTS = 100  # lines named; the others are counted
CUTTING_RULES = tuple(RULES)  # how a solution that is one text can be cut into steps
BY_LINE = LINES
GENERIC = "generic"
LINE_FORMATS = (GENERIC, "labelstudio", "labelstudio_min", "potato", "potato_table")  # those of which a line says all
# A remedy names the options of the commands. A request has its own, and no file of items.
_SAID_HERE = {
    "Give the file that Potato showed to people with --items FILE": "Give what Potato showed to people under displayed_text",
    "Leave --map and --items out": "Leave mapping out",
    "--map ": "mapping ",
}


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong with one line, and what to do."""

    line: int
    detail: str


class BadLines(ValueError):
    """Lines that cannot be stored. Nothing was stored. `faults` has the first ones, `count` is how many there are."""

    def __init__(self, faults: list[LineFault]) -> None:
        first = faults[0]
        super().__init__(f"{len(faults):,} of the lines cannot be stored, so none was. Line {first.line}: {first.detail}")
        self.faults, self.count = faults[:SHOWN_FAULTS], len(faults)


class LoadRunning(RuntimeError):
    """Another load of this project has not ended, or its regrading. Nothing was stored."""


class BadMapping(ValueError):
    """A mapping that cannot be read, or of a format whose fields have fixed names."""


class TooManyLines(ValueError):
    """More lines than one request can have."""


@dataclass(slots=True)
class Upserted:
    """What lines held and what was new, and the lines that were left out."""

    report: LoadReport
    faults: list[LineFault] = field(default_factory=list)
    n_faults: int = 0


def upsert(
    project: Project,
    content: bytes,
    *,
    actor: "User",
    are_solutions: bool,
    skips: bool,
    steps_by: str = BY_LINE,
    source: str = "",
    line_format: str = GENERIC,
    mapping: str = "",
) -> Upserted:
    """Store the problems, or the solutions with their problems, of some lines. `source` names the generator where a line does not.

    `line_format`: one of LINE_FORMATS. Labels of another labeling tool become annotations, and `mapping` says what its fields and values
    mean: one NAME=VALUE a line.
    With `skips`, wrong lines are left out; otherwise one wrong line refuses all. Raises BadLines, BadMapping, TooManyLines and LoadRunning.
    """
    faults: list[LineFault] = []
    format_ = _read_format(line_format, mapping)
    values = list(_values(content, format_, are_solutions=are_solutions, steps_by=steps_by, faults=faults))
    with _turn(project), staged(project, Detected(line_format, ""), path="body", source=source) as staging:
        values = list(_without_clashes(project, values, faults))
        faults.sort(key=lambda fault: fault.line)
        if faults and not skips:
            raise BadLines(faults)
        try:
            for line, fields, problem, solutions, choice in values:
                with staging.at(line):
                    if solutions is None:
                        staging.add_problem(problem)
                    else:
                        staging.use(staging.options._replace(choice=choice))
                    for solution in solutions or ():
                        staging.add_solution(solution)
                    staging.report.unused.update(unused_keys(fields))
            staging.store()
        except BadFile as bad:
            raise BadLines([LineFault(bad.line or 1, _sentence(bad.reason, bad.remedy))]) from None
        report = staging.report
        counts = {"problems": report.new_problems, "solutions": report.new_solutions, "left_out": len(faults)}
        if report.annotations:
            counts["annotations"] = report.new_annotations
        Event.objects.create(actor=actor, project=project, verb="load lines", subject=f"project {project.slug}", details=counts)
    return Upserted(report, faults[:SHOWN_FAULTS], len(faults))


@contextmanager
def _turn(project: Project) -> Iterator[None]:
    """Wait for other loads of the project, in a transaction, but not for long: that of a large file would hold a web process for an hour.

    Raises LoadRunning.
    """
    with transaction.atomic():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{round(1000 * WAIT_SECONDS)}ms"])
                hold_project(cursor, project)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            words = "Another process writes to this project, such as a load of a file. Nothing was stored. Send the request again later."
            raise LoadRunning(words) from None
        yield


Line = tuple[int, Any, NewProblem, list[NewSolution] | None, RuleChoice]


def _read_format(name: str, mapping: str) -> Format:
    try:
        return FORMATS[name].mapped(read_mapping(mapping.splitlines()))
    except BadLine as bad:
        raise BadMapping(_sentence(bad.reason, bad.remedy)) from None


def _values(content: bytes, format_: Format, *, are_solutions: bool, steps_by: str, faults: list[LineFault]) -> Iterator[Line]:
    """Read the lines, and note the wrong ones."""
    choice = RuleChoice(steps_by, "")
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if sum(bool(line.strip()) for line in lines) > MOST_LINES:
        raise TooManyLines(f"The body has more than {MOST_LINES:,} lines. Send it in several requests.")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = read_object(line)
            if not are_solutions:
                problem = format_.problem(fields)
                check_problem(problem)
                yield number, fields, problem, None, choice
                continue
            assert format_.solutions is not None
            solutions = format_.solutions(fields)
            if not solutions:
                raise BadLine("nothing is labeled here", "Leave the line out")
            for solution in solutions:
                if solution.annotation is not None and not format_.takes_mapping:
                    raise BadLine("the line has ratings", "Leave them out here. Load labels as a file, on the page Data")
                check_problem(solution.problem)
                check_solution(cut_solution(solution, by=choice.rule))
            yield number, fields, solutions[0].problem, solutions, choice
        except BadLine as bad:
            faults.append(LineFault(number, _sentence(bad.reason, bad.remedy)))


def _without_clashes(project: Project, values: Iterable[Line], faults: list[LineFault]) -> Iterator[Line]:
    """Leave out lines that give an external id another statement than the project, or an earlier line, and note them."""
    values = list(values)
    named = {problem.external_id for _, _, problem, _, _ in values if problem.external_id is not None}
    known = Problem.objects.filter(project=project, external_id__in=named).values_list("external_id", "statement")
    statements = {external_id: (without_blanks(statement), "the project") for external_id, statement in known}
    for line in values:
        number, _, problem, _, _ = line
        if problem.external_id is not None:
            own = without_blanks(problem.statement)
            statement, place = statements.setdefault(problem.external_id, (own, f"line {number}"))
            if statement != own:
                reason = f"the problem id {problem.external_id!r} belongs to another statement in {place}"
                faults.append(LineFault(number, _sentence(reason, "Give the problem an id of its own")))
                continue
        yield line


def _sentence(reason: str, remedy: str) -> str:
    for option, words in _SAID_HERE.items():
        remedy = remedy.replace(option, words)
    return f"{reason[:1].upper()}{reason[1:]}. {remedy}."
