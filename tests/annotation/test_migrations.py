"""The migrations of annotation on a database with data, forward and backward."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from annotation import queue
from annotation.models import Assignment, Event, Problem, Solution, broken_rule
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)  # an index is built concurrently outside of a transaction only

# Without assignment_done, which a later migration builds.
RULES = """
SELECT regexp_replace(name, '^(assignment|seat)_', ''), split_part(name, '_', 1), oid::bigint, file FROM (
  SELECT relname AS name, oid, relfilenode::bigint AS file FROM pg_class WHERE oid IN
         (SELECT indexrelid FROM pg_index WHERE indrelid = 'annotation_assignment'::regclass)
  UNION ALL
  SELECT conname, oid, 0 FROM pg_constraint WHERE conrelid = 'annotation_assignment'::regclass) rules
 WHERE name ~ '^(assignment|seat)_' AND name <> 'assignment_done' ORDER BY 1, 3
"""


def rules() -> tuple[set[str], list[tuple[object, ...]]]:
    """Return the prefixes in the names of rules and indexes of assignments, and for each the rest of its name, its oid and its file."""
    with connection.cursor() as cursor:
        rows = cursor.execute(RULES).fetchall()
    return {prefix for _, prefix, _, _ in rows}, [(name, oid, file) for name, _, oid, file in rows]


def test_the_rules_of_an_assignment_are_renamed_and_renamed_back_without_building_anything_again() -> None:
    project = make.project(overlap=2)
    make.batch(project, make.solutions(project, 3))
    lease = queue.lease_next(make.ann(project), project=project)
    connection.check_constraints()  # a table with a deferred check of a row cannot be altered
    prefixes, built = rules()
    assert prefixes == {"assignment"}
    assert len(built) == 11  # 3 indexes, 2 unique indexes of some rows, 2 unique constraints and their indexes, 2 checks
    executor = MigrationExecutor(connection)
    executor.migrate([("annotation", "0003_withdrawn_solutions")])
    assert rules() == ({"seat"}, built)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    assert rules() == ({"assignment"}, built)
    assert Assignment.objects.filter(pk=lease.assignment_id, state="leased").count() == 1 and Assignment.objects.count() == 6
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Assignment.objects.filter(state="open").update(state="leased", labeler=make.ann())
    assert broken_rule(caught.value) in ("assignment_one_lease", "assignment_labeler_once")


def test_problems_stored_twice_all_stay_and_the_copies_of_a_test_problem_become_test_problems(capsys: pytest.CaptureFixture[str]) -> None:
    project, other = make.project(), make.project("other")
    kept = [
        make.problem(project, statement="What is 2 + 2?", split="test"),
        make.problem(project, statement="What is 2 + 2?\r\n"),
        make.problem(project, statement="What is 2 + 3?"),
        make.problem(project, statement="What is  2 + 3?"),
        make.problem(other, statement="What is 2 + 2?"),
    ]
    labeled = make.solution(kept[1])
    connection.check_constraints()
    MigrationExecutor(connection).migrate([("annotation", "0005_event_without_request_id")])
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    assert list(Problem.objects.order_by("pk").values_list("pk", "split")) == [
        (problem.pk, split) for problem, split in zip(kept, ["test", "test", "train", "train", "train"], strict=True)
    ]
    assert Solution.objects.get() == labeled
    subjects = list(Event.objects.filter(verb="become test").values_list("subject", flat=True))
    assert subjects == [f"problem {kept[1].pk}: it has the statement of test problem {kept[0].pk}"]
    assert "2 problems have the statement of another problem, apart from white space. All stay" in capsys.readouterr().out


def test_projects_that_exist_stay_plain_and_new_ones_are_not_decided() -> None:
    project = make.project()
    executor = MigrationExecutor(connection)
    executor.migrate([("annotation", "0008_accepted_answers")])
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    project.refresh_from_db()
    assert (project.text_kind, make.project("new").text_kind) == ("plain", "")
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        type(project).objects.update(text_kind="html")
    assert broken_rule(caught.value) == "project_text_kind"


def test_each_event_of_an_older_version_gets_the_project_that_it_is_about() -> None:
    project = make.project("sums-2")
    make.project("sums")
    one = make.solution(make.problem(project))
    make.batch(project, [one])
    assignment = Assignment.objects.get()
    published = make.round_of(project, {"uniform": make.solutions(project, 1)}, generation=1, state="proposed")
    subjects = [
        "project sums-2", "project sums-2: 3 of 4 outcomes changed", f"problem {one.problem_id}: answer: '4' becomes '5'",
        f"solution {one.pk}", f"assignment {assignment.pk}: unreadable", f"round {published.pk}", "PRM model 2 of sums-2",
    ]  # fmt: skip
    nobody = [f"person {one.pk}", "project gone", "solution 99999999999999999999", "solution 987654321", "PRM model 2 of gone", ""]
    connection.check_constraints()
    MigrationExecutor(connection).migrate([("annotation", "0013_task_gold")])
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO annotation_event (verb, subject) VALUES ('test', %s)", [[text] for text in [*subjects, *nobody]])
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    found = dict(Event.objects.filter(verb="test").values_list("subject", "project__slug"))
    assert found == dict.fromkeys(subjects, "sums-2") | dict.fromkeys(nobody)
    event = Event.objects.filter(project=None).first()
    with pytest.raises(IntegrityError), transaction.atomic():  # it is append-only again
        Event.objects.filter(pk=event.pk).update(project=project)
