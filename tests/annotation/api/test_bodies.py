"""Bodies as they come over a connection: whole, in parts, without a length; and what a JSON body can hold that is not what it seems."""

import json
import socket
from typing import Any

import pytest
from django.test import Client

from annotation.models import DataOrder, Project, Solution
from tests import make
from tests.api import ask, error_of, send, token_for
from tests.doors import Door

LINE = json.dumps({"id": "sum-1", "problem": "What is 2 + 3?", "answer": "5", "steps": ["So it is 5."]}).encode() + b"\n"


def over_connection(server: Any, path: str, token: str, *, kind: str, headers: str, body: bytes) -> dict[str, Any]:
    """Send a request as it is, say that nothing follows, and return the body of the answer."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /api/v1/projects/sums/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Type: {kind}\r\n{headers}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    shown: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return shown


@pytest.mark.django_db(transaction=True)
def test_a_body_that_broke_off_or_has_no_length_changes_nothing(live_server: Any, door: Door) -> None:
    token = token_for(make.olga(make.project(text_kind="plain")), scope="write")
    asked: dict[str, Any] = {"path": "solutions?wrong=skip", "kind": "application/x-ndjson", "body": LINE}
    broken = over_connection(live_server, token=token, headers=f"Content-Length: {2 * len(LINE)}", **asked)
    assert (broken["code"], broken["detail"]) == (
        "bad_body", f"The body broke off after {len(LINE)} of {2 * len(LINE)} bytes, so nothing was done. Send the request again.",
    )  # fmt: skip
    wanted = b'{"finish_reasons": ["solution"]}'
    asked = {"path": "snapshots", "kind": "application/json", "body": f"{len(wanted):x}\r\n".encode() + wanted + b"\r\n0\r\n\r\n"}
    in_chunks = over_connection(live_server, token=token, headers="Transfer-Encoding: chunked", **asked)
    assert (in_chunks["status"], in_chunks["code"]) == (411, "length_required")
    assert not Solution.objects.exists() and not DataOrder.objects.exists()


@pytest.fixture
def project(db: None) -> Project:
    return make.project(text_kind="plain")


@pytest.mark.parametrize("body", [b'{"size": 10, "size": 1000}', b'{"shares": [{"train": 1, "train": 0}]}'])
def test_a_field_that_stands_twice_is_refused_and_named(project: Project, body: bytes) -> None:
    answer = send("projects/sums/rounds", token_for(make.olga(project), scope="write"), body)
    assert error_of(answer) == (400, "bad_body") and "stands twice in one object" in answer.json()["detail"]


def test_an_unknown_field_inside_of_another_is_refused_and_named(project: Project) -> None:
    body = {"texts": [{"problem": "What?", "steps": ["So 5."]}, {"problem": "What?", "steps": ["So 5."], "answer": "5"}]}
    answer = send("projects/sums/score-jobs", token_for(make.olga(project), scope="write"), json.dumps(body))
    assert error_of(answer) == (400, "bad_body") and [fault["name"] for fault in answer.json()["errors"]] == ["texts.1.answer"]


def test_a_filter_finds_a_text_with_blanks_around_it_and_none_without_them(project: Project) -> None:
    body = LINE.replace(b'"id"', b'"source": " m", "id"')
    token = token_for(make.olga(project), scope="write")
    send("projects/sums/solutions", token, body, kind="application/x-ndjson")
    found = [len(ask("projects/sums/solutions", token, {"source": text}).json()["items"]) for text in (" m", "m", " m ")]
    assert found == [1, 0, 0]


def test_an_unknown_field_with_half_of_a_surrogate_pair_in_its_name_is_noted_and_the_line_is_stored(project: Project) -> None:
    body = LINE.replace(b'"id"', b'"k\\ud800": 1, "id"')
    token = token_for(make.olga(project), scope="write")
    sent = {"kind": "application/x-ndjson", "Idempotency-Key": "one"}
    first, again = (send("projects/sums/solutions", token, body, **sent) for _ in range(2))
    assert first.status_code == 200 and first.json() == again.json() and "k\\ud800" in " ".join(first.json()["notes"])


@pytest.mark.parametrize("header", ["If-Match", "If-Unmodified-Since"])
def test_a_condition_that_does_not_hold_is_a_problem_document(project: Project, header: str) -> None:
    value = {"If-Match": '"other"', "If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}[header]
    answer = ask("projects/sums", token_for(make.olga(project)), **{header: value})
    assert error_of(answer) == (412, "precondition_failed")


@pytest.mark.parametrize(
    "path", ["problems", "problems?split=train&", "solutions", "annotations", "snapshots", "people", "rounds", "models"]
)
def test_a_cursor_behind_all_keys_leads_to_an_empty_page(project: Project, path: str) -> None:
    from annotation.api.base import cursor_of

    token, last = token_for(make.olga(project)), 2**63 - 1
    cursor = cursor_of([last, last] if path == "solutions" else [last])
    address = f"/api/v1/projects/sums/{path}{'' if '?' in path else '?'}cursor={cursor}"
    answer = Client().get(address, headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"items": [], "next": None}
