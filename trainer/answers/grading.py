"""Grade answers: directly where that is safe, else by two readings in child processes that can be killed. Pure."""

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

from trainer.answers.judges import JUDGES, OUT_OF_MEMORY, PROGRAM
from trainer.answers.rules import NO_RULES, Rules
from trainer.answers.texts import LONGEST_ANSWER, differ_in_separators, normalise

GRADER_VERSION = f"stepmark-3 math-verify-{version('math-verify')} sympy-{version('sympy')}"


def grader_version(rules: Rules = NO_RULES) -> str:
    """Return the version to store with outcomes: that of the grader, with the rules it followed."""
    return " ".join([GRADER_VERSION, *(f"+{name}" for name, is_followed in zip(rules._fields, rules, strict=True) if is_followed)])


KEPT = 50_000  # judged pairs that a grader remembers
MEMORY_LIMIT = 2 << 30  # bytes of address space of one child process
Outcome = Literal["correct", "wrong", "unsure", "ungraded"]


class Grade(NamedTuple):
    """The outcome of one comparison, and the reason in a few words."""

    outcome: Outcome
    reason: str


class GraderUnavailable(RuntimeError):
    """The child processes cannot run: the installation is broken. No answer can cause this."""


# --- grading: what needs no child process ------------------------------------------------------------------------------

NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)  # in normal form each number has one spelling


def _grade_directly(answer: str | None, reference: str | None) -> Grade | tuple[str, str]:
    """Grade a pair if no computer algebra system is needed, else return the stripped pair."""
    if reference is None or not reference.strip():
        return Grade("ungraded", "no reference answer")
    if answer is None or not answer.strip():
        return Grade("ungraded", "the solution states no answer")
    pair = answer.strip(), reference.strip()
    forms = normalise(pair[0]), normalise(pair[1])
    if forms[0] == forms[1] and forms[0]:
        return Grade("correct", "equal after normalisation")
    for name, text, form in zip(("answer", "reference answer"), pair, forms, strict=True):
        if len(text) > LONGEST_ANSWER:
            return Grade("ungraded", f"the {name} is longer than {LONGEST_ANSWER:,} characters")
        if not form:
            return Grade("ungraded", f"the {name} is empty after normalisation")
    # math-verify compares integers exactly and rounds decimals to 6 places. Both readings call a larger difference wrong.
    if (
        all(NUMBER.fullmatch(form) for form in forms)
        and ("." not in "".join(forms) or abs(Decimal(forms[0]) - Decimal(forms[1])) > Decimal("2e-6"))
        and not differ_in_separators(*pair)
    ):
        return Grade("wrong", "different numbers")
    return pair


# --- grading: the caller's side ----------------------------------------------------------------------------------------


class _Judges:
    """One child process that runs both readings. The kernel ends it when a pair is too costly; it is started again when it is needed.

    It is a plain subprocess, because multiprocessing does not work in Celery's daemonic pool processes, imports `__main__` again
    (gunicorn, manage.py) and needs the main thread for signals.
    """

    def __init__(self, timeout: float, memory: int) -> None:
        self.timeout, self.memory = timeout, memory
        self.process: subprocess.Popen[str] | None = None
        self.ends: Counter[str] = Counter()  # of its processes before their time, by reason

    def judge(self, pair: tuple[str, str], rules: Rules) -> Grade:
        if self.process and self.process.poll() is not None:  # somebody else ended it while it was idle, so this pair is not the cause
            self.close()
        process = self.process or self._start()
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile: then a verdict is missing
            print(json.dumps([*pair, rules]), file=process.stdin, flush=True)
        verdicts = []
        for name in JUDGES:
            line = _read_line(process)
            verdicts.append(tuple(json.loads(line)) if line else (None, f"{name} {self._reap()}"))
            if not line or verdicts[-1][0]:
                break
        return _combine(verdicts)

    def _start(self) -> subprocess.Popen[str]:
        # Without -P this folder is first in the child's sys.path, and a module here could hide one of the standard library. It has its own
        # session, because Ctrl-C in a terminal should end the caller, which then ends this process.
        command = [sys.executable, "-P", "-W", "ignore", PROGRAM, str(self.timeout), str(self.memory)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="ascii", start_new_session=True
        )
        line = _read_line(self.process)
        if (message := json.loads(line) if line else f"the child process {self._reap()}") != "ready":
            raise GraderUnavailable(f"Answers cannot be graded: {message}. Install requirements.txt again into {sys.prefix}.")
        return self.process

    def _reap(self) -> str:
        """Wait for a process that has closed its pipe, and return why it ended."""
        assert self.process
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        status = self.process.poll()
        self.close()
        is_timeout = status in (-signal.SIGPROF, -signal.SIGALRM)
        self.ends["timeout" if is_timeout else "memory" if status == OUT_OF_MEMORY else "crash"] += 1
        if is_timeout:
            return f"timed out after {self.timeout:g} s"
        return "ran out of memory" if status == OUT_OF_MEMORY else f"crashed (exit status {status})"

    def kill(self) -> None:
        """End the process from another thread. The thread that waits for it then sees a closed pipe."""
        if process := self.process:
            process.kill()

    def close(self) -> None:
        process, self.process = self.process, None
        if process:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # closing writes what the dead process did not read
                process.__exit__(None, None, None)


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    return line if line.endswith("\n") else ""  # an incomplete line means that the process was killed


def _combine(verdicts: Sequence[tuple[bool | None, str]]) -> Grade:
    """Return the outcome of the verdicts. Our reader alone proves that answers are equal; that they differ needs both."""
    answers, reasons = [verdict for verdict, _ in verdicts], "; ".join(reason for _, reason in verdicts)
    if answers[0]:
        return Grade("correct", reasons)
    if answers == [False] * len(JUDGES):
        return Grade("wrong", "both readings say so")
    return Grade("unsure" if any(verdict is not None for verdict in answers) else "ungraded", reasons)


Progress = Callable[[int, int], None]


class Grader:
    """A context manager that grades lists of pairs with the same child processes. The first pair that needs them starts them (0.5 s).

    It runs `workers` processes at once. A pair can take `timeout` seconds of CPU (4 times that on the clock) and `memory` bytes. Any
    thread can use it, but only one at a time.
    """

    def __init__(self, *, workers: int = 2, timeout: float = 5.0, memory: int = MEMORY_LIMIT, rules: Rules = NO_RULES) -> None:
        self.rules, self.version = rules, grader_version(rules)
        if workers < 1 or timeout <= 0:
            raise ValueError(f"workers must be at least 1 and timeout above 0 seconds, not {workers} and {timeout}")
        self._judges = [_Judges(timeout, memory) for _ in range(workers)]
        self._judged: dict[tuple[str, str], Grade] = {}  # the pairs of earlier lists: wrong answers to one problem repeat

    @property
    def ends(self) -> Counter[str]:
        """How many processes ended before their time, by reason: timeout, memory or crash."""
        return sum((judges.ends for judges in self._judges), Counter[str]())

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        for judges in self._judges:
            judges.close()

    def grade_answers(self, pairs: Iterable[tuple[str | None, str | None]], *, progress: Progress | None = None) -> list[Grade]:
        """Grade (answer, reference answer) pairs, in order; see `grade_answers`."""
        first = [_grade_directly(*pair) for pair in pairs]
        waiting: dict[tuple[str, str], int] = {}  # each distinct pair is judged once; the count is for `progress`
        for pair in first:
            if not isinstance(pair, Grade):
                waiting[pair] = waiting.get(pair, 0) + 1
        grades = {pair: self._judged[pair] for pair in waiting.keys() & self._judged.keys()}
        done = len(first) - sum(count for pair, count in waiting.items() if pair not in grades)
        if progress:
            progress(done, len(first))
        if len(self._judged) > KEPT:
            self._judged.clear()
        for pair, grade in self._judge([pair for pair in waiting if pair not in grades]):
            self._judged[pair] = grade
            grades[pair] = grade
            done += waiting[pair]
            if progress:
                progress(done, len(first))
        return [pair if isinstance(pair, Grade) else grades[pair] for pair in first]

    def _judge(self, pairs: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Grade]]:
        if not pairs:
            return
        idle: SimpleQueue[_Judges] = SimpleQueue()
        for judges in self._judges:
            idle.put(judges)

        def judge(pair: tuple[str, str]) -> tuple[tuple[str, str], Grade]:
            judges = idle.get()
            try:
                return pair, judges.judge(pair, self.rules)
            finally:
                idle.put(judges)

        with ThreadPoolExecutor(len(self._judges)) as threads:
            futures = [threads.submit(judge, pair) for pair in pairs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:  # Ctrl-C, or `progress` raised: stop now, do not finish the queue
                threads.shutdown(wait=False, cancel_futures=True)
                for judges in self._judges:
                    judges.kill()
                raise


def grade_answers(
    pairs: Iterable[tuple[str | None, str | None]],
    *,
    workers: int = 2,
    timeout: float = 5.0,
    progress: Progress | None = None,
    rules: Rules = NO_RULES,
) -> list[Grade]:
    """Grade (answer, reference answer) pairs; return one Grade per pair, in order.

    correct: equal in normal form, or our reader proves it. wrong: both readings say so. unsure: they differ, or only one could decide.
    ungraded: there is nothing to compare, or neither could decide. Every text gets a grade. `rules` says what else counts as equal.
    `progress(done, total)` is called from this thread.
    It takes at most 4 * timeout * distinct pairs / workers seconds. Raises GraderUnavailable if no child process can run.
    """
    with Grader(workers=workers, timeout=timeout, rules=rules) as grader:
        return grader.grade_answers(pairs, progress=progress)


def grade(answer: str | None, reference: str | None, *, timeout: float = 5.0, rules: Rules = NO_RULES) -> Grade:
    """Grade one answer. For many, use `grade_answers`, which shares the child processes."""
    return grade_answers([(answer, reference)], workers=1, timeout=timeout, rules=rules)[0]
