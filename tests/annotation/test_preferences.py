"""Preferences: a person's time zone, language of dates and goals, and what pages show by them."""

from datetime import UTC, date, datetime

import pytest
from django.db import IntegrityError

from annotation import preferences
from annotation.models import Preferences
from tests import make

AT = datetime(2026, 11, 26, 23, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "language", "moment", "day"),
    [
        ("", "", "2026-11-26 23:30", "2026-11-26"),
        ("UTC", "", "2026-11-26 23:30", "2026-11-26"),
        ("Europe/Berlin", "", "2026-11-27 00:30", "2026-11-27"),
        ("America/New_York", "", "2026-11-26 18:30", "2026-11-26"),
        ("Asia/Kolkata", "", "2026-11-27 05:00", "2026-11-27"),
        ("Asia/Calcutta", "", "2026-11-27 05:00", "2026-11-27"),  # as browsers still call it
        ("Europe/Berlin", "de", "27.11.2026 00:30", "27.11.2026"),
        ("", "en_GB", "26 Nov 2026 23:30", "26 Nov 2026"),
        ("", "en_US", "Nov 26, 2026 11:30\u202fPM", "Nov 26, 2026"),
        ("", "ja", "2026/11/26 23:30", "2026/11/26"),
        ("Mars/Olympus", "tlh", "2026-11-26 23:30", "2026-11-26"),  # unknown to this machine
    ],
)
def test_a_moment_is_written_in_a_persons_zone_and_language(zone: str, language: str, moment: str, day: str) -> None:
    chosen = Preferences(time_zone=zone, date_language=language)
    assert (preferences.write_moment(AT, chosen), preferences.write_day(AT, chosen)) == (moment, day)


def test_a_day_that_is_no_moment_is_the_same_in_all_zones() -> None:
    assert preferences.write_day(date(2026, 11, 26), Preferences(time_zone="Asia/Tokyo")) == "2026-11-26"


def test_seconds_are_written_where_they_are_asked_for() -> None:
    assert preferences.write_clock(AT, Preferences(), seconds=True) == "23:30:05"
    assert preferences.write_moment(AT, Preferences(date_language="de"), seconds=True) == "26.11.2026 23:30:05"


@pytest.mark.parametrize(
    ("zone", "now", "began"),
    [
        ("", "2026-11-26T23:30:00+00:00", "2026-11-26T00:00:00+00:00"),
        ("Asia/Tokyo", "2026-11-26T23:30:00+00:00", "2026-11-26T15:00:00+00:00"),
        ("America/New_York", "2026-11-26T03:00:00+00:00", "2026-11-25T05:00:00+00:00"),
        ("Europe/Berlin", "2026-03-29T12:00:00+00:00", "2026-03-28T23:00:00+00:00"),  # the clocks went forward after midnight
    ],
)
def test_a_day_begins_at_midnight_in_a_persons_zone(zone: str, now: str, began: str) -> None:
    chosen = Preferences(time_zone=zone)
    assert preferences.midnight(chosen, now=datetime.fromisoformat(now)) == datetime.fromisoformat(began)


def test_every_language_can_be_written_and_has_a_name() -> None:
    named = dict(preferences.languages())
    assert named.keys() == set(preferences.LOCALES) and named["de"] == "Deutsch"
    for code in named:
        assert "26" in preferences.write_moment(AT, Preferences(date_language=code)) or code in ("ar", "bn", "fa"), code


def test_the_zones_are_those_that_browsers_name() -> None:
    assert {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Calcutta"} <= set(preferences.zones())
    assert not {"localtime", "EST", "posixrules"} & set(preferences.zones())


@pytest.mark.django_db
def test_preferences_are_stored_piece_by_piece() -> None:
    ann = make.ann()
    assert preferences.preferences_of(ann).text_size == "normal"
    preferences.choose(ann, time_zone="Asia/Tokyo", goal=40)
    preferences.choose(ann, text_size="large")
    chosen = Preferences.objects.get(person=ann)
    assert (chosen.time_zone, chosen.goal, chosen.text_size) == ("Asia/Tokyo", 40, "large")
    assert preferences.preferences_of(ann) == chosen
    assert not Preferences.objects.exclude(person=ann).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", [{"goal": 0}, {"goal": 1001}, {"pace": 0}, {"pace": 601}, {"rest_minutes": 481}, {"text_size": "vast"}])
def test_the_table_refuses_what_cannot_be(wrong: dict) -> None:
    with pytest.raises(IntegrityError):
        preferences.choose(make.ann(), **wrong)
