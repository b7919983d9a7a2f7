"""Migrations while people work: no wait for a lock over two seconds, and no statement that locks a big table for long."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.core import management
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Q
from django.db.models.functions import Random

from labelapp import supervisor
from labelapp.management.commands import migrate
from tests.waiting import PATIENCE, until

APPS = ("annotation", "active_learning")
# These were written before the linter. All others are checked.
UNCHECKED = {"annotation": 11, "active_learning": 6}
# These have a row for each person, project, batch, model, round, exported file or written message. A lock of them ends at once.
SMALL = (
    "auth_user", "annotation_project", "annotation_membership", "annotation_batch", "annotation_keys", "annotation_message",
    "annotation_snapshot", "annotation_snapshotfile", "annotation_browsersession", "active_learning_modelversion", "active_learning_round",
    "active_learning_roundstage", "active_learning_schedule", "active_learning_scoreshard", "active_learning_worker",
)  # fmt: skip
# Rules of squawk (https://squawkhq.com/docs/rules). Its others are about style, or about a timeout that `migrate` sets.
RULES = {
    "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field", "adding-required-field",
    "adding-serial-primary-key-field", "ban-alter-domain-with-add-constraint", "ban-concurrent-index-creation-in-transaction",
    "ban-drop-column", "ban-drop-table", "ban-truncate-cascade", "changing-column-type", "constraint-missing-not-valid",
    "disallowed-unique-constraint", "renaming-column", "renaming-table", "require-concurrent-index-creation",
    "require-concurrent-index-deletion", "transaction-nesting",
}  # fmt: skip
SQUAWK = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")


def statements_of(migration: migrations.Migration, state: object) -> list[str]:
    """Return the SQL of a migration, as `sqlmigrate` prints it. Python code in it is a comment."""
    with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(state, editor, collect_sql=True)
    return ["BEGIN;", *editor.collected_sql, "COMMIT;"] if migration.atomic else editor.collected_sql


def lint(statements: list[str]) -> set[str]:
    """Return the rules that statements on big tables break. A table that the same statements make is empty, so it is not big."""
    assert SQUAWK, "squawk is not installed. Run script/setup --dev."
    text = "".join(statement + "\n" for statement in statements)
    run = subprocess.run([SQUAWK, "--pg-version", "15", "--reporter", "json"], input=text, capture_output=True, text=True, check=False)
    first_line = [0]  # squawk counts from 0
    for statement in statements:
        first_line.append(first_line[-1] + statement.count("\n") + 1)
    made = {name for statement in statements if statement.startswith("CREATE TABLE") for name in statement.split('"')[1:2]}
    broken = set()
    for finding in json.loads(run.stdout):
        place = next(n for n, line in enumerate(first_line[1:]) if finding["line"] < line)
        table = _table(statements[place])
        if finding["rule_name"] == "syntax-error":
            raise AssertionError(finding)
        if finding["rule_name"] in RULES and table not in made and table not in SMALL:
            broken.add(finding["rule_name"])
    return broken


def _table(statement: str) -> str:
    """Return the table that a statement of Django locks; nothing if it names none."""
    words = statement.replace('"', " ").replace("(", " ").split()
    for before in ("TABLE", "ON"):
        if before in words:
            return words[words.index(before) + 1]
    return ""


def broken_by(*operations: Operation, app: str = "annotation", atomic: bool = True) -> set[str]:
    migration = migrations.Migration("planted", app)
    migration.operations, migration.atomic = list(operations), atomic
    return lint(statements_of(migration, MigrationLoader(connection).project_state()))


@pytest.mark.django_db(transaction=True)  # an index is built concurrently outside of a transaction only, also when it is only written down
def test_no_new_migration_locks_a_big_table_for_long() -> None:
    loader = MigrationLoader(connection)
    plan = [key for app in APPS for key in sorted(loader.graph.nodes) if key[0] == app and int(key[1][:4]) > UNCHECKED[app]]
    assert {key: broken for key in plan if (broken := lint(statements_of(loader.graph.nodes[key], loader.project_state(key, False))))} == {}


SOLUTION_INDEX = models.Index(fields=["outcome"], name="planted")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "operation, rule",
    [
        (migrations.AddIndex("solution", SOLUTION_INDEX), "require-concurrent-index-creation"),
        (migrations.RunSQL("CREATE INDEX planted ON annotation_steplabel (rating)"), "require-concurrent-index-creation"),
        (migrations.RemoveIndex("problem", "problem_by_statement"), "require-concurrent-index-deletion"),
        (migrations.AddField("task", "planted", models.FloatField(db_default=Random())), "adding-field-with-default"),
        (migrations.RunSQL("ALTER TABLE annotation_task ADD COLUMN planted int NOT NULL"), "adding-required-field"),
        (migrations.AlterField("steplabel", "step_index", models.BigIntegerField()), "changing-column-type"),
        (migrations.AlterField("solution", "is_answer_given", models.BooleanField(default=False)), "adding-not-nullable-field"),
        (migrations.RenameField("annotation", "labeler", "person"), "renaming-column"),
        (migrations.RenameModel("StepLabel", "StepRating"), "renaming-table"),
        (migrations.RemoveField("steplabel", "rating"), "ban-drop-column"),
        (migrations.DeleteModel("StepLabel"), "ban-drop-table"),
        (migrations.AddConstraint("event", models.CheckConstraint(condition=~Q(verb=""), name="planted")), "constraint-missing-not-valid"),
        (migrations.AddConstraint("event", models.UniqueConstraint(fields=["subject"], name="planted")), "disallowed-unique-constraint"),
        (
            migrations.AddField("draft", "planted", models.ForeignKey("annotation.Batch", models.PROTECT, null=True)),
            "adding-foreign-key-constraint",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_linter_finds_a_planted_statement(operation: Operation, rule: str) -> None:
    assert rule in broken_by(operation)


@pytest.mark.django_db(transaction=True)
def test_an_index_that_is_built_concurrently_is_fine_outside_of_a_transaction_only() -> None:
    assert broken_by(AddIndexConcurrently("solution", SOLUTION_INDEX), atomic=False) == set()
    in_transaction = migrations.RunSQL("CREATE INDEX CONCURRENTLY planted ON annotation_solution (outcome)")
    assert broken_by(in_transaction) == {"ban-concurrent-index-creation-in-transaction"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "operations",
    [
        [migrations.AddField("solution", "planted", models.TextField(null=True))],
        [migrations.AddIndex("project", models.Index(fields=["slug"], name="planted"))],
        [
            migrations.CreateModel("Planted", [("id", models.BigAutoField(primary_key=True)), ("number", models.IntegerField())]),
            migrations.AddIndex("planted", models.Index(fields=["number"], name="planted")),
        ],
    ],
    ids=["a field that can be empty", "an index of a small table", "an index of a new table"],
)
def test_the_linter_accepts_what_locks_nothing_for_long(operations: list[Operation]) -> None:
    assert broken_by(*operations) == set()


@pytest.fixture
def last_migration_undone() -> Iterator[None]:
    call_command("migrate", "active_learning", "0005", verbosity=0)
    yield
    call_command("migrate", verbosity=0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("last_migration_undone")
def test_a_migration_that_waits_for_a_lock_gives_up_and_says_who_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 1)
    with psycopg.connect(**connection.get_connection_params() | {"application_name": "a long report"}) as holder:
        holder.execute("LOCK TABLE annotation_solution IN ROW EXCLUSIVE MODE")  # as somebody who loads solutions
        with pytest.raises(CommandError) as refused:
            call_command("migrate", verbosity=0)
    assert str(refused.value).startswith("Migration active_learning.0006_corrected_outcomes waited 1 s for a lock and gave up")
    assert "(a long report)" in str(refused.value)
    with connection.cursor() as cursor:
        assert cursor.execute("SHOW lock_timeout").fetchone() == ("5s",)
        assert cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'scores_follow_outcomes'").fetchone() == (0,)
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'scores_follow_outcomes'").fetchone() == (1,)


INDEX = """
SELECT x.indrelid::regclass::text, x.indisvalid, EXISTS (SELECT FROM pg_inherits WHERE inhrelid = x.indexrelid)
  FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE c.relname ~ %s ORDER BY 1
"""


@pytest.fixture
def scores_before_their_new_index() -> Iterator[None]:
    call_command("migrate", "active_learning", "0014", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE active_learning_score_999999 PARTITION OF active_learning_score FOR VALUES IN (999999)")
    yield
    call_command("migrate", verbosity=0)


WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'active_learning_score'::regclass AND NOT granted)"


def begin_scoring(begun: threading.Event) -> None:
    """Make the table of a scoring in a transaction that ends when a migration waits for it."""
    with (
        psycopg.connect(**connection.get_connection_params()) as scoring,
        psycopg.connect(**connection.get_connection_params(), autocommit=True) as watcher,
    ):
        scoring.execute("CREATE TABLE active_learning_score_999998 (LIKE active_learning_score)")
        begun.set()
        until(lambda: watcher.execute(WAITS).fetchone()[0], what="a migration that waits for the table of all scores")


def can_become_a_partition(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE active_learning_score ATTACH PARTITION {table} FOR VALUES IN (999998)")
        cursor.execute(f"ALTER TABLE active_learning_score DETACH PARTITION {table}")
    return True


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("scores_before_their_new_index")
def test_an_index_whose_building_broke_off_is_built_by_the_next_migrate_and_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def indexes(name: str) -> list[tuple[str, bool, bool]]:
        with connection.cursor() as cursor:
            return cursor.execute(INDEX, [name]).fetchall()

    monkeypatch.setattr(migrate, "LOCK_SECONDS", int(PATIENCE))
    scoring = threading.Thread(target=begin_scoring, args=[begun := threading.Event()])
    scoring.start()
    assert begun.wait(PATIENCE)
    call_command("migrate", "active_learning", "0015", verbosity=0)
    scoring.join()
    assert can_become_a_partition("active_learning_score_999998")  # it got the new columns, although nobody saw it at first

    monkeypatch.setattr(migrate, "LOCK_SECONDS", 1)
    with psycopg.connect(**connection.get_connection_params() | {"application_name": "a backup"}) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT 1")  # its snapshot: an index is ready when nobody reads an older state
        said: list[str] = []

        def is_half_built() -> bool:
            with pytest.raises(CommandError) as refused:
                call_command("migrate", verbosity=0)
            said.append(str(refused.value))
            return any(not is_valid for _, is_valid, _ in indexes("999999_score_convincing$"))

        for _ in range(2):
            until(is_half_built, what="an index that is half built")  # on a busy machine another lock can take a second before that
    assert said[-1].startswith("Migration active_learning.0016_index_for_choosing waited 1 s for a lock and gave up")
    assert "goes on where it stopped" in said[-1] and "changed nothing" not in said[-1]
    call_command("migrate", verbosity=0)
    assert indexes("999999_score_convincing$") == [("active_learning_score_999999", True, True)]
    assert indexes("^score_convincing$") == [("active_learning_score", True, False)] and indexes("score_wrong") == []
    call_command("migrate", "active_learning", "0014", verbosity=0)
    back = [(table, is_valid) for table, is_valid, _ in indexes("score_wrong")]
    assert back == [("active_learning_score", True), ("active_learning_score_999999", True)] and indexes("score_convincing$") == []
    assert can_become_a_partition("active_learning_score_999998")


@pytest.mark.django_db(transaction=True)
def test_a_lock_after_the_last_migration_is_not_said_to_be_of_that_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 1)
    call_command("migrate", "active_learning", "0015", verbosity=0)
    with psycopg.connect(**connection.get_connection_params()) as holder:
        holder.execute("LOCK TABLE auth_permission")
        with pytest.raises(CommandError, match=r"^The work before and after all migrations .* All migrations that it began are done\."):
            call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)


SCHEMA = """
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
 UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 0
 UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns
            WHERE table_schema = 'public'
 ORDER BY 1
"""


@pytest.mark.long  # it walks back and forth through most migrations
@pytest.mark.django_db(transaction=True)
def test_every_migration_without_a_transaction_can_run_again_forward_and_backward() -> None:
    def schema() -> list[tuple[str]]:
        with connection.cursor() as cursor:
            return cursor.execute(SCHEMA).fetchall()

    def go(*goals: tuple[str, str]) -> None:
        executor = MigrationExecutor(connection)
        executor.migrate(list(goals) or executor.loader.graph.leaf_nodes())

    before, noted = schema(), MigrationRecorder(connection)
    go(("annotation", "0012_site_counts"), ("active_learning", "0007_which_process_holds_it"))
    loader = MigrationLoader(connection)
    plan = [migration for migration, _ in MigrationExecutor(connection).migration_plan(loader.graph.leaf_nodes())]
    twice = [migration for migration in plan if not migration.atomic]
    for migration in twice:  # each is stopped when all is done, before that is noted
        go((migration.app_label, migration.name))
        noted.record_unapplied(migration.app_label, migration.name)
    go()
    assert len(twice) >= 9 and schema() == before
    for migration in reversed(twice):
        go(next(key for key in migration.dependencies if key[0] == migration.app_label))
        noted.record_applied(migration.app_label, migration.name)
    go(("annotation", "0012_site_counts"), ("active_learning", "0007_which_process_holds_it"))
    go()
    assert schema() == before


def runs_once(migration: migrations.Migration) -> list[str]:
    plain = (AddIndexConcurrently, RemoveIndexConcurrently)  # of Django: those of annotation/migrations/_again.py can run again
    return [f"{migration}: {operation.describe()}" for operation in migration.operations if type(operation) in plain]


def test_no_index_is_built_by_an_operation_that_fails_where_a_run_before_was_stopped() -> None:
    ours = [migration for (app, _), migration in MigrationLoader(None).disk_migrations.items() if app in APPS]
    assert [operation for migration in ours for operation in runs_once(migration)] == []
    planted = migrations.Migration("0999_planted", "annotation")
    planted.operations = [AddIndexConcurrently("solution", SOLUTION_INDEX)]
    assert len(runs_once(planted)) == 1


def no_way_back(migration: migrations.Migration) -> list[str]:
    return [f"{migration}: {operation.describe()}" for operation in migration.operations if not operation.reversible]


def test_every_migration_can_be_undone() -> None:
    ours = [migration for (app, _), migration in MigrationLoader(None).disk_migrations.items() if app in APPS]
    assert len(ours) > 50 and [operation for migration in ours for operation in no_way_back(migration)] == []


def test_a_migration_without_a_way_back_is_seen() -> None:
    lost = migrations.Migration("0999_lost", "annotation")
    lost.operations = [migrations.RunPython(migrations.RunPython.noop), migrations.RunSQL("SELECT 1", "SELECT 1")]
    assert no_way_back(lost) == ["annotation.0999_lost: Raw Python operation"]


def test_a_migration_waits_two_seconds_at_most() -> None:
    assert migrate.LOCK_SECONDS <= 2


def test_a_server_whose_migration_gives_up_says_so_and_can_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object, **__: object) -> None:
        raise CommandError("Migration x waited.")

    monkeypatch.setattr(management, "call_command", give_up)
    with pytest.raises(SystemExit) as ended:
        supervisor.prepare(demonstration=False)
    assert ended.value.code == "Migration x waited."  # which is exit code 1: systemd starts it again
