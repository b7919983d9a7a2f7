"""The figures of a project: right after every kind of change, and stored where counting takes long."""

import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.utils import timezone

from annotation import labels, quality, queue, tasks
from annotation.models import Annotation, Assignment, Project, ProjectFigures, Solution
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
    assert (before.finished, before.wrong.k, before.labeled) == ({"solution": 1, "found_error": 1}, 1, 2)
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
    assert (after.finished, after.wrong.k, after.labeled) == ({"solution": 2}, 0, 2)
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
    record = quality.projects_of(newcomer)[0].record
    assert record.today == 0 == record.total == quality.day_of(newcomer).count


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


def test_many_looks_within_a_minute_send_one_message(project: Project, large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[float] = []
    monkeypatch.setattr(Celery, "send_task", lambda *values, **options: sent.append(options["expires"]))
    quality.overview(project)
    ProjectFigures.objects.update(counted_at=timezone.now() - timedelta(minutes=2))
    for moment in (1, 1, 30, 60, 61, 90):
        monkeypatch.setattr(figures, "monotonic", partial(float, moment))
        figures.figures_of(project)
    assert sent == [60, 60]  # the second one when the first has expired


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


# --- times, the end of the queue, convincing wrong answers -----------------------------------------------------------------------


def annotated(project: Project, labeler: User, moment: datetime, *, ms: int | None = 60_000) -> None:
    """Store a label of a moment, as a load of labels would: the labels of the past cannot be changed."""
    lease = queue.lease_next(labeler, project=project)
    Assignment.objects.filter(pk=lease.assignment_id).update(state="done")
    Annotation.objects.create(
        assignment_id=lease.assignment_id, labeler=labeler, solution_id=lease.solution_id, finish_reason="solution", active_ms=ms,
        total_ms=ms, submission_id=uuid.uuid4(), body_hash=b"", created_at=moment,
    )  # fmt: skip


def test_a_day_has_the_quartiles_of_its_times_and_labels_without_a_time_count_as_labels(project: Project) -> None:
    published(project, 7)
    ann, yesterday = make.ann(project), timezone.now() - timedelta(days=1)
    for minutes in (1, 2, 3, 4, 50):
        annotated(project, ann, yesterday, ms=minutes * 60_000)
    annotated(project, ann, yesterday, ms=None)
    shown = quality.overview(project)
    day = shown.times[-2]
    assert (day.day, day.timed, day.low, day.median, day.high) == (yesterday.date(), 5, 2, 3, 4)
    assert shown.days[-2] == (yesterday.date(), 6) and shown.minutes == (2, 3, 4)
    assert [each.day for each in shown.times] == [day for day, _ in shown.days] and shown.times[-1].median is None


def test_times_of_before_the_chart_are_not_in_the_median(project: Project) -> None:
    published(project, 2)
    annotated(project, make.ann(project), timezone.now() - timedelta(days=figures.DAYS + 1))
    assert quality.overview(project).minutes is None


def test_the_end_of_the_queue_is_that_of_the_last_batch_in_the_list_of_batches(project: Project) -> None:
    published(project, 12)
    ann, now = make.ann(project), timezone.now()
    for days, count in ((3, 1), (2, 3), (1, 2)):
        for _ in range(count):
            annotated(project, ann, now - timedelta(days=days))
    published(project, 4)
    rows, _ = quality.batches_of(project)
    end, own = rows[0].forecast, quality.overview(project).forecast
    assert own and end and abs(own.expected - end.expected) < timedelta(minutes=1) and own.expected - now > timedelta(days=4.9)


def test_an_empty_queue_has_no_end(project: Project) -> None:
    assert quality.overview(project).forecast is None


def test_a_convincing_wrong_answer_is_confirmed_once_half_of_its_judges_found_a_mistake(project: Project) -> None:
    chosen = [make.solution(make.problem(project)) for _ in range(4)]
    queue.open_batch(project, [queue.Chosen(one.pk, premise="wrong") for one in chosen[:3]], overlap=2)
    queue.open_batch(project, [queue.Chosen(chosen[3].pk)], overlap=1)
    ann, ben = make.ann(project), make.ben(project)
    for person, *verdicts in ((ann, (1, -1), (1, 1, 1), (1, 1, 1), (1, -1)), (ben, (1, 1, 1), (1, 1, 1))):
        for ratings in verdicts:
            label(project, person, *ratings)
    shown = quality.overview(project)
    assert (shown.convincing.k, shown.convincing.n) == (1, 3) and shown.is_convincing_few
    assert (shown.wrong.k, shown.wrong.n) == (2, 6)


def test_figures_that_an_older_version_stored_are_counted_anew(project: Project, large: None, asked: list[int]) -> None:
    published(project, 1)
    quality.overview(project)
    stored = ProjectFigures.objects.get()
    del stored.values["times"]
    stored.save()
    published(project, 1)
    assert quality.overview(project).solutions == 2 and asked == []


# --- who works now -----------------------------------------------------------------------------------------------------------------


def at_work(project: Project) -> list[tuple[str, str, int]]:
    found = quality.at_work(project, quality.overview(project))
    return [(person.name, person.batch, person.today) for person in found.people]


def test_whoever_holds_a_solution_or_labeled_in_the_last_minutes_works_now(project: Project) -> None:
    published(project, 4)
    ann, ben, cleo = make.ann(project), make.ben(project), make.person("cleo", project)
    label(project, ann, 1, -1)
    label(project, ben, 1, -1)
    queue.lease_next(ann, project=project)
    annotated(project, cleo, timezone.now() - timedelta(minutes=11))
    assert at_work(project) == [("ann", "selected batch 0", 1), ("ben", "", 1)]


def test_a_lease_that_has_ended_is_no_work(project: Project) -> None:
    published(project, 1)
    queue.lease_next(make.ann(project), project=project)
    Assignment.objects.filter(state="leased").update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    assert at_work(project) == []


def test_who_works_now_costs_two_queries_for_many_people_as_for_one(project: Project, django_assert_num_queries: Any) -> None:
    published(project, 60)
    for count in (1, figures_people := quality.overviews.NAMED + 2):
        for number in range(count):
            queue.lease_next(make.person(f"person{number}", project), project=project)
        shown = quality.overview(project)
        with django_assert_num_queries(2):
            found = quality.at_work(project, shown)
    assert (len(found.people), found.n_more) == (quality.overviews.NAMED, figures_people - quality.overviews.NAMED)
