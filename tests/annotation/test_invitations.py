"""Invitations: who makes them, who gets in, and what a link says that lets nobody in."""

import re
import smtplib
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.mail.backends import locmem
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation import people
from annotation.models import BrowserSession, Event, Invitation, Membership, Project, Role
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db
GOOD = {"username": "cleo", "password1": "a good long phrase", "password2": "a good long phrase"}


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.olga(made)
    return made


def link(project: Project, *, role: str = Role.LABELER, note: str = "Cleo", actor: User | None = None) -> str:
    return people.invite(project, actor=actor or make.olga(), role=role, text=note)[0].path


def token_of(path: str) -> str:
    return path.split("/")[-2]


def role_of(name: str, project: Project) -> str:
    return Membership.objects.get(project=project, user__username=name).role


def sentence(client: Client, path: str, *, status: int = 410) -> str:
    """What a dead link says, the same for GET and POST."""
    for answer in (client.get(path), client.post(path, GOOD)):
        assert answer.status_code == status
    return " ".join(re.sub("<[^>]+>", " ", answer.content.decode().split('class="panel')[1]).split())


def faults(project: Project, text: str, *, role: str = Role.LABELER) -> dict[int, str]:
    with pytest.raises(people.BadInvitations) as bad:
        people.invite(project, actor=make.olga(), role=role, text=text)
    assert not Invitation.objects.exists()
    return dict(bad.value.faults)


# --- inviting -----------------------------------------------------------------------------------------------------------------


def test_each_line_gets_a_link_of_its_own(project: Project) -> None:
    made = people.invite(
        project, actor=make.olga(), role=Role.LABELER, text="Ann Ä. Miller\r\n\r\n  ben@example.org  \nCleo <cleo@example.org>\n"
    )
    assert [(one.note, one.address) for one in made] == [
        ("Ann Ä. Miller", None),
        ("ben@example.org", "ben@example.org"),
        ("Cleo <cleo@example.org>", "cleo@example.org"),
    ]
    assert len({one.path for one in made}) == 3
    assert {one.expires_at - timezone.now() > timedelta(hours=71, minutes=59) for one in made} == {True}


def test_the_database_has_only_the_hash_of_a_token(project: Project) -> None:
    token = token_of(link(project))
    row = Invitation.objects.get()
    assert bytes(row.token_hash) == sha256(token.encode()).digest() and len(token) == 43
    assert token not in str([vars(row), *Event.objects.values()])


def test_an_invitation_is_an_event_without_the_name(project: Project) -> None:
    link(project, note="cleo@example.org")
    event = Event.objects.get(verb="invite")
    assert (event.actor, event.project, event.subject, event.details) == (
        make.olga(),
        project,
        f"invitation {Invitation.objects.get().pk}",
        {"role": "labeler"},
    )


def test_every_bad_line_is_named_and_nothing_is_made(project: Project) -> None:
    make.ann(project)
    text = "Cleo\nann\ncleo@\nCLEO\n" + "x" * 201 + "\nANN@example.org\na@b.org, c@d.org\n\nno\u200bbody"
    named = faults(project, text)
    assert sorted(named) == [2, 3, 4, 5, 6, 7, 9]
    words = {
        2: "member of Sums already",
        3: "not one valid",
        4: "in line 1",
        5: "201 characters",
        6: "member",
        7: "line of its own",
        9: "cannot be seen",
    }
    assert [line for line, word in words.items() if word not in named[line]] == []


@pytest.mark.parametrize("text", ["", " \n\t\n", "\n".join(f"person {n}" for n in range(101))])
def test_no_lines_and_too_many_lines_are_refused(project: Project, text: str) -> None:
    assert list(faults(project, text)) == [0]


def test_somebody_with_an_open_invitation_is_not_invited_again_before_it_ends(project: Project) -> None:
    link(project, note="Cleo")
    with pytest.raises(people.BadInvitations, match="already invited"):
        link(project, note="cleo")
    Invitation.objects.update(expires_at=timezone.now())
    assert link(project, note="cleo")


@pytest.mark.parametrize(("own", "roles"), [
    (Role.OWNER, ["labeler", "reviewer", "researcher", "manager", "owner"]),
    (Role.MANAGER, ["labeler", "reviewer", "researcher", "manager"]),
    (Role.RESEARCHER, []), (Role.REVIEWER, []), (Role.LABELER, []), (Role.FORMER, []),
])  # fmt: skip
def test_nobody_invites_above_the_own_role(project: Project, own: str, roles: list[str]) -> None:
    person, given = make.person("max", project, own), []
    for role in [*people.RANKS, Role.FORMER, "nonsense", ""]:
        try:
            link(project, role=role, note=role or "x", actor=person)
        except people.BadInvitations as refused:
            assert list(refused.faults) == [0]
        else:
            given.append(str(role))
    assert given == roles


def test_the_schema_refuses_an_invitation_of_a_former_member(project: Project) -> None:
    row = {"project": project, "created_by": make.olga(), "expires_at": timezone.now(), "token_hash": b"1" * 32}
    with pytest.raises(IntegrityError, match="invitation_role"):
        Invitation.objects.create(role=Role.FORMER, **row)


# --- getting in ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_looking_at_a_link_uses_nothing_up(project: Project, client: Client, method: str) -> None:
    path = link(project)
    for _ in range(3):
        assert getattr(client, method)(path).status_code == 200
    assert Invitation.objects.get().used_at is None
    assert client.post(path, GOOD).status_code == 302


def test_a_new_person_makes_an_account_and_is_signed_in(project: Project, client: Client) -> None:
    path = link(project, role=Role.REVIEWER, note="cleo@example.org")
    page = client.get(path).content.decode()
    assert all(word in page for word in ("Join Sums", "olga invites you", "<b>reviewer</b>", "cleo@example.org"))
    assert client.post(path, GOOD)["Location"] == "/"
    assert "You are a member of Sums now" in client.get("/").content.decode()
    cleo, row = User.objects.get(username="cleo"), Invitation.objects.get()
    assert cleo.check_password(GOOD["password1"]) and cleo.email == "cleo@example.org" and role_of("cleo", project) == "reviewer"
    assert row.used_by == cleo and row.used_at is not None
    event = Event.objects.get(verb="accept invitation")
    assert (event.actor, event.subject, event.details["role"]) == (cleo, f"invitation {row.pk}", "reviewer")


def test_a_person_who_is_signed_in_joins_with_their_account(project: Project) -> None:
    path, eve = link(project), signed_in(make.eve())
    assert "Join as eve" in eve.get(path).content.decode()
    assert eve.post(path)["Location"] == "/"
    assert role_of("eve", project) == "labeler" and Invitation.objects.get().used_by == make.eve()


def test_somebody_with_an_account_signs_in_on_the_way(project: Project, client: Client) -> None:
    path = link(project)
    User.objects.create_user("dora", password="a good long phrase")
    there = re.search(r'href="(/sign-in/\?next=[^"]+)"', client.get(path).content.decode())
    assert there
    assert client.post(there[1], {"username": "dora", "password": "a good long phrase"})["Location"] == path


@pytest.mark.parametrize(("wrong", "words"), [
    ({"username": "ann"}, "is taken"), ({"username": "ANN"}, "is taken"), ({"username": ""}, "required"),
    ({"username": "a b"}, "valid username"), ({"username": "file-3"}, "reserved"), ({"username": "Erased-3"}, "reserved"),
    ({"password1": "short", "password2": "short"}, "too short"), ({"password2": "another phrase"}, "match"),
    ({"username": "cleo long phrase".replace(" ", ""), "password1": "cleolongphrase", "password2": "cleolongphrase"}, "too similar"),
])  # fmt: skip
def test_a_bad_name_or_password_makes_no_account_and_uses_nothing_up(project: Project, client: Client, wrong: dict, words: str) -> None:
    make.ann()
    before, path = User.objects.count(), link(project)
    answer = client.post(path, GOOD | wrong)
    assert answer.status_code == 400 and words in answer.content.decode()
    assert User.objects.count() == before and Invitation.objects.get().used_at is None
    assert client.post(path, GOOD).status_code == 302


def test_a_member_is_told_so_and_the_invitation_stays_unused(project: Project) -> None:
    path = link(project)
    for person in (make.olga(), make.ann(project)):
        assert "is a member of Sums already" in sentence(signed_in(person), path, status=409)
    assert Invitation.objects.get().used_at is None


def test_a_former_member_comes_back_with_the_old_pseudonym(project: Project) -> None:
    make.ann(project)
    before = Membership.objects.get(user=make.ann()).export_uuid
    Membership.objects.filter(user=make.ann()).update(role=Role.FORMER)
    assert signed_in(make.ann()).post(link(project, role=Role.RESEARCHER)).status_code == 302
    assert Membership.objects.filter(user=make.ann()).values_list("role", "export_uuid").get() == ("researcher", before)


def test_a_link_from_before_does_not_undo_a_removal(project: Project) -> None:
    make.ann(project)
    path, membership = link(project), Membership.objects.get(user=make.ann())
    Membership.objects.filter(pk=membership.pk).update(role=Role.FORMER)
    Event.objects.create(actor=make.olga(), verb="remove member", subject=f"membership {membership.pk}")
    assert "You were removed from Sums after this link was made" in sentence(signed_in(make.ann()), path)
    assert signed_in(make.ann()).post(link(project, note="again")).status_code == 302


@pytest.mark.parametrize("role", [Role.MANAGER, Role.OWNER])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_manager_sets_up_a_second_factor_before_the_first_page(
    project: Project, client: Client, settings: Any, role: str, is_new: bool
) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    path = link(project, role=role)
    if not is_new:
        client.force_login(make.eve())
    assert client.post(path, GOOD)["Location"] == "/sign-in/second-factor/"
    assert "authenticator" in client.get("/sign-in/second-factor/").content.decode()
    assert client.get("/").status_code == 302 and not BrowserSession.objects.filter(person__isnull=False).exists()


def test_a_manager_with_a_second_factor_stays_signed_in(project: Project, client: Client, settings: Any) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    TOTPDevice.objects.create(user=make.eve(), confirmed=True)
    client.force_login(make.eve())
    client.post(link(project, role=Role.MANAGER))
    assert client.get("/").status_code == 200


# --- links that let nobody in -------------------------------------------------------------------------------------------------


def test_a_used_link_says_when_and_what_to_do(project: Project, client: Client) -> None:
    path = link(project)
    client.post(path, GOOD)
    shown = sentence(Client(), path)
    assert "was used already" in shown and "tell olga" in shown and "cleo" not in shown
    assert "You used this link already" in sentence(client, path)
    assert not User.objects.filter(username="eve").exists() or "was used already" in sentence(signed_in(make.eve()), path)


def test_a_forwarded_link_lets_in_one_person(project: Project) -> None:
    path = link(project)
    assert signed_in(make.eve()).post(path).status_code == 302
    assert "was used already" in sentence(signed_in(make.ben()), path)
    assert not Membership.objects.filter(user=make.ben()).exists()


def test_a_withdrawn_link_says_so(project: Project, client: Client) -> None:
    path = link(project)
    assert people.withdraw(project, Invitation.objects.get().pk, actor=make.olga()) == "Cleo"
    assert "was withdrawn" in sentence(client, path)
    assert Event.objects.get(verb="withdraw invitation").actor == make.olga()


@pytest.mark.parametrize(("late", "is_dead"), [(timedelta(seconds=-1), True), (timedelta(0), True), (timedelta(minutes=1), False)])
def test_a_link_ends_after_its_time(project: Project, client: Client, late: timedelta, is_dead: bool) -> None:
    path = link(project)
    Invitation.objects.update(expires_at=timezone.now() + late)
    if is_dead:
        assert "too old" in sentence(client, path) and "72 hours" in sentence(client, path)
    else:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 42, "A" * 44, "é" * 43])
def test_a_foreign_link_says_what_is_wrong(client: Client, token: str) -> None:
    assert "no such invitation" in sentence(client, f"/invitations/{token}/", status=404)


@pytest.mark.parametrize("what", ["removed", "demoted", "closed"])
def test_a_link_ends_with_the_right_of_its_maker(project: Project, client: Client, what: str) -> None:
    max_ = make.person("max", project, Role.OWNER)
    path = link(project, role=Role.OWNER if what == "demoted" else Role.MANAGER, actor=max_)
    if what == "closed":
        User.objects.filter(pk=max_.pk).update(is_active=False)
    else:
        Membership.objects.filter(user=max_).update(role=Role.FORMER if what == "removed" else Role.MANAGER)
    assert "can no longer invite" in sentence(client, path)
    assert not User.objects.filter(username="cleo").exists()


def test_an_ended_invitation_is_not_withdrawn(project: Project, client: Client) -> None:
    client.post(link(project), GOOD)
    number = Invitation.objects.get().pk
    with pytest.raises(people.NoInvitation, match="cleo used this link"):
        people.withdraw(project, number, actor=make.olga())
    other = make.project("other")
    make.olga(other)
    with pytest.raises(people.UnknownInvitation):
        people.withdraw(other, number, actor=make.olga())


def test_a_manager_does_not_withdraw_the_invitation_of_an_owner(project: Project) -> None:
    link(project, role=Role.OWNER)
    with pytest.raises(people.NoInvitation, match="above your own"):
        people.withdraw(project, Invitation.objects.get().pk, actor=make.person("max", project, Role.MANAGER))
    assert Invitation.objects.get().withdrawn_at is None


def test_erasing_a_person_empties_the_notes_about_them(project: Project, client: Client) -> None:
    client.post(link(project, note="Cleo <cleo@example.org>"), GOOD)
    link(project, note="someone else")
    Invitation.objects.create(
        project=project, role="labeler", note="CLEO@example.org", token_hash=b"2" * 32, created_by=make.olga(), expires_at=timezone.now()
    )
    people.erase(User.objects.get(username="cleo"), actor=None)
    assert sorted(Invitation.objects.values_list("note", flat=True)) == ["", "", "someone else"]


# --- at the same moment -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_at_the_same_moment_one_wins(project: Project) -> None:
    token, persons = token_of(link(project)), [make.eve(), make.ben()]
    outcomes = make.at_once([lambda person=person: people.accept(token, person=person) for person in persons])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoInvitation", "Project"]
    assert Membership.objects.filter(project=project).count() == 2 and Event.objects.filter(verb="accept invitation").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_links_make_one_membership(project: Project) -> None:
    tokens, eve = [token_of(link(project, note=note)) for note in "ab"], make.eve()
    outcomes = make.at_once([lambda token=token: people.accept(token, person=eve) for token in tokens])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyMember", "Project"]
    assert Invitation.objects.filter(used_by=eve).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_new_people_cannot_take_the_same_name(project: Project) -> None:
    tokens = [token_of(link(project, note=note)) for note in "ab"]
    outcomes = make.at_once([lambda token=token: people.accept_as_new_person(token, name="cleo", password="x") for token in tokens])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoSuchAccount", "tuple"]
    assert Invitation.objects.filter(used_at=None).count() == 1


# --- e-mail -------------------------------------------------------------------------------------------------------------------


def test_links_are_sent_to_the_addresses_in_the_lines(project: Project, settings: Any, mailoutbox: list) -> None:
    settings.EMAIL_HOST, settings.DEFAULT_FROM_EMAIL = "mail.example.org", "stepmark@example.org"
    made = people.invite(project, actor=make.olga(), role=Role.LABELER, text="Ann\nBen <ben@example.org>")
    sent = people.send_invitations(project, made, sender="olga", link_of=lambda path: f"https://x{path}")
    assert sent == {made[1].number}
    (letter,) = mailoutbox
    assert letter.to == ["ben@example.org"] and letter.from_email == "stepmark@example.org" and f"https://x{made[1].path}" in letter.body
    assert "Sums" in letter.subject and "olga invites you" in letter.body


@pytest.mark.parametrize(("error", "n_sent"), [
    (smtplib.SMTPRecipientsRefused({}), 1), (smtplib.SMTPDataError(550, b"no"), 1), (smtplib.SMTPServerDisconnected("gone"), 0),
    (OSError("no route"), 0), (TimeoutError(), 0),
])  # fmt: skip
def test_a_mail_server_that_refuses_leaves_the_links(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: Exception, n_sent: int
) -> None:
    def send(self: object, letters: list) -> int:
        if letters[0].to == ["ann@example.com"]:
            raise error
        return 1

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", send)
    made = people.invite(project, actor=make.olga(), role=Role.LABELER, text="ann@example.com\nben@example.com")
    assert len(people.send_invitations(project, made, sender="olga", link_of=str)) == n_sent
