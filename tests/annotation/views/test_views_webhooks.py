"""The pages of webhooks: a secret is shown once, a refusal names its field, the log shows each try."""

import re
from collections.abc import Iterator
from typing import Any

import celery
import pytest
from django.test import Client
from django.urls import reverse
from standardwebhooks import Webhook as Verifier

from annotation import webhooks
from annotation.models import Project, Webhook, WebhookDelivery
from tests import make
from tests.clients import signed_in
from tests.receivers import Receiver, receiving

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *args, **options: None)


LIST = "/p/sums/settings/webhooks/"


def secret_in(html: str) -> str:
    [secret] = re.findall(r'value="(whsec_[^"]+)"', html)
    return secret.replace("&#x2B;", "+").replace("&#43;", "+")


def added(olga: Client, receiver: Receiver) -> tuple[str, str]:
    """Add a webhook through the page, and return its page and its secret."""
    html = olga.post(LIST, {"address": receiver.address, "kinds": ["round.done"]}).content.decode()
    return reverse("webhook", args=["sums", Webhook.objects.latest("pk").pk]), secret_in(html)


def test_a_webhook_that_is_added_on_the_page_shows_its_secret_once_and_a_test_is_signed_with_it(olga: Client, receiver: Receiver) -> None:
    page, secret = added(olga, receiver)
    assert "whsec_" not in olga.get(LIST).content.decode() + olga.get(page).content.decode()
    olga.post(f"{page}test/")
    webhooks.send_due()
    headers, body = receiver.messages[0]
    assert Verifier(secret).verify(body, headers)["type"] == "ping"
    html = olga.get(page).content.decode()
    assert "A test ·" in html and "delivered" in html and "thanks" in html and headers["webhook-id"] in html


def test_a_new_secret_is_shown_once_and_the_page_says_how_long_the_old_one_signs(olga: Client, receiver: Receiver) -> None:
    page, old = added(olga, receiver)
    html = olga.post(f"{page}secret/").content.decode()
    assert secret_in(html) != old and "both secrets sign until" in html
    assert "whsec_" not in olga.get(page).content.decode()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"address": "https://evil.example.org/", "kinds": ["round.done"]}, "This site sends nothing to evil.example.org."),
        ({"address": "", "kinds": ["round.done"]}, "Write the address of your program."),
        ({"address": "https://evil.example.org/"}, "Choose one or more from the list."),
        ({"address": "https://evil.example.org/", "kinds": ["ping"]}, "Choose one or more from the list."),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_added(
    olga: Client, receiver: Receiver, typed: dict[str, Any], words: str
) -> None:
    answer = olga.post(LIST, typed)
    assert answer.status_code == 400 and words in answer.content.decode() and not Webhook.objects.exists()


def test_a_site_without_hosts_says_whom_to_ask_instead_of_a_form(olga: Client, settings: Any) -> None:
    settings.WEBHOOK_HOSTS = ()
    html = olga.get(LIST).content.decode()
    assert "Ask its administrator to name the host of your program" in html and "Add the webhook</button>" not in html


def test_the_log_of_a_webhook_that_fails_says_why_and_sends_again(olga: Client, receiver: Receiver) -> None:
    page, _ = added(olga, receiver)
    receiver.status, receiver.body = 500, b"<b>no room</b>"
    olga.post(f"{page}test/")
    webhooks.send_due()
    html = olga.get(page).content.decode()
    assert "It answered 500." in html and "&lt;b&gt;no room" in html and "failed" in html
    receiver.status = 200
    olga.post(f"{page}deliveries/{WebhookDelivery.objects.get().pk}/send/")
    webhooks.send_due()
    assert "delivered" in olga.get(page).content.decode() and len(set(receiver.ids())) == 1


def test_a_webhook_is_switched_off_and_on_and_deleted_on_its_page(olga: Client, receiver: Receiver) -> None:
    page, _ = added(olga, receiver)
    assert "The webhook is off." in olga.post(f"{page}switch/", follow=True).content.decode()
    assert "Switch it on first" in olga.post(f"{page}test/", follow=True).content.decode()
    assert "The webhook is on." in olga.post(f"{page}switch/", {"on": "1"}, follow=True).content.decode()
    assert "The webhook is deleted." in olga.post(f"{page}delete/", follow=True).content.decode()
    assert olga.get(page).status_code == 404 and not Webhook.objects.exists()


def test_a_log_that_is_longer_than_a_page_goes_on_with_older_deliveries(olga: Client, receiver: Receiver) -> None:
    page, _ = added(olga, receiver)
    for _ in range(webhooks.SHOWN + 1):
        webhooks.ping(Project.objects.get(), Webhook.objects.get().pk, actor=make.olga())
    first = olga.get(page).content.decode()
    [older] = re.findall(r'href="(\?before=\d+)"', first)
    assert first.count("<summary>A test") == webhooks.SHOWN
    assert olga.get(page + older).content.decode().count("<summary>A test") == 1
