"""Notifications: who gets which, once; the bell; the page; e-mail for those who want it."""

import json
import re
import smtplib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import celery
import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from active_learning import registry, rounds
from active_learning.models import Round, RoundState
from active_learning.rounds import states
from annotation import imports, notifications, people, preferences, quality
from annotation.models import Event, Import, Notification, NotificationKind, Project, Role
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db
KIND = NotificationKind


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.ann(made), make.olga(made)
    return made


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    names: list[str] = []
    monkeypatch.setattr(celery.Celery, "send_task", lambda _, name, *args, **options: names.append(name))
    yield names


def tell(sentence: str = "It is done.", *, occasion: str = "x", kind: NotificationKind = KIND.ROUND, **more: Any) -> int:
    return notifications.notify([make.ann()], kind, sentence, occasion=occasion, **more)


def bell(client: Client, address: str = "/") -> str:
    found = re.search(r'class="count">(\S+?)<', client.get(address).content.decode())
    return found[1] if found else ""


def told(name: str = "olga") -> list[str]:
    return list(Notification.objects.filter(person__username=name).order_by("pk").values_list("sentence", flat=True))


# --- what is stored -----------------------------------------------------------------------------------------------------------


def test_nobody_is_notified_twice_of_one_occasion(project: Project) -> None:
    assert (tell(occasion="a"), tell(occasion="a"), tell(occasion="b")) == (1, 0, 1)
    assert len(told("ann")) == 2


def test_a_notification_goes_with_the_transaction_that_it_is_about(project: Project) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        tell()
        raise RuntimeError
    assert told("ann") == []


def test_a_closed_account_gets_none(project: Project) -> None:
    ann = make.ann()
    ann.is_active = False
    ann.save()
    assert tell() == 0


def test_former_members_are_not_among_the_members(project: Project) -> None:
    make.person("fred", project, Role.FORMER)
    assert notifications.members(project, people.MANAGERS | {Role.FORMER}) == [make.olga().pk]


def test_erasing_a_person_erases_theirs_and_those_that_name_them(project: Project) -> None:
    tell("For ann.")
    notifications.notify([make.olga()], KIND.FLAG, "ann was flagged.", occasion="flag", about=make.ann())
    notifications.notify([make.olga()], KIND.ROUND, "Round 1 is done.", occasion="round")
    people.erase(make.ann(), actor=None)
    assert list(Notification.objects.values_list("sentence", flat=True)) == ["Round 1 is done."]


def test_notifications_older_than_90_days_are_deleted(project: Project) -> None:
    tell("old", occasion="old"), tell("new", occasion="new")
    Notification.objects.filter(sentence="old").update(created_at=timezone.now() - timedelta(days=91))
    assert notifications.forget_old() == 1 and told("ann") == ["new"]


# --- the bell and the page ----------------------------------------------------------------------------------------------------


def test_the_bell_counts_what_is_not_read(project: Project) -> None:
    ann = signed_in(make.ann())
    assert bell(ann) == ""
    tell(occasion="a"), tell(occasion="b")
    assert bell(ann) == "2"
    ann.post(reverse("read-notification", args=[Notification.objects.latest("pk").pk]))
    assert bell(ann) == "1"
    ann.post(reverse("read-notifications"))
    assert bell(ann) == ""


def test_the_bell_stops_counting_at_99(project: Project) -> None:
    Notification.objects.bulk_create(Notification(person=make.ann(), kind=KIND.ROUND, sentence="So.", occasion=str(n)) for n in range(150))
    assert bell(signed_in(make.ann())) == "99+"


def test_the_count_costs_no_statement(project: Project) -> None:
    ann = signed_in(make.ann())
    ann.get(reverse("keys"))
    with CaptureQueriesContext(connection) as queries:
        ann.get(reverse("keys"))
    assert [query["sql"] for query in queries if "notification" in query["sql"] and "browsersession" not in query["sql"]] == []
    assert sum("notification" in query["sql"] for query in queries) == 1


@pytest.mark.usefixtures("new_tables")
def test_the_count_reads_no_more_than_the_unread_ones_of_one_person(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = cursor.execute(f"EXPLAIN SELECT {notifications.COUNT_UNREAD} FROM auth_user u WHERE u.id = 1").fetchall()
    assert any("notification_unread" in line for (line,) in plan)


def test_the_labeling_page_has_no_bell(project: Project) -> None:
    make.batch(project, make.solutions(project, 1))
    tell()
    html = signed_in(make.ann()).get(reverse("label", args=[project.slug])).content.decode()
    assert "quiet bell" not in html and "<svg" not in html.partition("<main")[0] and "Label a solution" in html


def test_a_notification_leads_to_its_page_and_is_read_then(project: Project) -> None:
    tell(page="guidelines", at={"slug": project.slug}, project=project)
    number = Notification.objects.get().pk
    answer = signed_in(make.ann()).post(reverse("read-notification", args=[number]), {"open": "1"})
    assert answer["Location"] == f"/p/{project.slug}/guidelines/" and Notification.objects.get().read_at


def test_nobody_reads_the_notification_of_somebody_else(project: Project) -> None:
    tell(page="home")
    number = Notification.objects.get().pk
    answer = signed_in(make.olga()).post(reverse("read-notification", args=[number]), {"open": "1"})
    assert answer["Location"] == reverse("notifications") and Notification.objects.get().read_at is None
    assert "It is done." not in signed_in(make.olga()).get(reverse("notifications")).content.decode()


def test_older_notifications_are_a_page_further(project: Project) -> None:
    Notification.objects.bulk_create(
        Notification(person=make.ann(), kind=KIND.ROUND, sentence=f"Number {n}.", occasion=str(n)) for n in range(60)
    )
    ann = signed_in(make.ann())
    html = ann.get(reverse("notifications")).content.decode()
    older = re.search(r'href="(\?before=\d+)"', html)
    assert older and "Number 59." in html and "Number 9." not in html
    assert "Number 9." in ann.get(reverse("notifications") + older[1]).content.decode()


# --- what happens -------------------------------------------------------------------------------------------------------------


def test_a_message_is_notified_and_read_with_the_message(project: Project) -> None:
    letter = quality.send_message(project, sender=make.olga(), recipient="ann", text="Mind the units.")
    assert told("ann") == [f"You have a new message in {project}."]
    quality.mark_read(letter.pk, recipient=make.ann())
    assert notifications.unread_of(make.ann()) == 0


def test_the_managers_read_that_a_round_failed_and_why(project: Project) -> None:
    round_ = make.round_of(project, {}, state="selecting")
    assert states.end(round_, RoundState.FAILED, "The disk is full.")
    assert told() == [f"Round {round_.number} of {project} failed: The disk is full."] and told("ann") == []


def test_a_cancelled_round_is_no_news(project: Project) -> None:
    states.end(make.round_of(project, {}, state="selecting"), RoundState.CANCELLED, "It was cancelled.")
    assert told() == []


@pytest.mark.parametrize(("review", "words"), [(True, "waits for you"), (False, "is done. It published selected batch")])
def test_the_managers_read_that_a_round_is_done_or_waits(project: Project, review: bool, words: str) -> None:
    make.solutions(project, 4)
    round_ = rounds.start(project, make.plan(project, strategy="uniform", train=False, size=2, review=review), notify=False)
    rounds.run(round_.pk)
    assert Round.objects.get().state == ("proposed" if review else "published")
    (sentence,) = told()
    assert words in sentence


def test_the_person_who_uploaded_a_file_reads_how_its_import_failed(project: Project) -> None:
    row = Import.objects.create(
        project=project, name="a.jsonl", path="imports/gone", size=1, sha256="", state="checking", created_by=make.olga()
    )
    imports.run(row.pk)
    (sentence,) = told()
    assert sentence.startswith(f"The import of a.jsonl into {project} failed: cannot be read")


def test_the_person_who_uploaded_a_file_reads_what_it_brought(project: Project, settings: Any, tmp_path: Path) -> None:
    settings.STEPMARK_HOME = tmp_path
    line = {"problem": "What is 1 + 1?", "answer": "2", "solution": "One and one.\n\nSo it is 2."}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    row = Import.objects.create(
        project=project, name="a.jsonl", path="a.jsonl", size=1, sha256="", state="checking", created_by=make.olga()
    )
    imports.run(row.pk)
    assert told() == []
    Import.objects.update(state="loading", attempt=0, heartbeat_at=None)
    imports.run(row.pk)
    assert told() == [f"The file a.jsonl is loaded into {project}: 1 new problem and 1 new solution."]


def test_an_import_whose_worker_was_lost_is_notified_once(project: Project) -> None:
    Import.objects.create(project=project, name="a.jsonl", path="x", size=1, sha256="", state="loading", attempt=3, created_by=make.olga())
    imports.sweep(), imports.sweep()
    assert len(told()) == 1


# --- e-mail -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mailing(settings: Any, project: Project) -> Project:
    settings.EMAIL_HOST = "mail.example.org"
    for person in (make.ann(), make.olga()):
        person.email = f"{person.username}@example.org"
        person.save()
    preferences.choose(make.ann(), mailed=[KIND.ROUND, KIND.MESSAGE])
    return project


def test_those_who_want_it_get_one_letter_of_all_that_waits(mailing: Project) -> None:
    tell("Round 1 is done.", occasion="a", page="home"), tell("Round 2 is done.", occasion="b")
    tell("A flag.", occasion="c", kind=KIND.FLAG)
    assert notifications.send_mail() == 2 and notifications.send_mail() == 0
    (letter,) = mail.outbox
    assert letter.to == ["ann@example.org"] and letter.subject == "2 notifications from Stepmark"
    assert "Round 1 is done.\nhttp://localhost" in str(letter.body) and "A flag." not in str(letter.body)


def test_those_who_do_not_want_it_get_no_letter(mailing: Project) -> None:
    notifications.notify([make.olga()], KIND.ROUND, "Round 1 is done.", occasion="a")
    assert notifications.send_mail() == 0 and mail.outbox == []


def test_without_a_mail_server_nothing_is_sent(mailing: Project, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    tell()
    assert notifications.send_mail() == 0 and not Notification.objects.get().is_to_mail


def test_a_worker_is_asked_after_the_commit(mailing: Project, asked: list[str], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        tell()
        assert asked == []
    assert asked == ["annotation.tasks.send_notifications"]


def test_a_letter_that_the_server_did_not_take_goes_later(mailing: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    tell()
    with monkeypatch.context() as patch:
        patch.setattr(mail.EmailMessage, "send", lambda _: (_ for _ in ()).throw(smtplib.SMTPServerDisconnected("gone")))
        assert notifications.send_mail() == 0
    assert notifications.send_mail() == 1 and len(mail.outbox) == 1


def test_an_address_that_the_server_refuses_keeps_nobody_else_waiting(mailing: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    preferences.choose(make.olga(), mailed=[KIND.ROUND])
    notifications.notify([make.ann(), make.olga()], KIND.ROUND, "Done.", occasion="a")
    send = mail.EmailMessage.send

    def picky(letter: mail.EmailMessage) -> int:
        if letter.to == ["ann@example.org"]:
            raise smtplib.SMTPRecipientsRefused({})
        return send(letter)

    monkeypatch.setattr(mail.EmailMessage, "send", picky)
    assert notifications.send_mail() == 1 and [letter.to for letter in mail.outbox] == [["olga@example.org"]]
    assert notifications.send_mail() == 0


def test_a_letter_that_waited_a_day_is_not_sent(mailing: Project) -> None:
    tell()
    Notification.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert notifications.send_mail() == 0


def test_a_person_chooses_on_their_account_what_comes_by_e_mail(project: Project) -> None:
    ann = signed_in(make.ann())
    form = {"text_size": "normal", "line_width": "normal", "rest_minutes": "60", "mailed": ["message", "dry"]}
    ann.post(reverse("set-preferences"), form)
    assert preferences.preferences_of(make.ann()).mailed == ["message", "dry"]
    html = ann.get(reverse("account")).content.decode()
    assert re.search(r'value="dry"[^>]*checked', html) and "This site sends no e-mail at the moment." in html
    assert ann.post(reverse("set-preferences"), form | {"mailed": "spam"}).status_code == 400
    assert Event.objects.count() == 0


# --- models -------------------------------------------------------------------------------------------------------------------


def test_the_managers_read_that_a_model_waits_for_a_decision_and_why(project: Project) -> None:
    make.version(project, 1, champion=True)
    second = make.version(project, 2)
    judgement = registry.Judgement(champion=1, comparison={"worse": True})
    assert not registry.decide(second, judgement, fence=lambda: None)
    assert told() == [f"Model 2 of {project} does not serve, and waits for your decision. It is significantly worse than model 1."]


def test_a_model_that_serves_at_once_is_no_news(project: Project) -> None:
    assert registry.decide(make.version(project, 1), registry.Judgement(), fence=lambda: None)
    assert told() == []
