"""What a person's home says of their own work: day, week, waiting work, and the record on gold, which gives no gold away."""

import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotation import labels, preferences, quality, queue
from annotation.models import Membership, Project
from annotation.quality import records
from tests import make

pytestmark = pytest.mark.django_db

Clock = Callable[[timedelta], None]


def label(labeler: User, project: Project, *, mistake_at: int | None = None, active_ms: int = 60_000) -> None:
    """Label the next solution."""
    lease = quality.lease_next(labeler, project=project)
    ratings = [1] * 3 if mistake_at is None else [1] * mistake_at + [-1]
    labels.submit(
        lease.assignment_id,
        labeler=labeler,
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=active_ms,
        total_ms=active_ms,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        finish_reason="solution" if mistake_at is None else "found_error",
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Look at the records as if so much time had passed."""

    class Moved:
        at = timezone.now()

        @classmethod
        def now(cls) -> datetime:
            return cls.at

    def go_on(time: timedelta) -> None:
        Moved.at += time

    monkeypatch.setattr(records, "timezone", Moved)
    return go_on


def screened(project: Project, questions: int) -> User:
    """Let ann answer screening questions whose first mistake is step 1, all but the first one rightly."""
    rolf, ann = make.rolf(project), make.ann(project)
    make.batch(project, make.solutions(project, questions))
    for _ in range(questions):
        label(rolf, project, mistake_at=1)
    quality.open_screening(project, by="rolf", size=questions)
    for number in range(questions):
        label(ann, project, mistake_at=1 if number else 0)
    return ann


def home(person: User) -> str:
    client = Client()
    client.force_login(person)
    return client.get(reverse("home")).content.decode()


def gold_of(person: User, project: Project) -> quality.GoldRecord | None:
    return quality.gold_records(person, [project.pk]).get(project.pk)


def test_hours_and_pace_are_of_this_day_and_of_this_week(clock: Clock) -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 2))
    for minutes in (60, 120):
        label(ann, project, active_ms=minutes * 60_000)
    record = quality.projects_of(ann)[0].record
    assert (record.this_day.hours, record.this_day.minutes_each) == (3, 90)
    clock(timedelta(days=6))
    record = quality.projects_of(ann)[0].record
    assert (record.today, record.week, record.this_week.hours, record.this_day.minutes_each) == (0, 2, 3, None)
    clock(timedelta(days=1))
    record = quality.projects_of(ann)[0].record
    assert (record.week, record.total) == (0, 2)


def test_home_asks_no_more_queries_for_ten_projects_than_for_one() -> None:
    ann, asked = make.ann(), []
    preferences.remember(ann, None)  # read with the session
    for number in range(10):
        make.batch(made := make.project(f"p{number}"), make.solutions(made, 2))
        make.ann(made)
        label(ann, made)
        with CaptureQueriesContext(connection) as queries:
            assert len(quality.projects_of(ann)) == number + 1
        asked.append(len(queries))
    assert asked == [10] * 10


def test_what_waits_is_what_this_person_could_still_have() -> None:
    project = make.project(overlap=2)
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 3))
    label(ann, project)
    [card] = quality.projects_of(ann)
    assert (card.waiting, card.in_hand) == (2, False)  # the second assignment at the first solution is for somebody else
    queue.lease_next(ann, project=project)
    [card] = quality.projects_of(ann)
    assert (card.waiting, card.in_hand) == (1, True)
    assert "Continue labeling" in home(ann) and "1 in progress, 1 solution waiting" in home(ann)


def test_the_gold_record_tells_the_share_of_old_answers(clock: Clock) -> None:
    project = make.project(qualify_rate=0.5)
    ann = screened(project, 10)
    clock(timedelta(days=2))
    assert gold_of(ann, project) == quality.GoldRecord(answers=10, within=9)
    assert re.search(r"in <b>90 %</b> of 10 such solutions", home(ann))


def test_the_gold_record_knows_nothing_of_today_and_yesterday(clock: Clock) -> None:
    project = make.project(qualify_rate=0.5)
    ann = screened(project, 10)
    assert gold_of(ann, project) is None
    clock(timedelta(days=1))
    assert gold_of(ann, project) is None
    assert "data-gold" not in home(ann)


def test_fewer_than_ten_answers_are_no_record(clock: Clock) -> None:
    project = make.project(qualify_rate=0.5, gold_percent=10)
    ann = screened(project, 9)
    clock(timedelta(days=2))
    found = gold_of(ann, project)
    assert found.answers == 9 and found.share is None
    assert "After ten of them" in home(ann) and "89 %" not in home(ann)


def test_a_record_is_of_one_project_and_one_person(clock: Clock) -> None:
    project, other = make.project(qualify_rate=0.5), make.project("other")
    ann = screened(project, 10)
    clock(timedelta(days=2))
    assert quality.gold_records(ann, [other.pk]) == {} and gold_of(make.ben(project), project) is None


def test_who_is_paused_gets_no_start_button() -> None:
    project = make.project()
    ann = make.ann(project)
    make.batch(project, make.solutions(project, 1))
    assert "Start labeling" in home(ann)
    Membership.objects.filter(user=ann).update(suspended_at=timezone.now())
    assert "Start labeling" not in home(ann) and "paused" in home(ann)
