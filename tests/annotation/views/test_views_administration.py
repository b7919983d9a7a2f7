"""The administration in a large site: it finds rows by text, asks for no number of a row, and reads no table from end to end."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import audit, labels, queue
from annotation.admin import TaskAdmin, large_tables
from annotation.models import Annotation, Assignment, Event, GoldAnswer, Membership, Problem, Project, Solution, StepLabel, Task
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db

MEMBERS = 150
LARGE = ("problem", "solution", "task", "assignment", "annotation", "steplabel", "event")
ROWS = 4_000  # of each large table
READ = 400  # rows that a page of a list can read: some pages full, and far from all
# Rows as many weeks leave them. Each has a problem, a solution, a task, an assignment, an annotation, a label and an event.
FILL = """
INSERT INTO annotation_problem (project_id, external_id, statement, subject, level, split)
SELECT %(project)s, 'q' || n, 'How much is x' || n || ' and one?', '', '', 'train' FROM generate_series(1, %(rows)s) n;
INSERT INTO annotation_solution (problem_id, digest, steps, outcome, outcome_reason, grader, source)
SELECT id, '\\x00', '["Add."]', 'wrong', '', '', '' FROM annotation_problem WHERE external_id LIKE 'q%%';
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, premise)
SELECT %(batch)s, id, 'normal', 0, 1, '' FROM annotation_solution WHERE digest = '\\x00';
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT t.id, 0, t.batch_id, 0, 'done', %(labeler)s, 1 FROM annotation_task t JOIN annotation_solution s ON s.id = t.solution_id
 WHERE s.digest = '\\x00';
INSERT INTO annotation_annotation
    (assignment_id, labeler_id, solution_id, revision, finish_reason, reason, submission_id, body_hash, created_at)
SELECT a.id, a.labeler_id, t.solution_id, 1, 'solution', '', gen_random_uuid(), '\\x00', now()
  FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id WHERE a.labeler_id = %(labeler)s;
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, flagged, rated_ms, chosen)
SELECT id, 0, 0, 1, false, 9, false FROM annotation_annotation WHERE labeler_id = %(labeler)s;
INSERT INTO annotation_event (at, actor_id, project_id, verb, subject, details)
SELECT now(), %(labeler)s, %(project)s, 'skip', 'assignment ' || n, '{}' FROM generate_series(1, %(rows)s) n;
"""


def administrator(name: str = "adam") -> Client:
    return signed_in(User.objects.create_superuser(name))


@pytest.fixture
def client() -> Client:
    return administrator()


def members(project: Project, count: int) -> None:
    people = User.objects.bulk_create(User(username=f"member{project.slug}{number}") for number in range(count))
    Membership.objects.bulk_create(Membership(project=project, user=person, role="labeler") for person in people)


# --- forms --------------------------------------------------------------------------------------------------------------------------


def test_the_form_of_a_project_costs_as_much_with_many_members_as_with_few(client: Client) -> None:
    few, many = make.project("few"), make.project("many")
    members(few, 2), members(many, MEMBERS)
    counts = []
    for project in (few, few, many):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(reverse("admin:annotation_project_change", args=[project.pk])).status_code == 200
        counts.append(len(queries))
    assert counts[1] == counts[2] <= 15


def test_a_project_with_many_members_is_saved(client: Client) -> None:
    project = make.project("many")
    members(project, MEMBERS)
    address = reverse("admin:annotation_project_change", args=[project.pk])
    form = client.get(address).context["adminform"].form
    values = {name: "" if value is None else value for name, value in form.initial.items() if value is not False}
    answer = client.post(address, values | {"name": "Many hands", "gold_percent": "5"})
    assert answer.status_code == 302, answer.context["errors"]
    project.refresh_from_db()
    assert (project.name, project.gold_percent, project.membership_set.count()) == ("Many hands", 5, MEMBERS)


def test_the_form_of_a_project_leads_to_its_members_alone(client: Client) -> None:
    project, other = make.project("sums"), make.project("other")
    make.ann(project), make.ben(other)
    html = client.get(reverse("admin:annotation_project_change", args=[project.pk])).content.decode()
    link = re.search(r'<a href="([^"]+)">1 membership</a>', html)[1]
    listed = client.get(link).context["cl"].result_list
    assert [membership.user.username for membership in listed] == ["ann"]


def suggested(client: Client, model: str, field: str, term: str) -> list[str]:
    asked = {"app_label": "annotation", "model_name": model, "field_name": field, "term": term}
    return [row["text"] for row in client.get(reverse("admin:autocomplete"), asked).json()["results"]]


def test_no_form_asks_for_the_number_of_a_row(client: Client) -> None:
    for model in ("membership", "goldanswer"):
        html = client.get(reverse(f"admin:annotation_{model}_add")).content.decode()
        assert "vForeignKeyRawIdAdminField" not in html and "admin-autocomplete" in html


def test_a_form_finds_people_projects_and_solutions_by_text(client: Client) -> None:
    project = make.project("sums", name="Long sums")
    ann = make.ann(project)
    User.objects.filter(pk=ann.pk).update(last_name="Quill")
    solution = make.solution(make.problem(project, external_id="math_12", statement="A train leaves at noon."))
    assert suggested(client, "membership", "user", "quill") == ["ann"]
    assert suggested(client, "membership", "project", "long") == ["Long sums"]
    for term in ("tra noon", "math_12", str(solution.pk)):
        assert suggested(client, "goldanswer", "solution", term) == [f"solution {solution.pk} of math_12"]
    assert suggested(client, "goldanswer", "solution", "car") == []


def test_the_solution_of_a_gold_answer_does_not_change(client: Client) -> None:
    solution, other = make.solutions(make.project(), 2)
    gold = GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1])
    address = reverse("admin:annotation_goldanswer_change", args=[gold.pk])
    client.post(address, {"solution": other.pk, "acceptable_first_errors": "2", "note": "So it is."})
    assert list(GoldAnswer.objects.values_list("solution", "acceptable_first_errors", "note")) == [(solution.pk, [2], "So it is.")]


# --- searches -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def labeled() -> Annotation:
    """One solution of each of two projects, labeled by ann and by ben."""
    for slug, person in (("other", make.ben), ("sums", make.ann)):
        project = make.project(slug)
        problem = make.problem(project, external_id=f"{slug}_12", statement=f"A {slug} leaves at noon.")
        make.batch(project, [make.solution(problem)])
        person(project)
        lease = queue.lease_next(person(), project=project)
        done = {"submission_id": uuid.uuid4(), "finish_reason": "solution", "active_ms": 9, "total_ms": 9}
        ratings = [{"step": step, "rating": 1} for step in range(3)]
        annotation = labels.submit(lease.assignment_id, labeler=person(), token=lease.token, ratings=ratings, **done)
        Event.objects.create(verb="pause person", subject=f"person {person().pk}", actor=person(), project=project)
    return annotation


def found(client: Client, model: str, text: str) -> list[Any]:
    return [row.pk for row in client.get(reverse(f"admin:annotation_{model}_changelist"), {"q": text}).context["cl"].result_list]


def test_every_list_finds_rows_by_text(client: Client, labeled: Annotation) -> None:
    project = Project.objects.get(slug="sums")
    assignment = labeled.assignment
    steps = list(StepLabel.objects.filter(annotation=labeled).order_by("-pk").values_list("pk", flat=True))
    pseudonym = str(Membership.objects.get(project=project).export_uuid)
    problem, solution = labeled.solution.problem_id, labeled.solution_id
    wanted = {
        "project": ([project.pk], ["sums", "Sum"]),
        "membership": ([Membership.objects.get(project=project).pk], ["ann", "sums", pseudonym, pseudonym.upper()]),
        "batch": ([assignment.batch_id], ["sums"]),
        "problem": ([problem], ["sums_12", "leav sums"]),
        "solution": ([solution], ["sums_12", "SUMS noon"]),
        "task": ([assignment.task_id], ["sums_12", "sums noon"]),
        "assignment": ([assignment.pk], ["ann", "sums_12", "sums noon"]),
        "annotation": ([labeled.pk], ["ann", "sums_12", "sums noon", str(labeled.submission_id)]),
        "steplabel": (steps, ["sums_12", "sums noon"]),
        "event": ([Event.objects.latest("pk").pk], ["ann", f"person {labeled.labeler_id}"]),
    }
    for model, (rows, texts) in wanted.items():
        assert {text: found(client, model, text) for text in texts} == dict.fromkeys(texts, rows), model
    assert len(found(client, "event", "PAUSE")) == 2  # a part of what was done


def test_every_list_finds_a_row_by_its_number(client: Client, labeled: Annotation) -> None:
    rows = {"batch": labeled.assignment.batch, "task": labeled.assignment.task, "assignment": labeled.assignment}
    rows |= {"problem": labeled.solution.problem, "solution": labeled.solution, "annotation": labeled}
    for model, row in rows.items():
        assert row.pk in found(client, model, f" {row.pk} "), model
        assert row.pk not in found(client, model, f"{row.pk}0"), model


@pytest.mark.parametrize("text", ["'", "\\", "a & b | !c", ":*", "9" * 30, "%", "-1", "é" * 300])
def test_a_search_for_any_text_answers(client: Client, labeled: Annotation, text: str) -> None:
    for model in ("problem", "solution", "task", "assignment", "annotation", "steplabel", "goldanswer", "event", "membership", "batch"):
        assert found(client, model, text) == [], model


# --- large tables -------------------------------------------------------------------------------------------------------------------


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the table and the rows read of each node of a plan that reads one."""
    if "Relation Name" in plan:
        read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        yield plan["Relation Name"], int(read * plan["Actual Loops"])
    for inner in plan.get("Plans", ()):
        yield from scans(inner)


def most_rows_read(client: Client, address: str, query: dict[str, str]) -> int:
    """Open a page; return the most rows that one of its statements reads of a large table."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address, query).status_code == 200
    most = 0
    for asked in queries.captured_queries:
        if asked["sql"].startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + asked["sql"].replace("%", "%%"), ())
                (plan,) = cursor.fetchone()
            nodes = json.loads(plan) if isinstance(plan, str) else plan
            read = [rows for table, rows in scans(nodes[0]["Plan"]) if table.removeprefix("annotation_") in LARGE]
            most = max([most, *read])
    return most


@pytest.fixture
def large(labeled: Annotation) -> Annotation:
    project = make.project("large")
    batch = make.batch(project, make.solutions(project, 1))
    with connection.cursor() as cursor:
        labeler = make.person("zoe").pk
        for statement in FILL.split(";\n")[:-1]:
            cursor.execute(statement, {"project": project.pk, "rows": ROWS, "batch": batch.pk, "labeler": labeler})
        cursor.execute(f"ANALYZE {', '.join(f'annotation_{name}' for name in LARGE)}")
    return labeled


@pytest.mark.usefixtures("new_tables")
def test_no_list_and_no_search_reads_a_large_table_from_end_to_end(
    client: Client, large: Annotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_tables, "COUNTED", READ // 2)
    texts = ("", "sums_12", "sums noon", str(large.solution_id), str(large.submission_id), "ann", "nobody", "person 1")
    read = {
        (model, text): most_rows_read(client, reverse(f"admin:annotation_{model}_changelist"), {"q": text} if text else {})
        for model in LARGE
        for text in texts
    }
    assert {place: rows for place, rows in read.items() if rows > READ} == {}


@pytest.mark.usefixtures("new_tables")
def test_a_search_that_compares_the_text_of_each_number_is_seen(client: Client, large: Annotation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskAdmin, "get_search_results", ModelAdmin.get_search_results)
    monkeypatch.setattr(TaskAdmin, "search_fields", ["=id"])
    assert most_rows_read(client, reverse("admin:annotation_task_changelist"), {"q": "77"}) > ROWS


def test_a_list_says_that_it_has_more_rows_than_it_counts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_tables, "COUNTED", 2)
    monkeypatch.setattr(large_tables.LargeTable, "list_per_page", 1)
    solutions = make.solutions(make.project(), 4)
    answer = client.get(reverse("admin:annotation_solution_changelist"))
    assert "more than 2 solutions" in " ".join(answer.content.decode().split())
    assert [row.pk for row in answer.context["cl"].result_list] == [solutions[3].pk]


def test_the_kinds_of_events_are_read_from_their_index(client: Client, large: Annotation) -> None:
    assert set(audit.verbs()) >= {"skip", "pause person"}
    assert found(client, "event", "kip")[:1] == [Event.objects.filter(verb="skip").latest("pk").pk]
    assert len(found(client, "event", "assignment 399")) == 12 - 1  # 399, 3990 to 3999
    assert Solution.objects.count() > ROWS and Problem.objects.count() > ROWS and Task.objects.count() > ROWS
    assert Assignment.objects.count() > ROWS


@pytest.mark.parametrize("value", ["2025-02-29", "-1", "9" * 30, "1,2", "\u0663x"])
@pytest.mark.parametrize(("model", "field"), [("membership", "user"), ("membership", "project"), ("goldanswer", "solution")])
def test_an_address_that_names_no_row_for_a_new_one_leaves_its_field_empty(client: Client, model: str, field: str, value: str) -> None:
    answer = client.get(reverse(f"admin:annotation_{model}_add"), {field: value})
    assert answer.status_code == 200 and not answer.context["adminform"].form[field].value()


def test_an_address_that_names_the_project_of_a_new_membership_fills_it_in(client: Client) -> None:
    project = make.project()
    answer = client.get(reverse("admin:annotation_membership_add"), {"project": project.pk})
    assert answer.context["adminform"].form["project"].value() == str(project.pk)
