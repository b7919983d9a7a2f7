"""The search for labeled solutions reads along the labels, wherever they lie among many solutions without one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from active_learning import pages
from active_learning.pages import SolutionFilter
from annotation.models import Batch
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_tables")]

PROBLEMS, EACH, LABELED = 600, 20, 1_000
FILL = """
INSERT INTO annotation_problem (project_id, external_id, statement, subject, level, split)
SELECT %(project)s, 'q' || n, 'How much is x' || n || ' and one?', '', '', 'train' FROM generate_series(1, %(problems)s) n;
INSERT INTO annotation_solution (problem_id, digest, steps, outcome, outcome_reason, grader, source)
SELECT p.id, decode(lpad(to_hex(k), 64, '0'), 'hex'), '["Add."]', 'wrong', '', '', ''
  FROM annotation_problem p CROSS JOIN generate_series(1, %(each)s) k WHERE p.project_id = %(project)s ORDER BY p.id, k;
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap, premise)
SELECT %(batch)s, id, 'normal', 0, 1, '' FROM (SELECT id FROM annotation_solution ORDER BY {order} LIMIT %(labeled)s) s;
INSERT INTO annotation_assignment (task_id, slot, batch_id, priority, state, labeler_id, token)
SELECT id, 0, batch_id, 0, 'done', %(labeler)s, 1 FROM annotation_task;
INSERT INTO annotation_annotation
    (assignment_id, labeler_id, solution_id, revision, finish_reason, reason, submission_id, body_hash, created_at)
SELECT a.id, a.labeler_id, t.solution_id, 1, 'solution', '', gen_random_uuid(), '\\x00', now()
  FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id;
INSERT INTO active_learning_score (model_version_id, solution_id, problem_id, score, first_weak_step, outcome)
SELECT %(version)s, id, problem_id, 0.5, 0, outcome FROM annotation_solution
"""
TABLES = ("problem", "solution", "task", "assignment", "annotation")


def solutions_read(plan: dict[str, Any]) -> Iterator[int]:
    """Yield the solutions that each node of a plan reads."""
    if plan.get("Relation Name") == "annotation_solution":
        removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        yield int((plan["Actual Rows"] + removed) * plan["Actual Loops"])
    for inner in plan.get("Plans", ()):
        yield from solutions_read(inner)


def most_read(queries: CaptureQueriesContext) -> int:
    """Run the statements again; return the most solutions that one of them reads."""
    most = 0
    for asked in queries.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + asked["sql"].replace("%", "%%"), ())
            (plan,) = cursor.fetchone()
        nodes = json.loads(plan) if isinstance(plan, str) else plan
        most = max(most, sum(solutions_read(nodes[0]["Plan"])))
    return most


@pytest.mark.parametrize("order", ["id", "hashint8(id)"], ids=["the oldest have labels", "labels lie everywhere"])
def test_labeled_solutions_are_found_without_reading_the_others(order: str) -> None:
    project = make.project()
    version = make.version(project, 1, champion=True)
    batch = Batch.objects.create(project=project, generation=0, kind="selected", state="open")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE scores_of_test PARTITION OF active_learning_score FOR VALUES IN ({version.pk})")
        values = {"project": project.pk, "batch": batch.pk, "version": version.pk, "labeler": make.ann(project).pk}
        values |= {"problems": PROBLEMS, "each": EACH, "labeled": LABELED}
        for statement in FILL.format(order=order).split(";\n"):
            cursor.execute(statement, values)
        cursor.execute(f"ANALYZE {', '.join(f'annotation_{name}' for name in TABLES)}, active_learning_score")
    read = {}
    for filter in (SolutionFilter(labels="yes"), SolutionFilter(by="ann"), SolutionFilter(differs=True)):
        with CaptureQueriesContext(connection) as queries:
            assert len(pages.found_solutions(project, filter)["rows"]) == 50
        read[str(filter.address)] = most_read(queries)
    assert max(read.values()) <= LABELED, read
