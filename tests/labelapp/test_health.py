"""What load balancers ask: live without anything, ready part by part, and neither behind sign-in, https or host names."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from active_learning import rounds
from active_learning.models import Worker
from labelapp.celery import app
from labelapp.monitoring import health
from labelapp.postgresql.base import DatabaseWrapper
from tests import make

PARTS = {"database", "migrations", "broker", "beat", "worker", "trainer", "disk"}


@pytest.fixture(autouse=True)
def looked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_remembered", (0.0, {}))


@pytest.fixture
def home(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.STEPMARK_HOME = tmp_path
    (tmp_path / "broker" / "messages").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def everything(home: Path, db: None) -> None:
    for name, queues in (("worker@a", "default"), ("trainer@a", "gpu"), ("beat@a", rounds.BEAT)):
        rounds.say_alive(name, queues=queues)


def ready(client: Client, query: str = "") -> tuple[int, dict[str, Any]]:
    answer = client.get(f"/health/ready{query}")
    return answer.status_code, answer.json()["parts"]


def test_live_asks_for_nothing(client: Client) -> None:
    answer = client.get("/health/live")  # without the mark django_db: a statement would raise
    assert answer.status_code == 200 and answer.json()["live"] is True and answer["X-Request-ID"]


def test_ready_names_every_part(everything: None, client: Client) -> None:
    status, parts = ready(client, "?all")
    assert status == 200 and parts.keys() == PARTS
    assert [name for name, part in parts.items() if not part["ok"]] == []
    assert {name for name, part in parts.items() if part["needed"]} == {"database", "migrations", "disk"}


@pytest.mark.parametrize("name", ["worker@a", "trainer@a", "beat@a"])
def test_a_silent_worker_is_named_and_pages_stay_ready(everything: None, client: Client, name: str) -> None:
    Worker.objects.filter(name=name).update(heartbeat_at=timezone.now() - timedelta(seconds=90))
    part = name.partition("@")[0]
    status, parts = ready(client)
    assert status == 200 and [other for other in parts if not parts[other]["ok"]] == [part]
    assert parts[part]["why"].startswith("It last reported 9") and parts[part]["why"].endswith(" s ago.")
    assert ready(client, "?all")[0] == 503


def test_workers_that_never_reported_are_named(home: Path, db: None, client: Client) -> None:
    assert {name: part["why"] for name, part in ready(client)[1].items() if not part["ok"]} == dict.fromkeys(
        ("beat", "worker", "trainer"), "It has never reported, or not for a day."
    )


def test_without_the_database_it_is_not_ready_and_says_no_secret(everything: None, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("password=hunter2 host=db.internal") from psycopg.OperationalError("refused")

    with monkeypatch.context() as away:
        away.setattr(DatabaseWrapper, "_cursor", refuse)
        answer = client.get("/health/ready")
    assert answer.status_code == 503 and answer["Retry-After"] and "hunter2" not in answer.content.decode()
    parts = answer.json()["parts"]
    assert parts["database"] == {"ok": False, "why": "It does not answer (OperationalError).", "needed": True}
    assert parts["disk"]["ok"] and parts["broker"]["ok"] and parts.keys() == PARTS


def test_a_migration_that_is_not_applied_is_not_ready(everything: None, client: Client) -> None:
    MigrationRecorder.Migration.objects.filter(app="annotation", name="0001_initial").delete()
    status, parts = ready(client)
    assert status == 503 and parts["migrations"]["why"] == "1 not applied, first annotation.0001_initial. Run `python manage.py migrate`."


def test_a_broker_that_refuses_is_named_without_its_password(everything: None, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.conf, "broker_url", "redis://:hunter2@127.0.0.1:1/0")
    answer = client.get("/health/ready")
    assert answer.status_code == 200 and "hunter2" not in answer.content.decode()
    assert answer.json()["parts"]["broker"]["why"] == "It does not answer (ConnectionError)."


def test_a_broker_folder_that_is_gone_is_named(everything: None, home: Path, client: Client) -> None:
    shutil.rmtree(home / "broker")
    assert ready(client)[1]["broker"]["why"] == "Its folder cannot be written."


def test_a_disk_that_is_nearly_full_is_not_ready(everything: None, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DISK_FREE_BYTES", 10**18)
    status, parts = ready(client)
    assert status == 503 and "GB are free under STEPMARK_HOME." in parts["disk"]["why"]


@pytest.mark.parametrize("address", ["/health/live", "/health/ready"])
def test_neither_host_name_nor_https_nor_sign_in_is_asked_for(everything: None, settings: Any, address: str) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["label.example.org"], True
    assert Client().get(address, headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert Client().head(address).status_code == 200
    assert Client().post(address, secure=True, headers={"host": "label.example.org"}).status_code == 404


def test_many_questions_look_once(everything: None, client: Client, django_assert_num_queries: Any) -> None:
    ready(client)
    with django_assert_num_queries(0):
        ready(client)


def test_the_overview_does_not_call_beat_a_worker(everything: None, client: Client) -> None:
    client.force_login(make.olga(make.project("sums")))
    html = client.get("/p/sums/rounds/").content.decode()
    assert "worker@a" in html and "beat@a" not in html
