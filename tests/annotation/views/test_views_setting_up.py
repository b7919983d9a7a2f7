"""The set-up link of an empty site: it makes the first owner, once, and ends for good."""

import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import reverse

from active_learning import demonstration
from active_learning.models import Round
from annotation import people
from annotation.models import Annotation, Event, Invitation, Membership, Project, Role, Solution
from tests import make

pytestmark = pytest.mark.django_db
FORM = {"username": "olga", "full_name": "Olga Ortiz", "password1": "a good long one", "password2": "a good long one"}


def open_link(**changes: str) -> tuple[Client, Any]:
    client = Client()
    return client, client.post(people.link_to_set_up(), FORM | changes)


def test_the_link_makes_the_first_owner_and_leads_to_a_new_project() -> None:
    client, answer = open_link()
    assert (answer.status_code, answer["Location"]) == (302, reverse("new-project"))
    person = User.objects.get()
    assert (person.username, person.get_full_name(), person.is_staff, person.is_superuser) == ("olga", "Olga Ortiz", True, True)
    assert client.get(answer["Location"]).status_code == 200
    assert person.check_password(FORM["password1"]) and Event.objects.get().verb == "set up the site"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demonstration of few problems."""
    monkeypatch.setattr(demonstration, "N_PROBLEMS", 20)


@pytest.mark.parametrize("name", ["olga", "otto"])
def test_the_first_owner_can_have_the_demonstration_too(small: None, name: str) -> None:
    client, answer = open_link(username=name, demonstration="on")
    assert (answer.status_code, answer["Location"]) == (302, "/p/demonstration/")
    roles = dict(Membership.objects.exclude(user__username__startswith="file-").values_list("user__username", "role"))
    assert roles == {name: "owner", "ann": "labeler", "ben": "labeler", "rita": "researcher"}
    assert Solution.objects.count() == 20 * demonstration.N_SOLUTIONS and Annotation.objects.count() == 40
    assert Round.objects.get().state == "queued"  # for a worker
    assert "the demonstration project are made" in client.get(answer["Location"]).content.decode()


def test_without_the_tick_there_is_no_demonstration() -> None:
    assert "Also make the demonstration project" in Client().get(people.link_to_set_up()).content.decode()
    open_link()
    assert not Project.objects.exists()


@pytest.mark.parametrize("name", ["ann", "ben", "rita"])
def test_the_name_of_somebody_in_the_demonstration_is_refused_and_nothing_is_made(small: None, name: str) -> None:
    _, answer = open_link(username=name, demonstration="on")
    assert answer.status_code == 400 and "The people of the demonstration are called ann, ben, rita." in answer.content.decode()
    assert not User.objects.exists() and not Project.objects.exists() and not Event.objects.exists()
    assert open_link(username=name)[1].status_code == 302


def test_what_breaks_while_the_demonstration_is_made_leaves_the_link_usable(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(demonstration.rounds, "start", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_link(demonstration="on")
    assert not User.objects.exists() and not Project.objects.exists()
    assert open_link(demonstration="on")[1].status_code == 302


def test_a_site_with_a_project_is_not_offered_the_demonstration() -> None:
    make.project()
    assert "demonstration" not in Client().get(people.link_to_set_up()).content.decode()
    open_link(demonstration="on")
    assert Project.objects.count() == 1


def test_opening_the_link_uses_nothing_up() -> None:
    for _ in range(2):
        assert Client().get(people.link_to_set_up()).status_code == Client().head(people.link_to_set_up()).status_code == 200
    assert not User.objects.exists()


def test_a_later_visit_says_that_the_site_is_set_up_and_makes_nothing() -> None:
    open_link()
    html = Client().get(people.link_to_set_up())
    assert html.status_code == 410 and "already set up" in html.content.decode() and reverse("sign-in") in html.content.decode()
    _, answer = open_link(username="eve")
    assert answer.status_code == 410 and User.objects.count() == 1


@pytest.mark.parametrize("end", ["closed", "erased"])
def test_the_link_does_not_come_back_when_the_first_owner_goes(end: str) -> None:
    open_link()
    person = User.objects.get()
    if end == "erased":
        people.erase(person, actor=None)
    else:
        User.objects.update(is_active=False, is_staff=False, is_superuser=False)
    assert Client().get(people.link_to_set_up()).status_code == 410


@pytest.mark.parametrize("role", [Role.OWNER, Role.MANAGER])
def test_a_site_with_somebody_who_can_administrate_has_no_set_up_link(role: str) -> None:
    make.person("olga", make.project(), role)
    assert people.is_set_up()


@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, Role.RESEARCHER, Role.FORMER])
def test_a_site_where_nobody_can_administrate_keeps_its_set_up_link(role: str) -> None:
    make.person("ann", make.project(), role)
    assert not people.is_set_up()


@pytest.mark.parametrize("token", ["0" * 40, "x", "ß", "a" * 3000])
def test_another_token_opens_nothing(token: str) -> None:
    assert Client().get(f"/set-up/{token}/").status_code == Client().post(f"/set-up/{token}/", FORM).status_code == 404
    assert not User.objects.exists()


def test_another_site_has_another_link() -> None:
    with override_settings(SECRET_KEY="of another site"):
        foreign = people.link_to_set_up()
    assert Client().get(foreign).status_code == 404


def test_all_wrong_fields_are_named_at_once_and_what_was_typed_stays() -> None:
    _, answer = open_link(username="o o", full_name=" ", password1="short", password2="short")
    html = answer.content.decode()
    faults = re.findall(r'<p class="fault" id="owner-(\w+)_error">([^<]+)</p>', html)
    assert answer.status_code == 400 and [name for name, _ in faults] == ["username", "full_name", "password2"]
    assert 'value="o o"' in html and "short" not in html.replace("too short", "") and not User.objects.exists()


@pytest.mark.parametrize("name", ["file-0c1e", "FILE-1", "erased-1", "ann", "ANN"])
def test_a_name_that_is_taken_or_made_by_loads_is_refused(name: str) -> None:
    make.ann()
    _, answer = open_link(username=name)
    assert answer.status_code == 400 and User.objects.count() == 1


@override_settings(SECOND_FACTOR_REQUIRED=True)
def test_in_production_the_second_factor_follows_before_the_first_owner_is_signed_in() -> None:
    client, answer = open_link()
    assert answer["Location"] == reverse("sign-in-set-up")
    assert client.get(reverse("new-project")).status_code == 302
    assert "Set up a second factor" in client.get(answer["Location"]).content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_set_up_at_once_one_wins() -> None:
    names = ["olga", "otto", "eve", "ann"]
    acts = [lambda name=name: people.set_up(username=name, full_name=name.title(), password=FORM["password1"]) for name in names]
    outcomes = make.at_once(acts)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadySetUp"] * 3 + ["User"]
    assert User.objects.count() == 1


def test_the_sign_in_page_of_an_empty_site_says_how_it_begins() -> None:
    hint = "Open the set-up link"
    assert hint in Client().get(reverse("sign-in")).content.decode()
    open_link()
    assert hint not in Client().get(reverse("sign-in")).content.decode()


def test_the_command_prints_the_set_up_link_until_somebody_runs_the_site() -> None:
    out = StringIO()
    call_command("invite", "--owner", "--address", "https://label.example.org/", stdout=out)
    assert out.getvalue().strip() == "https://label.example.org" + people.link_to_set_up()
    open_link()
    with pytest.raises(CommandError, match="has an owner already") as refused:
        call_command("invite", "--owner")
    assert refused.value.returncode == 2


def test_the_command_invites_a_person_into_a_project() -> None:
    make.olga(make.project("sums"))
    out = StringIO()
    call_command("invite", "Ann Miller", "--project", "sums", "--role", "reviewer", "--address", "https://label.example.org", stdout=out)
    row = Invitation.objects.get()
    assert (row.note, row.role, row.created_by) == ("Ann Miller", "reviewer", make.olga())
    page = Client().get(out.getvalue().strip().removeprefix("https://label.example.org"))
    assert page.status_code == 200 and "reviewer" in page.content.decode()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ann"], "Give NAME and --project"),
        (["--owner", "--project", "sums"], "Give NAME and --project"),
        (["ann", "--owner"], "Give NAME and --project"),
        ([], "Give NAME and --project"),
        (["ann", "--project", "more"], "There is no project"),
        (["ann", "--project", "sums", "--by", "eve"], "There is no account called"),
        (["ann", "--project", "sums", "--by", "mia", "--role", "owner"], "above your own"),
        (["olga", "--project", "sums"], "is a member of Sums already"),
        (["ann", "--project", "alone"], "has no owner who can sign in"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused_in_a_sentence(words: list[str], sentence: str) -> None:
    project = make.project("sums")
    make.olga(project), make.person("mia", project, Role.MANAGER), make.project("alone")
    with pytest.raises(CommandError, match=sentence) as refused:
        call_command("invite", *words)
    assert refused.value.returncode == 2 and not Invitation.objects.exists()
