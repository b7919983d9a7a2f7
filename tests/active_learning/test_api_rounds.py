"""Rounds that a program starts and cancels, and a browser's session beside the tokens."""

from typing import Any

import celery
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from active_learning.models import Round, RoundStage
from active_learning.registry import training
from annotation.models import Event, Project
from tests import make
from tests.api import ask, error_of, send, token_for
from tests.assignments import learnable

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *_, **__: None)


@pytest.fixture
def project() -> Project:
    made = make.project(batch_size=2)
    make.solutions(made, 5)
    return made


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.olga(project), scope="write")


def start(token: str, body: Any, **headers: str) -> Any:
    return send("projects/sums/rounds", token, body, **headers)


def test_a_round_starts_as_asked_and_is_noted(token: str) -> None:
    answer = start(token, {"strategy": "uniform", "size": 2, "review": True})
    assert answer.status_code == 201
    shown = {"number": 0, "state": "queued", "strategy": "uniform", "size": 2, "review": True, "trains": False, "stages": []}
    assert {name: answer.json()[name] for name in shown} == shown and ask("projects/sums/rounds/0", token).json() == answer.json()
    assert Event.objects.get(verb="start round").actor == make.olga()


def test_the_list_has_the_first_round_too(token: str) -> None:
    start(token, {"strategy": "uniform"})
    assert [item["number"] for item in ask("projects/sums/rounds", token).json()["items"]] == [0]


def test_the_list_shows_stages_and_the_model_and_reads_neither_logs_nor_metrics(project: Project, token: str) -> None:
    version = make.version(project, 4)
    for number in (0, 1):
        made = Round.objects.create(project=project, generation=number, state="failed", strategy="uniform", model_version=version)
        RoundStage.objects.create(
            round=made, name="train", attempt=1, failure="It broke.", ended_at=timezone.now(), log=[["now", "Learning."]]
        )
    RoundStage.objects.create(round=made, name="judge", attempt=1)
    with CaptureQueriesContext(connection) as queries:
        first, second = ask("projects/sums/rounds", token).json()["items"]
    assert (first["model"], second["model"]) == (4, 4)
    assert [[stage["name"], stage["ended"], stage["failure"]] for stage in second["stages"]] == [
        ["train", "failed", "It broke."],
        ["judge", "", ""],
    ]
    assert len(first["stages"]) == 1
    read = " ".join(query["sql"] for query in queries)
    assert '"active_learning_roundstage"."log"' not in read and '"active_learning_modelversion"."metrics"' not in read


def test_what_is_left_out_is_as_the_project_has_it(token: str) -> None:
    assert start(token, {"strategy": "uniform"}).json()["size"] == 2


@pytest.mark.parametrize(
    "body,name,code",
    [
        ({"size": -1}, "size", "min_value"),
        ({"size": "many"}, "size", "invalid"),
        ({"size": 10_001}, "size", "max_value"),
        ({"colour": "red"}, "colour", "unknown"),
        ({"labels": "loud"}, "labels", "invalid_choice"),
        ({"review": "perhaps"}, "review", "invalid"),
        ({"strategy": ["uniform"]}, "strategy", "invalid"),
        ({"strategy": ""}, "strategy", "blank"),
        ({"strategy": "a\0b"}, "strategy", "null_characters_not_allowed"),
    ],
)
def test_a_wrong_field_is_named(token: str, body: dict[str, Any], name: str, code: str) -> None:
    answer = start(token, body)
    assert error_of(answer) == (400, "bad_body")
    assert [(fault["in"], fault["name"], fault["code"]) for fault in answer.json()["errors"]] == [("body", name, code)]
    assert not Round.objects.exists()


@pytest.mark.parametrize("body", ["{", "[1]", "7", b"\xff", '{"size": NaN}'])
def test_a_body_that_is_no_object_is_refused(token: str, body: Any) -> None:
    assert error_of(start(token, body)) == (400, "bad_body")


def test_a_body_of_another_kind_or_above_the_limit_is_refused(token: str) -> None:
    assert error_of(start(token, "size=1", kind="application/x-www-form-urlencoded")) == (415, "unsupported_media_type")
    assert error_of(start(token, b" " * 1_000_001)) == (413, "body_too_large")


@pytest.mark.parametrize("body", [{"strategy": "nonsense"}, {"strategy": "uniform:x"}, {"strategy": "convincing"}, {"size": 0}])
def test_a_round_that_the_project_cannot_run_is_refused_with_the_reason(token: str, body: dict[str, Any]) -> None:
    answer = start(token, body)
    assert error_of(answer) == (409, "round_refused") and answer.json()["detail"] and not Round.objects.exists()


def test_a_second_round_is_refused_and_the_same_key_gets_the_first_one(token: str) -> None:
    first = start(token, {"strategy": "uniform"}, **{"Idempotency-Key": "k"})
    again = start(token, {"strategy": "uniform"}, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert error_of(start(token, {"strategy": "uniform"})) == (409, "round_refused") and Round.objects.count() == 1


def test_a_round_that_trains_starts_under_a_key(project: Project, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is stored in the same transaction. What looks for enough labels reads some of them, and must leave it as it was."""
    monkeypatch.setattr(training, "FEW", 1)
    learnable(project)
    learnable(project)
    answer = start(token, {"strategy": "uniform", "train": True}, **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["trains"]) == (201, True), answer.content


def test_a_round_is_cancelled_once(token: str) -> None:
    start(token, {"strategy": "uniform"})
    answer = send("projects/sums/rounds/0/cancel", token)
    assert answer.status_code == 200, answer.content
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert error_of(send("projects/sums/rounds/0/cancel", token)) == (409, "round_refused")
    assert error_of(send("projects/sums/rounds/2/cancel", token)) == (404, "not_found")
    assert Event.objects.get(verb="cancel round").actor == make.olga()


def test_no_round_starts_in_an_archived_project(token: str) -> None:
    from django.utils import timezone

    Project.objects.update(archived_at=timezone.now())
    assert error_of(start(token, {"strategy": "uniform"})) == (409, "round_refused")


def test_only_managers_with_a_token_that_writes_start_rounds(project: Project) -> None:
    reads, rita = token_for(make.olga(project)), token_for(make.rita(project), scope="write")
    assert error_of(start(reads, {"strategy": "uniform"})) == (403, "scope_missing")
    assert error_of(start(rita, {"strategy": "uniform"})) == (403, "role_too_low")
    assert not Round.objects.exists()


# --- a browser that is signed in ------------------------------------------------------------------------------------------------


def browser_of(project: Project) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make.olga(project))
    return client


def test_a_session_alone_changes_nothing(project: Project) -> None:
    answer = browser_of(project).post("/api/v1/projects/sums/rounds", {"strategy": "uniform"}, content_type="application/json")
    assert error_of(answer) == (403, "csrf_failed") and not Round.objects.exists()


def test_a_session_with_the_csrf_token_of_its_pages_acts(project: Project) -> None:
    client = browser_of(project)
    html = client.get("/account/").content.decode()
    csrf = html.split('"X-CSRFToken": "')[1].split('"')[0]
    body = {"strategy": "uniform"}
    answer = client.post("/api/v1/projects/sums/rounds", body, content_type="application/json", headers={"X-CSRFToken": csrf})
    assert answer.status_code == 201


def test_a_token_needs_no_csrf_token(token: str) -> None:
    client = Client(enforce_csrf_checks=True)
    headers = {"Authorization": f"Bearer {token}"}
    answer = client.post("/api/v1/projects/sums/rounds", {"strategy": "uniform"}, content_type="application/json", headers=headers)
    assert answer.status_code == 201
