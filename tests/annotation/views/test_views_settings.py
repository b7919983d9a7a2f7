"""The settings of a project: what a change does is said before it is stored, and nothing that would orphan work is stored."""

import html as markup
import re
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import labels, projects, queue
from annotation.models import Assignment, Batch, Event, Membership, Project, Role
from tests import make
from tests.clients import rated, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project("sums", name="Sums", guidelines="Rate *each* step.\n", text_kind="plain")


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


def page_of(client: Client) -> str:
    return client.get(reverse("settings", args=["sums"])).content.decode()


def typed(page: str, **changes: str | None) -> dict[str, str]:
    """What the form would send: all its fields as they stand on the page, with changes. None: the box is not ticked."""
    form = page[page.index('class="settings"') : page.index("Show what changes")]
    sent = {}
    for tag in re.findall(r"<input [^>]*>", form):
        found = {name: markup.unescape(value) for name, value in re.findall(r'(\w+)="([^"]*)"', tag)}
        if found.get("type") not in ("checkbox", "radio") or re.search(r"\bchecked\b", tag):
            sent[found["name"]] = found.get("value", "on")
    area = re.search(r"<textarea [^>]*>\n?(.*?)</textarea>", form, re.S)
    assert area
    sent["guidelines"] = markup.unescape(area[1]).replace("\r\n", "\n").replace("\n", "\r\n")
    sent.pop("csrfmiddlewaretoken", None)
    return {name: value for name, value in (sent | changes).items() if value is not None}


def post(client: Client, page: str | None = None, *, seen: bool = False, **changes: str | None) -> Any:
    form = typed(page or page_of(client), **changes)
    return client.post(reverse("settings", args=["sums"]), form | ({"seen": "1"} if seen else {}))


def plan_in(answer: Any) -> dict[str, str]:
    """What a page says that would change, and what each change does."""
    assert answer.status_code == 200
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", answer.content.decode(), re.S)
    return {markup.unescape(change): markup.unescape(effect) for change, effect in pairs}


def faults_in(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400
    found = re.findall(r'<p class="fault" id="project-(\w+)_error">([^<]+)</p>', answer.content.decode())
    return {name: markup.unescape(sentence) for name, sentence in found}


def test_a_form_that_nobody_changed_changes_nothing(project: Project, olga: Client) -> None:
    project.guidelines, project.qualify_rate = "One.\r\nTwo. \n\n", 1 / 3
    project.save()
    assert post(olga)["Location"] == reverse("settings", args=["sums"])
    assert "Nothing changes" in page_of(olga) and not Event.objects.exists()
    project.refresh_from_db()
    assert (project.guidelines, project.qualify_rate) == ("One.\r\nTwo. \n\n", 1 / 3)


def test_a_change_is_shown_first_and_stored_when_it_was_seen(project: Project, olga: Client) -> None:
    changes = {"lease_minutes": "45", "show_reference_answer": None, "qualify_rate": "80"}
    shown = plan_in(post(olga, **changes))
    assert list(shown) == [
        "The time for one solution changes from 30 minutes to 45 minutes.",
        "The reference answer on the labeling page: yes becomes no.",
        "The share of right screening answers changes from 75 % to 80 %.",
    ]
    project.refresh_from_db()
    assert project.lease_minutes == 30
    assert post(olga, seen=True, **changes).status_code == 302
    project.refresh_from_db()
    assert (project.lease_minutes, project.show_reference_answer, project.qualify_rate) == (45, False, 0.8)
    event = Event.objects.get()
    assert (event.verb, event.subject, event.project, event.actor) == ("change settings", "project sums", project, make.olga())
    assert event.details["old"] == {"lease_minutes": 30, "show_reference_answer": True, "qualify_rate": 0.75}
    assert event.details["new"] == {"lease_minutes": 45, "show_reference_answer": False, "qualify_rate": 0.8}


def test_every_setting_of_the_page_is_stored(project: Project, olga: Client) -> None:
    changes = {
        "name": "Products", "guidelines": "Other.", "collects": "alternatives", "completions_per_step": "5", "text_kind": "markdown",
        "overlap": "3", "lease_minutes": "10", "show_reference_answer": None, "calculator": None, "gold_percent": "7",
        "screening_size": "12",
        "qualify_rate": "66.5", "adjudications": "instead",
        "accept_unreduced": "on", "accept_percent": "on", "base_model": "quick", "frozen_base": "on", "batch_size": "99",
        "per_problem": "4",
    }  # fmt: skip
    form = typed(page_of(olga))
    assert form.keys() - {"version"} == changes.keys() - {"accept_unreduced", "accept_percent", "frozen_base"}
    post(olga, seen=True, **changes)
    project.refresh_from_db()
    stored = projects.values_of(project)
    of_another_page = {column: stored.pop(column) for column in list(stored) if column.startswith("redundancy_")}
    assert set(of_another_page.values()) == {None}
    assert stored == {
        "name": "Products", "guidelines": "Other.", "step_source": "solution", "alternatives_after_error": True, "completions_per_step": 5,
        "text_kind": "markdown", "overlap": 3, "lease_minutes": 10, "show_reference_answer": False, "calculator": False, "gold_percent": 7,
        "screening_size": 12,
        "qualify_rate": 0.665, "adjudications": "instead",
        "accept_unreduced": True, "accept_percent": True, "base_model": "quick", "frozen_base": True, "batch_size": 99, "per_problem": 4,
    }  # fmt: skip


def test_work_in_progress_is_counted_in_what_a_change_does(project: Project, olga: Client) -> None:
    make.batch(project, make.solutions(project, 3))
    for person in (make.ann(project), make.ben(project)):
        queue.lease_next(person, project=project)
    Membership.objects.filter(user=make.ann()).update(qualified_at="2026-01-01T00:00Z")
    shown = plan_in(post(olga, lease_minutes="45", show_reference_answer=None, qualify_rate="80", gold_percent="5"))
    assert list(shown.values()) == [
        "It holds from the next solution on. 2 solutions in work keep their end.",
        "It holds from the next solution on. 2 solutions in work stay as they are shown.",
        "No open batch has gold, so nothing changes before one with gold is published.",
        "1 newcomer is judged by it. Everybody who was admitted before stays admitted.",
    ]


def test_raising_the_overlap_opens_places_and_lowering_it_closes_them(project: Project, olga: Client) -> None:
    make.batch(project, make.solutions(project, 3))
    queue.lease_next(make.ann(project), project=project)

    def places() -> dict[str, int]:
        return {state: Assignment.objects.filter(state=state).count() for state in ("open", "leased", "closed")}

    (effect,) = plan_in(post(olga, overlap="3")).values()
    assert effect == "It also holds for all batches that are not closed: 6 more places open. Labels stay."
    assert places() == {"open": 2, "leased": 1, "closed": 0}
    post(olga, seen=True, overlap="3")
    assert places() == {"open": 8, "leased": 1, "closed": 0}
    (effect,) = plan_in(post(olga, overlap="1")).values()
    assert effect == "It also holds for all batches that are not closed: 6 open places close. Labels stay."
    post(olga, seen=True, overlap="1")
    assert places() == {"open": 2, "leased": 1, "closed": 6}
    project.refresh_from_db()
    assert project.overlap == 1


def test_an_overlap_that_changes_no_batch_says_so(project: Project, olga: Client) -> None:
    (effect,) = plan_in(post(olga, overlap="3")).values()
    assert effect == "It holds for the batches that are published from now on. No batch that is open changes."


def test_two_managers_who_change_one_thing_the_second_one_sees_what_the_first_one_did(project: Project, olga: Client) -> None:
    mia = signed_in(make.person("mia", project, Role.MANAGER))
    seen_by_both = page_of(mia)
    post(olga, seen=True, lease_minutes="45", guidelines="Other rules.")
    for seen in (False, True):
        answer = post(mia, seen_by_both, seen=seen, lease_minutes="20", name="Mine")
        page = markup.unescape(answer.content.decode())
        assert answer.status_code == 409
        assert "olga changed the settings at " in page and "Nothing was stored." in page
        assert "The guidelines get another text. The time for one solution changes from 30 minutes to 45 minutes." in page
        assert 'value="20"' in page and 'value="Mine"' in page
    project.refresh_from_db()
    assert (project.lease_minutes, project.name) == (45, "Sums")
    assert post(mia, answer.content.decode(), seen=True, guidelines="Other rules.").status_code == 302
    project.refresh_from_db()
    assert (project.lease_minutes, project.name, project.guidelines) == (20, "Mine", "Other rules.")


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_one_is_stored(project: Project) -> None:
    version, person = projects.version_of(project), make.olga(project)
    acts = [
        lambda minutes=minutes: projects.change_settings(project, {"lease_minutes": minutes}, version=version, actor=person)
        for minutes in (10, 20, 40)
    ]
    outcomes = [type(outcome).__name__ for outcome in make.at_once(acts)]
    assert sorted(outcomes) == ["SettingsChangedMeanwhile", "SettingsChangedMeanwhile", "SettingsPlan"]
    assert Event.objects.filter(verb="change settings").count() == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("overlap", "0", "The overlap must be a whole number from 1 to 99."),
        ("lease_minutes", "0", "The time for one solution must be a whole number from 1 to 32,767."),
        ("lease_minutes", "1.5", "The time for one solution must be a whole number from 1 to 32,767."),
        ("gold_percent", "101", "The share of gold must be a whole number from 0 to 100."),
        ("qualify_rate", "nan", "The share of right screening answers must be a number from 0 to 100."),
        ("qualify_rate", "", "The share of right screening answers must be a number from 0 to 100."),
        ("batch_size", "10001", "The size of a round’s batch must be a whole number from 1 to 10,000."),
        ("base_model", " ", "The base model is empty. Write tiny, smollm2, a folder or a hub id."),
        ("text_kind", "html", "Choose from the list how texts are shown."),
    ],
)
def test_a_value_that_cannot_be_is_named_beside_its_field(olga: Client, field: str, value: str, sentence: str) -> None:
    assert faults_in(post(olga, seen=True, **{field: value})) == {field: sentence}
    assert not Event.objects.exists()


def test_all_wrong_fields_are_named_at_once(olga: Client) -> None:
    assert faults_in(post(olga, overlap="0", gold_percent="x", name="")).keys() == {"overlap", "gold_percent", "name"}


# --- what would orphan work ---------------------------------------------------------------------------------------------------


def hand_in(project: Project) -> None:
    lease = queue.lease_next(make.ann(project), project=project)
    sitting = {"ratings": rated(-1), "finish_reason": "found_error", "reason": "", "active_ms": 5, "total_ms": 5}
    labels.submit(lease.assignment_id, labeler=make.ann(), token=lease.token, submission_id=uuid.uuid4(), **sitting)


def test_the_kind_of_labeling_is_final_once_there_are_labels(project: Project, olga: Client) -> None:
    before = page_of(olga)
    make.batch(project, make.solutions(project, 1))
    hand_in(project)
    page = page_of(olga)
    assert 'value="interactive"' not in page and "This choice is final: the project has labels" in page
    assert faults_in(post(olga, before, seen=True, collects="interactive")).keys() == {"collects"}
    assert post(olga, seen=True, collects="alternatives").status_code == 302
    project.refresh_from_db()
    assert (project.step_source, project.alternatives_after_error) == ("solution", True)


def test_the_kind_of_labeling_stays_while_solutions_are_published_for_it(project: Project, olga: Client) -> None:
    opened = make.batch(project, make.solutions(project, 1))
    version = projects.version_of(project)
    with pytest.raises(projects.SettingsRefused, match="Close the batches first."):
        projects.change_settings(project, {"step_source": "interactive"}, version=version, actor=None)
    Batch.objects.filter(pk=opened.pk).update(state="closed")
    assert post(olga, seen=True, collects="interactive").status_code == 302
    project.refresh_from_db()
    assert project.step_source == "interactive"


def test_better_steps_cannot_be_switched_off_while_somebody_writes_one(project: Project, olga: Client) -> None:
    Project.objects.update(alternatives_after_error=True)
    make.batch(project, make.solutions(project, 1))
    queue.lease_next(make.ann(project), project=project)
    faults = faults_in(post(olga, seen=True, collects="solutions"))
    assert faults["collects"].startswith("1 solution is in work, and better steps in that work could not be stored then.")
    project.refresh_from_db()
    assert project.alternatives_after_error


# --- who, and how much it costs -------------------------------------------------------------------------------------------------


def test_a_manager_changes_settings_and_does_not_end_the_project(project: Project) -> None:
    mia = signed_in(make.person("mia", project, Role.MANAGER))
    assert "Ask an owner of the project to do this." in page_of(mia)
    assert post(mia, seen=True, overlap="2").status_code == 302
    assert mia.post(reverse("archive-project", args=["sums"])).status_code == 404
    assert mia.post(reverse("delete-project", args=["sums"]), {"name": "Sums"}).status_code == 404


def test_an_owner_archives_and_opens_again(project: Project, olga: Client) -> None:
    for button, verb, is_archived in (({}, "archive", True), ({"open": "1"}, "open again", False)):
        assert olga.post(reverse("archive-project", args=["sums"]), button).status_code == 302
        project.refresh_from_db()
        assert bool(project.archived_at) == is_archived and Event.objects.latest("pk").verb == verb
        assert ("archived since" in page_of(olga)) == is_archived


def test_the_page_costs_as_many_queries_with_many_rows_as_with_few(project: Project, olga: Client, django_assert_num_queries: Any) -> None:
    make.batch(project, make.solutions(project, 1))
    changes = {"lease_minutes": "45", "qualify_rate": "80", "gold_percent": "5"}
    post(olga, **changes)
    with CaptureQueriesContext(connection) as few:
        post(olga, **changes)
    for _ in range(5):
        make.batch(project, make.solutions(project, 4))
    for n in range(10):
        queue.lease_next(make.person(f"p{n}", project), project=project)
    with django_assert_num_queries(len(few)):
        post(olga, **changes)
