"""The figures of a project: right after every kind of change, and stored where counting takes long."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation import labels, quality, queue, tasks
from annotation.models import Annotation, Project, ProjectFigures, Solution
from annotation.quality import figures
from tests import make
from tests.clients import rated

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project(overlap=1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The projects whose figures a worker was asked to count."""
    told: list[int] = []
    monkeypatch.setattr(figures, "_ask_worker", lambda project: told.append(project.pk))
    return told


def label(project: Project, labeler: User, *ratings: int) -> Annotation:
    lease = queue.lease_next(labeler, project=project)
    return labels.submit(
        lease.assignment_id, labeler=labeler, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(*ratings),
        finish_reason="found_error" if -1 in ratings else "solution", active_ms=60_000, total_ms=70_000,
    )  # fmt: skip


def published(project: Project, count: int, **fields: Any) -> None:
    make.batch(project, [make.solution(make.problem(project), **fields) for _ in range(count)])


def test_a_correction_moves_an_annotation_from_one_result_to_the_other_and_counts_once(project: Project) -> None:
    published(project, 2, outcome="wrong")
    ann = make.ann(project)
    first = label(project, ann, 1, -1)
    label(project, ann, 1, 1, 1)
    before = quality.overview(project)
    assert (before.finished, before.wrong_confirmed, before.labeled) == ({"solution": 1, "found_error": 1}, 1, 2)
    labels.revise(
        first.pk,
        labeler=ann,
        submission_id=uuid.uuid4(),
        ratings=rated(1, 1, 1),
        finish_reason="solution",
        reason="",
        active_ms=1,
        total_ms=1,
    )
    after = quality.overview(project)
    assert (after.finished, after.wrong_confirmed, after.labeled) == ({"solution": 2}, 0, 2)
    assert sum(count for _, count in after.days) == 2 and len(after.days) == figures.DAYS


def test_practice_counts_nowhere_neither_for_the_project_nor_for_the_person(project: Project) -> None:
    published(project, 3)
    trusted = make.ben(project)
    for _ in range(3):
        label(project, trusted, 1, 1, 1)
    quality.open_practice(project, by="ben", size=2)
    newcomer = make.ann(project)
    before = quality.overview(project)
    label(project, newcomer, 1, 1, 1)
    after = quality.overview(project)
    assert (after.labeled, after.days, after.finished) == (before.labeled, before.days, before.finished)
    assert quality.labeler_record(newcomer, project=project).today == 0 == quality.labeler_record(newcomer, project=project).total


def test_withdrawn_solutions_and_other_projects_are_not_counted(project: Project) -> None:
    published(project, 3, outcome="wrong")
    published(make.project("other"), 4)
    queue.withdraw(Solution.objects.filter(pk=Solution.objects.filter(problem__project=project).earliest("pk").pk), actor=None)
    assert quality.overview(project).outcomes == {"wrong": 2}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every project for a large one."""
    monkeypatch.setattr(figures, "LARGE", 0)


def test_a_small_project_is_counted_at_each_view_and_stores_nothing(project: Project) -> None:
    published(project, 1)
    assert quality.overview(project).solutions == 1
    published(project, 1)
    assert quality.overview(project).solutions == 2 and ProjectFigures.objects.count() == 0


def test_a_large_project_is_counted_once_a_minute_by_a_worker(
    project: Project, large: None, asked: list[int], django_assert_num_queries: Any
) -> None:
    published(project, 1)
    first = quality.overview(project)
    published(project, 1)
    assert quality.overview(project) == first and asked == []
    old = timezone.now() - timedelta(minutes=2)
    ProjectFigures.objects.update(counted_at=old)
    with django_assert_num_queries(1):
        figures.figures_of(project)
    assert (quality.overview(project).solutions, quality.overview(project).counted_at, set(asked)) == (1, old, {project.pk})
    assert tasks.count_figures(project.pk)
    assert not tasks.count_figures(project.pk)  # a second message of the same minute
    assert quality.overview(project).solutions == 2


def test_without_a_worker_a_page_counts_by_itself_after_a_while(project: Project, large: None, asked: list[int]) -> None:
    quality.overview(project)
    published(project, 1)
    ProjectFigures.objects.update(counted_at=timezone.now() - 2 * figures.OLDEST)
    assert quality.overview(project).solutions == 1 and asked == []


def test_a_stored_count_has_the_same_values_as_a_new_one(project: Project, large: None) -> None:
    published(project, 2, outcome="wrong")
    label(project, make.ann(project), 1, -1)
    new, _ = figures.count_figures(project)
    stored, _ = figures.figures_of(project)
    assert stored == new
