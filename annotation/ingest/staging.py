"""Stage: ingest, from rows to tables. Copies the rows of a load to temporary tables and grades new answers. Writes Problem and Solution
and, where a file has labels, the tasks, assignments and annotations of its labelers. One transaction: all or nothing.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model
from django.utils.crypto import salted_hmac

from annotation.ingest import statements as sql
from annotation.ingest.noting import what_differs
from annotation.ingest.preparing import FILE_LABELERS, Prepared, ReadingOptions, Rows, submission_id
from annotation.ingest.projects import rules_of
from annotation.ingest.values import LoadReport
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    BatchKind,
    BatchState,
    GoldAnswer,
    Membership,
    Problem,
    Project,
    Role,
    SiteCount,
    Solution,
    StepAlternative,
    StepLabel,
    Task,
    TextKind,
)
from trainer.answers import Grader, grader_version
from trainer.counting import counted
from trainer.formats import (
    BadFile,
    BadLine,
    Detected,
    NewProblem,
    NewSolution,
    Progress,
    looks_like_markdown,
    place_in_words,
)
from trainer.steps import LINES, RuleChoice

BY_LINES = RuleChoice(LINES, "")  # for texts that do not come from a file
LABELS = ("annotations", "gold")  # what the labels of a file become
FLUSHED = 1_000_000  # bytes of rows held in memory before they go to the database
COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"
CHUNK = 10_000  # solutions that are graded, or stored, at once
FEW = 500  # new rows that the planner need not be told of, as many as autovacuum lets pass
SHARE_MEANWHILE, SHARE_AT_END = 1, 0.1  # beyond them, of the rows that the planner expects in a table. The last is autovacuum's own
KNOWN = 200_000  # problems that are remembered, so that each is staged once. Beyond, some are staged again, which costs time alone


def check_options(path: Path | str, *, split: str | None, labels: str) -> None:
    """Raise BadFile for a split or a use of labels that does not exist."""
    if split not in (None, "train", "test"):
        raise BadFile(path, None, f"the split is {split!r}", "A split must be train or test")
    if labels not in LABELS:
        raise BadFile(path, None, f"labels cannot become {labels!r}", f"They become {' or '.join(LABELS)}")


@contextmanager
def staged(
    project: Project, detected: Detected, *, path: Path | str, source: str = "", split: str | None = None, progress: Progress | None = None
) -> Iterator["Staging"]:
    """Give the temporary tables of one load, in a transaction."""
    check_options(path, split=split, labels=LABELS[0])
    with transaction.atomic():
        yield Staging(project, LoadReport(format=detected.name, signs=detected.reason), path, source, split, progress)


def hold_project(cursor: Any, project: Project) -> None:
    """Wait for the loads of a project, and keep others waiting until the end of the transaction. To hold it twice is to hold it."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('annotation.ingest'), %s)", [project.pk % 2**31])


class Staging:
    """The temporary tables of one load. They are filled chunk by chunk, then moved to the real tables."""

    def __init__(
        self, project: Project, report: LoadReport, path: Path | str, source: str, split: str | None, progress: Progress | None
    ) -> None:
        self.project, self.report, self.path, self.progress = project, report, path, progress
        self.line = 0
        kinds = (str(BatchKind.IMPORTED), str(BatchKind.IMPORTED_GOLD))
        detected = Detected(report.format, report.signs)
        key = salted_hmac("annotation.ingest.labeler", str(project.pk), algorithm="sha256").digest()
        self.options = ReadingOptions(
            project.pk, detected, source, split, are_labels_gold=False, kinds=kinds, choice=BY_LINES, mapping=None, person_key=key
        )
        self.rows = Rows(self.options)
        self.waiting: dict[str, list[bytes]] = {table: [] for table in sql.COLUMNS}
        self.size = 0  # bytes of these rows
        self.staged_problems: set[bytes] = set()  # 16 bytes of each
        self.labelers: set[UUID] = set()
        self.untold: Counter[str] = Counter()  # rows of each table that the planner was not told of
        self.cursor = connection.cursor()
        # Grading can take longer than a transaction is allowed to idle. Loads of one project run one after another. And a plan that
        # the connection kept from a small file is slow for a large one. Sorts of a large load stay in memory.
        self.cursor.execute(
            "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL client_min_messages = warning;"
            "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL work_mem = '32MB'"
        )
        self.cursor.execute(sql.STAGE)
        hold_project(self.cursor, project)

    def use(self, options: ReadingOptions) -> None:
        """Read what follows in another way."""
        if options != self.options:
            self.options = self.rows.options = options

    def placed(self, number: int) -> int:
        """Return a number that the database gave back as what it is in this file: of a line, a row or an object."""
        return type(self.line)(number)

    @contextmanager
    def at(self, line: int) -> Iterator[None]:
        """Count a line, and add its number to the errors it raises."""
        self.line, self.rows.tally.lines = line, self.rows.tally.lines + 1
        try:
            yield
        except BadLine as bad:
            raise BadFile(self.path, line, bad.reason, bad.remedy) from None
        if self.rows.size > FLUSHED:
            self.receive(self.rows.take())

    def add_problem(self, problem: NewProblem) -> None:
        """Stage a problem."""
        self.rows.add_problem(problem, line=self.line)

    def add_solution(self, solution: NewSolution) -> None:
        """Stage a solution with its problem and its annotation. A text is cut by the rule of the options. Raises TextMeans without one."""
        self.rows.add_solution(solution, line=self.line)

    def receive(self, prepared: Prepared) -> None:
        """Take rows and what was counted of them. Raises BadFile for a line that cannot be loaded."""
        if fault := prepared.fault:
            raise BadFile(self.path, fault.line, fault.reason, fault.remedy)
        self.report.add(prepared.tally, choice=self.options.choice)
        self.labelers |= prepared.tally.labelers
        for seen, row in prepared.problems:
            if seen not in self.staged_problems:
                self.staged_problems.add(seen)
                self._wait("incoming_problem", row)
        if len(self.staged_problems) > KNOWN:
            self.staged_problems.clear()
        for table, rows in prepared.rows.items():
            self._wait(table, rows)
        if self.size > FLUSHED:
            self.flush()

    def _wait(self, table: str, rows: bytes) -> None:
        self.waiting[table].append(rows)
        self.size += len(rows)

    def flush(self) -> None:
        """Copy all that was staged."""
        if self.rows.tally.lines:
            taken = self.rows.take()
            self.receive(taken)
        for table, rows in self.waiting.items():
            if rows:
                self._flush(table)
        self.size = 0

    def _flush(self, table: str) -> None:
        with self.cursor.copy(f"COPY {table} ({sql.COLUMNS[table]}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(b"".join((COPY_HEAD, *self.waiting[table], COPY_END)))
        self.waiting[table].clear()

    def store(self) -> None:
        """Move all rows from the temporary tables to the real ones."""
        self.flush()
        self._run("ANALYZE incoming_problem, incoming_solution, incoming_alternative, incoming_annotation, incoming_label")
        self._store_problems()
        if self.report.solutions:
            self._store_solutions()
        if self.report.alternatives:
            self._run(sql.GATHER_WANTED_ALTERNATIVES)
            self._run(sql.HOLD_POSITIONS.format("wanted_alternative"))
            self.report.new_alternatives = self._grew(StepAlternative, self._run(sql.INSERT_WANTED_ALTERNATIVES))
        if self.report.annotations:
            self._store_annotations()
        if self.report.gold:
            self._store_gold()
        if self.report.solutions and self.project.text_kind == TextKind.UNDECIDED:
            self._decide_text_kind()
        for table in self.untold:
            self._tell_planner(table, share=SHARE_AT_END)
        self._run(sql.CHECK_REFERENCES)

    def _grew(self, model: type[Model], rows: int) -> int:
        """Count rows that a table got, and tell the planner when it would take the table for half as large. Return their number.

        The server does so by itself within a minute or two, and not for rows that are not committed. Until then it can take a table for
        empty, most surely after a load that broke off while it stored: its rows are gone, and their pages stay. A statement that joins
        such a table then reads another one whole for each row: the labels of 1,818 lines took 65 s.
        """
        table = model._meta.db_table
        self.untold[table] += rows
        self._tell_planner(table, share=SHARE_MEANWHILE)
        return rows

    def _tell_planner(self, table: str, *, share: float) -> None:
        if self._is_untold(table, share):
            self._run(sql.READ_STATISTICS.format(table=table))
            if not self._is_untold(table, share):  # else another ANALYZE held the table, which does not see these rows
                self.untold[table] = 0

    def _is_untold(self, table: str, share: float) -> bool:
        if self.untold[table] <= FEW:
            return False
        self.cursor.execute(sql.EXPECTED_ROWS, {"table": table})
        expected: float = self.cursor.fetchone()[0]
        return self.untold[table] > FEW + share * expected

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
        self.flush()
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
        with self._by_hashes():
            if are_new_stored:
                self.report.new_problems = self._grew(Problem, self._run(sql.INSERT_PROBLEMS))
            self._run(sql.RESOLVE_PROBLEMS)

    @contextmanager
    def _by_hashes(self) -> Iterator[None]:
        """Compare the problems of the file with those of the project by hashes.

        On a site with other projects the statistics know nothing of what this load has just stored, and the database takes the project
        for empty: then it compares each problem with each, which is slower than all the rest for 10,000 of them.
        """
        self.cursor.execute("SET LOCAL enable_nestloop = off")
        yield
        self.cursor.execute("SET LOCAL enable_nestloop = on")

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
        with self._by_hashes():
            notes += what_differs(self.cursor, self.placed)
        self.cursor.execute(sql.COUNT_UNGRADED, {"project": self.project.pk})
        if (ungraded := self.cursor.fetchone()[0]) > 0:
            notes.append(
                f"{counted(ungraded, 'older solution has', 'older solutions have')} a reference answer only now. To grade, use regrade."
            )
        self.cursor.execute(sql.NEWLY_TEST, {"project": self.project.pk})
        moved, queued = self.cursor.fetchone()
        self._run(sql.COMPLETE_PROBLEMS)
        with self._by_hashes():
            self._run(sql.SPREAD_TEST)
        if moved:
            become = counted(moved, "train problem becomes a test problem", "train problems become test problems")
            wait = counted(queued, "solution waits", "solutions wait")
            waiting = f" {wait} for labelers: withdraw them in the administration." if queued else ""
            notes.append(f"{become}. Their labels are not exported for training any more.{waiting}")

    def _store_solutions(self) -> None:
        self._run(sql.GATHER_SOLUTIONS)
        self.cursor.execute("SELECT count(*) FROM new_solution")
        total = self.cursor.fetchone()[0]
        began = time.monotonic()
        self._grade(total)
        self.report.grading_seconds = time.monotonic() - began
        values = {"grader": grader_version(rules_of(self.project))}
        self._run(sql.INDEX_SOLUTIONS)
        for part in self._parts("new_solution", stage="storing", total=total):
            self.report.new_solutions += self._grew(Solution, self._run(sql.INSERT_SOLUTIONS, **part, **values))

    def _parts(self, table: str, *, stage: str, total: int) -> Iterator[dict[str, int]]:
        """Yield the bounds of each part of a table, check what its rows refer to when they are stored, and tell how many parts are."""
        self.cursor.execute(sql.PARTS.format(table), {"chunk": CHUNK})
        last = -1
        for number, (upto,) in enumerate(self.cursor.fetchall()):
            self._tell(stage, number * CHUNK, total)
            yield {"after": last, "upto": upto}
            self._run(sql.CHECK_REFERENCES)
            last = upto
        self._tell(stage, total, total)

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(stage, done, total)

    def _grade(self, total: int) -> None:
        """Grade the new answers in the order of the file, with one set of child processes."""
        done = 0
        outcomes: Counter[tuple[str, str]] = Counter()

        def report(count: int, _: int) -> None:
            self._tell("grading", done + count, total)

        with Grader(rules=rules_of(self.project)) as grader, connection.cursor() as answers:
            answers.execute("DECLARE answers NO SCROLL CURSOR FOR SELECT seq, final_answer, answer FROM new_solution ORDER BY seq")
            while True:
                answers.execute(f"FETCH {CHUNK} FROM answers")
                if not (chunk := answers.fetchall()):
                    break
                grades = grader.grade_answers([(stated, reference) for _, stated, reference in chunk], progress=report)
                done += len(chunk)
                outcomes.update(grades)
                with self.cursor.copy("COPY new_grade (seq, outcome, reason) FROM STDIN") as copy:
                    for (seq, _, _), grade in zip(chunk, grades, strict=True):
                        copy.write_row((seq, grade.outcome, grade.reason))
            answers.execute("CLOSE answers")
        SiteCount.objects.add({f"grader_{reason}": count for reason, count in grader.ends.items()})
        for (outcome, reason), count in sorted(outcomes.items(), key=lambda item: (item[0][0], -item[1])):
            self.report.outcomes[outcome] = self.report.outcomes.get(outcome, 0) + count
            if outcome == "ungraded":
                self.report.ungraded[reason] = count

    def _number_copies(self) -> None:
        """Give each further copy of a line with labels an id of its own: it is another sitting."""
        self.cursor.execute(sql.COPIES)
        while copies := self.cursor.fetchmany(CHUNK):
            ids = [submission_id(self.project.pk, bytes(body), occurrence) for _, body, occurrence in copies]
            with connection.cursor() as cursor:
                cursor.execute(sql.NUMBER_COPIES, {"numbers": [seq for seq, _, _ in copies], "ids": ids})

    def _store_annotations(self) -> None:
        self._run(sql.INDEX_LABELS)
        self._number_copies()
        for part in self._parts("incoming_annotation", stage="storing labels", total=self.report.annotations):
            self._run(sql.NEW_ANNOTATIONS, **part)
            self.report.new_annotations += self._store_part()

    def _store_part(self) -> int:
        """Store the annotations of a part that are new, in the order of the file. Return their number."""
        self._store_batches()
        self._grew(Task, self._run(sql.INSERT_TASKS))
        self._run(sql.FIND_TASKS)
        self._run(sql.NAME_THE_UNNAMED)
        self._store_labelers()
        self._grew(Assignment, self._run(sql.INSERT_ASSIGNMENTS))
        self._run(sql.WIDEN_OVERLAP)
        count = self._grew(Annotation, self._run(sql.INSERT_ANNOTATIONS))
        self._run(sql.GATHER_ALTERNATIVES)
        self._run(sql.HOLD_POSITIONS.format("used_alternative"))
        self._grew(StepAlternative, self._run(sql.INSERT_ALTERNATIVES))
        self._grew(StepLabel, self._run(sql.INSERT_LABELS))
        return count

    def _store_gold(self) -> None:
        self._run(sql.GATHER_GOLD)
        self.cursor.execute(sql.GOLD_CONTRADICTION)
        if clash := self.cursor.fetchone():
            reason = f"this solution is right here and wrong in {place_in_words(self.placed(clash[1]))}, or the other way round"
            raise BadFile(self.path, self.placed(clash[0]), reason, "Keep one of the two lines, or load the labels as annotations")
        self.cursor.execute(sql.COUNT_OTHER_GOLD)
        if kept := self.cursor.fetchone()[0]:
            self.report.notes.append(f"{counted(kept, 'solution keeps its', 'solutions keep their')} gold; the file gives another.")
        self.report.new_gold = self._grew(GoldAnswer, self._run(sql.INSERT_GOLD))

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
        self._grew(User, len(names))
        people = User.objects.filter(username__in=names)
        members = [Membership(project=self.project, user=user, role=Role.LABELER, export_uuid=names[user.username]) for user in people]
        self._grew(Membership, len(Membership.objects.bulk_create(members)))
        self._run(sql.FIND_LABELERS)
