"""Stage: ingest, a look at a file before it is loaded: what it is, what it brings, and every line that is wrong. Writes nothing."""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.ingest.loading import choose_format
from annotation.ingest.preparing import Tally
from annotation.ingest.staging import BY_LINES, check_options
from annotation.ingest.values import LoadReport
from trainer.answers import Grader, Rules, stated_answer
from trainer.formats import (
    FILE_MEGABYTES,
    BadFile,
    BadLine,
    LabelMapping,
    NewProblem,
    NewSolution,
    Progress,
    check_problem,
    check_solution,
    choose_steps_by,
    cut_solution,
    looks_like_markdown,
    place_in_words,
    read_lines,
    refuse_unread_labels,
    unused_keys,
)
from trainer.steps import AUTO, BROKEN_SHARE

EXAMPLES = 5
FAULTS = 50  # lines named; the others are counted
SAMPLE = 500  # solutions that are graded, and looked at for Markdown


@dataclass
class FileCheck:
    """What a file holds, as a load would read it. `report` counts what is in the file; what is new is known only after the load."""

    report: LoadReport
    has_solutions: bool
    examples: list[dict[str, Any]] = field(default_factory=list)  # statement, answer, steps, stated, outcome
    faults: list[tuple[str, str, str]] = field(default_factory=list)  # place, reason, remedy
    n_faults: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # of a sample of the solutions
    is_markdown: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether more steps are broken than a load accepts."""
        return self.report.steps.share_broken > BROKEN_SHARE


class _Sample:
    """Some of the values that pass, each with the same chance, in the order in which they came. The same file gives the same sample."""

    def __init__(self, size: int) -> None:
        self.size, self.seen, self.random = size, 0, random.Random(0)
        self.values: list[tuple[int, Any]] = []

    def add(self, value: Any) -> None:
        self.seen += 1
        if len(self.values) < self.size:
            self.values.append((self.seen, value))
        elif (place := self.random.randrange(self.seen)) < self.size:
            self.values[place] = (self.seen, value)

    def in_order(self) -> list[Any]:
        return [value for _, value in sorted(self.values, key=lambda pair: pair[0])]


def check_file(
    path: Path | str,
    *,
    rules: Rules,
    format: str | None = None,
    split: str | None = None,
    steps_by: str = AUTO,
    labels: str = "annotations",
    mapping: LabelMapping | None = None,
    progress: Progress | None = None,
    megabytes: int = FILE_MEGABYTES,
) -> FileCheck:
    """Read a file as `load_problems` or `load_solutions` would, and return what it holds, five examples, and the lines that are wrong.

    A line that cannot be understood does not end the check. One that is no JSON does, because the lines after it cannot be trusted.
    A sample of the final answers is graded by `rules`. `progress` is as in `load_solutions`. Raises BadFile if nothing can be read.
    """
    path = Path(path)
    detected, format_ = choose_format(path, format, megabytes, mapping)
    check_options(path, split=split, labels=labels)
    check = FileCheck(LoadReport(format=detected.name, signs=detected.reason), format_.solutions is not None)
    choice = None
    if format_.solutions:
        try:
            choice = choose_steps_by(path, format_, named=steps_by, megabytes=megabytes, progress=progress)
        except BadFile as bad:
            if bad.line is None:
                raise
            choice = BY_LINES  # the check meets the same line, and names it with the others
    report, tally, problems, sample = check.report, Tally(), set[int](), _Sample(SAMPLE)
    try:
        for line, fields in read_lines(path, megabytes=megabytes, progress=progress):
            report.lines += 1
            try:
                refuse_unread_labels(fields, detected)
                if format_.solutions is None or choice is None:
                    problem = format_.problem(fields)
                    check_problem(problem)
                    problems.add(hash((problem.external_id, problem.statement)))
                    sample.add((problem, None))
                else:
                    for solution in format_.solutions(fields):
                        text, solution = solution.text, cut_solution(solution, by=choice.rule)
                        check_problem(solution.problem)
                        check_solution(solution)
                        tally.count(solution, text=text, line=line)
                        if solution.annotation and labels == "gold":
                            tally.gold += 1
                        elif solution.annotation:
                            tally.annotations += 1
                        problems.add(hash((solution.problem.external_id, solution.problem.statement)))
                        sample.add((solution.problem, solution))
                report.unused.update(unused_keys(fields))
            except BadLine as bad:
                _note(check, place_in_words(line), bad)
    except BadFile as bad:
        if bad.line is None:
            raise
        _note(check, f"{place_in_words(bad.line)}, where the check ended", bad)
    report.add(tally, choice=choice)
    report.problems = len(problems)
    _judge(check, sample.in_order(), rules, progress)
    return check


def _note(check: FileCheck, place: str, bad: BadLine | BadFile) -> None:
    check.n_faults += 1
    if len(check.faults) < FAULTS:
        check.faults.append((place, bad.reason, bad.remedy))


def _judge(check: FileCheck, sample: list[tuple[NewProblem, NewSolution | None]], rules: Rules, progress: Progress | None) -> None:
    """Grade the sample, and take some of it as examples: whole as a labeler will see them."""

    def report(done: int, total: int) -> None:
        if progress:
            progress("grading some of them", done, total)

    solved = [(problem, solution) for problem, solution in sample if solution is not None]
    stated = [solution.final_answer if solution.final_answer is not None else stated_answer(solution.steps) for _, solution in solved]
    with Grader(rules=rules) as grader:
        pairs = [(answer, problem.answer) for answer, (problem, _) in zip(stated, solved, strict=True)]
        grades = grader.grade_answers(pairs, progress=report)
    check.outcomes.update(str(grade.outcome) for grade in grades)
    check.is_markdown, _ = looks_like_markdown("\n".join(solution.steps) for _, solution in solved)
    stride = max(1, len(sample) // EXAMPLES)
    for place in range(0, min(len(sample), stride * EXAMPLES), stride):
        problem, solution = sample[place]
        example: dict[str, Any] = {"statement": problem.statement, "answer": problem.answer, "steps": []}
        if solution is not None:
            example |= {"steps": list(solution.steps), "stated": stated[place], "outcome": str(grades[place].outcome)}
        check.examples.append(example)
