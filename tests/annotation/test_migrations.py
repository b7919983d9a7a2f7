"""The migrations of annotation on a database with data, forward and backward: one walk, and each test looks at what it is about.

The walk is in the long form. In every run, tests/active_learning/test_round_migrations.py walks all newer migrations of its application,
and tests/labelapp/test_migration_locks.py looks for a migration without a way back.
"""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import TransactionTestCase

from annotation import queue
from annotation.models import Assignment, Event, Problem, Project, Solution, broken_rule
from tests import make
from tests.conftest import delete_rows

pytestmark = [pytest.mark.django_db, pytest.mark.long]

# Without assignment_done, which a later migration builds.
RULES = """
SELECT regexp_replace(name, '^(assignment|seat)_', ''), split_part(name, '_', 1), oid::bigint, file FROM (
  SELECT relname AS name, oid, relfilenode::bigint AS file FROM pg_class WHERE oid IN
         (SELECT indexrelid FROM pg_index WHERE indrelid = 'annotation_assignment'::regclass)
  UNION ALL
  SELECT conname, oid, 0 FROM pg_constraint WHERE conrelid = 'annotation_assignment'::regclass) rules
 WHERE name ~ '^(assignment|seat)_' AND name <> 'assignment_done' ORDER BY 1, 3
"""


Built = tuple[set[str], list[tuple[object, ...]]]


def rules() -> Built:
    """Return the prefixes in the names of rules and indexes of assignments, and for each the rest of its name, its oid and its file."""
    with connection.cursor() as cursor:
        rows = cursor.execute(RULES).fetchall()
    return {prefix for _, prefix, _, _ in rows}, [(name, oid, file) for name, _, oid, file in rows]


class Walked(NamedTuple):
    """What was there before the walk, and what was seen on the way."""

    lease: queue.Lease
    rules: tuple[Built, Built, Built]  # before it, at its far end, after it
    problems: list[Problem]  # some of them stored twice
    labeled: Solution
    older: Project  # there before projects had a kind of text
    subjects: list[str]  # of events about the project sums-2
    nobody: list[str]  # subjects of events about no project
    printed: str


def migrate(*goals: tuple[str, str]) -> None:
    """Migrate to these, or to the newest."""
    executor = MigrationExecutor(connection)
    executor.migrate(list(goals) or executor.loader.graph.leaf_nodes())


def walk() -> Walked:
    queued = make.project("queued", overlap=2)
    make.batch(queued, make.solutions(queued, 3))
    lease = queue.lease_next(make.ann(queued), project=queued)
    twice, other = make.project("twice"), make.project("other")
    problems = [
        make.problem(twice, statement="What is 2 + 2?", split="test"),
        make.problem(twice, statement="What is 2 + 2?\r\n"),
        make.problem(twice, statement="What is 2 + 3?"),
        make.problem(twice, statement="What is  2 + 3?"),
        make.problem(other, statement="What is 2 + 2?"),
    ]
    labeled = make.solution(problems[1])
    older, sums = make.project("older"), make.project("sums-2")
    make.project("sums")
    one = make.solution(make.problem(sums))
    make.batch(sums, [one])
    assignment = Assignment.objects.get(batch__project=sums)
    proposed = make.round_of(sums, {"uniform": make.solutions(sums, 1)}, generation=1, state="proposed")
    subjects = [
        "project sums-2", "project sums-2: 3 of 4 outcomes changed", f"problem {one.problem_id}: answer: '4' becomes '5'",
        f"solution {one.pk}", f"assignment {assignment.pk}: unreadable", f"round {proposed.pk}", "PRM model 2 of sums-2",
    ]  # fmt: skip
    nobody = [f"person {one.pk}", "project gone", "solution 99999999999999999999", "solution 987654321", "PRM model 2 of gone", ""]
    before = rules()
    migrate(("annotation", "0003_withdrawn_solutions"))
    far = rules()
    with redirect_stdout(io.StringIO()) as printed:
        migrate(("annotation", "0013_task_gold"))
        with connection.cursor() as cursor:
            inserted = "INSERT INTO annotation_event (verb, subject) VALUES ('test', %s)"
            cursor.executemany(inserted, [[text] for text in [*subjects, *nobody]])
        migrate()
    return Walked(lease, (before, far, rules()), problems, labeled, older, subjects, nobody, printed.getvalue())


@pytest.fixture(scope="module")
def walked(django_db_setup: None, django_db_blocker: Any) -> Iterator[Walked]:
    """Walk once for all tests, as that takes seconds. It commits: an index is built concurrently outside of a transaction only."""
    with django_db_blocker.unblock():
        seen = walk()
    yield seen
    with django_db_blocker.unblock():
        delete_rows(TransactionTestCase())


def test_the_rules_of_an_assignment_are_renamed_and_renamed_back_without_building_anything_again(walked: Walked) -> None:
    (prefixes, built), *later = walked.rules
    assert prefixes == {"assignment"}
    assert len(built) == 11  # 3 indexes, 2 unique indexes of some rows, 2 unique constraints and their indexes, 2 checks
    assert later == [({"seat"}, built), ({"assignment"}, built)]
    lease, assignments = walked.lease, Assignment.objects.filter(batch__project__slug="queued")
    assert assignments.filter(pk=lease.assignment_id, state="leased").count() == 1 and assignments.count() == 6
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        assignments.filter(state="open").update(state="leased", labeler=make.ann())
    assert broken_rule(caught.value) in ("assignment_one_lease", "assignment_labeler_once")


def test_problems_stored_twice_all_stay_and_the_copies_of_a_test_problem_become_test_problems(walked: Walked) -> None:
    kept = walked.problems
    stored = Problem.objects.filter(project__slug__in=["twice", "other"])
    assert list(stored.order_by("pk").values_list("pk", "split")) == [
        (problem.pk, split) for problem, split in zip(kept, ["test", "test", "train", "train", "train"], strict=True)
    ]
    assert Solution.objects.get(problem__in=stored) == walked.labeled
    subjects = list(Event.objects.filter(verb="become test").values_list("subject", flat=True))
    assert subjects == [f"problem {kept[1].pk}: it has the statement of test problem {kept[0].pk}"]
    assert "2 problems have the statement of another problem, apart from white space. All stay" in walked.printed


def test_projects_that_exist_stay_plain_and_new_ones_are_not_decided(walked: Walked) -> None:
    walked.older.refresh_from_db()
    assert (walked.older.text_kind, make.project("new").text_kind) == ("plain", "")
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Project.objects.update(text_kind="html")
    assert broken_rule(caught.value) == "project_text_kind"


def test_each_event_of_an_older_version_gets_the_project_that_it_is_about(walked: Walked) -> None:
    found = dict(Event.objects.filter(verb="test").values_list("subject", "project__slug"))
    assert found == dict.fromkeys(walked.subjects, "sums-2") | dict.fromkeys(walked.nobody)
    event = Event.objects.filter(project=None).first()
    with pytest.raises(IntegrityError), transaction.atomic():  # it is append-only again
        Event.objects.filter(pk=event.pk).update(project=walked.older)
