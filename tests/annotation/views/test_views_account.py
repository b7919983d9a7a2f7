"""Your account: a password of one's own, a second factor, and the browsers in which one is signed in."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation import people
from annotation.models import BrowserSession, Event, Project
from annotation.people.sessions import device_of
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db
PASSWORD = "a good long one"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def ann() -> Client:
    return signed_in(make.ann())


def text(client: Client) -> str:
    return client.get(reverse("account")).content.decode()


def is_in(client: Client) -> bool:
    return client.get(reverse("home")).status_code == 200


def code_of(app: TOTPDevice) -> str:
    return f"{totp(app.bin_key):06d}"


def new_password(client: Client, password: str = PASSWORD, **more: str) -> Any:
    return client.post(reverse("set-password"), {"new_password1": password, "new_password2": password, **more})


# --- the password -------------------------------------------------------------------------------------------------------


def test_somebody_without_a_password_sets_one_and_signs_in_with_it() -> None:
    make.ann().set_unusable_password()
    User.objects.update(password="!nothing")
    ann = signed_in(make.ann())
    assert "You have no password yet" in text(ann) and "present password" not in text(ann)
    assert new_password(ann)["Location"] == reverse("account") and is_in(ann)
    fresh = Client()
    assert fresh.post(reverse("sign-in"), {"username": "ann", "password": PASSWORD})["Location"] == "/"
    assert Event.objects.get().verb == "set password"


def test_a_password_changes_with_the_present_one_alone() -> None:
    person = make.ann()
    person.set_password(PASSWORD)
    person.save()
    ann = signed_in(person)
    for refused in (new_password(ann, "another good one"), new_password(ann, "another good one", present="wrong")):
        assert refused.status_code == 400 and make.ann().check_password(PASSWORD)
    assert new_password(ann, "another good one", present=PASSWORD).status_code == 302
    assert make.ann().check_password("another good one")


def test_wrong_present_passwords_are_counted_as_on_the_sign_in_page() -> None:
    person = make.ann()
    person.set_password(PASSWORD)
    person.save()
    ann = signed_in(person)
    for _ in range(5):
        answer = new_password(ann, "another good one", present="wrong")
    assert "Too many wrong passwords. Wait 10 minutes, then try again." in answer.content.decode()
    assert new_password(ann, "another good one", present=PASSWORD).status_code == 400


@pytest.mark.parametrize("password", ["short", "password123456"[:8], "qwertyuiop", "ann@example.org"])
def test_a_weak_password_is_refused_with_the_reason(ann: Client, password: str) -> None:
    User.objects.update(password="!nothing")
    ann = signed_in(make.ann())
    answer = new_password(ann, password)
    assert answer.status_code == 400 and re.search(r'class="fault" id="fault-new_password2">[A-Z]', answer.content.decode())


def test_a_new_password_ends_the_other_sessions() -> None:
    User.objects.filter(pk=make.ann().pk).update(password="!nothing")
    here, there = signed_in(make.ann()), signed_in(make.ann())
    new_password(here)
    assert is_in(here) and not is_in(there)
    assert BrowserSession.objects.filter(person=make.ann()).count() == 1


# --- sessions -----------------------------------------------------------------------------------------------------------


def test_the_sessions_are_listed_with_browser_and_time(ann: Client) -> None:
    other = Client(headers={"user-agent": FIREFOX})
    other.post(reverse("sign-in-link"), {"sesame": people.link_to_sign_in(make.ann()).partition("sesame=")[2]})
    BrowserSession.objects.filter(device=FIREFOX).update(seen_at=Now() - timedelta(hours=2))
    html = text(ann)
    assert "Firefox on Linux" in html and "2\xa0hours ago" in html and html.count("this browser") == 1
    assert not any(key in html for key in BrowserSession.objects.values_list("session_key", flat=True))


def test_one_session_is_ended(ann: Client) -> None:
    other = signed_in(make.ann())
    (name,) = re.findall(r'name="session" value="(\w+)"', text(ann))
    ann.post(reverse("end-session"), {"session": name})
    assert is_in(ann) and not is_in(other)


def test_all_other_sessions_are_ended(ann: Client) -> None:
    others, bens = [signed_in(make.ann()) for _ in range(3)], signed_in(make.ben())
    answer = ann.post(reverse("end-session"), {"others": "1"}, follow=True)
    assert "3 sessions ended." in answer.content.decode()
    assert is_in(ann) and is_in(bens) and not any(map(is_in, others))


def test_nobody_ends_the_session_of_somebody_else(ann: Client) -> None:
    ben = signed_in(make.ben())
    (session,) = people.sessions_of(make.ben(), current=None)
    answer = ann.post(reverse("end-session"), {"session": session.name}, follow=True)
    assert "had ended already" in answer.content.decode() and is_in(ben)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.0", "Another program"),
        ("", "Another program"),
    ],
)
def test_a_browser_is_named_in_words(written: str, words: str) -> None:
    assert device_of(written) == words


# --- the second factor --------------------------------------------------------------------------------------------------


def test_a_labeler_can_have_a_second_factor_too(ann: Client) -> None:
    assert "It is off." in text(ann)
    address = reverse("set-up-second-factor")
    assert ann.get(address).content.decode().count(people.secret_of(TOTPDevice.objects.get())) == 1
    assert ann.post(address, {"code": "000000"}).status_code == 400 and not people.has_second_factor(make.ann())
    TOTPDevice.objects.update(throttling_failure_count=0)
    html = ann.post(address, {"code": code_of(TOTPDevice.objects.get())}).content.decode()
    assert "This page shows them only once" in html and "It is on" in text(ann)
    assert ann.get(address)["Location"] == reverse("account")


def test_recovery_codes_are_not_stored_as_they_are(ann: Client) -> None:
    from django_otp.plugins.otp_static.models import StaticToken

    codes = people.make_recovery_codes(make.ann())
    stored = set(StaticToken.objects.values_list("token", flat=True))
    assert len(stored) == people.CODES and not stored & {code for shown in codes for code in (shown, shown.replace("-", ""))}


@pytest.mark.parametrize("act", ["remove", "codes"])
def test_the_second_factor_changes_with_a_code_alone(ann: Client, act: str) -> None:
    app = TOTPDevice.objects.create(user=make.ann(), confirmed=True)
    address = reverse("change-second-factor")
    assert ann.post(address, {act: "1", "code": "123"}).status_code == 400 and people.has_second_factor(make.ann())
    answer = ann.post(address, {act: "1", "code": code_of(app)}, follow=True)
    assert ("The second factor is removed." if act == "remove" else "Your recovery codes") in answer.content.decode()
    assert people.has_second_factor(make.ann()) == (act != "remove")


def test_where_it_is_required_a_removed_second_factor_is_set_up_anew(settings: Any, project: Project) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    app = TOTPDevice.objects.create(user=make.olga(project), confirmed=True)
    olga = signed_in(make.olga())
    assert "Set up another app" in text(olga)
    answer = olga.post(reverse("change-second-factor"), {"remove": "1", "code": code_of(app)})
    assert answer["Location"] == reverse("set-up-second-factor")
