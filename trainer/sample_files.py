"""The files of sampling: problems in, solutions out.

Reads problems from JSON lines; keeps the output file, which is only ever appended to, and what it holds of each problem.
"""

import errno
import fcntl
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trainer.generators import Draw, Problem
from trainer.lines import BadLine

BEGINNING = b'{"key": '  # of each line that `SolutionFile` writes: a file that begins otherwise is not its own, and nothing is cut off
KEPT_FIELDS = ("id", "answer", "subject", "level", "split", "reference_solution")


def read_problems(path: str | Path) -> list[Problem]:
    """Read problems from JSON lines in the site's formats (generic, MATH, GSM8K); equal ones once. Raises BadLine."""
    problems: dict[str, Problem] = {}
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                one = _problem(json.loads(line))
            except UnicodeDecodeError as error:
                raise BadLine(f"{path}, line {number}: not UTF-8. Save the file as UTF-8.") from error
            except json.JSONDecodeError as error:
                raise BadLine(f"{path}, line {number}: not JSON ({error.msg}). Each line holds one JSON mapping.") from error
            except ValueError as error:
                raise BadLine(f"{path}, line {number}: {error}") from error
            if problems.setdefault(one.key, one).text != one.text:
                raise BadLine(f"{path}, line {number}: the id {one.key!r} names another problem further up. Give each problem its own id.")
    if not problems:
        raise BadLine(f"{path} holds no problem. Give one JSON mapping a line, with the key problem.")
    return list(problems.values())


def _problem(of: Any) -> Problem:
    if not isinstance(of, dict):
        raise ValueError("a line must hold a JSON mapping with the key problem.")
    text = of.get("problem", of.get("question"))
    if not isinstance(text, str) or not text.strip():
        raise ValueError("problem must be a non-empty text.")
    kept = {name: of[name] for name in KEPT_FIELDS if of.get(name) is not None}
    if isinstance(key := of.get("unique_id"), str):  # MATH: its test problems stay test problems
        kept = {"id": key} | ({"split": "test"} if key.startswith("test/") else {}) | kept
    if "problem" not in of and isinstance(worked := kept.get("answer"), str):  # GSM8K: the answer stands at the end of the solution
        kept["answer"] = worked.rpartition("#### ")[2].strip()
    key = str(kept.get("id") or of.get("problem_key") or hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16])
    return Problem(key, text, kept)


class SolutionFile:
    """The output: JSON lines that are only ever appended, each in one write, and pushed to the disk every second and at the end.

    Locked while it is open, so two calls never draw into one file. A last line that a killed process left half-written is cut off.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
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
            raise BadLine(f"Another run is writing to {self.path}. Wait for it, or write to another file.") from None
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
                    of = json.loads(line) if line.strip() else None
                except ValueError as error:
                    if not line.endswith(b"\n") and (self.equal or line.startswith(BEGINNING) or BEGINNING.startswith(line)):
                        break  # half-written: the process was killed
                    raise BadLine(f"{self.path}, line {number}: not JSON. Repair the line, or write to another file.") from error
                whole += len(line)
                if of is None:
                    continue
                try:
                    key, steps, source = str(of.get("problem_key", of["problem"])), [str(step) for step in of["steps"]], of.get("source")
                except (TypeError, LookupError, AttributeError) as error:
                    raise BadLine(
                        f"{self.path}, line {number}: not a solution (problem and steps are missing). Write to another file."
                    ) from error
                self._count(key, _digest(steps), source, of.get("draw"))
                if not line.endswith(b"\n"):
                    self.file.write(b"\n")  # a whole line whose line break alone is missing
                    whole += 1
        self.file.truncate(whole)

    def _count(self, key: str, digest: str, source: object, number: object) -> None:
        self.equal[key, digest] += 1
        if source == self.source:
            self.counts[key] += 1
            self.numbers[key] = max(self.numbers.get(key, 0), number + 1 if isinstance(number, int) else 0)

    def next_number(self, key: str) -> int:
        """Return the number of a problem's next draw: numbers go on from the file, so no seed is used twice for a kept text."""
        self.numbers[key] = number = self.numbers.get(key, 0) + 1
        return number - 1

    def append(self, draw: Draw, steps: tuple[str, ...], *, keep_equal: bool) -> bool:
        """Write a solution and tell whether it is new; equal ones are only written with `keep_equal`."""
        one, digest = draw.problem, _digest(steps)
        if (seen := self.equal[one.key, digest]) and not keep_equal:
            return False
        line = {
            "key": f"{one.key}/{digest[:16]}" + (f"-{seen + 1}" if seen else ""),
            "problem_key": one.key,
            "problem": one.text,
            "steps": steps,
            "source": self.source,
            "draw": draw.number,
        } | dict(one.fields)
        self._write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self.equal[one.key, digest] += 1
        self.counts[one.key] += 1
        if time.monotonic() - self.synced > 1:
            os.fsync(self.file.fileno())
            self.synced = time.monotonic()
        return True

    def _write(self, line: bytes) -> None:
        end = os.fstat(self.file.fileno()).st_size
        try:
            if self.file.write(line) != len(line):
                raise OSError(errno.ENOSPC, "The disk is full: free some space and give the same call again", str(self.path))
        except OSError:
            self.file.truncate(end)  # the line stands whole or not at all
            raise


def _digest(steps: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(steps)).encode()).hexdigest()
