"""When rounds start by themselves: by labels, by hours, by the time of day; and what stands in the way is said."""

import logging
from datetime import UTC, datetime, time

import pytest
from django.core.management import CommandError, call_command

from active_learning import rounds, schedules
from active_learning.models import Round, Schedule
from annotation import quality
from annotation.models import Annotation, Event, Membership, Project
from tests import make
from tests.annotation.test_quality import submit


def planned(project: Project, **changes: object) -> Schedule:
    settings = {"is_on": True, "every_labels": None, "every_hours": None, "daily_at": None, "recipe": None} | changes
    return schedules.change(project, actor=make.olga(project), **settings)


def long_ago(started: Round) -> None:
    Round.objects.filter(pk=started.pk).update(created_at="2020-01-01T00:00Z")


def test_enough_new_labels_start_a_round(world: Project) -> None:
    planned(world, every_labels=10_000)
    assert schedules.start_due_rounds() == []
    assert schedules.next_due(world).startswith("The next round starts after 9,")
    planned(world, every_labels=10)
    assert schedules.next_due(world) == "The next round starts within a minute, because there are enough new labels."
    assert [one.project for one in schedules.start_due_rounds()] == [world]
    assert schedules.start_due_rounds() == []


def test_the_hours_start_a_round_only_if_there_is_a_new_label(world: Project) -> None:
    planned(world, every_hours=2)
    first = schedules.start_due_rounds()
    assert len(first) == 1
    rounds.cancel(world, first[0].number)
    long_ago(first[0])
    second = schedules.start_due_rounds()  # the labels are newer than that
    assert len(second) == 1
    rounds.cancel(world, second[0].number)
    assert schedules.start_due_rounds() == []


def test_a_time_of_day_starts_one_round_a_day(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(world, daily_at=time(3, 0))
    today = schedules._now().replace(hour=2, minute=59)
    monkeypatch.setattr(schedules, "_now", lambda: today)
    first = schedules.start_due_rounds()
    assert first == [], "it is not three yet"
    assert schedules.next_due(world) == f"The next round starts at {today:%Y-%m-%d} 03:00 UTC, if there is a new label."
    monkeypatch.setattr(schedules, "_now", lambda: today.replace(hour=3, minute=1))
    [started] = schedules.start_due_rounds()
    rounds.cancel(world, started.number)
    Round.objects.filter(pk=started.pk).update(created_at=today.replace(hour=3, minute=1))
    assert schedules.start_due_rounds() == []
    assert isinstance(schedules._now(), datetime)


def test_a_schedule_that_is_off_starts_nothing(world: Project) -> None:
    planned(world, is_on=False, every_labels=10)
    assert schedules.start_due_rounds() == []
    assert schedules.next_due(world) == "The schedule is off. Rounds start by hand."


def test_a_round_that_would_overlap_waits_and_is_named_once(world: Project, caplog: pytest.LogCaptureFixture) -> None:
    planned(world, every_labels=10)
    rounds.start(world, make.plan(world, size=0), notify=False)
    Round.objects.update(created_at="2020-01-01T00:00Z")
    with caplog.at_level(logging.WARNING):
        assert schedules.start_due_rounds() == schedules.start_due_rounds() == []
    note = schedules.find(world).note
    assert note.startswith("A round is due and could not start. Round 1 of demonstration is still queued.")
    assert [one.getMessage() for one in caplog.records] == [f"demonstration: {note}"]
    rounds.cancel(world, 1)
    assert len(schedules.start_due_rounds()) == 1
    assert schedules.find(world).note == ""


def test_a_scheduled_round_follows_the_recipe_that_was_written_down(world: Project) -> None:
    recipe = {"parts": [["entropy", 1]], "size": 7, "per_problem": 1}
    planned(world, every_labels=10, recipe=recipe)
    [started] = schedules.start_due_rounds()
    assert started.strategy == "entropy" and started.plan["recipe"]["size"] == 7 and started.plan["train"]


def test_a_scheduled_round_learns_from_the_labels_that_were_chosen(world: Project) -> None:
    planned(world, every_labels=10, labels="soft")
    [started] = schedules.start_due_rounds()
    assert rounds.plan_of(started).labels == "soft"
    assert Event.objects.get(verb="change schedule").details["new"]["learns from"] == "the consensus as probabilities"


def test_without_a_recipe_a_schedule_keeps_a_floor_and_the_frozen_control(world: Project) -> None:
    Project.objects.update(retrain_every_labels=10)  # as a command or the administration sets it
    [started] = schedules.start_due_rounds()
    assert started.strategy == "explore" and started.plan["recipe"]["size"] == world.batch_size


def test_a_schedule_that_cannot_be_kept_is_refused_and_changes_nothing(world: Project) -> None:
    planned(world, every_labels=500)
    for changes, reason in (
        ({}, "would never start a round"),
        ({"every_labels": 0}, "new labels must be from 1"),
        ({"every_hours": -3}, "hours must be from 1"),
        ({"every_labels": 5, "recipe": {"parts": [["magic", 1]], "size": 5}}, "magic"),
        ({"every_labels": 5, "recipe": {"parts": [["entropy", 1]], "size": 0}}, "must be at least 1, not 0"),
        ({"every_labels": 5, "sample": {"colour": "red"}}, "colour"),
        ({"every_labels": 5, "labels": "best"}, "in the form best"),
    ):
        with pytest.raises(schedules.BadSchedule, match=reason):
            planned(world, **changes)
    world.refresh_from_db()
    assert world.retrain_every_labels == 500 and Schedule.objects.count() == 1


def test_changing_a_schedule_leaves_the_round_under_way_alone(world: Project) -> None:
    started = rounds.start(world, make.plan(world, size=0), notify=False)
    planned(world, every_labels=10)
    started.refresh_from_db()
    assert started.state == "queued" and started.token == 0


def test_the_command_says_and_changes_the_schedule(world: Project, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ("--every-labels", "50000", "--daily-at", "03:30", "--strategy", "paper", "--size", "9", "--labels", "consensus")
    call_command("schedule", "--project", world.slug, *changes)
    said = capsys.readouterr()
    assert "03:30 UTC" in said.out and "This recipe has no part “At random”" in said.err
    schedule = schedules.find(world)
    assert schedule.daily_at == time(3, 30) and schedule.recipe["size"] == 9 and schedule.recipe["parts"][0] == ["convincing", 0.8]
    assert schedule.labels == "consensus"
    call_command("schedule", "--project", world.slug, "--off")
    assert capsys.readouterr().out == "The schedule is off. Rounds start by hand.\n"
    with pytest.raises(CommandError, match="must be from 1 to") as refused:
        call_command("schedule", "--project", world.slug, "--every-hours", "0")
    assert refused.value.returncode == 2


def test_screening_answers_start_no_round_and_are_not_trained_on_until_their_author_is_admitted(
    world: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    quality.open_screening(world, by=Annotation.objects.first().labeler.username, size=4)
    ann = make.ann(world)

    def counted() -> tuple[int, str]:
        call_command("retrain", "--project", world.slug, "--dry-run")
        planned(world, every_labels=10_000)
        [data] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("data: ")]
        return 10_000 - int(schedules.next_due(world).split()[5].replace(",", "")), data

    before = counted()
    for _ in range(4):
        submit(quality.lease_next(ann, project=world), ann, 0)
    assert counted() == before
    Membership.objects.filter(user=ann).update(qualified_at="2026-01-01T00:00Z")
    labels, data = counted()
    assert labels > before[0] and data.startswith(f"data: {int(before[1].split()[1]) + 4} labeled solutions")


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("03:30+01:00", "The schedule is in UTC"),
        ("03:30Z", "The schedule is in UTC"),
        ("03:30 CET", "The schedule is in UTC"),
        ("03:30 Europe/Berlin", "The schedule is in UTC"),
        ("3:30 pm", "The schedule is in UTC"),
        ("03:30:15+01:00", "The schedule is in UTC"),
        ("03:30:15", "has seconds"),
        ("24:00", "Enter 00:00 for midnight"),
        ("25:00", "There is no time of day"),
        ("12:60", "There is no time of day"),
        ("noon", "must look like 03:30"),
        ("0330", "must look like 03:30"),
        ("", "must look like 03:30"),
    ],
)
def test_a_time_that_is_not_hours_and_minutes_is_refused_with_a_sentence(db: None, typed: str, fault: str) -> None:
    project = make.project()
    with pytest.raises(CommandError, match=fault) as refused:
        call_command("schedule", "--project", project.slug, "--daily-at", typed)
    assert refused.value.returncode == 2
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("at", [time(3, 30, tzinfo=UTC), time(3, 30, 5)])
def test_a_time_with_a_zone_or_seconds_is_not_stored(db: None, at: time) -> None:
    project = make.project()
    with pytest.raises(schedules.BadSchedule):
        planned(project, daily_at=at)
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("typed", "stored"), [("03:30", time(3, 30)), ("3:30", time(3, 30)), ("00:00", time(0)), (" 23:59 ", time(23, 59))]
)
def test_hours_and_minutes_are_a_time(typed: str, stored: time) -> None:
    assert schedules.read_time(typed) == stored
