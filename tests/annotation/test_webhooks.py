"""Webhooks: what is told, how it is signed, to which hosts it goes, what follows when nobody takes it, and what a kill leaves."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import BufferedIOBase
from typing import Any

import celery
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError as BrokerUnreachable
from standardwebhooks import Webhook as Verifier
from standardwebhooks.exceptions import WebhookVerificationError

from active_learning import rounds
from active_learning.models import RoundState
from active_learning.rounds import states
from annotation import export, queue, tasks, webhooks
from annotation.models import Batch, Event, Notification, Project, Webhook, WebhookDelivery, WebhookEvent, WebhookTry
from annotation.webhooks import BadAddress, WebhookRefused, hosts, outbox, sending
from labelapp.environment import WebhookHost
from tests import make, racing
from tests.assignments import hand_in
from tests.receivers import Receiver, receiving
from tests.waiting import POLL_SECONDS

pytestmark = pytest.mark.django_db
EVERYTHING = ["batch.done", "round.done", "snapshot.ready"]


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.ann(made), make.olga(made)
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep what workers are asked, and ask none."""
    names: list[str] = []
    monkeypatch.setattr(celery.Celery, "send_task", lambda _, name, *args, **options: names.append(name))
    return names


def add(project: Project, receiver: Receiver, *kinds: str) -> str:
    """Add a webhook to the receiver, and return its secret."""
    return webhooks.add_webhook(project, address=receiver.address, kinds=kinds or EVERYTHING, actor=make.olga())[1]


def end_round(project: Project, state: RoundState = RoundState.FAILED) -> None:
    states.end(make.round_of(project, {}, state="selecting"), state, "No labels.")


def data_of(message: tuple[dict[str, str], str]) -> Any:
    return json.loads(message[1])["data"]


def come_due() -> None:
    """Let the time pass until each next try."""
    WebhookDelivery.objects.filter(state="waiting").update(next_at=Now())


def failures() -> list[str]:
    return list(WebhookTry.objects.order_by("pk").values_list("failure", flat=True))


def label_all(project: Project, *, person: User | None = None) -> None:
    person = person or make.ann()
    while True:
        try:
            hand_in(queue.lease_next(person, project=project), person)
        except queue.NothingToLabel:
            return


# --- what is told -------------------------------------------------------------------------------------------------------------


def test_a_round_that_ends_is_told_with_its_number_its_state_and_its_address(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    end_round(project)
    assert webhooks.send_due() == 1, failures()
    message = json.loads(receiver.messages[0][1])
    assert (message["type"], set(message)) == ("round.done", {"type", "timestamp", "data"})
    assert message["data"] == {
        "project": "sums",
        "number": 0,
        "state": "failed",
        "address": "http://localhost:8000/api/v1/projects/sums/rounds/0",
    }


def test_a_proposal_that_a_person_publishes_and_a_round_that_is_cancelled_are_told(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    proposal = make.round_of(project, {"uniform": make.solutions(project, 1)}, state="proposed")
    rounds.publish(project, proposal.number, actor=make.olga())
    second = make.round_of(project, {}, state="queued", generation=1)
    rounds.cancel(project, second.number, actor=make.olga())
    webhooks.send_due()
    assert [data_of(message)["state"] for message in receiver.messages] == ["published", "cancelled"]


def test_a_snapshot_is_told_when_a_person_takes_it_and_not_when_a_training_lists_its_labels(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    make.batch(project, make.solutions(project, 1))
    label_all(project)
    export.take_snapshot(project, use=export.datasets.Use.TRAINING)
    taken = export.take_dataset(project)
    webhooks.send_due()
    kept = [data_of(message) for message in receiver.messages if json.loads(message[1])["type"] == "snapshot.ready"]
    assert [(data["number"], data["state"], data["annotations"]) for data in kept] == [(taken.number, "ready", 1)]


def test_a_batch_is_told_once_when_all_of_it_is_labeled(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    batch = make.batch(project, make.solutions(project, 2))
    lease = queue.lease_next(make.ann(), project=project)
    hand_in(lease, make.ann())
    assert webhooks.tell_batches() == 0  # the second solution is open
    queue.lease_next(make.ann(), project=project)
    assert webhooks.tell_batches() == 0  # somebody holds it
    label_all(project)
    assert (webhooks.tell_batches(), webhooks.tell_batches()) == (1, 0)
    webhooks.send_due()
    [message] = receiver.messages
    assert data_of(message) == {
        "project": "sums",
        "batch": batch.pk,
        "generation": 0,
        "state": "done",
        "address": f"http://localhost:8000/api/v1/projects/sums/batches/{batch.pk}",
    }


def test_a_batch_that_a_manager_closes_is_told_as_closed(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    batch = make.batch(project, make.solutions(project, 1))
    queue.close_batch(batch, actor=make.olga())
    webhooks.tell_batches()
    webhooks.send_due()
    assert [data_of(message)["state"] for message in receiver.messages] == ["closed"]


def test_what_was_done_before_a_webhook_was_added_or_while_it_was_off_is_not_told(project: Project, receiver: Receiver) -> None:
    make.batch(project, make.solutions(project, 1))
    label_all(project)
    add(project, receiver)
    assert webhooks.tell_batches() == 0
    number = Webhook.objects.get().pk
    webhooks.switch(project, number, is_on=False, actor=make.olga())
    make.batch(project, make.solutions(project, 1), generation=1)
    label_all(project)
    end_round(project)
    webhooks.switch(project, number, is_on=True, actor=make.olga())
    assert (webhooks.tell_batches(), webhooks.send_due()) == (0, 0)
    assert Batch.objects.count() == WebhookEvent.objects.count() == 2


def test_a_second_webhook_takes_no_batch_away_from_the_first(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    make.batch(project, make.solutions(project, 1))
    label_all(project)
    webhooks.add_webhook(project, address=f"{receiver.address}&second=1", kinds=EVERYTHING, actor=make.olga())
    webhooks.send_due()
    assert [data_of(message)["state"] for message in receiver.messages] == ["done"]


def test_a_webhook_is_told_only_what_it_was_added_for_and_only_of_its_project(project: Project, receiver: Receiver) -> None:
    add(project, receiver, "snapshot.ready")
    other = make.project("other")
    make.olga(other)
    end_round(project)
    end_round(other)
    assert not WebhookEvent.objects.exists()


def test_a_submit_asks_the_database_no_more_with_a_webhook_than_without(project: Project, receiver: Receiver) -> None:
    counts = []
    for generation in range(2):
        make.batch(project, make.solutions(project, 1), generation=generation)
        lease = queue.lease_next(make.ann(), project=project)
        with CaptureQueriesContext(connection) as queries:
            hand_in(lease, make.ann())
        counts.append(len(queries))
        if not generation:
            add(project, receiver)
    assert counts[0] == counts[1]


# --- signatures ---------------------------------------------------------------------------------------------------------------


def test_a_message_is_verified_by_the_library_of_the_standard_and_a_changed_one_is_not(project: Project, receiver: Receiver) -> None:
    secret = add(project, receiver)
    end_round(project)
    webhooks.send_due()
    headers, body = receiver.messages[0]
    assert Verifier(secret).verify(body, headers)["type"] == "round.done"
    assert headers["content-type"] == "application/json" and headers["webhook-id"].startswith("msg_")
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace("failed", "published"), headers)


def test_after_a_change_of_the_secret_both_sign_for_a_day_and_then_the_new_one_alone(project: Project, receiver: Receiver) -> None:
    old = add(project, receiver)
    new = webhooks.change_secret(project, Webhook.objects.get().pk, actor=make.olga())
    assert new != old
    for secrets_that_hold in ({old, new}, {new}):
        webhooks.ping(project, Webhook.objects.get().pk, actor=make.olga())
        webhooks.send_due()
        headers, body = receiver.messages[-1]
        for secret in (old, new):
            try:
                Verifier(secret).verify(body, headers)
                assert secret in secrets_that_hold
            except WebhookVerificationError:
                assert secret not in secrets_that_hold
        Webhook.objects.update(old_until=Now() - timedelta(seconds=1))


def test_the_database_holds_no_secret_and_another_secret_key_is_noticed(project: Project, receiver: Receiver) -> None:
    secret = add(project, receiver)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stored = Webhook.objects.values_list("nonce", "mark").get()
    assert len(key) == 32 and all(bytes(value)[:8] not in key for value in stored)
    with override_settings(SECRET_KEY="another" * 10):
        end_round(project)
        assert webhooks.send_due() == 0
    assert failures() == ["The secret of this webhook was made with another SECRET_KEY of the site. Make a new secret."]
    assert not receiver.messages


# --- hosts --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://evil.example.org/x", "sends nothing to evil.example.org. Ask its administrator to add evil.example.org"),
        ("http://hooks.example.org/x", "sends nothing to http://hooks.example.org."),
        ("https://hooks.example.org:8443/x", "sends nothing to hooks.example.org:8443."),
        ("https://hooks.example.org.evil.org/x", "sends nothing to hooks.example.org.evil.org."),
        ("https://below.example.net.evil.org/", "sends nothing to below.example.net.evil.org."),
        ("https://name:word@hooks.example.org/", "Leave out the name and the password."),
        ("https://hooks.example.org@evil.org/", "Leave out the name and the password."),
        ("https://hooks.example.org/#x", "Leave out the #"),
        ("ftp://hooks.example.org/", "Write the address with https://"),
        ("https:///x", "Write the address with https://"),
        ("https://hooks.example.org:99999/", "This is not an address."),
        ("https://hooks.example.org/ x", "Write an address such as"),
        ("https://hooks.example.org/\r\nHost: x", "Write an address such as"),
        ("https://hööks.example.org/", "in ASCII"),
        ("https://hooks.example.org/" + "x" * 500, "up to 500 characters"),
        ("", "Write an address such as"),
    ],
)
def test_an_address_that_is_none_or_whose_host_nobody_allowed_is_refused(project: Project, address: str, words: str, settings: Any) -> None:
    settings.WEBHOOK_HOSTS = (WebhookHost("https", "hooks.example.org", 443, False), WebhookHost("https", ".example.net", 443, False))
    with pytest.raises(WebhookRefused) as refused:
        webhooks.add_webhook(project, address=address, kinds=EVERYTHING, actor=make.olga())
    assert words in str(refused.value) and refused.value.field == "address"
    assert not Webhook.objects.exists() and not Event.objects.exists()


@pytest.mark.parametrize("address", ["https://HOOKS.example.org./x", "https://hooks.example.org:443", "https://below.example.net/?a=b"])
def test_an_allowed_host_is_known_however_it_is_written(address: str, settings: Any) -> None:
    settings.WEBHOOK_HOSTS = (WebhookHost("https", "hooks.example.org", 443, False), WebhookHost("https", ".example.net", 443, False))
    assert hosts.place_of(address).port == 443


def test_a_host_that_is_not_allowed_any_more_gets_nothing(project: Project, receiver: Receiver, settings: Any) -> None:
    add(project, receiver)
    end_round(project)
    settings.WEBHOOK_HOSTS = ()
    webhooks.send_due()
    assert "This site sends nothing to http://127.0.0.1" in failures()[0] and not receiver.messages


def test_a_name_that_stands_for_this_machine_gets_nothing_unless_the_administrator_meant_that(
    project: Project, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_HOSTS = (receiver.host("localhost", is_private=False),)
    address = f"http://localhost:{receiver.port}/"
    webhooks.add_webhook(project, address=address, kinds=EVERYTHING, actor=make.olga())
    end_round(project)
    webhooks.send_due()
    assert "which is inside a private network" in failures()[0] and not receiver.messages
    settings.WEBHOOK_HOSTS = (receiver.host("localhost"),)
    come_due()
    assert webhooks.send_due() == 1


@pytest.mark.parametrize(
    ("number", "is_private", "is_reached"),
    [
        ("93.184.216.34", False, True),
        ("2606:2800:220:1:248:1893:25c8:1946", False, True),
        ("10.0.0.5", False, False),
        ("10.0.0.5", True, True),
        ("127.0.0.1", True, True),
        ("192.168.1.1", False, False),
        ("100.64.0.1", False, False),
        ("::1", False, False),
        ("fd00::1", False, False),
        ("::ffff:10.0.0.5", False, False),
        ("64:ff9b::a00:5", False, False),
        ("2002:a00:5::", False, False),
        ("64:ff9b:1::a00:5", False, False),
        ("::10.0.0.5", False, False),
        ("fec0::5", False, False),
        ("fec0::5", True, True),
        ("169.254.169.254", True, False),
        ("::ffff:169.254.169.254", True, False),
        ("0.0.0.0", True, False),
        ("224.0.0.1", True, False),
    ],
)
def test_what_a_name_stands_for_decides_whether_it_is_reached(
    number: str, is_private: bool, is_reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [(2, 1, 6, "", (number, 443))])
    if is_reached:
        assert hosts.numbers_of("hooks.example.org", 443, is_private=is_private) == [number]
    else:
        with pytest.raises(BadAddress, match=r"hooks\.example\.org stands for"):
            hosts.numbers_of("hooks.example.org", 443, is_private=is_private)


# --- receivers that do not take it --------------------------------------------------------------------------------------------


def test_a_redirect_is_not_followed_and_the_log_says_so(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    receiver.status, receiver.headers = 307, {"Location": receiver.address.replace("/hook", "/elsewhere")}
    end_round(project)
    webhooks.send_due()
    assert failures() == ["It answered 307 and named another address. Redirects are not followed. Correct the address of the webhook."]
    assert len(receiver.messages) == 1


def test_a_receiver_that_answers_500_for_a_day_is_tried_seven_times_under_one_id_and_then_switched_off(
    project: Project, receiver: Receiver
) -> None:
    add(project, receiver)
    receiver.status, receiver.body = 500, b"broken\0 " + b"x" * 2000
    end_round(project)
    waits = []
    for _ in range(20):
        come_due()
        webhooks.send_due()
        waits += WebhookDelivery.objects.filter(state="waiting").values_list("next_at", flat=True)
    now = WebhookDelivery.objects.get().began_at
    minutes = [(moment - now).total_seconds() / 60 for moment in waits]
    assert [round(wait / 4**power, 0) for power, wait in enumerate(minutes)] == [1] * 6  # 1, 4, 16 .. minutes, a tenth more or less
    assert len(set(receiver.ids())) == 1 and len(receiver.messages) == 7
    assert failures() == ["It answered 500."] * 7
    answers = set(WebhookTry.objects.values_list("status", "answer"))
    assert answers == {(500, "broken " + "x" * 492)}
    assert WebhookDelivery.objects.get().state == "failed"
    webhook = Webhook.objects.get()
    assert (webhook.is_on, webhook.why_off) == (False, "It took no message for a day. The last failure: It answered 500.")
    assert Notification.objects.filter(person=make.olga(), kind="webhook").count() == 1
    assert Event.objects.filter(verb="switch off webhook", actor=None).count() == 1


@pytest.mark.parametrize(
    ("status", "said", "minutes"),
    [
        (429, "1800", 30),
        (503, "Wed, 01 Jan 2200 00:00:00 GMT", 1024),  # no longer than the longest wait of the schedule
        (503, "9" * 400, 1024),
        (429, "1", 1),  # never less than the wait of the schedule
        (503, "Fri, 31 Dec 1999 23:59:59 GMT", 1),
        (503, "soon", 1),
        (500, "1800", 1),  # with another status the header says nothing
    ],
)
def test_a_busy_receiver_is_asked_again_when_it_says_within_the_limits_of_the_schedule(
    project: Project, receiver: Receiver, status: int, said: str, minutes: int
) -> None:
    add(project, receiver)
    receiver.status, receiver.headers = status, {"Retry-After": said}
    end_round(project)
    webhooks.send_due()
    delivery = WebhookDelivery.objects.get()
    assert round((delivery.next_at - delivery.began_at).total_seconds() / 60) == minutes, failures()


def test_a_webhook_that_is_switched_on_again_gets_what_waited(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    end_round(project)
    Webhook.objects.update(is_on=False, why_off="It took no message for a day.")
    assert webhooks.send_due() == 0
    webhooks.switch(project, Webhook.objects.get().pk, is_on=True, actor=make.olga())
    assert webhooks.send_due() == 1 and Webhook.objects.get().why_off == ""


def test_a_webhook_that_took_other_messages_meanwhile_stays_on_after_the_last_try_of_one(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    end_round(project)
    WebhookDelivery.objects.update(failures=6, began_at=Now() - timedelta(days=1))
    webhooks.ping(project, Webhook.objects.get().pk, actor=make.olga())
    WebhookDelivery.objects.filter(event__kind="round.done").update(next_at=Now() + timedelta(hours=1))
    webhooks.send_due()
    come_due()
    receiver.status = 422
    webhooks.send_due()
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered", "failed"}
    assert Webhook.objects.get().is_on and not Notification.objects.filter(kind="webhook").exists()


def test_a_receiver_that_answers_410_is_switched_off_at_once(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    receiver.status = 410
    end_round(project)
    webhooks.send_due()
    assert Webhook.objects.get().why_off == "It answered 410: the receiver wants no more messages."


def test_a_receiver_whose_body_never_ends_has_taken_the_message_and_holds_nobody_up(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(out: BufferedIOBase) -> None:
        while not receiver.ended.wait(POLL_SECONDS):
            out.write(b".")
            out.flush()

    receiver.write = drip
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.2)
    add(project, receiver)
    end_round(project)
    assert webhooks.send_due() == 1
    assert set(WebhookTry.objects.get().answer) == {"."}


def test_a_receiver_that_sends_a_byte_now_and_then_is_left_when_the_time_is_over(
    project: Project, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    never = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.WEBHOOK_HOSTS = (WebhookHost("http", "127.0.0.1", port, True),)
        webhooks.add_webhook(project, address=f"http://127.0.0.1:{port}/", kinds=EVERYTHING, actor=make.olga())
        end_round(project)

        def drip() -> None:
            taken, _ = server.accept()
            with taken:
                taken.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                try:
                    while True:
                        taken.sendall(b"x")
                        never.wait(POLL_SECONDS)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        assert webhooks.send_due() == 0
        thread.join()
    assert failures() == ["The receiver did not answer within 0 seconds."]


def test_an_answer_of_any_length_is_read_only_to_its_beginning(project: Project, receiver: Receiver) -> None:
    written = []

    def flood(out: BufferedIOBase) -> None:
        for _ in range(1000):
            out.write(b"y" * 100_000)
            written.append(1)

    receiver.write = flood
    add(project, receiver)
    end_round(project)
    assert webhooks.send_due() == 1
    assert WebhookTry.objects.get().answer == "y" * 500 and len(written) < 1000


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n"])
def test_a_receiver_that_does_not_speak_http_or_is_away_is_named_in_the_log(project: Project, answer: bytes, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.WEBHOOK_HOSTS = (WebhookHost("http", "127.0.0.1", port, True),)
        webhooks.add_webhook(project, address=f"http://127.0.0.1:{port}/", kinds=EVERYTHING, actor=make.olga())
        end_round(project)

        def speak() -> None:
            taken, _ = server.accept()
            with taken:
                while b"}" not in taken.recv(10_000):
                    pass
                taken.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        webhooks.send_due()
        thread.join()
    come_due()
    webhooks.send_due()  # nobody listens any more
    assert failures()[0].startswith("The receiver does not answer in HTTP (") and len(failures()[0]) <= 500
    assert failures()[1].startswith("The receiver cannot be reached (")


def test_a_receiver_that_fails_holds_up_no_other(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    with receiving() as second:
        second.status = 500
        with override_settings(WEBHOOK_HOSTS=(receiver.host(), second.host())):
            webhooks.add_webhook(project, address=second.address, kinds=EVERYTHING, actor=make.olga())
            end_round(project)
            end_round(project)
            assert webhooks.send_due() == 2
        assert (len(receiver.messages), len(second.messages)) == (2, 1)  # the one that fails is not asked again in this run


# --- kills and races ------------------------------------------------------------------------------------------------------------


def test_what_is_told_in_a_transaction_that_is_not_committed_is_not_told(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        end_round(project)
        raise KeyboardInterrupt
    assert not WebhookEvent.objects.exists()


def test_a_kill_between_an_event_and_its_sending_loses_nothing(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise BrokerUnreachable("no broker")

    monkeypatch.setattr(celery.Celery, "send_task", unreachable)
    add(project, receiver)
    with django_capture_on_commit_callbacks(execute=True):
        end_round(project)
    assert tasks.look_for_webhooks() == 1  # what beat asks for each minute
    assert len(receiver.messages) == 1


def test_a_worker_that_is_killed_while_it_sends_leaves_the_delivery_to_the_next_with_the_same_id(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(project, receiver)
    end_round(project)
    send = sending.send

    def killed(*args: Any, **options: Any) -> Any:
        send(*args, **options)
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(sending, "send", killed)
        webhooks.send_due()
    assert webhooks.send_due() == 0  # nobody takes it before the worker can be thought lost
    come_due()
    assert webhooks.send_due() == 1
    assert len(receiver.messages) == 2 and len(set(receiver.ids())) == 1
    assert list(WebhookTry.objects.order_by("number").values_list("number", "status")) == [(1, None), (2, 200)]


def test_a_worker_that_comes_back_late_changes_nothing_of_a_later_try(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    end_round(project)
    [late] = outbox._claim([])
    come_due()
    assert webhooks.send_due() == 1
    outbox._record(late, sending.Sent(500, "", "It answered 500.", 1))
    outbox._record(late, sending.Sent(410, "", "It answered 410.", 1))
    assert WebhookDelivery.objects.get().state == "delivered" and Webhook.objects.get().is_on


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_one_delivery_once(project: Project, receiver: Receiver) -> None:
    add(project, receiver)

    def act(_: int) -> int:
        return webhooks.send_due()

    def check(number: int, outcomes: list[Any]) -> None:
        assert sorted(outcomes) == [0, 1] and len(set(receiver.ids())) == len(receiver.messages) == number + 1

    racing.rounds(6, [act, act], before=lambda _: end_round(project), after=check)


# --- managing -------------------------------------------------------------------------------------------------------------------


def test_a_test_is_sent_once_and_its_failure_switches_nothing_off(project: Project, receiver: Receiver) -> None:
    secret = add(project, receiver, "round.done")
    number = Webhook.objects.get().pk
    receiver.status = 500
    webhooks.ping(project, number, actor=make.olga())
    webhooks.send_due()
    come_due()
    assert webhooks.send_due() == 0 and Webhook.objects.get().is_on
    headers, body = receiver.messages[0]
    assert Verifier(secret).verify(body, headers)["type"] == "ping" and len(receiver.messages) == 1


def test_a_message_is_sent_again_under_its_id(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    end_round(project)
    webhooks.send_due()
    number = Webhook.objects.get().pk
    [delivery] = webhooks.deliveries_of(project, number)
    webhooks.send_again(project, number, delivery.number, actor=make.olga())
    webhooks.send_due()
    assert len(receiver.messages) == 2 and len(set(receiver.ids())) == 1
    assert receiver.messages[0][1] == receiver.messages[1][1]
    [delivery] = webhooks.deliveries_of(project, number)
    assert (delivery.state, [one.number for one in delivery.tries]) == ("delivered", [2, 1])


def test_a_webhook_that_is_off_is_neither_tested_nor_sent_anything_again(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    end_round(project)
    number = Webhook.objects.get().pk
    webhooks.switch(project, number, is_on=False, actor=make.olga())
    for act in (webhooks.ping, lambda *args, actor: webhooks.send_again(*args, 1, actor=actor)):
        with pytest.raises(WebhookRefused, match="Switch it on first"):
            act(project, number, actor=make.olga())  # type: ignore[operator]


def test_an_address_is_added_once_and_a_project_has_ten_webhooks_at_most(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    with pytest.raises(WebhookRefused, match="has a webhook with this address"):
        add(project, receiver)
    for place in range(webhooks.MOST_WEBHOOKS - 1):
        webhooks.add_webhook(project, address=f"{receiver.address}&{place}", kinds=EVERYTHING, actor=make.olga())
    with pytest.raises(WebhookRefused, match="has 10 webhooks"):
        webhooks.add_webhook(project, address=f"{receiver.address}&more", kinds=EVERYTHING, actor=make.olga())


@pytest.mark.parametrize("kinds", [[], ["ping"], ["round.done", "x"]])
def test_events_that_do_not_exist_are_refused(project: Project, receiver: Receiver, kinds: list[str]) -> None:
    with pytest.raises(WebhookRefused, match="Choose what is reported") as refused:
        webhooks.add_webhook(project, address=receiver.address, kinds=kinds, actor=make.olga())
    assert refused.value.field == "kinds"


def test_every_change_is_an_event_that_names_the_host_and_neither_the_address_nor_the_secret(project: Project, receiver: Receiver) -> None:
    secret = add(project, receiver)
    number = Webhook.objects.get().pk
    webhooks.change_secret(project, number, actor=make.olga())
    webhooks.ping(project, number, actor=make.olga())
    webhooks.switch(project, number, is_on=False, actor=make.olga())
    webhooks.switch(project, number, is_on=True, actor=make.olga())
    webhooks.delete_webhook(project, number, actor=make.olga())
    events = list(Event.objects.order_by("pk"))
    assert [event.verb for event in events] == [
        "add webhook", "change secret of webhook", "test webhook", "switch off webhook", "switch on webhook", "delete webhook",
    ]  # fmt: skip
    assert all(event.details["host"] == "127.0.0.1" and event.actor == make.olga() for event in events)
    assert "stepmark" not in str([event.details for event in events]) and secret not in str([event.details for event in events])
    assert not WebhookDelivery.objects.exists()


def test_a_webhook_of_another_project_is_not_found(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    other, number = make.project("other"), Webhook.objects.get().pk
    for act in (
        lambda: webhooks.find_webhook(other, number),
        lambda: webhooks.deliveries_of(other, number),
        lambda: webhooks.change_secret(other, number, actor=None),
        lambda: webhooks.ping(other, number, actor=None),
        lambda: webhooks.switch(other, number, is_on=False, actor=None),
        lambda: webhooks.send_again(other, number, 1, actor=None),
        lambda: webhooks.delete_webhook(other, number, actor=None),
    ):
        with pytest.raises(webhooks.NoSuchWebhook):
            act()


def test_the_log_is_kept_for_thirty_days_and_no_batch_is_told_again_after_that(project: Project, receiver: Receiver) -> None:
    add(project, receiver)
    make.batch(project, make.solutions(project, 1))
    label_all(project)
    end_round(project)
    webhooks.tell_batches()
    webhooks.send_due()
    assert webhooks.forget_old() == 0
    long_ago = Now() - timedelta(days=31)
    WebhookDelivery.objects.update(ended_at=long_ago)
    WebhookEvent.objects.update(created_at=long_ago)
    webhooks.forget_old()
    assert not WebhookDelivery.objects.exists() and not WebhookTry.objects.exists()
    assert [event.kind for event in WebhookEvent.objects.all()] == ["batch.done"]
    assert webhooks.tell_batches() == 0
