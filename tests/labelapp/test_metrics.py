"""What Prometheus reads: only with the token or from this machine, true figures, and the same names as the dashboard and the docs."""

import json
import os
import re
from pathlib import Path
from typing import Any

import celery
import psycopg
import pytest
from django import db
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from active_learning import rounds
from active_learning.models import Round, RoundState
from active_learning.rounds import states
from active_learning.site_state import SupervisorFile
from annotation import queue, webhooks
from annotation.models import Assignment, Project, SiteCount, Webhook
from labelapp.http.proxies import WAS_FORWARDED, BehindProxies
from labelapp.monitoring import health, metrics, metrics_folder
from labelapp.postgresql.base import DatabaseWrapper
from tests import make
from tests.clients import claim, page, post, rated, signed_in, submission
from tests.receivers import receiving

ROOT = Path(__file__).resolve().parents[2]
Samples = dict[tuple[str, ...], float]


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.STEPMARK_HOME = tmp_path
    monkeypatch.delenv("METRICS_TOKEN", raising=False)
    monkeypatch.setattr(metrics, "STATE_SECONDS", 0)
    monkeypatch.setattr(health, "REMEMBERED_SECONDS", 0)


def scraped(client: Client) -> dict[str, Samples]:
    """Return the samples of each metric by the values of their labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain")
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def project(transactional_db: None) -> Project:
    made = make.project("sums")
    make.batch(made, make.solutions(made, 3))
    return made


# --- who can read them ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "production", "sent", "status"),
    [
        ("", False, {}, 200),
        ("", True, {}, 404),
        ("", False, {"REMOTE_ADDR": "10.0.0.7"}, 404),
        ("", False, {"REMOTE_ADDR": ""}, 404),
        ("", False, {WAS_FORWARDED: True}, 404),
        ("a long token", False, {}, 404),
        ("a long token", True, {"HTTP_AUTHORIZATION": "Bearer a long token", "REMOTE_ADDR": "10.0.0.7"}, 200),
        ("a long token", True, {"HTTP_AUTHORIZATION": "Bearer a long tokem"}, 404),
        ("a long token", True, {"HTTP_AUTHORIZATION": "Bearer "}, 404),
        ("a long token", True, {"HTTP_AUTHORIZATION": "a long token"}, 404),
        ("a long token", True, {"HTTP_AUTHORIZATION": "Bearer \xe9"}, 404),
    ],
)
def test_only_this_machine_or_the_token_reads_metrics(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, token: str, production: bool, sent: dict[str, Any], status: int
) -> None:
    settings.PRODUCTION = production
    monkeypatch.setenv("METRICS_TOKEN", token)
    assert client.get("/metrics", **sent).status_code == status


@pytest.mark.parametrize(
    ("header", "is_forwarded"), [({}, False), ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, True), ({"HTTP_X_REAL_IP": "127.0.0.1"}, True)]
)
def test_a_request_from_a_proxy_on_this_machine_never_counts_as_local(header: dict[str, str], is_forwarded: bool) -> None:
    seen: dict[str, Any] = {}
    application = BehindProxies(lambda environ, _: seen.update(environ) or [], trusted=(), prefix="")
    application({"REMOTE_ADDR": "127.0.0.1", "PATH_INFO": "/metrics", **header}, lambda *_: None)
    assert seen[WAS_FORWARDED] is is_forwarded


# --- what they say --------------------------------------------------------------------------------------------------------


def test_the_queue_leases_and_annotations_are_counted(project: Project, client: Client) -> None:
    ann = signed_in(make.ann(project))
    lease = claim(page(ann, project))
    seen = scraped(client)
    assert seen["stepmark_queue_assignments"] == {("sums", "open"): 2, ("sums", "leased"): 1, ("sums", "reserved"): 0}
    assert seen["stepmark_annotations_total"] == {(): 0} and 0 <= seen["stepmark_oldest_open_task_seconds"][("sums",)] < 600
    assert post(ann, "submit", lease["assignment"], submission(lease["token"], rated(1, 1, 1))).status_code == 200
    assert scraped(client)["stepmark_annotations_total"] == {(): 1}


def test_leases_that_ran_out_are_counted_once(project: Project, client: Client) -> None:
    page(signed_in(make.ann(project)), project)
    before = scraped(client)["stepmark_lease_expiries_total"][()]
    Assignment.objects.filter(state="leased").update(lease_expires_at="2020-01-01T00:00Z")
    assert (queue.release_expired(), queue.release_expired()) == (1, 0)
    assert scraped(client)["stepmark_lease_expiries_total"] == {(): before + 1}


def test_a_request_is_timed_under_the_name_of_its_view(project: Project, client: Client) -> None:
    ann = signed_in(make.ann(project))
    before = scraped(client).get("stepmark_request_seconds_count", {}).get(("2xx", "label"), 0)
    page(ann, project)
    assert ann.get("/p/sums/no-such-page/").status_code == 404
    seen = scraped(client)["stepmark_request_seconds_count"]
    assert seen[("2xx", "label")] == before + 1 and ("4xx", "none") in seen
    assert not any("no-such-page" in label for labels in seen for label in labels)


def test_graders_that_were_ended_are_counted_by_reason(project: Project, client: Client) -> None:
    SiteCount.objects.add({"grader_timeout": 2, "grader_memory": 1})
    SiteCount.objects.add({"grader_timeout": 1})
    assert scraped(client)["stepmark_grader_kills_total"] == {("timeout",): 3, ("memory",): 1, ("crash",): 0}


def test_tries_of_webhooks_and_messages_that_wait_are_told(project: Project, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
    with receiving() as receiver:
        number = webhooks.add_webhook(project, address=receiver.address, kinds=["round.done"], actor=None)[0].number
        before = scraped(client)["stepmark_webhook_tries_total"]
        for status in (200, 500):
            receiver.status = status
            states.end(make.round_of(project, {}, state="selecting"), RoundState.FAILED, "No labels.")
            webhooks.send_due()
    seen = scraped(client)
    assert seen["stepmark_webhook_tries_total"] == {result: count + 1 for result, count in before.items()}
    assert seen["stepmark_webhook_deliveries_waiting"] == {("sums",): 1} and seen["stepmark_webhooks_switched_off"] == {("sums",): 0}
    assert 0 < seen["stepmark_webhook_oldest_waiting_seconds"][("sums",)] < 600
    Webhook.objects.filter(pk=number).update(is_on=False, why_off="It answered 410.")
    seen = scraped(client)
    assert seen["stepmark_webhook_deliveries_waiting"] == {("sums",): 0} and seen["stepmark_webhooks_switched_off"] == {("sums",): 1}


@pytest.mark.django_db
def test_rounds_workers_and_restarts_are_told(client: Client, tmp_path: Path) -> None:
    made = make.project("sums")
    running = make.round_of(made, {}, generation=3, state="training")
    Round.objects.filter(pk=running.pk).update(progress={"stage": "train", "done": 30, "total": 40})
    rounds.say_alive("trainer@a", queues="gpu")
    file = SupervisorFile(tmp_path)
    file.claim("http://localhost:8000")
    file.write([], {"web": 2, "beat": 0})
    seen = scraped(client)
    assert seen["stepmark_round_progress_ratio"] == {("sums", "3", "train"): 0.75}
    assert seen["stepmark_rounds_unfinished"] == {("sums", "training"): 1}
    assert 0 <= seen["stepmark_worker_heartbeat_age_seconds"][("trainer@a",)] < 60
    assert seen["stepmark_process_restarts_total"] == {("web",): 2, ("beat",): 0}
    assert seen["stepmark_part_ok"][("trainer",)] == 1 and seen["stepmark_part_ok"][("worker",)] == 0


@pytest.mark.django_db
def test_without_the_database_the_outage_itself_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise db.OperationalError("refused") from psycopg.OperationalError("refused")

    client.force_login(User.objects.create(username="ann"))
    before = scraped(client).get("stepmark_outages_total", {}).get(("database_unavailable",), 0)
    client.raise_request_exception = False
    with monkeypatch.context() as away:
        away.setattr(DatabaseWrapper, "_cursor", refuse)
        assert client.get("/").status_code == 503
        seen = scraped(client)
    assert seen["stepmark_outages_total"][("database_unavailable",)] == before + 1 and seen["stepmark_part_ok"][("database",)] == 0
    assert "stepmark_annotations_total" not in seen


def test_counts_of_ended_processes_are_deleted_and_those_of_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "counts"
    monkeypatch.setenv(metrics_folder.VARIABLE, str(folder))
    metrics_folder.prepare()
    other, ended, own = (folder / f"histogram_{process}.db" for process in (1, 4_194_305, os.getpid()))
    for path in (other, ended, own):
        path.touch()
    metrics_folder.prepare()
    assert {path.name for path in folder.iterdir()} == {other.name, own.name}
    metrics_folder.leave()
    assert [path.name for path in folder.iterdir()] == [other.name]
    other.unlink()
    metrics_folder.leave()
    assert not folder.exists()


# --- the names ------------------------------------------------------------------------------------------------------------


def names(client: Client) -> set[str]:
    """Return the names of all metrics of the site, without the endings of their samples."""
    families = text_string_to_metric_families(client.get("/metrics").content.decode())
    return {family.name for family in families if family.name.startswith("stepmark_")}


def family_of(name: str) -> str:
    return re.sub(r"_(bucket|count|sum|total)$", "", name)


def test_every_query_of_the_dashboard_names_a_metric_that_exists(project: Project, client: Client) -> None:
    client.get("/sign-in/")
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"stepmark_\w+", query)}
    assert len(queries) > 10 and all("stepmark_" in query for query in queries)
    assert {family_of(name) for name in asked} == names(client)


def test_the_docs_name_every_metric(project: Project, client: Client) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert {family_of(name) for name in re.findall(r"`(stepmark_\w+)", text)} == names(client)
