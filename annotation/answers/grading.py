"""Grading answers: at sight where that is safe, else by two judges in killable child processes; and classes of equal answers. Pure."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from decimal import Decimal
from importlib.metadata import version
from queue import SimpleQueue
from typing import Literal, NamedTuple

from annotation.answers.judges import JUDGES, OUT_OF_MEMORY, PROGRAM
from annotation.answers.texts import LONGEST_ANSWER, normalise

GRADER_VERSION = f"stepmark-1 math-verify-{version('math-verify')} sympy-{version('sympy')}"
MEMORY_LIMIT = 2 << 30  # bytes of address space of one child process
Outcome = Literal["correct", "wrong", "unsure", "ungraded"]


class Grade(NamedTuple):
    """Outcome of one comparison and, in a few words, why."""

    outcome: Outcome
    reason: str


class GraderUnavailable(RuntimeError):
    """The child processes cannot run at all: a broken installation, never a property of an answer."""


# --- grading: what needs no child process ------------------------------------------------------------------------------

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)  # in normal form each number has one spelling


def _grade_at_sight(answer: str | None, reference: str | None) -> Grade | tuple[str, str]:
    """Grade a pair if that is safe without a computer algebra system, else return the normalised pair."""
    if reference is None or not reference.strip():
        return Grade("ungraded", "no reference answer")
    if answer is None or not answer.strip():
        return Grade("ungraded", "the solution states no answer")
    pair = normalise(answer), normalise(reference)
    if pair[0] == pair[1] and pair[0]:
        return Grade("correct", "equal after normalisation")
    for name, text in zip(("answer", "reference answer"), pair, strict=True):
        if len(text) > LONGEST_ANSWER:
            return Grade("ungraded", f"the {name} is longer than {LONGEST_ANSWER:,} characters")
        if not text:
            return Grade("ungraded", f"the {name} is empty after normalisation")
    # math-verify compares integers exactly and rounds to 6 decimals once there is a decimal point; further apart both graders say wrong.
    if all(_NUMBER.fullmatch(text) for text in pair) and (
        "." not in "".join(pair) or abs(Decimal(pair[0]) - Decimal(pair[1])) > Decimal("2e-6")
    ):
        return Grade("wrong", "different numbers")
    return pair


# --- grading: the caller's side ----------------------------------------------------------------------------------------


class _Judges:
    """One child process holding both judges; ended by the kernel when a pair is too costly, and started again when next needed.

    A plain subprocess, not multiprocessing: that refuses children to Celery's daemonic pool processes, imports `__main__` again
    (gunicorn, manage.py) and wants the main thread for signals.
    """

    def __init__(self, timeout: float, memory: int) -> None:
        self.timeout, self.memory = timeout, memory
        self.process: subprocess.Popen[str] | None = None

    def judge(self, pair: tuple[str, str]) -> Grade:
        if self.process and self.process.poll() is not None:  # ended while idle, by somebody else: not this pair's doing
            self.close()
        process = self.process or self._start()
        with contextlib.suppress(BrokenPipeError):  # it has died meanwhile; the missing verdicts tell
            print(json.dumps(pair), file=process.stdin, flush=True)
        verdicts = []
        for name in JUDGES:
            line = _read_line(process)
            verdicts.append(tuple(json.loads(line)) if line else (None, f"{name} {self._reap()}"))
            if not line:
                break
        return _combine(verdicts)

    def _start(self) -> subprocess.Popen[str]:
        # -P: without it this folder leads the child's sys.path and its queue.py hides the standard library's. A session of its own: Ctrl-C
        # in a terminal ends the caller, which then ends this.
        command = [sys.executable, "-P", "-W", "ignore", PROGRAM, str(self.timeout), str(self.memory)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="ascii", start_new_session=True
        )
        line = _read_line(self.process)
        if (said := json.loads(line) if line else f"the child process {self._reap()}") != "ready":
            raise GraderUnavailable(f"Answers cannot be graded: {said}. Install requirements.txt again into {sys.prefix}.")
        return self.process

    def _reap(self) -> str:
        """Collect a process that has closed its pipe and say why it ended."""
        assert self.process
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        status = self.process.poll()
        self.close()
        if status in (-signal.SIGPROF, -signal.SIGALRM):
            return f"timed out after {self.timeout:g} s"
        return "ran out of memory" if status == OUT_OF_MEMORY else f"crashed (exit status {status})"

    def kill(self) -> None:
        """End the process from another thread; the thread that waits for it sees a closed pipe."""
        if process := self.process:
            process.kill()

    def close(self) -> None:
        process, self.process = self.process, None
        if process:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # closing flushes what the dead process never read
                process.__exit__(None, None, None)


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    return line if line.endswith("\n") else ""  # a torn line is a killed process


def _combine(verdicts: Sequence[tuple[bool | None, str]]) -> Grade:
    says, reasons = [verdict for verdict, _ in verdicts], "; ".join(reason for _, reason in verdicts)
    if len(verdicts) == len(JUDGES) and says[0] is not None and len(set(says)) == 1:
        return Grade("correct" if says[0] else "wrong", "both graders say so")
    return Grade("unsure" if any(verdict is not None for verdict in says) else "ungraded", reasons)


_EXHAUSTED = re.compile("timed out|ran out of memory|crashed")
Progress = Callable[[int, int], None]


class Grader:
    """Grades batch after batch with the same child processes, which start when a pair first needs them (0.5 s); a context manager.

    `workers` processes at once; a pair may take `timeout` seconds of CPU (4 x that on the clock) and `memory` bytes. Usable from any
    thread, by one at a time.
    """

    def __init__(self, *, workers: int = 2, timeout: float = 5.0, memory: int = MEMORY_LIMIT) -> None:
        if workers < 1 or timeout <= 0:
            raise ValueError(f"workers must be at least 1 and timeout above 0 seconds, not {workers} and {timeout}")
        self._judges = [_Judges(timeout, memory) for _ in range(workers)]

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        for judges in self._judges:
            judges.close()

    def grade_answers(self, pairs: Iterable[tuple[str | None, str | None]], *, progress: Progress | None = None) -> list[Grade]:
        """Grade (answer, reference answer) pairs, in order; see `grade_answers`."""
        seen = [_grade_at_sight(*pair) for pair in pairs]
        waiting: dict[tuple[str, str], int] = {}  # each distinct normalised pair is judged once; the count is for progress
        for pair in seen:
            if not isinstance(pair, Grade):
                waiting[pair] = waiting.get(pair, 0) + 1
        done, grades = len(seen) - sum(waiting.values()), dict[tuple[str, str], Grade]()
        if progress:
            progress(done, len(seen))
        for pair, grade in self._judge(list(waiting)):
            grades[pair] = grade
            done += waiting[pair]
            if progress:
                progress(done, len(seen))
        return [pair if isinstance(pair, Grade) else grades[pair] for pair in seen]

    def _judge(self, pairs: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Grade]]:
        if not pairs:
            return
        idle: SimpleQueue[_Judges] = SimpleQueue()
        for judges in self._judges:
            idle.put(judges)

        def judge(pair: tuple[str, str]) -> tuple[tuple[str, str], Grade]:
            judges = idle.get()
            try:
                return pair, judges.judge(pair)
            finally:
                idle.put(judges)

        with ThreadPoolExecutor(len(self._judges)) as threads:
            futures = [threads.submit(judge, pair) for pair in pairs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:  # Ctrl-C or a progress bar that raised: leave now, not after the queue
                threads.shutdown(wait=False, cancel_futures=True)
                for judges in self._judges:
                    judges.kill()
                raise


def grade_answers(
    pairs: Iterable[tuple[str | None, str | None]], *, workers: int = 2, timeout: float = 5.0, progress: Progress | None = None
) -> list[Grade]:
    """Grade (answer, reference answer) pairs; return one Grade per pair, in order.

    correct: equal in normal form, or both graders say so. wrong: both say so. unsure: they differ, or only one could tell. ungraded:
    nothing to compare, or neither could tell. Any text gives a grade; `progress(done, total)` is called from this thread. Lasts at
    most 4 x timeout x distinct pairs / workers seconds. Raises GraderUnavailable if no child process can run.
    """
    with Grader(workers=workers, timeout=timeout) as grader:
        return grader.grade_answers(pairs, progress=progress)


def grade(answer: str | None, reference: str | None, *, timeout: float = 5.0) -> Grade:
    """Grade one answer; for many use `grade_answers`, which shares the child processes."""
    return grade_answers([(answer, reference)], workers=1, timeout=timeout)[0]


def answer_classes(answers: Sequence[str | None], *, workers: int = 2, timeout: float = 5.0) -> list[int]:
    """Return the equivalence class of each answer, numbered by first appearance; -1 for no answer, which is equal to nothing.

    Answers are joined by normal form first; then the most frequent one left is compared with all others left, so the graders see each
    pair of distinct normal forms once at most (k forms: k(k - 1)/2 pairs; none for plain numbers). An answer too costly to read is a
    class of its own.
    """
    forms = [normalise(answer) if answer and answer.strip() else None for answer in answers]
    left = sorted(dict.fromkeys(form for form in forms if form is not None), key=Counter(forms).__getitem__, reverse=True)
    with Grader(workers=workers, timeout=timeout) as grader:
        # Once against a harmless expression: what exhausts its limits there would do so in every comparison, k times.
        costly = [form for form in left if not _NUMBER.fullmatch(form)]
        trial = grader.grade_answers([(form, r"\sqrt{2}+z") for form in costly])
        joined = {form: form for form, grade in zip(costly, trial, strict=True) if _EXHAUSTED.search(grade.reason)}
        left = [form for form in left if form not in joined]
        while left:
            head, *others = left
            grades = grader.grade_answers([(other, head) for other in others])
            joined[head] = head
            joined |= {other: head for other, grade in zip(others, grades, strict=True) if grade.outcome == "correct"}
            left = [other for other in others if other not in joined]
    numbers: dict[str, int] = {}
    return [-1 if form is None else numbers.setdefault(joined[form], len(numbers)) for form in forms]
