"""Webhooks through the API: everything that managers can do on the page, with the same refusals as problem documents."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from annotation import webhooks
from annotation.models import Project, Webhook
from tests import make
from tests.annotation.api.test_openapi import requests_of
from tests.api import ask, error_of, send, token_for
from tests.receivers import Receiver, receiving

pytestmark = pytest.mark.django_db
DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "webhooks.md").read_text()
AT = "projects/sums/webhooks"


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.olga(project), scope="write")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *args, **options: None)


def add(token: str, receiver: Receiver, **fields: Any) -> Any:
    return send(AT, token, json.dumps({"address": receiver.address, "kinds": ["round.done"], **fields}))


def test_a_program_adds_a_webhook_tests_it_and_reads_how_that_went(token: str, receiver: Receiver) -> None:
    made = add(token, receiver)
    assert made.status_code == 201
    number, secret = made.json()["number"], made.json()["secret"]
    assert send(f"{AT}/{number}/test", token).status_code == 202
    webhooks.send_due()
    headers, body = receiver.messages[0]
    assert Verifier(secret).verify(body, headers)["type"] == "ping"
    [delivery] = ask(f"{AT}/{number}/deliveries", token).json()["items"]
    assert (delivery["message"], delivery["state"], delivery["body"]) == (headers["webhook-id"], "delivered", body)
    assert [(one["status"], one["answer"], one["failure"]) for one in delivery["tries"]] == [(200, "thanks", "")]
    shown = ask(f"{AT}/{number}", token).json()
    assert "secret" not in shown and shown == ask(AT, token).json()["items"][0] and shown["delivered_at"]
    assert send(f"{AT}/{number}/deliveries/{delivery['number']}/send", token).status_code == 202
    webhooks.send_due()
    assert len(receiver.messages) == 2 and len(set(receiver.ids())) == 1


def test_a_program_changes_the_secret_switches_off_and_on_and_deletes(token: str, receiver: Receiver) -> None:
    made = add(token, receiver).json()
    at = f"{AT}/{made['number']}"
    assert send(f"{at}/secret", token).json()["secret"] not in ("", made["secret"])
    assert send(f"{at}/switch", token, json.dumps({"is_on": False})).json()["is_on"] is False
    assert error_of(send(f"{at}/test", token)) == (409, "webhook_refused")
    assert send(f"{at}/switch", token, json.dumps({"is_on": True})).json()["is_on"] is True
    assert send(f"{at}/delete", token).status_code == 200
    assert error_of(ask(at, token)) == (404, "not_found") and not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"address": "https://evil.example.org/"}, "address"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["ping"]}, "kinds.0"),
        ({"secret": "mine"}, "secret"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_nothing_is_added(token: str, receiver: Receiver, fields: dict[str, Any], name: str) -> None:
    answer = add(token, receiver, **fields)
    assert error_of(answer) == (400, "bad_body") and [fault["name"] for fault in answer.json()["errors"]] == [name]
    assert not Webhook.objects.exists()


def test_lists_go_on_page_by_page(project: Project, token: str, receiver: Receiver) -> None:
    numbers = [add(token, receiver, address=f"{receiver.address}&{n}").json()["number"] for n in range(3)]
    for _ in range(3):
        webhooks.ping(project, numbers[0], actor=None)
    for path in (AT, f"{AT}/{numbers[0]}/deliveries"):
        first = ask(path, token, {"limit": 2}).json()
        second = ask(path, token, {"limit": 2, "cursor": first["next"]}).json()
        found = [row["number"] for row in first["items"] + second["items"]]
        assert len(found) == 3 and found == sorted(set(found)) and second["next"] is None


def test_a_token_that_only_reads_adds_nothing_and_a_researcher_finds_nothing(project: Project, receiver: Receiver) -> None:
    assert error_of(add(token_for(make.olga(project)), receiver)) == (403, "scope_missing")
    assert error_of(ask(AT, token_for(make.rita(project)))) == (404, "not_found")


def test_the_document_says_how_a_webhook_is_added_and_how_its_messages_are_checked(token: str, receiver: Receiver) -> None:
    [asked] = requests_of(DOCUMENT)
    wanted = json.loads(asked["data"])
    made = send(asked["url"].split("/api/v1/")[1], token, json.dumps(wanted | {"address": receiver.address}))
    assert made.status_code == 201 and made.json()["kinds"] == wanted["kinds"]
    webhooks.ping(Project.objects.get(), made.json()["number"], actor=None)
    webhooks.send_due()
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", DOCUMENT, re.S)[0], names)
    headers, body = receiver.messages[0]
    message = names["received"](made.json()["secret"], headers, body.encode())
    [shown] = re.findall(r"```json\n(.*?)```", DOCUMENT, re.S)
    assert message["type"] == "ping" and message.keys() == json.loads(shown).keys()
    with pytest.raises(WebhookVerificationError):
        names["received"](made.json()["secret"], headers, body.encode() + b" ")
