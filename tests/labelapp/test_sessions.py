"""Who asks: one statement for session and person, and never a word more believed than Django would."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.test import Client, override_settings
from django.urls import reverse

from labelapp import sessions
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forgotten() -> None:
    sessions._person_of.clear()


@pytest.fixture
def ann() -> Client:
    client = Client()
    client.force_login(make.ann())
    return client


def person(client: Client) -> str | None:
    """Return who the site takes the browser for."""
    answer = client.get(reverse("home"))
    return answer.wsgi_request.user.get_username() if answer.status_code == 200 else None


def ask(client: Client) -> int:
    """Send a background request that is refused for its body, after the site looked who asks."""
    return client.post(reverse("release", args=[1]), data="{", content_type="application/json").status_code


def test_session_and_person_cost_one_statement_from_the_second_request_on(ann: Client, django_assert_num_queries: Any) -> None:
    assert ask(ann) == 400
    with django_assert_num_queries(1):
        assert ask(ann) == 400


def test_a_process_that_never_saw_the_session_finds_its_person(ann: Client) -> None:
    assert [person(ann), person(ann)] == ["ann", "ann"]


def test_a_wrong_guess_is_not_believed(ann: Client) -> None:
    sessions._person_of[ann.session.session_key] = make.ben().pk
    assert [person(ann), person(ann)] == ["ann", "ann"]


def test_a_session_past_its_end_is_nobodys(ann: Client) -> None:
    assert person(ann) == "ann"
    Session.objects.update(expire_date=Now() - timedelta(seconds=1))
    assert person(ann) is None


def test_a_deactivated_person_is_signed_out(ann: Client) -> None:
    assert person(ann) == "ann"
    User.objects.update(is_active=False)
    assert person(ann) is None


def test_a_changed_password_ends_the_other_sessions(ann: Client) -> None:
    assert person(ann) == "ann"
    changed = make.ann()
    changed.set_password("another one")
    changed.save()
    assert person(ann) is None
    assert not Session.objects.exists()


def test_a_removed_person_is_signed_out(ann: Client) -> None:
    assert person(ann) == "ann"
    User.objects.all().delete()
    assert person(ann) is None


def test_who_signs_out_stays_out(ann: Client) -> None:
    assert person(ann) == "ann"
    key = ann.session.session_key
    ann.post(reverse("sign-out"))
    ann.cookies[sessions.settings.SESSION_COOKIE_NAME] = key
    assert person(ann) is None


def test_the_next_person_at_the_same_browser_is_not_the_last(ann: Client) -> None:
    assert person(ann) == "ann"
    ann.force_login(make.ben())
    assert [person(ann), person(ann)] == ["ben", "ben"]


def test_a_session_signed_with_the_last_secret_key_goes_on(ann: Client) -> None:
    old = sessions.settings.SECRET_KEY
    with override_settings(SECRET_KEY="a new one", SECRET_KEY_FALLBACKS=[old]):
        assert [person(ann), person(ann)] == ["ann", "ann"]


def test_a_backend_no_longer_in_use_signs_nobody_in(ann: Client) -> None:
    assert person(ann) == "ann"
    with override_settings(AUTHENTICATION_BACKENDS=["sesame.backends.ModelBackend"]):
        assert person(ann) is None


def test_the_administration_knows_its_people(ann: Client) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    assert [ann.get(reverse("admin:index")).status_code for _ in range(2)] == [200, 200]


def test_what_is_remembered_has_an_end(ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REMEMBERED", 2)
    sessions._person_of.update(dict.fromkeys("ab", 1))
    assert person(ann) == "ann"
    assert list(sessions._person_of) == [ann.session.session_key]
