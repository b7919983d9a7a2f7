"""The figures of a project's overview as its page shows them, and its charts as files."""

import csv
import io
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from active_learning import pages
from annotation import ingest, labels, quality, queue
from annotation.models import Membership, Project
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made = make.project("sums", name="Sums")
    chosen = make.solutions(made, 4)
    queue.open_batch(made, [queue.Chosen(one.pk, premise="wrong") for one in chosen])
    return made


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def label(project: Project, labeler: User, *ratings: int, ms: int = 90_000) -> None:
    lease = queue.lease_next(labeler, project=project)
    labels.submit(
        lease.assignment_id, labeler=labeler, token=lease.token, submission_id=uuid.uuid4(), ratings=rated(*ratings),
        finish_reason="found_error" if -1 in ratings else "solution", active_ms=ms, total_ms=ms,
    )  # fmt: skip


def shown(client: Client) -> str:
    html: str = client.get("/p/sums/").content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def table(client: Client, name: str) -> list[list[str]]:
    answer = client.get(f"/p/sums/figures/{name}.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8" and answer["Content-Disposition"].endswith(f'filename="sums-{name}.csv"')
    return list(csv.reader(io.StringIO(answer.content.decode())))


def test_a_share_of_few_solutions_is_shown_as_counts_that_are_few(project: Project, olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = make.ann(project)
    for ratings in ((1, -1), (1, -1), (1, 1, 1)):
        label(project, ann, *ratings)
    assert "2 of 3 few: the true share can be 21% to 94%" in shown(olga)
    monkeypatch.setattr(quality.overviews, "FEW", 3)
    assert "67 % (21% to 94%) of 3" in shown(olga)


def test_the_time_of_a_solution_is_the_median_with_the_quartiles(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    for minutes in (1, 2, 4):
        label(project, ann, 1, -1, ms=minutes * 60_000)
    assert "time each, median 2.0 min half of them 1.5 min to 3.0 min" in shown(olga)


def test_who_works_now_is_named_with_batch_and_count_and_only_managers_get_a_link(project: Project, olga: Client) -> None:
    ann = make.ann(project)
    label(project, ann, 1, -1)
    queue.lease_next(ann, project=project)
    link = f'<a href="/p/sums/people/{Membership.objects.get(user=ann).pk}/">ann</a>'
    words = shown(olga).partition("Who works now")[2]
    assert re.match(r" Person Batch At this solution Labeled today Last label ann selected batch 0 since \d\d:\d\d UTC 1 ", words)
    assert link in olga.get("/p/sums/").content.decode()
    html = signed_in(make.rita(project)).get("/p/sums/").content.decode()
    assert link not in html and '<th scope="row">ann</th>' in html


def test_who_labeled_in_a_loaded_file_is_not_at_work(project: Project, olga: Client) -> None:
    annotation = ingest.NewAnnotation((ingest.NewLabel(0, -1),), "found_error", canonical=b"x", labeler=None)
    problem = ingest.NewProblem("What is 1 + 1?", "2", None, "imported", "", "")
    ingest.add_solutions(project, [ingest.NewSolution(problem, ["It is 3.\n\n# Answer\n\n3"], "3", "file", annotation)])
    label(project, make.ann(project), 1, -1)
    people = quality.at_work(project, quality.overview(project)).people
    assert [person.name for person in people] == ["ann"]


def test_nobody_at_work_is_said(olga: Client) -> None:
    assert "Nobody holds a solution now, or labeled one in the last ten minutes." in shown(olga)


def test_the_charts_are_files_of_the_last_14_days_with_the_numbers_of_the_page(project: Project, olga: Client) -> None:
    ann, today = make.ann(project), timezone.now().date()
    for minutes in (1, 2, 4):
        label(project, ann, 1, -1, ms=minutes * 60_000)
    days, times = table(olga, "labels-a-day"), table(olga, "time-per-solution")
    assert days[0] == ["day", "solutions"] and days[-1] == [today.isoformat(), "3"]
    assert times[0] == ["day", "solutions_with_a_time", "minutes_lower_quartile", "minutes_median", "minutes_upper_quartile"]
    assert times[-1] == [today.isoformat(), "3", "1.50", "2.00", "3.00"] and times[-2][1:] == ["0", "", "", ""]
    expected = [(today - timedelta(days=ago)).isoformat() for ago in reversed(range(14))]
    assert [row[0] for row in days[1:]] == expected == [row[0] for row in times[1:]]


def test_a_chart_that_is_not_on_the_page_is_a_missing_page(olga: Client) -> None:
    assert olga.get("/p/sums/figures/nothing.csv").status_code == 404


def test_the_chart_of_times_names_its_days_and_has_no_point_on_a_day_without_a_time(project: Project) -> None:
    label(project, make.ann(project), 1, -1, ms=60_000)
    chart = pages.times_chart(quality.overview(project).times)
    today = timezone.now().date().isoformat()
    assert chart and (today, "1.0000", "1.0000", "1.0000") in chart.rows and len(chart.lines[0].marks) == 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", tick.words) for tick in chart.x_ticks) and 2 <= len(chart.x_ticks) <= 7


def test_without_a_time_there_is_no_chart_of_times(project: Project, olga: Client) -> None:
    assert pages.times_chart(quality.overview(project).times) is None
    assert "No time of a solution was measured in the last 14 days." in shown(olga)
