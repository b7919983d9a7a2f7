"""The files of sampling: problems in, solutions out.

Reads problems in the formats of the site. Appends solutions to the output file, and counts the solutions of each problem in it.
"""

import errno
import fcntl
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trainer.formats import FORMATS, BadFile, BadLine, Fields, NewProblem, check_problem, detect_format, read_lines
from trainer.generators import Draw, ProblemText
from trainer.lines import BadInput
from trainer.statements import without_blanks

BEGINNING = b'{"key": '  # of each line that `SolutionFile` writes; a file that begins otherwise was not written by it


def read_problems(path: str | Path, *, format: str | None = None) -> list[ProblemText]:
    """Read the problems of a file in one of the site's formats, copies once. Raises BadInput."""
    path, problems = Path(path), dict[str, ProblemText]()
    keys: dict[str, str] = {}  # statement without white space -> key of its first problem
    try:
        read = FORMATS[format or detect_format(path).name].problem
        for number, fields in read_lines(path):
            try:
                problem = _problem(read(fields), fields)
            except BadLine as bad:
                raise BadFile(path, number, bad.reason, bad.remedy) from None
            statement = without_blanks(problem.text)
            if problem.key in problems and without_blanks(problems[problem.key].text) != statement:
                reason = f"an earlier line uses the id {problem.key!r} for another problem"
                raise BadFile(path, number, reason, "Give each problem its own id")
            key = keys.setdefault(statement, problem.key)  # of the first problem with this statement
            first = problems.setdefault(key, problem)
            if problem.fields.get("split") == "test":  # as on the site: a copy of a test problem is one
                problems[key] = replace(first, fields={**first.fields, "split": "test"})
    except BadFile as bad:
        raise BadInput(str(bad)) from None
    return list(problems.values())


def _problem(problem: NewProblem, line: Fields) -> ProblemText:
    check_problem(problem)
    kept = {
        "id": problem.external_id,
        "answer": problem.answer,
        "subject": problem.subject or None,
        "level": problem.level or None,
        "split": None if problem.split == "train" else problem.split,
        "reference_solution": problem.reference_solution,
    }
    key = problem.external_id or line.get("problem_key") or hashlib.sha256(problem.statement.encode()).hexdigest()[:16]
    return ProblemText(str(key), problem.statement, {name: value for name, value in kept.items() if value is not None})


class SolutionFile:
    """The output file. Lines are only appended, each in one write, and synced to the disk every second and at the end.

    The file is locked while it is open, so two calls never write to it at once. A last line that a killed process left half-written is
    removed. Each line names under `drawn_with` the settings that its text depends on. Raises BadInput if lines of this source have others.
    """

    def __init__(self, path: Path, source: str, settings: Mapping[str, Any] | None = None) -> None:
        self.path, self.source, self.settings = path, source, json.loads(json.dumps(settings or {}))
        self.counts: Counter[str] = Counter()  # solutions of each problem from this source
        self.numbers: dict[str, int] = {}
        self.equal: Counter[tuple[str, str]] = Counter()  # problem and digest, of any source
        self.synced = time.monotonic()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("ab+", buffering=0)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise BadInput(f"Another run is writing to {self.path}. Wait until it ends, or write to another file.") from None
        try:
            self._read()
        except BaseException:
            self.file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.fsync(self.file.fileno())
        self.file.close()

    def _read(self) -> None:
        whole = 0
        self.file.seek(0)
        with open(self.file.fileno(), "rb", closefd=False) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    fields = json.loads(line) if line.strip() else None
                except ValueError as error:
                    if not line.endswith(b"\n") and (self.equal or line.startswith(BEGINNING) or BEGINNING.startswith(line)):
                        break  # half-written by a process that was killed
                    raise BadInput(f"{self.path}, line {number}: not JSON. Correct the line, or write to another file.") from error
                whole += len(line)
                if fields is None:
                    continue
                try:
                    key, steps, source = (
                        str(fields.get("problem_key", fields["problem"])),
                        [str(step) for step in fields["steps"]],
                        fields.get("source"),
                    )
                except (TypeError, LookupError, AttributeError) as error:
                    raise BadInput(
                        f"{self.path}, line {number}: not a solution (problem and steps are missing). Write to another file."
                    ) from error
                if source == self.source:
                    self._check_settings(fields.get("drawn_with"), number)
                self._count(key, _digest(steps), source, fields.get("draw"))
                if not line.endswith(b"\n"):
                    self.file.write(b"\n")  # only the line break is missing
                    whole += 1
        self.file.truncate(whole)

    def _check_settings(self, before: object, number: int) -> None:
        """Raise BadInput if this source drew with other settings before. A line that does not name its settings passes."""
        if not isinstance(before, dict) or before == self.settings:
            return
        differing = [name for name in before.keys() | self.settings.keys() if before.get(name) != self.settings.get(name)]
        changes = ", ".join(
            f"{name} {_shown(before.get(name))} there and {_shown(self.settings.get(name))} now" for name in sorted(differing)
        )
        raise BadInput(
            f"{self.path}, line {number}: the solutions of {self.source} in this file were drawn with other settings: {changes}. "
            "Use the same settings to continue, or write to another file, or give the new ones another source."
        )

    def _count(self, key: str, digest: str, source: object, number: object) -> None:
        self.equal[key, digest] += 1
        if source == self.source:
            self.counts[key] += 1
            self.numbers[key] = max(self.numbers.get(key, 0), number + 1 if isinstance(number, int) else 0)

    def next_number(self, key: str) -> int:
        """Return the number of a problem's next draw. It continues after those in the file, so no seed is used twice."""
        self.numbers[key] = number = self.numbers.get(key, 0) + 1
        return number - 1

    def append(self, draw: Draw, steps: tuple[str, ...], *, keep_equal: bool) -> bool:
        """Write a solution. Without `keep_equal`, return False instead if the file holds an equal one."""
        problem, digest = draw.problem, _digest(steps)
        if (seen := self.equal[problem.key, digest]) and not keep_equal:
            return False
        line = {
            "key": f"{problem.key}/{digest[:16]}" + (f"-{seen + 1}" if seen else ""),
            "problem_key": problem.key,
            "problem": problem.text,
            "steps": steps,
            "source": self.source,
            "draw": draw.number,
            "drawn_with": self.settings,
        } | dict(problem.fields)
        self._write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self.equal[problem.key, digest] += 1
        self.counts[problem.key] += 1
        if time.monotonic() - self.synced > 1:
            os.fsync(self.file.fileno())
            self.synced = time.monotonic()
        return True

    def _write(self, line: bytes) -> None:
        end = os.fstat(self.file.fileno()).st_size
        try:
            if self.file.write(line) != len(line):
                raise OSError(errno.ENOSPC, "The disk is full. Free some space and start the same command again", str(self.path))
        except OSError:
            self.file.truncate(end)  # never half a line
            raise


def _shown(value: object) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _digest(steps: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(steps)).encode()).hexdigest()
