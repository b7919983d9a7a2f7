"""Who asks: one statement for session and person, and never a word more believed than Django would."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client, override_settings
from django.urls import reverse

from annotation.models import BrowserSession
from annotation.views.shown_numbers import shown_number
from labelapp.http import sessions
from tests import make

pytestmark = pytest.mark.django_db


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
    return client.post(reverse("release", args=[shown_number(1)]), data="{", content_type="application/json").status_code


def test_session_and_person_cost_one_statement(ann: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert ask(ann) == 400


def test_the_row_of_a_session_does_not_decide_whose_it_is(ann: Client) -> None:
    BrowserSession.objects.update(person=make.ben())
    assert person(ann) == "ann"


def test_that_a_browser_was_seen_is_written_once_in_five_minutes(ann: Client, django_assert_num_queries: Any) -> None:
    BrowserSession.objects.update(seen_at=Now() - timedelta(minutes=6))
    with django_assert_num_queries(2):
        assert ask(ann) == 400
    with django_assert_num_queries(1):
        assert ask(ann) == 400
    assert BrowserSession.objects.get(seen_at__gt=Now() - timedelta(minutes=1)).person == make.ann()


def test_a_session_past_its_end_is_nobodys(ann: Client) -> None:
    assert person(ann) == "ann"
    # By more than a test takes: within its transaction the site's clock stands at the beginning.
    BrowserSession.objects.update(expire_date=Now() - timedelta(minutes=10))
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
    assert not BrowserSession.objects.exists()


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


def test_a_sign_in_removes_the_expired_sessions_of_the_person(ann: Client) -> None:
    BrowserSession.objects.update(expire_date=Now() - timedelta(minutes=10))
    ann.cookies.clear()
    ann.force_login(make.ann())
    assert BrowserSession.objects.count() == 1
