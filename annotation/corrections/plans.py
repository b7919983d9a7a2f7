"""Stage: corrections, the plan: what a correction changes, how that is found out, and how it is written."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from annotation import queue
from annotation.corrections.statements import (
    ANSWERS,
    BY_PROBLEM,
    CHANGED,
    COUNT_READ,
    COUNT_TO_READ,
    COUNT_WRITTEN,
    CREATE,
    DROP,
    FALSE_REASONS,
    GRADES,
    LABELED,
    MOVED,
    NEW_IN_SCOPE,
    NEXT_PAIRS,
    NEXT_TO_READ,
    PAIRS,
    READ,
    SCOPE_OF_PROJECT,
    TRANSITIONS,
    WRITE,
)
from annotation.ingest import ProblemChange, Progress, rules_of
from annotation.models import Event, Premise, Problem, Project, SiteCount, Solution
from trainer.answers import Grader, grader_version, stated_answer
from trainer.counting import counted
from trainer.formats import place_in_words

CHUNK = 1_000  # pairs graded, and texts read, at a time
NAMED = 10  # problems and solutions that a plan names in words
TRIES = 5  # how often solutions that were loaded meanwhile are graded too before it gives up
CUT = 60  # characters of an answer in a sentence; events keep all of it

PREMISES = {
    Premise.WRONG: "chosen because its answer was wrong",
    Premise.NOT_WRONG: "chosen because its answer was not known to be wrong",
    Premise.CORRECT: "chosen because its answer was correct",
}
FIELD_WORDS = {"answer": "reference answer", "reference_solution": "reference solution", "subject": "subject", "level": "level"}


class CorrectionRefused(ValueError):
    """A correction that cannot be done. The message says why and what to do. Nothing was changed."""


class NothingChanges(CorrectionRefused):
    """A correction to the values that are stored already."""


class ShownBefore(CorrectionRefused):
    """What a person saw is not what would happen now. `plan` is what would."""

    def __init__(self, plan: "CorrectionPlan") -> None:
        super().__init__("Something changed since you looked. This is what would change now. Nothing was changed yet.")
        self.plan = plan


class _LoadedMeanwhile(Exception):
    """Solutions of a corrected problem were loaded after the grading."""


@dataclass(frozen=True, slots=True)
class QueuedForFalseReason:
    """A solution in the queue that was chosen for an outcome that it does not have, or will not have any more."""

    solution_id: int
    premise: str
    generation: int | None
    outcome: str
    is_leased: bool

    def __str__(self) -> str:
        now = "; somebody is labeling it now" if self.is_leased else ""
        reason = PREMISES[Premise(self.premise)]
        return f"solution {self.solution_id} (batch {self.generation}): {reason}, but it is {self.outcome}{now}"


@dataclass(slots=True)
class CorrectionPlan:
    """What a correction changes. It holds as long as its `prepared` block."""

    project: Project
    changes: Sequence[ProblemChange]
    n_graded: int = 0
    transitions: dict[tuple[str, str], int] = field(default_factory=dict)  # (old, new) outcome -> solutions; also those that stay
    examples: list[tuple[int, str, str, str]] = field(default_factory=list)  # solution, old and new outcome, reason
    answers: list[tuple[str | None, str, str, int]] = field(default_factory=list)  # stated answer, old and new outcome, solutions
    n_written: int = 0  # of the graded ones: those with another outcome, reason, stated answer or version of the grader
    n_labeled: int = 0  # of the solutions whose outcome changes
    queued: list[QueuedForFalseReason] = field(default_factory=list)
    n_read: int = 0  # graded ones from whose steps another answer is read
    n_unknown: int = 0  # graded ones whose stated answer stays as it is, because nobody knows whether a file gave it
    is_regrade: bool = False
    progress: Progress | None = None

    @property
    def outcomes(self) -> dict[tuple[str, str], int]:
        """The changes of outcomes: (old, new) -> how many solutions."""
        return {pair: count for pair, count in self.transitions.items() if pair[0] != pair[1]}

    @property
    def n_changed(self) -> int:
        return sum(self.outcomes.values())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write and nothing to withdraw."""
        return not (self.changes or self.n_written or self.queued)

    @property
    def fingerprint(self) -> str:
        """A hash of what was shown, which a form can bring back: another one means that something changed meanwhile."""
        changes = [(change.problem_id, change.old, change.new) for change in self.changes]
        shown = repr((changes, self.n_read, sorted(self.transitions.items()), [waiting.solution_id for waiting in self.queued]))
        return hashlib.sha256(shown.encode()).hexdigest()[:32]

    def sentences(self) -> list[str]:
        """Say what changes, one sentence each."""
        answers = [change for change in self.changes if "answer" in change.new]
        lines = [f"Another reference answer for {counted(len(answers), 'problem')}:"] if answers else []
        for change in answers[:NAMED]:
            place = f"{place_in_words(change.line)}, " if change.line else ""
            lines.append(f"  {place}problem {change.external_id}: {quoted(change.old['answer'])} becomes {quoted(change.new['answer'])}")
        lines += [f"  and {len(answers) - NAMED:,} more"] if len(answers) > NAMED else []
        for name, words in FIELD_WORDS.items():
            if name != "answer" and (count := sum(name in change.new for change in self.changes)):
                lines.append(f"Another {words} for {counted(count, 'problem')}.")
        if self.n_graded:
            lines.append(f"{counted(self.n_graded, 'solution')} to grade again. Another outcome for {self.n_changed:,} of them.")
        if self.n_read:
            lines.append(f"Another answer is read from the steps of {self.n_read:,} of them.")
        if self.n_unknown:
            lines.append(f"The stated answers of {self.n_unknown:,} of them stay: an older version did not note whether a file gave them.")
        lines += [f"  from {old} to {new}: {count:,}" for (old, new), count in self.outcomes.items()]
        lines += [f"  solution {key}: from {old} to {new} ({reason})" for key, old, new, reason in self.examples[:NAMED]]
        if self.n_labeled:
            lines.append(f"{self.n_labeled:,} of these with labels. The labels stay.")
        if self.queued:
            lines.append(f"In the queue for a reason that is false then: {counted(len(self.queued), 'solution')}.")
            lines += [f"  {waiting}" for waiting in self.queued[:NAMED]]
            lines += [f"  and {len(self.queued) - NAMED:,} more"] if len(self.queued) > NAMED else []
        return lines

    def apply(self, *, actor: User | None, withdraw: bool = False) -> int:
        """Write the plan in one transaction; with `withdraw`, withdraw what is queued for a false reason. Return how many were withdrawn.

        Solutions that were loaded meanwhile are graded too. Raises CorrectionRefused if an answer or an outcome was changed meanwhile.
        """
        for _ in range(TRIES):
            try:
                with transaction.atomic():
                    return self._write(actor, withdraw=withdraw)
            except _LoadedMeanwhile:
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO correction_solution {NEW_IN_SCOPE}")
                _grade(self.project, self.progress)
                _look(self)
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
                raise CorrectionRefused(
                    "Another process is writing to this project, such as a load of a file. Wait until it ends and try again. "
                    "Nothing was changed."
                ) from error
        raise CorrectionRefused(
            "Solutions of these problems are being loaded all the time. Wait until the load ends and try again. Nothing was changed."
        )

    def _write(self, actor: User | None, *, withdraw: bool) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            # One load or correction of a project at a time, and no batch is published and no score written with an outcome of before.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('annotation.ingest'), %s)", [self.project.pk % 2**31])
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('annotation.outcomes'), %s)", [self.project.pk % 2**31])
            Project.objects.select_for_update(no_key=True).get(pk=self.project.pk)
            self._check_unchanged(cursor)
            if self.progress:
                self.progress("storing", 0, None)
            for change in self.changes:
                # The old values again: a state changes only from what was shown.
                if Problem.objects.filter(pk=change.problem_id, **change.old).update(**change.new) != 1:
                    raise _changed_meanwhile(f"problem {change.external_id}")
            by_problem: dict[int, dict[str, int]] = {}
            for problem, old, new, count in cursor.execute(BY_PROBLEM).fetchall():
                by_problem.setdefault(problem, {})[f"{old} -> {new}"] = count
            cursor.execute(WRITE, {"grader": grader_version(rules_of(self.project))})
        self._note(actor, by_problem)
        if not withdraw or not self.queued:
            return 0
        return queue.withdraw(Solution.objects.filter(pk__in=[one.solution_id for one in self.queued]), actor=actor)

    def _check_unchanged(self, cursor: Any) -> None:
        if cursor.execute(MOVED).fetchone()[0]:
            raise _changed_meanwhile("an answer or an outcome")
        if cursor.execute(f"SELECT EXISTS ({NEW_IN_SCOPE})").fetchone()[0]:
            raise _LoadedMeanwhile

    def _note(self, actor: User | None, by_problem: dict[int, dict[str, int]]) -> None:
        events = []
        for change in self.changes:
            values = ", ".join(f"{name}: {quoted(change.old[name])} becomes {quoted(change.new[name])}" for name in change.new)
            details = {"old": change.old, "new": change.new, "outcomes": by_problem.get(change.problem_id, {})}
            subject = f"problem {change.problem_id}: {values}"[:200]
            events.append(Event(actor=actor, project=self.project, verb="correct", subject=subject, details=details))
        if self.is_regrade and self.n_graded:
            outcomes = {f"{old} -> {new}": count for (old, new), count in self.outcomes.items()}
            details = {"grader": grader_version(rules_of(self.project)), "outcomes": outcomes, "answers_read": self.n_read}
            subject = f"project {self.project.slug}: {self.n_changed:,} of {self.n_graded:,} outcomes changed"
            events.append(Event(actor=actor, project=self.project, verb="regrade", subject=subject, details=details))
        Event.objects.bulk_create(events, batch_size=CHUNK)


def _changed_meanwhile(what: str) -> CorrectionRefused:
    return CorrectionRefused(f"Somebody changed {what} meanwhile. Look again at what changes, and repeat it. Nothing was changed.")


def quoted(text: str | None) -> str:
    """Write a value in a sentence: on one line, and not longer than a line."""
    if text is None or not text.strip():
        return "nothing"
    line = " ".join(text.split())
    return f"'{line if len(line) <= CUT else line[:CUT] + '...'}'"


@contextmanager
def prepared(project: Project, changes: Sequence[ProblemChange], *, progress: Progress | None = None) -> Iterator[CorrectionPlan]:
    """Grade the solutions of these problems against their new answers, and give what would change. Raises GraderUnavailable."""
    plan = CorrectionPlan(project, changes, progress=progress)
    with _tables() as cursor:
        with cursor.copy("COPY correction_problem FROM STDIN") as copy:
            for change in changes:
                if "answer" in change.new:
                    copy.write_row((change.problem_id, change.old["answer"], change.new["answer"]))
        cursor.execute("ANALYZE correction_problem")
        cursor.execute(f"INSERT INTO correction_solution {NEW_IN_SCOPE}")
        _read_again(cursor, progress)  # the present grader is noted for these, so it must also have read their answers
        _grade(project, progress)
        _look(plan)
        yield plan


@contextmanager
def prepared_again(
    project: Project, *, everything: bool = False, reads_unknown: bool = False, progress: Progress | None = None
) -> Iterator[CorrectionPlan]:
    """Grade solutions again, and give what would change: those that an older grader graded, or all with `everything`.

    An answer that was read from the steps is read again. With `reads_unknown`, so is one of which nobody knows where it comes from.
    Raises GraderUnavailable.
    """
    plan = CorrectionPlan(project, (), progress=progress, is_regrade=True)
    with _tables() as cursor:
        scope = f"INSERT INTO correction_solution {SCOPE_OF_PROJECT}"
        cursor.execute(scope, {"project": project.pk, "everything": everything, "grader": grader_version(rules_of(project))})
        plan.n_unknown = _read_again(cursor, progress, reads_unknown=reads_unknown)
        _grade(project, progress)
        _look(plan)
        yield plan


@contextmanager
def _tables() -> Iterator[Any]:
    with connection.cursor() as cursor:
        cursor.execute(DROP)
        cursor.execute(CREATE)
        try:
            yield cursor
        finally:
            if not connection.needs_rollback:
                cursor.execute(DROP)


def _read_again(cursor: Any, progress: Progress | None, *, reads_unknown: bool = False) -> int:
    """Read the answers again that were read from the steps: the present grader can read another notation. An answer of a file stays.

    Return how many answers stay because nobody knows where they come from.
    """
    cursor.execute("ANALYZE correction_solution")
    values = {"unknown": reads_unknown}
    total, n_unknown = cursor.execute(COUNT_TO_READ, values).fetchone()
    done = last = 0
    while rows := cursor.execute(NEXT_TO_READ, {**values, "last": last, "limit": CHUNK}).fetchall():
        answers = [(key, answer) for key, steps, stated in rows if (answer := stated_answer(orjson.loads(steps))) != stated]
        if answers:
            keys, texts = map(list, zip(*answers, strict=True))
            cursor.execute(READ, [keys, texts])
        done, last = done + len(rows), rows[-1][0]
        if progress:
            progress("reading answers", done, total)
    return n_unknown


def _grade(project: Project, progress: Progress | None) -> None:
    """Grade the distinct pairs that have no grade yet."""
    with connection.cursor() as cursor, Grader(rules=rules_of(project)) as grader:
        cursor.execute("ANALYZE correction_solution")
        cursor.execute(PAIRS)
        total, done = cursor.rowcount, 0
        while chunk := cursor.execute(NEXT_PAIRS, [CHUNK]).fetchall():

            def report(count: int, _: int, done: int = done) -> None:
                if progress:
                    progress("grading", done + count, total)

            grades = grader.grade_answers([(stated, reference) for _, stated, reference in chunk], progress=report)
            cursor.execute(GRADES, [[n for n, *_ in chunk], [grade.outcome for grade in grades], [grade.reason for grade in grades]])
            done += len(chunk)
        cursor.execute("ANALYZE correction_grade")
    SiteCount.objects.add({f"grader_{reason}": count for reason, count in grader.ends.items()})


def _look(plan: CorrectionPlan) -> None:
    """Read from the temporary tables what changes."""
    with connection.cursor() as cursor:
        plan.transitions = {(old, new): count for old, new, count in cursor.execute(TRANSITIONS).fetchall()}
        plan.n_graded = sum(plan.transitions.values())
        plan.n_written = cursor.execute(COUNT_WRITTEN, {"grader": grader_version(rules_of(plan.project))}).fetchone()[0]
        plan.n_read = cursor.execute(COUNT_READ).fetchone()[0]
        plan.examples = cursor.execute(CHANGED, {"limit": NAMED}).fetchall()
        plan.answers = cursor.execute(ANSWERS, {"limit": NAMED}).fetchall()
        plan.n_labeled = cursor.execute(LABELED).fetchone()[0]
        problems = None if plan.is_regrade else [change.problem_id for change in plan.changes]
        rows = cursor.execute(FALSE_REASONS, {"project": plan.project.pk, "problems": problems}).fetchall()
        plan.queued = [QueuedForFalseReason(*row) for row in rows]


def hold_outcomes(project_id: int) -> None:
    """Until the end of the transaction, let no correction change an outcome of the project. For what copies outcomes, such as scores."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('annotation.outcomes'), %s)", [project_id % 2**31])
