"""Getting in: links that a preview cannot use up, wrong passwords that are slowed down, and the second factor."""

import re
import struct
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from sesame import tokens_v2

from active_learning.demonstration import found_demonstration, make_demonstration, sign_in_links
from annotation import people
from annotation.ingest import BadProject
from annotation.models import Event, Membership, Project, Role
from labelapp.http.addresses import throttled_address
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db
PASSWORD = "a good long one"


def with_password(person: User) -> User:
    person.set_password(PASSWORD)
    person.save()
    return person


def who(client: Client) -> str | None:
    answer = client.get(reverse("home"))
    return answer.wsgi_request.user.get_username() if answer.status_code == 200 else None


def press(client: Client, link: str, **more: str) -> Any:
    """Press the button on the page of a link."""
    return client.post(reverse("sign-in-link"), {"sesame": link.partition("sesame=")[2], **more})


def try_password(client: Client, name: str, password: str = "wrong", *, address: str = "10.0.0.1", **more: str) -> Any:
    return client.post(reverse("sign-in"), {"username": name, "password": password, **more}, REMOTE_ADDR=address)


def set_up(person: User) -> TOTPDevice:
    """Give a person an app that is ready to use."""
    return TOTPDevice.objects.create(user=person, confirmed=True)


def code_of(app: TOTPDevice, *, later: int = 0) -> str:
    return f"{totp(app.bin_key, t0=-30 * later):06d}"


# --- links --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_opening_a_link_uses_nothing_up(method: str) -> None:
    link = people.link_to_sign_in(make.ann())
    for _ in range(3):
        answer = getattr(Client(), method)(link)
        assert answer.status_code == 200
    client = Client()
    assert "Sign in as ann</button>" in client.get(link).content.decode() and who(client) is None
    assert press(client, link)["Location"] == reverse("home")
    assert who(client) == "ann"


def test_the_button_of_a_link_works_once() -> None:
    link = people.link_to_sign_in(make.ann())
    press(Client(), link)
    client = Client()
    for answer in (client.get(link), press(client, link)):
        assert answer.status_code == 410 and "This link no longer works" in answer.content.decode()
        assert "Ask the manager of your project for a new link" in answer.content.decode()
        assert f'href="{reverse("sign-in")}"' in answer.content.decode()
    assert who(client) is None


def test_two_presses_of_one_button_at_once_sign_in_one_browser(transactional_db: None) -> None:
    token = people.link_to_sign_in(make.ann()).partition("sesame=")[2]
    outcomes = make.at_once([lambda: people.redeem_link(token)] * 4)
    assert sorted(outcomes, key=bool) == [None, None, None, make.ann()]


@pytest.mark.parametrize("token", ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAA", "é" * 30, "a" * 5_000])
def test_a_link_that_is_none_shows_the_way_on(token: str) -> None:
    answer = Client().get(reverse("sign-in-link"), {"sesame": token})
    assert answer.status_code == 410 and "Sign in with your password" in answer.content.decode()


def test_a_link_older_than_a_day_no_longer_works(monkeypatch: pytest.MonkeyPatch) -> None:
    made = int(timezone.now().timestamp()) - tokens_v2.TIMESTAMP_OFFSET - 24 * 3600
    monkeypatch.setattr(tokens_v2, "pack_timestamp", lambda: struct.pack("!i", made))
    link = people.link_to_sign_in(make.ann())
    assert press(Client(), link).status_code == 410


def test_a_link_of_a_closed_account_no_longer_works() -> None:
    link = people.link_to_sign_in(make.ann())
    User.objects.update(is_active=False)
    assert Client().get(link).status_code == press(Client(), link).status_code == 410


def test_a_used_link_leads_somebody_who_is_signed_in_to_their_projects() -> None:
    client, link = Client(), people.link_to_sign_in(make.ann())
    press(client, link)
    html = client.get(link).content.decode()
    assert "You are signed in as ann." in html and "Go to your projects" in html


def test_a_link_says_who_is_signed_out_by_it() -> None:
    client, link = signed_in(make.ben()), people.link_to_sign_in(make.ann())
    assert "You are signed in as ben now, and will be signed out." in client.get(link).content.decode()
    press(client, link)
    assert who(client) == "ann"


@pytest.mark.parametrize(("asked", "to"), [("/keys/", "/keys/"), ("https://evil.example/", "/"), ("//evil.example", "/")])
def test_a_link_leads_on_within_this_site_alone(asked: str, to: str) -> None:
    assert press(Client(), people.link_to_sign_in(make.ann()), next=asked)["Location"] == to


def test_links_of_accounts_that_can_administrate_are_printed_at_the_first_start_only() -> None:
    found_demonstration()
    first, later = (sign_in_links("http://x", is_first_start=is_first) for is_first in (True, False))
    assert [name for name, _, _ in first] == ["olga", "ann", "ben", "rita"]
    assert [name for name, _, _ in later] == ["ann", "ben", "rita"]
    Membership.objects.filter(user__username="ben").update(role=Role.MANAGER)
    assert [name for name, _, _ in sign_in_links("http://x", is_first_start=False)] == ["ann", "rita"]


def test_the_demonstration_is_not_made_beside_other_projects_nor_over_other_accounts() -> None:
    make.ann()
    assert not found_demonstration()
    User.objects.all().delete()
    make.project()
    assert not found_demonstration() and not User.objects.exists()
    with pytest.raises(BadProject, match="The demonstration was not made"):
        make_demonstration()


@pytest.mark.parametrize("is_run", [False, True])
def test_the_owner_of_the_demonstration_runs_the_site_only_if_nobody_does(is_run: bool) -> None:
    if is_run:
        User.objects.create_superuser("boss")
    assert found_demonstration()
    olga = User.objects.get(username="olga")
    assert (olga.is_staff, olga.is_superuser) == (not is_run, not is_run) and people.is_set_up()


def test_a_command_prints_a_new_link() -> None:
    make.ann()
    out = StringIO()
    call_command("sign_in_link", "ann", address="https://label.example.org/", stdout=out)
    site, link = out.getvalue().strip().split("example.org", 1)
    assert site == "https://label." and press(Client(), link)["Location"] == "/"


def test_a_link_is_refused_for_an_account_that_is_closed_or_missing() -> None:
    User.objects.filter(pk=make.ann().pk).update(is_active=False)
    for name in ("ann", "nobody"):
        with pytest.raises(CommandError, match=name) as refused:
            call_command("sign_in_link", name)
        assert refused.value.returncode == 2


def test_a_forgotten_password_is_removed_with_the_link_that_replaces_it() -> None:
    client = signed_in(with_password(make.ann()))
    out = StringIO()
    call_command("sign_in_link", "ann", "--forget-password", address="", stdout=out)
    assert who(client) is None and not User.objects.get().has_usable_password()
    press(client, out.getvalue().strip())
    assert "You have no password yet" in client.get(reverse("account")).content.decode()


# --- wrong passwords ----------------------------------------------------------------------------------------------------


def test_five_wrong_passwords_from_one_address_make_the_name_wait_there() -> None:
    with_password(make.ann())
    answers = [try_password(Client(), "ann") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    answer = try_password(Client(), "ann", PASSWORD)
    assert answer.status_code == 429 and 595 <= int(answer["Retry-After"]) <= 600
    assert "Too many wrong passwords for this name from here. Wait 10 minutes, then try again." in answer.content.decode()


def test_nobody_locks_another_person_out() -> None:
    with_password(make.ann())
    for _ in range(7):
        try_password(Client(), "ann", address="10.6.6.6")
    client = Client()
    assert try_password(client, "ann", PASSWORD, address="10.0.0.1").status_code == 302 and who(client) == "ann"


def test_other_names_from_the_same_address_are_not_kept_waiting() -> None:
    with_password(make.ben())
    for _ in range(6):
        try_password(Client(), "ann")
    assert try_password(Client(), "ben", PASSWORD).status_code == 302


def test_trying_on_while_locked_makes_the_wait_no_longer() -> None:
    with_password(make.ann())
    for _ in range(5):
        try_password(Client(), "ann")
    AccessAttempt.objects.update(attempt_time=Now() - timedelta(minutes=9, seconds=30))
    answer = try_password(Client(), "ann")
    assert "Wait 1 minute, then" in answer.content.decode() and int(answer["Retry-After"]) <= 30
    AccessAttempt.objects.update(attempt_time=Now() - timedelta(minutes=10, seconds=1))
    assert try_password(Client(), "ann", PASSWORD).status_code == 302


def test_the_right_password_forgets_the_wrong_ones() -> None:
    with_password(make.ann())
    for _ in range(3):
        for _ in range(4):
            assert try_password(Client(), "ann").status_code == 200
        assert try_password(Client(), "ann", PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_a_new_browser_or_a_forwarded_address_is_no_new_start() -> None:
    with_password(make.ann())
    for number in range(5):
        client = Client(headers={"user-agent": f"browser {number}", "x-forwarded-for": f"10.1.1.{number}"})
        try_password(client, "ann")
    assert try_password(Client(), "ann", PASSWORD).status_code == 429


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::ffff:10.0.0.1", "10.0.0.1"), ("", None), ("x", None),
    ],
)  # fmt: skip
def test_wrong_passwords_are_counted_for_the_network_of_an_address(address: str, counted: str | None, rf: Any) -> None:
    assert throttled_address(rf.get("/", REMOTE_ADDR=address)) == counted


def test_a_link_signs_in_while_the_password_waits() -> None:
    ann = with_password(make.ann())
    for _ in range(6):
        try_password(Client(), "ann", address="127.0.0.1")
    assert press(Client(), people.link_to_sign_in(ann)).status_code == 302


def test_a_command_lets_a_person_try_again() -> None:
    with_password(make.ann())
    for _ in range(6):
        try_password(Client(), "ann")
    call_command("unlock_sign_in", "ann", stdout=StringIO())
    assert try_password(Client(), "ann", PASSWORD).status_code == 302


def test_a_wrong_password_is_stored_nowhere() -> None:
    try_password(Client(), "ann", "nearly right")
    attempt = AccessAttempt.objects.get()
    assert "nearly" not in attempt.post_data + attempt.get_data


def test_the_administration_has_no_door_of_its_own() -> None:
    answer = Client().get("/admin/login/?next=/admin/auth/user/")
    assert answer["Location"] == f"{reverse('sign-in')}?next=%2Fadmin%2Fauth%2Fuser%2F"
    assert Client().post("/admin/login/", {"username": "ann", "password": "x"}).status_code == 405
    assert Client().get("/admin/", follow=True).redirect_chain[-1][0].startswith(reverse("sign-in"))


def test_the_administration_leads_to_the_account_for_a_new_password() -> None:
    User.objects.create_superuser("adam")
    client = signed_in(User.objects.get())
    for answer in (client.get("/admin/password_change/"), client.post("/admin/password_change/", {"old_password": "x"})):
        assert answer["Location"] == reverse("account")


def test_somebody_without_rights_finds_no_administration() -> None:
    assert signed_in(make.ann()).get("/admin/", follow=True).status_code == 404


# --- the second factor ----------------------------------------------------------------------------------------------------


@pytest.fixture
def production(settings: Any) -> None:
    settings.SECOND_FACTOR_REQUIRED = True


def person_of_kind(kind: str, project: Project) -> User:
    if kind in Role.values:
        return with_password(make.person("olga", project, kind))
    person = with_password(make.person("olga"))
    User.objects.filter(pk=person.pk).update(**{kind: True})
    return person


ADMINISTRATE = [Role.OWNER, Role.MANAGER, "is_staff", "is_superuser"]


@pytest.mark.parametrize("kind", ADMINISTRATE)
@pytest.mark.parametrize("by", ["password", "link"])
def test_who_can_administrate_sets_up_a_second_factor_before_anything_else(production: None, project: Project, kind: str, by: str) -> None:
    olga, client = person_of_kind(kind, project), Client()
    answer = try_password(client, "olga", PASSWORD, next="/keys/") if by == "password" else press(client, people.link_to_sign_in(olga))
    assert answer["Location"] == reverse("sign-in-set-up") and who(client) is None
    html = client.get(reverse("sign-in-set-up")).content.decode()
    app = TOTPDevice.objects.get()
    assert people.secret_of(app) in html and 'src="data:image/svg+xml' in html
    codes = re.findall(r"<li><code>(.*?)</code>", client.post(reverse("sign-in-set-up"), {"code": code_of(app)}).content.decode())
    assert len(set(codes)) == people.CODES and who(client) == "olga"


@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, Role.RESEARCHER])
def test_who_cannot_administrate_needs_no_second_factor(production: None, project: Project, role: str) -> None:
    with_password(make.person("ann", project, role))
    assert try_password(Client(), "ann", PASSWORD)["Location"] == "/"


def test_outside_production_nobody_needs_a_second_factor(project: Project) -> None:
    with_password(make.olga(project))
    assert try_password(Client(), "olga", PASSWORD)["Location"] == "/"


@pytest.mark.parametrize("by", ["password", "link"])
def test_a_second_factor_is_asked_for_after_the_password_and_after_a_link(by: str) -> None:
    ann, client = with_password(make.ann()), Client()
    app = set_up(ann)
    answer = (
        try_password(client, "ann", PASSWORD, next="/keys/")
        if by == "password"
        else press(client, people.link_to_sign_in(ann), next="/keys/")
    )
    assert answer["Location"] == reverse("sign-in-code") and who(client) is None
    assert client.post(reverse("sign-in-code"), {"code": f" {code_of(app)} "})["Location"] == "/keys/"
    assert who(client) == "ann"


def test_a_code_works_once() -> None:
    app = set_up(with_password(make.ann()))
    code = code_of(app)
    for expected in (302, 400):
        client = Client()
        try_password(client, "ann", PASSWORD)
        assert client.post(reverse("sign-in-code"), {"code": code}).status_code == expected


def test_wrong_codes_are_slowed_down_and_the_page_says_for_how_long() -> None:
    app, client = set_up(with_password(make.ann())), Client()
    try_password(client, "ann", PASSWORD)
    TOTPDevice.objects.update(throttling_failure_count=6, throttling_failure_timestamp=Now())
    answer = client.post(reverse("sign-in-code"), {"code": code_of(app)})
    wait = re.search(r"Wait (\d+) seconds", answer.content.decode())
    assert answer.status_code == 400 and wait and 16 < int(wait[1]) <= 32 and who(client) is None  # 2 ** 5, and some are over


@pytest.mark.parametrize("code", ["", "000000000", "abc", "１２３４５６", "9" * 4_000, "12345\u0660"])
def test_a_code_that_is_none_is_refused(code: str) -> None:
    set_up(with_password(make.ann()))
    client = Client()
    try_password(client, "ann", PASSWORD)
    assert client.post(reverse("sign-in-code"), {"code": code}).status_code == 400 and who(client) is None


def test_a_recovery_code_replaces_the_app_once() -> None:
    ann = with_password(make.ann())
    set_up(ann)
    code = people.make_recovery_codes(ann)[3]
    for written, expected in ((code.upper().replace("-", " "), 302), (code, 400)):
        client = Client()
        try_password(client, "ann", PASSWORD)
        assert client.post(reverse("sign-in-code"), {"code": written}).status_code == expected


def test_nobody_gets_to_the_code_without_the_password() -> None:
    app = set_up(with_password(make.ann()))
    client = Client()
    answer = client.post(reverse("sign-in-code"), {"code": code_of(app)})
    assert answer["Location"] == reverse("sign-in") and who(client) is None


def test_the_password_counts_for_ten_minutes() -> None:
    app, client = set_up(with_password(make.ann())), Client()
    try_password(client, "ann", PASSWORD)
    session = client.session
    session["half_signed_in"] |= {"at": timezone.now().timestamp() - 601}
    session.save()
    answer = client.post(reverse("sign-in-code"), {"code": code_of(app)}, follow=True)
    assert "Sign in again" in answer.content.decode() and who(client) is None


def test_a_changed_password_ends_a_sign_in_that_waits_for_its_code() -> None:
    app, client = set_up(with_password(make.ann())), Client()
    try_password(client, "ann", PASSWORD)
    changed = make.ann()
    changed.set_password("another good one")
    changed.save()
    client.post(reverse("sign-in-code"), {"code": code_of(app)})
    assert who(client) is None


def test_who_has_a_second_factor_cannot_set_up_another_one_instead_of_giving_a_code(production: None, project: Project) -> None:
    set_up(with_password(make.olga(project)))
    client = Client()
    try_password(client, "olga", PASSWORD)
    assert client.get(reverse("sign-in-set-up"))["Location"] == reverse("sign-in")
    assert TOTPDevice.objects.filter(confirmed=False).count() == 0


def test_who_becomes_a_manager_signs_in_again_and_sets_up_a_second_factor(production: None, project: Project) -> None:
    client = signed_in(make.ann(project))
    membership = Membership.objects.get(user=make.ann())
    membership.role = Role.MANAGER
    membership.save()
    assert who(client) is None


def test_who_becomes_staff_signs_in_again_and_sets_up_a_second_factor(production: None) -> None:
    client, ann = signed_in(make.ann()), make.ann()
    ann.is_staff = True
    ann.save()
    assert who(client) is None


def test_a_site_that_becomes_a_production_site_ends_the_sessions_without_a_second_factor(project: Project, settings: Any) -> None:
    clients = {name: signed_in(make.person(name, project, role)) for name, role in (("ann", Role.LABELER), ("olga", Role.OWNER))}
    clients["mary"] = signed_in(make.person("mary", project, Role.MANAGER))
    set_up(make.person("mary"))
    User.objects.create_superuser("adam")
    clients["adam"] = signed_in(User.objects.get(username="adam"))
    call_command("migrate", verbosity=0)
    assert all(map(who, clients.values()))
    settings.SECOND_FACTOR_REQUIRED = True
    call_command("migrate", verbosity=0)
    assert {name for name, client in clients.items() if who(client)} == {"ann", "mary"}


def test_who_has_a_second_factor_already_stays_signed_in_as_a_manager(production: None, project: Project) -> None:
    set_up(make.ann(project))
    client = signed_in(make.ann())
    Membership.objects.get(user=make.ann()).save()
    membership = Membership.objects.get(user=make.ann())
    membership.role = Role.MANAGER
    membership.save()
    assert who(client) == "ann"


def test_a_command_resets_the_second_factor() -> None:
    client, out = signed_in(make.ann()), StringIO()
    set_up(make.ann())
    people.make_recovery_codes(make.ann())
    call_command("reset_second_factor", "ann", stdout=out)
    assert out.getvalue() == "The second factor of ann is removed.\n" and who(client) is None
    assert not people.has_second_factor(make.ann()) and Event.objects.get().verb == "remove second factor"
    call_command("reset_second_factor", "ann", stdout=out)
    assert "Nothing was changed." in out.getvalue()
