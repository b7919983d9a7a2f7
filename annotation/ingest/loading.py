"""Stage: ingest, from values to tables. Reads NewProblem and NewSolution values from a file or a caller, copies them to temporary
tables and grades new answers. Writes Problem and Solution and, where a file has labels, the tasks, assignments and annotations of its
labelers. One transaction: all or nothing. Loading the same file again changes nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils.crypto import salted_hmac

from annotation.ingest import statements as sql
from annotation.ingest.projects import rules_of
from annotation.ingest.values import LoadReport, digest
from annotation.models import Batch, BatchKind, BatchState, Membership, Project, Role, SiteCount, TextKind
from trainer.answers import Grader, grader_version, stated_answer
from trainer.counting import counted
from trainer.formats import (
    FILE_MEGABYTES,
    FORMATS,
    BadFile,
    BadLine,
    Detected,
    Format,
    LabelMapping,
    NewAnnotation,
    NewProblem,
    NewSolution,
    Progress,
    check_problem,
    check_solution,
    choose_steps_by,
    cut_solution,
    detect_format,
    looks_like_markdown,
    place_in_words,
    read_lines,
    refuse_unread_labels,
    unused_keys,
    with_items,
)
from trainer.formats import read_mapping as parse_mapping
from trainer.statements import without_blanks
from trainer.steps import AUTO, BROKEN_SHARE, LINES, RULES, RuleChoice

BY_LINES = RuleChoice(LINES, "")  # for texts that do not come from a file
LABELS = ("annotations", "gold")  # what the labels of a file become
CHUNK = 1_000  # rows held in memory before they go to the database
FILE_LABELERS = UUID("6f1d5f0e-2c0b-4c5e-9a55-7f6c3a0f9b11")  # namespace of ids for what a file does not name


def load_problems(
    path: Path | str,
    *,
    project: Project,
    format: str | None = None,
    split: str | None = None,
    mapping: LabelMapping | None = None,
    progress: Progress | None = None,
    megabytes: int = FILE_MEGABYTES,
) -> LoadReport:
    """Load the problems of a file and report what was new. `split` overrides the file's, and `mapping` names fields of other tools.

    `progress(stage, done, total)` counts bytes of the file, then graded answers. Raises BadFile with the line; then nothing was stored.
    """
    path = Path(path)
    detected, format_ = choose_format(path, format, megabytes, mapping)
    with _staging(project, detected, path=path, split=split, progress=progress) as staging:
        for line, fields in read_lines(path, megabytes=megabytes, progress=progress):
            with staging.at(line):
                refuse_unread_labels(fields, detected)
                staging.add_problem(format_.problem(fields))
                staging.report.unused.update(unused_keys(fields))
    return staging.report


def read_problems(path: Path | str, *, megabytes: int = FILE_MEGABYTES) -> Iterator[tuple[str, str]]:
    """Yield id and text of each problem of a file that `load_problems` or `load_solutions` reads, and store nothing. Raises BadFile.

    A problem without an id has the number of its line.
    """
    path = Path(path)
    _, format_ = choose_format(path, None, megabytes)
    for line, fields in read_lines(path, megabytes=megabytes):
        try:
            problem = format_.problem(fields)
        except BadLine as bad:
            raise BadFile(path, line, bad.reason, bad.remedy) from None
        yield problem.external_id or f"line {line}", problem.statement


def load_solutions(
    path: Path | str,
    *,
    project: Project,
    format: str | None = None,
    source: str = "",
    split: str | None = None,
    steps_by: str = AUTO,
    allow_broken: bool = False,
    labels: str = "annotations",
    mapping: LabelMapping | None = None,
    progress: Progress | None = None,
    megabytes: int = FILE_MEGABYTES,
) -> LoadReport:
    """Load the solutions of a file with their problems and, if it has them, their labels; report what was new.

    The labels become annotations of people that the file names, or, with `labels` "gold", the gold of their solutions: the step at which
    the first mistake is, or none. Gold that is stored already stays.

    `source` names the generator where the file does not, `steps_by` the rule that cuts solutions given as texts. More than 1 % broken steps
    are refused unless `allow_broken`. `mapping` says what fields and values of other labeling tools mean.
    The rest is as in `load_problems`. Every new final answer is graded.
    """
    path = Path(path)
    detected, format_ = choose_format(path, format, megabytes, mapping)
    if format_.solutions is None:
        raise BadFile(path, None, f"a file of format {detected.name} has problems but no solutions", "Load it with load_problems")
    check_options(path, split=split, labels=labels)
    choice = choose_steps_by(path, format_, named=steps_by, megabytes=megabytes, progress=progress)
    with _staging(project, detected, path=path, source=source, split=split, progress=progress) as staging:
        staging.are_labels_gold = labels == "gold"
        for line, fields in read_lines(path, megabytes=megabytes, progress=progress):
            with staging.at(line):
                refuse_unread_labels(fields, detected)
                for solution in format_.solutions(fields):
                    staging.add_solution(solution, choice=choice)
                staging.report.unused.update(unused_keys(fields))
        if not allow_broken and staging.report.steps.share_broken > BROKEN_SHARE:
            raise _too_many_broken(path, staging.report)
    return staging.report


def _too_many_broken(path: Path, report: LoadReport) -> BadFile:
    others = [rule for rule in RULES if report.steps_by is None or rule != report.steps_by.rule]
    remedy = (
        f"Cut the texts by another rule with --steps-by {' or '.join(others)}"
        if report.steps_by
        else "Give each solution as one text with the key 'solution', which --steps-by cuts"
    )
    return BadFile(
        path,
        None,
        f"{report.steps.broken_in_words()}. At most {BROKEN_SHARE:.0%} of the steps can be broken",
        f"{remedy}, or load the file as it is with --allow-broken-steps",
    )


def add_solutions(project: Project, rows: Iterable[NewSolution], *, progress: Progress | None = None) -> LoadReport:
    """Load solutions from values instead of a file, as `load_solutions` does. Errors name the number of the value, from 1."""
    with _staging(project, Detected("values", ""), path="values", progress=progress) as staging:
        for number, solution in enumerate(rows, 1):
            with staging.at(number):
                staging.add_solution(solution)
            if progress and number % 500 == 0:
                progress("reading", number, None)
    return staging.report


def check_options(path: Path | str, *, split: str | None, labels: str) -> None:
    """Raise BadFile for a split or a use of labels that does not exist."""
    if split not in (None, "train", "test"):
        raise BadFile(path, None, f"the split is {split!r}", "A split must be train or test")
    if labels not in LABELS:
        raise BadFile(path, None, f"labels cannot become {labels!r}", f"They become {' or '.join(LABELS)}")


def choose_format(path: Path, named: str | None, megabytes: int, mapping: LabelMapping | None = None) -> tuple[Detected, Format]:
    """Return the format of a file and why: the named one, or the one that its content shows. Raises BadFile, also for a mapping of a
    format whose fields have fixed names.
    """
    if named is not None and named not in FORMATS:
        raise BadFile(path, None, f"unknown format {named!r}", f"The formats are {', '.join(FORMATS)}")
    detected = Detected(named, "") if named else detect_format(path, megabytes=megabytes)
    try:
        return detected, FORMATS[detected.name].mapped(mapping or LabelMapping())
    except BadLine as bad:
        raise BadFile(path, None, f"it has the format {detected.name}, and {bad.reason}", bad.remedy) from None


def read_mapping(lines: Iterable[str], *, items: Path | str | None = None) -> LabelMapping | None:
    """Return what lines of NAME=VALUE and a file of items say of the labels of another tool, or None without any. Raises BadFile."""
    try:
        mapping = parse_mapping(lines)
    except BadLine as bad:
        raise BadFile("--map", None, bad.reason, bad.remedy) from None
    mapping = mapping if items is None else with_items(mapping, Path(items))
    return None if mapping == LabelMapping() else mapping


@contextmanager
def _staging(
    project: Project, detected: Detected, *, path: Path | str, source: str = "", split: str | None = None, progress: Progress | None = None
) -> Iterator["_Staging"]:
    with staged(project, detected, path=path, source=source, split=split, progress=progress) as staging:
        yield staging
        staging.store()


@contextmanager
def staged(
    project: Project, detected: Detected, *, path: Path | str, source: str = "", split: str | None = None, progress: Progress | None = None
) -> Iterator["_Staging"]:
    """Give the temporary tables of one load, in a transaction."""
    check_options(path, split=split, labels=LABELS[0])
    with transaction.atomic():
        yield _Staging(project, LoadReport(format=detected.name, signs=detected.reason), path, source, split, progress)


class _Staging:
    """The temporary tables of one load. They are filled chunk by chunk, then moved to the real tables."""

    def __init__(
        self, project: Project, report: LoadReport, path: Path | str, source: str, split: str | None, progress: Progress | None
    ) -> None:
        self.project, self.report, self.path, self.source, self.split, self.progress = project, report, path, source, split, progress
        self.line, self.are_labels_gold = 0, False
        self.waiting: dict[str, list[tuple[Any, ...]]] = {table: [] for table in sql.COLUMNS}
        self.staged_problems: dict[bytes, None] = {}  # 16 bytes of each, so that a problem is staged once, not for each solution
        self.occurrences: Counter[bytes] = Counter()
        self.labelers: set[UUID] = set()
        self.sequence = 0
        self.cursor = connection.cursor()
        # Grading can take longer than a transaction is allowed to idle. Loads of one project run one after another. And a plan that
        # the connection kept from a small file is slow for a large one.
        self.cursor.execute(
            "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL client_min_messages = warning;"
            "SET LOCAL plan_cache_mode = force_custom_plan"
        )
        self.cursor.execute(sql.STAGE)
        self.cursor.execute("SELECT pg_advisory_xact_lock(hashtext('annotation.ingest'), %s)", [project.pk % 2**31])

    def placed(self, number: int) -> int:
        """Return a number that the database gave back as what it is in this file: of a line, a row or an object."""
        return type(self.line)(number)

    @contextmanager
    def at(self, line: int) -> Iterator[None]:
        """Count a line, and add its number to the errors it raises."""
        self.line, self.report.lines = line, self.report.lines + 1
        try:
            yield
        except BadLine as bad:
            raise BadFile(self.path, line, bad.reason, bad.remedy) from None

    def add_problem(self, problem: NewProblem) -> str:
        """Stage a problem; return the key that its solutions refer to."""
        check_problem(problem)
        key = f"id:{problem.external_id}" if problem.external_id is not None else f"sha256:{_key_of(problem.statement)}"
        row = (
            key,
            problem.external_id,
            problem.external_id or _sha256(problem.statement.encode()).hex()[:16],
            problem.statement,
            problem.reference_solution,
            problem.answer,
            problem.subject,
            problem.level,
            self.split or problem.split,
        )
        if (seen := _sha256(repr(row).encode())[:16]) not in self.staged_problems:
            self.staged_problems[seen] = None
            self._copy("incoming_problem", (self.line, *row))
        return key

    def add_solution(self, solution: NewSolution, *, choice: RuleChoice = BY_LINES) -> None:
        """Stage a solution with its problem and its annotation. A text is cut by the rule of the choice."""
        if solution.text is not None:
            self.report.steps_by = choice
        text, solution = solution.text, cut_solution(solution, by=choice.rule)
        check_solution(solution)
        self.report.count(solution, text=text, line=self.line)
        key, steps = self.add_problem(solution.problem), orjson.dumps(solution.steps)
        self.sequence += 1
        is_answer_given = solution.final_answer is not None
        answer = solution.final_answer if is_answer_given else stated_answer(solution.steps)
        source = solution.source or self.source
        self._copy(
            "incoming_solution", (self.sequence, self.line, key, digest(solution.steps), steps.decode(), answer, is_answer_given, source)
        )
        for place, alternative in enumerate(solution.alternatives):
            self._copy("incoming_alternative", (self.sequence, alternative.step_index, place, alternative.text))
        if solution.annotation and self.are_labels_gold:
            self._add_gold(solution.annotation)
        elif solution.annotation:
            self._add_annotation(solution.annotation)

    def _add_gold(self, new: NewAnnotation) -> None:
        if new.finish_reason not in ("solution", "found_error"):
            self.report.left_out["labels without a verdict (given up, bad problem)"] += 1
            return
        mistake = next((label.step_index for label in new.labels if label.rating == -1 and label.text is None), None)
        if mistake is None and new.finish_reason == "found_error":
            self.report.left_out["labels that end at a mistake but do not say which step it is"] += 1
            return
        self.report.gold += 1
        self._copy("incoming_gold", (self.sequence, self.line, mistake))

    def _add_annotation(self, new: NewAnnotation) -> None:
        body = _sha256(new.canonical)
        self.occurrences[body] += 1  # twice in a file means two sittings, in this load and in the next
        if labeler := new.labeler or self._pseudonym_of(new.person):
            self.labelers.add(labeler)
        self.report.annotations += 1
        self._copy(
            "incoming_annotation",
            (
                self.sequence,
                uuid5(FILE_LABELERS, f"{self.project.pk} {body.hex()} {self.occurrences[body]}"),
                body,
                labeler,
                new.generation,
                str(BatchKind.IMPORTED_GOLD if new.is_gold else BatchKind.IMPORTED),
                new.finish_reason,
                new.reason,
                new.total_ms,
                new.verifier_score,
                new.created_at.replace(tzinfo=UTC) if new.created_at else None,
                orjson.dumps(new.question).decode(),
            ),
        )
        nth: Counter[tuple[int, str | None, bool]] = Counter()
        for label in new.labels:
            text = (label.step_index, label.text, label.by_labeler)
            nth[text] += 1
            self._copy(
                "incoming_label",
                (
                    self.sequence,
                    label.step_index,
                    label.text,
                    label.by_labeler,
                    nth[text],
                    label.rating,
                    label.flagged,
                    label.chosen,
                    label.shown_at,
                ),
            )

    def _pseudonym_of(self, person: str) -> UUID | None:
        """Return the pseudonym of a person whom another tool names: the same in each file of the project, and told by nobody without the
        secret of this site, as names and addresses can be guessed.
        """
        if not person:
            return None
        digest = salted_hmac("annotation.ingest.labeler", f"{self.project.pk} {person}", algorithm="sha256").digest()
        return UUID(bytes=digest[:16], version=4)

    def _copy(self, table: str, row: tuple[Any, ...]) -> None:
        waiting = self.waiting[table]
        waiting.append(row)
        if len(waiting) >= CHUNK:
            self._flush(table)

    def _flush(self, table: str) -> None:
        # psycopg escapes the backslashes of LaTeX for COPY's text form, which is as fast as its CSV form.
        with self.cursor.copy(f"COPY {table} ({sql.COLUMNS[table]}) FROM STDIN") as copy:
            for row in self.waiting[table]:
                copy.write_row(row)
        self.waiting[table].clear()

    def store(self) -> None:
        """Move all rows from the temporary tables to the real ones."""
        for table in self.waiting:
            self._flush(table)
        self._run("ANALYZE incoming_problem, incoming_solution, incoming_alternative, incoming_annotation, incoming_label")
        self._store_problems()
        if self.report.solutions:
            self._store_solutions()
        if self.report.alternatives:
            self._run(sql.GATHER_WANTED_ALTERNATIVES)
            self._run(sql.HOLD_POSITIONS.format("wanted_alternative"))
            self.report.new_alternatives = self._run(sql.INSERT_WANTED_ALTERNATIVES)
        if self.report.annotations:
            self._store_annotations()
        if self.report.gold:
            self._store_gold()
        if self.report.solutions and self.project.text_kind == TextKind.UNDECIDED:
            self._decide_text_kind()

    def _decide_text_kind(self) -> None:
        """Take the project's texts for Markdown or for plain text by a sample of the new solutions, and say so."""
        self.cursor.execute("SELECT steps::text FROM incoming_solution ORDER BY digest LIMIT 500")
        is_markdown, share = looks_like_markdown("\n".join(orjson.loads(steps)) for (steps,) in self.cursor.fetchall())
        kind, other = (TextKind.MARKDOWN, "plain text") if is_markdown else (TextKind.PLAIN, "Markdown")
        Project.objects.filter(pk=self.project.pk, text_kind=TextKind.UNDECIDED).update(text_kind=kind)
        self.project.text_kind = kind
        self.report.notes.append(
            f"Pages show this project's texts as {kind.label}: {share:.0%} of the solutions have signs of Markdown. "
            f"If they are {other}, change the text kind of the project in the administration."
        )

    def _run(self, commands: str, **more: Any) -> int:
        """Run one command or several, one by one since the server binds parameters per command. Return the row count of the last."""
        for command in commands.split(";\n"):
            self.cursor.execute(command, {"project": self.project.pk, **more})
        return self.cursor.rowcount

    def resolve_problems(self, *, are_new_stored: bool = True) -> None:
        """Find the problem of each key of the file, and store those that are not known. Raises BadFile for an id with two statements."""
        self._flush("incoming_problem")
        self.cursor.execute(sql.SAME_ID_OTHER_STATEMENT, {"project": self.project.pk})
        if clash := self.cursor.fetchone():
            raise BadFile(
                self.path,
                self.placed(clash[0]),
                f"the problem id {clash[1]!r} already belongs to another statement",
                "Give the problem an id of its own",
            )
        self._run(sql.GATHER_PROBLEMS)
        self.cursor.execute("SELECT count(DISTINCT same) FROM gathered_problem")
        self.report.problems = self.cursor.fetchone()[0]
        if are_new_stored:
            self.report.new_problems = self._run(sql.INSERT_PROBLEMS)
        self._run(sql.RESOLVE_PROBLEMS)

    def _store_problems(self) -> None:
        self.resolve_problems()
        notes = self.report.notes
        self.cursor.execute(sql.MIXED_SPLITS)
        if mixed := self.cursor.fetchall():
            lines = "; ".join(f"{place_in_words(self.placed(train))} and {test}" for train, test in mixed[:3])
            notes.append(
                f"Train problems in one place and test problems in another: {len(mixed):,} ({lines}"
                f"{'; ...' if mixed[3:] else ''}). They count as test problems."
            )
        if kept := self._run(sql.COUNT_OTHER_ANSWERS) and self.cursor.fetchone()[0]:
            notes.append(
                f"{counted(kept, 'problem keeps its', 'problems keep their')} reference answer; the file gives another. "
                "To see and correct them, use load_problems --update."
            )
        self.cursor.execute(sql.COUNT_UNGRADED, {"project": self.project.pk})
        if (ungraded := self.cursor.fetchone()[0]) > 0:
            notes.append(
                f"{counted(ungraded, 'older solution has', 'older solutions have')} a reference answer only now. To grade, use regrade."
            )
        self.cursor.execute(sql.NEWLY_TEST, {"project": self.project.pk})
        moved, queued = self.cursor.fetchone()
        self._run(sql.COMPLETE_PROBLEMS)
        self._run(sql.SPREAD_TEST)
        if moved:
            become = counted(moved, "train problem becomes a test problem", "train problems become test problems")
            wait = counted(queued, "solution waits", "solutions wait")
            waiting = f" {wait} for labelers: withdraw them in the administration." if queued else ""
            notes.append(f"{become}. Their labels are not exported for training any more.{waiting}")

    def _store_solutions(self) -> None:
        self._run(sql.GATHER_SOLUTIONS)
        self._grade()
        if self.progress:
            self.progress("storing", 0, None)
        self.report.new_solutions = self._run(sql.INSERT_SOLUTIONS, grader=grader_version(rules_of(self.project)))
        self.cursor.execute(sql.COUNT_OUTCOMES)
        for outcome, reason, count in self.cursor.fetchall():
            self.report.outcomes[outcome] = self.report.outcomes.get(outcome, 0) + count
            if outcome == "ungraded":
                self.report.ungraded[reason] = count

    def _grade(self) -> None:
        """Grade the distinct pairs of new answers in chunks, with one set of child processes."""
        self.cursor.execute("SELECT count(*) FROM (SELECT DISTINCT final_answer, answer FROM new_solution) pair")
        total, done = self.cursor.fetchone()[0], 0

        def report(count: int, _: int) -> None:
            if self.progress:
                self.progress("grading", done + count, total)

        with Grader(rules=rules_of(self.project)) as grader, connection.cursor() as pairs:
            pairs.execute("DECLARE pairs NO SCROLL CURSOR FOR SELECT DISTINCT final_answer, answer FROM new_solution")
            while True:
                pairs.execute(f"FETCH {CHUNK} FROM pairs")
                if not (chunk := pairs.fetchall()):
                    break
                grades = grader.grade_answers(chunk, progress=report)
                done += len(chunk)
                with self.cursor.copy("COPY new_grade (final_answer, answer, outcome, reason) FROM STDIN") as copy:
                    for pair, grade in zip(chunk, grades, strict=True):
                        copy.write_row((*pair, grade.outcome, grade.reason))
            pairs.execute("CLOSE pairs")
        SiteCount.objects.add({f"grader_{reason}": count for reason, count in grader.ends.items()})

    def _store_annotations(self) -> None:
        self._run(sql.NEW_ANNOTATIONS)
        self._store_batches()
        self._run(sql.INSERT_TASKS)
        self._run(sql.NAME_THE_UNNAMED)
        self._store_labelers()
        self._run(sql.INSERT_ASSIGNMENTS)
        self._run(sql.WIDEN_OVERLAP)
        self.report.new_annotations = self._run(sql.INSERT_ANNOTATIONS)
        self._run(sql.GATHER_ALTERNATIVES)
        self._run(sql.HOLD_POSITIONS.format("used_alternative"))
        self._run(sql.INSERT_ALTERNATIVES)
        self._run(sql.INSERT_LABELS)

    def _store_gold(self) -> None:
        self._run(sql.GATHER_GOLD)
        self.cursor.execute(sql.GOLD_CONTRADICTION)
        if clash := self.cursor.fetchone():
            reason = f"this solution is right here and wrong in {place_in_words(self.placed(clash[1]))}, or the other way round"
            raise BadFile(self.path, self.placed(clash[0]), reason, "Keep one of the two lines, or load the labels as annotations")
        self.cursor.execute(sql.COUNT_OTHER_GOLD)
        if kept := self.cursor.fetchone()[0]:
            self.report.notes.append(f"{counted(kept, 'solution keeps its', 'solutions keep their')} gold; the file gives another.")
        self.report.new_gold = self._run(sql.INSERT_GOLD)

    def _store_batches(self) -> None:
        self.cursor.execute("SELECT DISTINCT kind, generation FROM new_annotation ORDER BY 1, 2 NULLS FIRST")
        for kind, generation in self.cursor.fetchall():
            Batch.objects.get_or_create(
                project=self.project,
                kind=kind,
                generation=generation,
                defaults={"state": BatchState.CLOSED, "closed_at": datetime.now(UTC)},
            )

    def _store_labelers(self) -> None:
        """Create an inactive account for every labeler of the file, with the file's pseudonym."""
        self.cursor.execute("SELECT max(unnamed) FROM new_annotation")
        unnamed = range(1, (self.cursor.fetchone()[0] or 0) + 1)
        pseudonyms = {labeler: f"file-{labeler}" for labeler in self.labelers}
        pseudonyms |= {uuid5(FILE_LABELERS, f"unnamed labeler {number}"): f"file-unnamed-{number}" for number in unnamed}
        known = set(Membership.objects.filter(project=self.project, export_uuid__in=pseudonyms).values_list("export_uuid", flat=True))
        names = {name: pseudonym for pseudonym, name in pseudonyms.items() if pseudonym not in known}
        User.objects.bulk_create(
            [User(username=name, password=make_password(None), is_active=False) for name in names], ignore_conflicts=True
        )
        people = User.objects.filter(username__in=names)
        Membership.objects.bulk_create(
            [Membership(project=self.project, user=user, role=Role.LABELER, export_uuid=names[user.username]) for user in people]
        )
        self._run(sql.FIND_LABELERS)


def _key_of(statement: str) -> str:
    return _sha256(without_blanks(statement).encode()).hex()


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
