"""The description of the API: the committed one is that of the code, and every example in it does what it says."""

import argparse
import json
import re
import shlex
from pathlib import Path
from typing import Any

import celery
import pytest
import yaml
from django.test import Client
from django.urls import get_resolver

from annotation.api.base import openapi_document
from annotation.api.problems import MEDIA_TYPE, PROBLEMS
from annotation.models import Project, Snapshot
from tests import make
from tests.addresses import routes
from tests.api import send, token_for

FILE = Path(__file__).resolve().parents[3] / "docs" / "api.yaml"
pytestmark = pytest.mark.django_db


def plain(document: Any) -> Any:
    return json.loads(json.dumps(document))


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, methods in openapi_document()["paths"].items() for method, operation in methods.items()]


def test_the_committed_description_is_that_of_the_code() -> None:
    assert yaml.safe_load(FILE.read_text()) == plain(openapi_document()), (
        "Write it again: .venv/bin/python manage.py spectacular --validate --fail-on-warn --file docs/api.yaml"
    )


def test_everybody_can_read_it_and_it_is_openapi_3_1() -> None:
    answer = Client().get("/api/v1/openapi.json")
    assert answer.status_code == 200 and answer.json()["openapi"] == "3.1.0"
    assert {name: value for name, value in answer.json().items() if name != "servers"} == plain(openapi_document())
    assert Client().get("/api/v1/openapi.json", headers={"If-None-Match": answer["ETag"]}).status_code == 304


def test_every_address_of_the_api_is_described() -> None:
    described = {path.removeprefix("/") for path in openapi_document()["paths"]}
    hidden = {"api/v1/openapi.json"}
    forms = [form for name, _, form in routes(get_resolver().url_patterns) if name.startswith("api-")]
    written = {form.replace("<slug:", "{").replace("<int:", "{").replace("<str:", "{").replace(">", "}") for form in forms}
    assert {path for path in written if path.startswith("api/v1/")} - hidden == described


def test_every_operation_has_a_name_a_summary_and_problem_documents() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, method, operation in operations():
        assert operation["summary"] and operation["description"] and operation["security"] == [{"token": []}], (path, method)
        refused = [response for status, response in operation["responses"].items() if status >= "400"]
        assert len(refused) >= 5 and all(list(response["content"]) == [MEDIA_TYPE] for response in refused)


def test_every_code_in_it_exists() -> None:
    named = {
        code.strip()
        for *_, operation in operations()
        for status, response in operation["responses"].items()
        if status >= "400"
        for code in response["description"].removeprefix("Refused: ").rstrip(".").split(",")
    }
    assert named <= PROBLEMS.keys()


def test_each_example_does_what_the_description_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
    project: Project = make.project(text_kind="plain")
    make.solutions(project, 12)
    make.version(project, 1, champion=True)
    Snapshot.objects.create(project=project, number=1, count=0, content="snapshots/sums/1.parquet")
    token, n_called = token_for(make.olga(project), scope="write"), 0
    for path, _, operation in operations():
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            for example in content.get("examples", {}).values():
                address = path.removeprefix("/api/v1/").replace("{slug}", "sums").replace("{number}", "1")
                answer = send(address, token, json.dumps(example["value"]), kind=kind)
                assert str(answer.status_code) in operation["responses"] and answer.status_code < 300, answer.content
                n_called += 1
    assert n_called == 7


def requests_of(text: str) -> list[dict[str, Any]]:
    """Return what the curl commands of a document send."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-X")
    parser.add_argument("--data", "--data-binary")
    parser.add_argument("url")
    blocks = [block for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if not language]
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [vars(parser.parse_args(shlex.split(line)[1:])) for line in lines if line.startswith("curl")]


def test_each_curl_command_of_the_document_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
    project = make.project(text_kind="plain")
    make.solutions(project, 12)
    make.version(project, 1, champion=True)
    Snapshot.objects.create(project=project, number=1, count=0, content="snapshots/sums/1.parquet")
    token, statuses = token_for(make.olga(project), scope="write"), []
    for asked in requests_of((FILE.parent / "api.md").read_text()):
        headers = dict(header.replace("$TOKEN", token).split(": ", 1) for header in asked["H"])
        path, body = asked["url"].removeprefix("http://127.0.0.1:8000"), asked["data"]
        if body == "@solutions.jsonl":
            body = json.dumps({"problem": "What is 2 + 3?", "steps": ["So it is 5."]})
        kind = headers.pop("Content-Type", "application/json")
        is_read = body is None and asked["X"] is None
        client = Client()
        answer = client.get(path, headers=headers) if is_read else client.post(path, body, content_type=kind, headers=headers)
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 201, 200, 201, 201, 201]
