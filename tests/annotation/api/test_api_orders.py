"""Snapshots that a program takes and compares, and exports with their files."""

import gzip
import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import celery
import pytest

from annotation import export, tasks
from annotation.models import DataOrder, Event, Project, Snapshot, Solution
from tests import make
from tests.api import ask, error_of, send, token_for
from tests.exports import label

pytestmark = pytest.mark.django_db
SNAPSHOTS, ORDERS = "projects/sums/snapshots", "projects/sums/orders"


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
    settings.STEPMARK_HOME = tmp_path
    return tmp_path


@pytest.fixture
def project() -> Project:
    project = make.project()
    make.batch(project, make.solutions(project, 2))
    label(project, 1, -1, finish_reason="found_error")
    label(project, 1, 1, 1, finish_reason="solution")
    return project


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.rita(project), scope="write")


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return export.take_dataset(project)


def ordered(answer: Any) -> Any:
    """Let a worker carry out the order of an answer, and return the order."""
    assert answer.status_code == 201 and answer.json()["state"] == "waiting", answer.content
    tasks.run_order(answer.json()["id"])
    return answer.json()["id"]


def exported(token: str, **body: Any) -> Any:
    return ask(f"{ORDERS}/{ordered(send(f'{SNAPSHOTS}/1/exports', token, body))}", token).json()


def test_a_snapshot_with_a_filter_is_taken_by_a_worker(token: str) -> None:
    order = ordered(send(SNAPSHOTS, token, {"finish_reasons": ["found_error"], "since": "2020-01-01"}))
    shown = ask(f"{ORDERS}/{order}", token).json()
    assert (shown["state"], shown["snapshot"], shown["files"]) == ("done", 1, [])
    assert shown["filter"]["finish_reasons"] == ["found_error"] and shown["filter"]["since"].startswith("2020-01-01")
    assert ask(f"{SNAPSHOTS}/1", token).json()["count"] == 1
    assert Event.objects.get(verb="take snapshot").actor == make.rita()


@pytest.mark.parametrize(
    "body,name",
    [
        ({"colour": "red"}, "colour"),
        ({"generations": 3}, "generations"),
        ({"generations": [99]}, "generations"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "until"),
        ({"people": ["rita"]}, "people"),
        ({"batches": [2**31]}, "batches.0"),
        ({"finish_reasons": ["bored"]}, "finish_reasons.0"),
        ({"splits": []}, "splits"),
        ({"sources": ["nobody"]}, "sources"),
        ({"agreement": "sometimes"}, "agreement"),
        ({"quarantined": "perhaps"}, "quarantined"),
    ],
)
def test_a_wrong_filter_is_named_and_orders_nothing(token: str, body: dict[str, Any], name: str) -> None:
    answer = send(SNAPSHOTS, token, body)
    assert error_of(answer) == (400, "bad_body") and not DataOrder.objects.exists()
    assert [fault["name"] for fault in answer.json()["errors"]] == [name]


def test_a_snapshot_that_would_be_empty_fails_and_says_why(token: str) -> None:
    order = ordered(send(SNAPSHOTS, token, {"finish_reasons": ["give_up"]}))
    shown = ask(f"{ORDERS}/{order}", token).json()
    assert shown["state"] == "failed" and "that ended with: gave up" in shown["failure"] and not Snapshot.objects.exists()


def test_the_same_key_orders_one_snapshot(token: str) -> None:
    first, again = (send(SNAPSHOTS, token, {}, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json() and DataOrder.objects.count() == 1


def test_what_changed_since_a_snapshot_is_named(token: str, project: Project, snapshot: Snapshot) -> None:
    make.batch(project, make.solutions(project, 1))
    new = label(project, 1, 1, 1, finish_reason="solution")
    shown = ask(f"{SNAPSHOTS}/1/changes", token).json()
    assert (shown["n_added"], shown["n_removed"], shown["n_unchanged"]) == (1, 0, 2)
    assert shown["added"] == [new.pk] and len(shown["problems_added"]) == 1
    export.take_dataset(project, export.SnapshotFilter(finish_reasons=("found_error",)))
    shown = ask(f"{SNAPSHOTS}/1/changes", token, {"to": 2}).json()
    assert (shown["n_added"], shown["n_removed"], shown["n_unchanged"]) == (0, 1, 1)
    assert error_of(ask(f"{SNAPSHOTS}/1/changes", token, {"to": 9})) == (404, "not_found")


def test_what_changed_is_named_although_the_source_of_the_filter_is_gone(token: str, project: Project, snapshot: Snapshot) -> None:
    chosen = export.SnapshotFilter(sources=(Solution.objects.first().source,))
    export.take_dataset(project, chosen)
    Solution.objects.update(source="another")
    shown = ask(f"{SNAPSHOTS}/2/changes", token).json()
    assert (shown["n_added"], shown["n_removed"], shown["n_unchanged"]) == (0, 2, 0)


def test_an_export_is_written_and_read_back_in_parts(token: str, snapshot: Snapshot) -> None:
    order = exported(token, format="prm800k", compression="gzip")
    [file] = order["files"]
    assert order["state"] == "done" and order["snapshot"] == 1 and file["n_records"] == 2
    address = f"{ORDERS}/{order['id']}/files/{file['name']}"
    whole = ask(address, token)
    body = b"".join(whole.streaming_content)
    assert whole["Content-Type"] == "application/gzip" and whole["ETag"] == f'"{file["sha256"]}"'
    assert hashlib.sha256(body).hexdigest() == file["sha256"] and len(gzip.decompress(body).splitlines()) == 2
    rest = ask(address, token, Range="bytes=10-", **{"If-Range": whole["ETag"]})
    assert rest.status_code == 206 and b"".join(rest.streaming_content) == body[10:]
    assert ask(address, token, **{"If-None-Match": whole["ETag"]}).status_code == 304
    behind = ask(address, token, Range=f"bytes={len(body)}-")
    assert error_of(behind) == (416, "no_such_range") and behind["Content-Range"] == f"bytes */{len(body)}"
    assert error_of(ask(address, token, **{"If-Match": '"other"'})) == (412, "precondition_failed")
    with closing(ask(address, token, Accept="application/gzip")) as accepted:
        assert accepted.status_code == 200


def test_an_export_in_shares_has_three_files_and_the_options_as_asked(token: str, snapshot: Snapshot) -> None:
    shares = {"train": 0.5, "valid": 0.25, "test": 0.25}
    order = exported(token, format="trl", options={"neutral": "bad"}, container="parquet", shares=shares)
    assert [file["split"] for file in order["files"]] == ["train", "valid", "test"] and order["shares"] == shares | {"seed": 0}
    assert order["options"]["neutral"] == "bad" and order["container"] == "parquet"


def test_a_large_export_is_several_files_that_are_read_one_by_one(token: str, snapshot: Snapshot) -> None:
    order = exported(token, format="trl", compression="gzip", max_records=1)
    assert (order["max_records"], order["max_bytes"], [file["n_records"] for file in order["files"]]) == (1, None, [1, 1])
    for file in order["files"]:
        address = f"{ORDERS}/{order['id']}/files/{file['name']}"
        body = b"".join(ask(address, token).streaming_content)
        assert hashlib.sha256(body).hexdigest() == file["sha256"] and len(body) == file["n_bytes"]
        assert b"".join(ask(address, token, Range="bytes=5-9").streaming_content) == body[5:10]


def test_the_same_export_again_is_the_same_order(token: str, snapshot: Snapshot) -> None:
    order = exported(token, format="orm")
    again = send(f"{SNAPSHOTS}/1/exports", token, {"format": "orm"})
    assert again.status_code == 201 and again.json() == order


@pytest.mark.parametrize(
    "body,name",
    [
        ({}, "format"),
        ({"format": "morse"}, "format"),
        ({"format": "trl", "options": {"neutral": "blue"}}, "options"),
        ({"format": "trl", "options": {"colour": "blue"}}, "options"),
        ({"format": "trl", "options": ["neutral"]}, "options"),
        ({"format": "trl", "container": "csv"}, "container"),
        ({"format": "trl", "compression": "rar"}, "compression"),
        ({"format": "trl", "max_records": 0}, "max_records"),
        ({"format": "trl", "max_bytes": "1 GB"}, "max_bytes"),
        ({"format": "trl", "shares": {"train": 0.9, "valid": 0.9, "test": 0}}, "shares"),
        ({"format": "trl", "shares": {"train": 2, "valid": 0, "test": 0}}, "shares.train"),
    ],
)
def test_a_wrong_export_is_named_and_orders_nothing(token: str, snapshot: Snapshot, body: dict[str, Any], name: str) -> None:
    answer = send(f"{SNAPSHOTS}/1/exports", token, body)
    assert error_of(answer) == (400, "bad_body") and not DataOrder.objects.exists()
    assert [fault["name"] for fault in answer.json()["errors"]] == [name]


def test_a_snapshot_of_a_training_cannot_be_exported(token: str, project: Project) -> None:
    Snapshot.objects.create(project=project, number=1, count=0)
    assert error_of(send(f"{SNAPSHOTS}/1/exports", token, {"format": "trl"})) == (409, "snapshot_without_content")
    assert error_of(send(f"{SNAPSHOTS}/7/exports", token, {"format": "trl"})) == (404, "not_found")


def delete(path: str, token: str) -> Any:
    from django.test import Client

    return Client().delete(f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})


def test_deleted_files_are_gone_and_their_record_stays(token: str, home: Path, snapshot: Snapshot) -> None:
    order = exported(token, format="orm")
    address = f"{ORDERS}/{order['id']}/files"
    answer = delete(address, token)
    assert answer.status_code == 200 and answer.json()["files"] == order["files"] and answer.json()["files_deleted_at"]
    assert error_of(ask(f"{address}/{order['files'][0]['name']}", token)) == (410, "file_gone")
    assert error_of(delete(address, token)) == (409, "order_refused")
    assert error_of(ask(f"{address}/nothing", token)) == (404, "not_found")
    assert exported(token, format="orm")["files"][0]["sha256"] == order["files"][0]["sha256"]


def test_an_order_is_cancelled_once(token: str) -> None:
    order = send(SNAPSHOTS, token, {}).json()["id"]
    assert send(f"{ORDERS}/{order}/cancel", token).json()["state"] == "cancelled"
    assert error_of(send(f"{ORDERS}/{order}/cancel", token)) == (409, "order_refused")


def test_orders_are_listed_the_newest_first_and_by_snapshot(token: str, snapshot: Snapshot) -> None:
    orders = [exported(token, format=name)["id"] for name in ("orm", "trl", "prm800k")]
    orders.append(send(SNAPSHOTS, token, {}).json()["id"])
    first = ask(ORDERS, token, {"limit": 3}).json()
    rest = ask(ORDERS, token, {"limit": 3, "cursor": first["next"]}).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == orders[::-1] and rest["next"] is None
    assert [item["id"] for item in ask(ORDERS, token, {"snapshot": 1}).json()["items"]] == orders[2::-1]


def test_orders_are_of_their_project_and_for_researchers(token: str, project: Project, snapshot: Snapshot) -> None:
    order = exported(token, format="orm")
    name = order["files"][0]["name"]
    stranger = token_for(make.olga(make.project("other")), scope="write")
    for place in (f"projects/other/orders/{order['id']}", f"projects/other/orders/{order['id']}/files/{name}", f"{ORDERS}/{order['id']}"):
        assert error_of(ask(place, stranger)) == (404, "not_found")
    assert error_of(delete(f"projects/other/orders/{order['id']}/files", stranger)) == (404, "not_found")
    reads = token_for(make.olga(project), name="reads")
    assert error_of(delete(f"{ORDERS}/{order['id']}/files", reads)) == (403, "scope_missing")
    assert error_of(send(SNAPSHOTS, reads, {})) == (403, "scope_missing")
    assert error_of(send(SNAPSHOTS, token_for(make.ann(project), scope="write"), {})) == (404, "not_found")
