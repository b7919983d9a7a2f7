"""Lists of the API in a large database: a page reads few rows, at the begin and at the end of a list, whatever the statistics know."""

from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from annotation import export, ingest
from annotation.models import Annotation, Batch, ListedAnnotation, Problem, Project, Solution
from tests import make
from tests.annotation.test_export_plans import LARGE, labeled_project, nodes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_tables")]
LIMIT = 5
MOST_READ = 1_000  # rows of large tables for a page; there are 25,000 solutions


def rows_read(act: Callable[[], object]) -> int:
    """Return how many rows of large tables the statements of an act read."""
    counts: list[int] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH")):
            with connection.connection.cursor() as cursor:  # of psycopg, which this wrapper does not hear
                [(rows,)] = cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params).fetchall()
            # What a plan hashes is a table that is small here. A plan for a large one probes an index instead.
            hashed = {
                id(inner) for node in nodes(rows[0]["Plan"]) if f"hashed {node.get('Subplan Name')}" in str(rows) for inner in nodes(node)
            }
            for node in nodes(rows[0]["Plan"]):
                if node.get("Relation Name") in LARGE and id(node) not in hashed:
                    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
                    counts.append(int((node["Actual Rows"] + removed) * node["Actual Loops"]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        act()
    return sum(counts)


def lists(project: Project) -> dict[str, Callable[[], object]]:
    """Return the pages that are asked for: of each list at its begin and at its end, and with each filter that has an index."""
    problem, solution = Problem.objects.filter(project=project).latest("pk"), Solution.objects.filter(problem__project=project).latest("pk")
    annotation = Annotation.objects.filter(solution__problem__project=project).latest("pk")
    batch = Batch.objects.get(project=project)
    page = {"limit": LIMIT}
    return {
        "problems": lambda: ingest.problems_of(project, after=0, **page),
        "last problems": lambda: ingest.problems_of(project, after=problem.pk - 3, **page),
        "solutions": lambda: ingest.solutions_of(project, after=(0, 0), **page),
        "last solutions": lambda: ingest.solutions_of(project, after=(problem.pk, solution.pk - 3), **page),
        "solutions of a problem": lambda: ingest.solutions_of(project, after=(0, 0), problem=problem.pk, **page),
        "one problem": lambda: ingest.find_problem(project, problem.pk),
        "one solution": lambda: ingest.find_solution_row(project, solution.pk),
        "last annotations": lambda: export.annotation_rows(project, after=annotation.pk - 3, **page),
        "annotations of a solution": lambda: export.annotation_rows(project, after=0, solution=annotation.solution_id, **page),
        "one annotation": lambda: export.find_annotation_row(project, annotation.pk),
        "one annotation of another project": lambda: export.annotation_rows(project, after=0, batch=batch.pk + 10**6, **page),
    }


@pytest.mark.parametrize("known", ["others", "all"])
def test_a_page_reads_few_rows_whatever_the_statistics_know(known: str) -> None:
    labeled_project("others", 2_000)
    make.statistics()
    project = labeled_project("sums", 500)
    if known == "all":
        make.statistics()
    read = {name: rows_read(act) for name, act in lists(project).items()}
    assert {name: count for name, count in read.items() if count > MOST_READ} == {}
    assert all(count for name, count in read.items() if "another project" not in name)


@pytest.mark.parametrize("known", ["others", "all"])
@pytest.mark.parametrize("filters", [{"withdrawn": True}, {"source": "rare"}, {"outcome": "unsure"}], ids=str)
def test_a_filter_that_few_solutions_fit_reads_no_others(filters: dict[str, Any], known: str) -> None:
    labeled_project("others", 1_000)
    make.statistics()
    project = labeled_project("sums", 500)
    few = list(Solution.objects.filter(problem__project=project).order_by("-problem", "-pk").values_list("pk", flat=True)[:3])
    Solution.objects.filter(pk__in=few).update(withdrawn_at=Now(), source="rare", outcome="unsure")
    if known == "all":
        make.statistics()
    found: list[int] = []
    read = rows_read(lambda: found.extend(row.id for row in ingest.solutions_of(project, after=(0, 0), limit=LIMIT, **filters)[0]))
    assert found == sorted(few)
    assert read < Solution.objects.filter(problem__project=project).count() / 2  # it goes along the problems


def pages(project: Project) -> list[int]:
    """Return how many annotations each page of the list has, from the first to the last."""
    lengths, keys, after = list[int](), list[int](), 0
    while after is not None:
        items, after = export.annotation_rows(project, after=after, limit=LIMIT)
        lengths.append(len(items))
        keys += [item.id for item in items]
    assert keys == list(Annotation.objects.filter(solution__problem__project=project).order_by("pk").values_list("pk", flat=True))
    return lengths


@pytest.mark.parametrize("known", ["others", "all"])
def test_every_page_of_annotations_is_full_whatever_lies_between_two_of_them(known: str) -> None:
    labeled_project("others", 1_000)
    make.statistics()
    project = labeled_project("sums", 6)
    labeled_project("more", 1_000)
    first = Annotation.objects.filter(solution__problem__project=project).values(
        "assignment_id", "labeler_id", "solution_id", "finish_reason"
    )
    Annotation.objects.bulk_create(Annotation(**row, revision=2, submission_id=uuid4(), body_hash=b"") for row in list(first))
    if known == "all":
        make.statistics()
    assert pages(project) == [LIMIT, LIMIT, 2]
    assert rows_read(lambda: export.annotation_rows(project, after=0, limit=LIMIT)) < 300


def test_the_migration_lists_what_was_stored_before_it() -> None:
    labeled_project("sums", 3)
    labeled_project("others", 3)
    made = list(ListedAnnotation.objects.order_by("pk").values_list("project", "annotation"))
    assert len(made) == 6
    ListedAnnotation.objects.filter(annotation__in=[key for _, key in made[1:5]])._raw_delete("default")
    with connection.cursor() as cursor:
        cursor.execute(import_module("annotation.migrations.0046_list_stored_annotations").LIST_STORED)
    assert list(ListedAnnotation.objects.order_by("pk").values_list("project", "annotation")) == made


def test_a_page_of_annotations_takes_as_many_statements_among_many_others_as_among_few() -> None:
    def statements(project: Project) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(export.annotation_rows(project, after=0, limit=LIMIT)[0]) == LIMIT
        return len(queries)

    labeled_project("others", 30)
    project = labeled_project("sums", 12)
    among_few = statements(project)
    labeled_project("more", 500)
    assert statements(labeled_project("later", 12)) == among_few


def test_a_statement_that_reads_a_whole_table_is_seen() -> None:
    labeled_project("sums", 200)
    assert rows_read(lambda: list(Solution.objects.filter(final_answer="7"))) >= 2_000
