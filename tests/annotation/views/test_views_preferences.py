"""A person's preferences on the pages: the account, dates everywhere, the day on the home page, the calculator's answers."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation import people, preferences
from annotation.models import Annotation, Event, Preferences, Project
from annotation.quality import records
from tests import make
from tests.clients import claim, page, post, rated, signed_in, submission

pytestmark = pytest.mark.django_db
FORM = {
    "time_zone": "Asia/Tokyo", "date_language": "de", "text_size": "large", "line_width": "wide", "goal": "40", "pace": "2.5",
    "rest_minutes": "45",
}  # fmt: skip


@pytest.fixture
def project() -> Project:
    made = make.project("sums")
    make.batch(made, make.solutions(made, 3))
    return made


def save(client: Client, **changes: str) -> Any:
    return client.post(reverse("set-preferences"), FORM | changes)


def test_the_account_page_stores_preferences_and_shows_them_again(project: Project) -> None:
    ann = signed_in(make.ann(project))
    assert save(ann)["Location"] == reverse("account")
    chosen = Preferences.objects.get(person=make.ann())
    assert (chosen.time_zone, chosen.date_language, chosen.text_size, chosen.line_width) == ("Asia/Tokyo", "de", "large", "wide")
    assert (chosen.goal, chosen.pace, chosen.rest_minutes) == (40, 2.5, 45)
    html = ann.get(reverse("account")).content.decode()
    assert '<option value="Asia/Tokyo" selected>' in html and "Your preferences are saved." in html
    assert 'data-text-size="large" data-line-width="wide"' in html and "reading.css" in html
    save(ann, goal="", pace="", time_zone="")
    chosen.refresh_from_db()
    assert (chosen.goal, chosen.pace, chosen.time_zone) == (None, None, "")


def test_all_wrong_preferences_are_named_at_once_and_nothing_is_stored(project: Project) -> None:
    answer = save(signed_in(make.ann(project)), time_zone="Mars/Olympus", goal="0", pace="fast", rest_minutes="7", text_size="vast")
    assert answer.status_code == 400 and not Preferences.objects.exists()
    html = answer.content.decode()
    assert set(re.findall(r'id="preferences-(\w+)_error"', html)) == {"time_zone", "goal", "pace", "rest_minutes", "text_size"}
    assert "Your goal must be a whole number from 1 to 1,000." in html and 'value="fast"' in html


def test_dates_are_shown_in_the_zone_and_language_of_who_reads_them(project: Project) -> None:
    olga = make.olga(project)
    at = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)
    Event.objects.create(actor=olga, project=project, verb="pause batch", subject="batch 1", at=at)
    client, audit = signed_in(olga), reverse("audit", args=["sums"])
    html = client.get(audit).content.decode()
    assert "When (UTC)" in html and ">2026-11-26 23:30:00</time>" in html
    save(client)
    html = client.get(audit).content.decode()
    assert "When (Asia/Tokyo)" in html and ">27.11.2026 08:30:00</time>" in html
    assert 'datetime="2026-11-26T23:30:00+00:00"' in html  # for programs, as before


def test_preferences_cost_no_query(project: Project, django_assert_num_queries: Any) -> None:
    ann = make.ann(project)
    client = signed_in(ann)
    preferences.choose(ann, time_zone="Asia/Tokyo")
    with django_assert_num_queries(1):  # the session, its person and their preferences
        client.get("/nowhere/")


def test_a_day_is_that_of_the_persons_zone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(make.ann(project))
    held = claim(page(client, project))
    post(client, "submit", held["assignment"], submission(held["token"], rated(-1)))
    at = Annotation.objects.get().created_at

    class InTwelveHours:
        @staticmethod
        def now() -> datetime:
            return at + timedelta(hours=12)

    monkeypatch.setattr(records, "timezone", InTwelveHours)
    same, other = ("UTC", "Pacific/Fiji") if at.hour < 12 else ("Pacific/Fiji", "UTC")  # 12 hours apart: midnight came in one of them
    for zone, count in ((same, 1), (other, 0)):
        save(client, time_zone=zone, goal="3")
        assert f'data-today="{count}"' in page(client, project)
        assert re.search(rf"<b>{count}</b> of 3 solutions\.", client.get("/").content.decode())


def test_the_labeling_page_has_the_goal_and_the_pace(project: Project) -> None:
    client = signed_in(make.ann(project))
    html = page(client, project)
    assert "data-goal" not in html and 'data-rest="60"' in html and "data-text-size" not in html.partition("<body")[0]
    save(client)
    html = page(client, project)
    assert 'data-goal="40" data-pace="2.5"' in html and 'data-rest="45"' in html


def test_size_and_width_are_stored_from_the_labeling_page(project: Project) -> None:
    client = signed_in(make.ann(project))
    answer = client.post(reverse("reading"), {"text_size": "huge", "line_width": "narrow"}, content_type="application/json")
    assert answer.status_code == 200
    assert 'data-text-size="huge" data-line-width="narrow"' in page(client, project)
    for wrong in ({"text_size": "vast", "line_width": "narrow"}, {"text_size": "huge"}, {"text_size": 3, "line_width": "narrow"}):
        answer = client.post(reverse("reading"), wrong, content_type="application/json")
        assert answer.status_code == 400 and answer.json()["message"].endswith(".")
    assert Preferences.objects.get().text_size == "huge"


def test_erasing_a_person_erases_their_preferences() -> None:
    ann = make.ann()
    preferences.choose(ann, time_zone="Asia/Tokyo")
    people.erase(ann, actor=None)
    assert not Preferences.objects.exists()


# --- the calculator -----------------------------------------------------------------------------------------------------


def calculate(client: Client, **body: object) -> Any:
    return client.post(reverse("calculate", args=["sums"]), body, content_type="application/json")


def test_the_calculator_finds_the_sums_of_a_step_and_works_out_the_first(project: Project) -> None:
    answer = calculate(signed_in(make.ann(project)), text="Then $0.1 + 0.2 = 0.4$, and 6 * 7 = 42.").json()
    assert answer["sums"] == ["0.1 + 0.2 = 0.4", "6 * 7 = 42"]
    assert answer["results"] == ["0.3 = 3/10", "0.4 = 2/5"]
    assert (answer["verdict"], answer["is_equal"]) == ("The sides are not equal.", False)


def test_the_calculator_answers_a_typed_sum_a_bad_one_and_a_text_without_any(project: Project) -> None:
    ann = signed_in(make.ann(project))
    assert calculate(ann, sum="1/3 + 1/6").json()["results"] == ["0.5 = 1/2"]
    answer = calculate(ann, sum="1/0")
    assert (answer.status_code, answer.json()) == (400, {"code": "bad_sum", "message": "Nothing can be divided by zero."})
    assert calculate(ann, text="Let us see.").json() == {"sums": []}
    assert calculate(ann, sum=3).json()["code"] == "bad_request"


def test_a_project_without_a_calculator_offers_none(project: Project) -> None:
    ann = signed_in(make.ann(project))
    assert 'id="calculator"' in page(ann, project)
    Project.objects.update(calculator=False)
    assert 'data-act="calculate"' not in page(ann, project) and 'id="calculator"' not in page(ann, project)
    assert calculate(ann, sum="3 + 4").status_code == 404


def test_the_calculator_asks_the_database_only_who_asks(project: Project, django_assert_num_queries: Any) -> None:
    ann = signed_in(make.ann(project))
    with django_assert_num_queries(2):  # the session; the project and the role in it
        calculate(ann, sum="3 + 4")
