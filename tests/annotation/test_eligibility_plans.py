"""Whose labels count, asked for the few annotations of a page in a large database: index probes, whatever the statistics know."""

from collections.abc import Callable, Iterable

import pytest
from django.db import connection
from django.db.models import QuerySet

from annotation import eligibility, quality
from annotation.eligibility import Use
from annotation.models import Annotation, Project
from tests import make
from tests.annotation.test_export_plans import labeled_project, nodes, plans, whole_reads

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_tables")]


def of_page(rows: QuerySet[Annotation], project: Project) -> QuerySet[Annotation]:
    """Keep the annotations of the first solutions of a project, as many as a page shows."""
    solutions = Annotation.objects.filter(solution__problem__project=project).order_by("pk").values_list("solution", flat=True)[:40]
    return rows.filter(solution__in=list(solutions))


@pytest.fixture(params=["others", "all"])
def large(request: pytest.FixtureRequest) -> Project:
    """A project beside others, with statistics that know it, or the others alone."""
    labeled_project("others", 1_500)
    third = make.project("third")
    make.batch(third, make.solutions(third, 1), kind="review")
    make.statistics()
    project = labeled_project("sums", 300)
    if request.param == "all":
        make.statistics()
    return project


def read_whole(rows: Iterable[object]) -> list[tuple[str, str]]:
    (plan,) = plans(lambda: list(rows))
    return whole_reads(plan)


def test_the_few_annotations_of_a_page_are_judged_without_reading_a_whole_table(large: Project) -> None:
    for use in Use:
        each = of_page(Annotation.objects.filter(eligibility.does_count(use, project=large.pk)), large)
        assert read_whole(each) == [] and len(each) == 40, use
    marked = of_page(eligibility.marked(eligibility.listed(large.pk), project=large.pk), large)
    assert "annotation_annotation" not in {table for _, table in read_whole(marked)} and len(marked) == 40


def test_the_queue_of_reviews_begins_at_the_least_certain_solutions() -> None:
    project = make.project()
    assert index_of(lambda: quality.review_queue(project, reviewer=make.rolf(project)), "consensus_to_review")


def test_who_labels_now_is_asked_for_the_newest_lease_of_each_person() -> None:
    project = labeled_project("sums", 300)
    make.statistics()
    assert index_of(lambda: quality.gold_supply(project), "lease_by_labeler")


def index_of(act: Callable[[], object], name: str) -> bool:
    """Tell whether a statement of `act` uses an index, where reading a table from end to end costs more, as in a large one."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    return any(node.get("Index Name") == name for plan in plans(act) for node in nodes(plan))
