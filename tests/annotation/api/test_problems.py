"""Errors of the API are problem documents (RFC 9457), whatever part of the site refuses a request."""

from pathlib import Path
from typing import Any

import pytest
from django import db
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.test import Client

from annotation import projects
from annotation.api.problems import PROBLEMS
from annotation.models import Project
from tests import make
from tests.api import ask, error_of, send, token_for

pytestmark = pytest.mark.django_db
DOCS = Path(__file__).resolve().parents[3] / "docs" / "api.md"


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.olga(project), scope="write")


@pytest.mark.parametrize("path", ["", "nowhere", "projects/", "projects/sums/", "projects/sums/nowhere", "../v2/projects"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch", "options"])
def test_an_address_that_does_not_exist_is_a_problem_for_everybody(path: str, method: str) -> None:
    assert error_of(getattr(Client(), method)(f"/api/v1/{path}")) == (404, "not_found")


def test_a_slash_at_the_end_is_named(token: str) -> None:
    assert ask("projects/", token).json()["detail"].endswith("Leave out the slash at the end.")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options", "trace"])
def test_another_method_is_refused_with_those_that_the_address_knows(token: str, method: str) -> None:
    answer = getattr(Client(), method)("/api/v1/projects", headers={"Authorization": f"Bearer {token}"})
    assert error_of(answer) == (405, "method_not_allowed") and answer["Allow"] == "GET, HEAD"


def test_head_is_answered_as_get_without_a_body(token: str) -> None:
    answer = Client().head("/api/v1/projects", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200 and answer["ETag"] and not answer.content


def test_a_caller_who_takes_no_json_is_told_what_the_answer_would_be(token: str) -> None:
    assert error_of(ask("projects", token, Accept="text/csv")) == (406, "not_acceptable")
    assert ask("projects", token, Accept="*/*").status_code == 200


@pytest.mark.parametrize(
    "query,name,code",
    [
        ({"colour": "red"}, "colour", "unknown"),
        ({"limit": "0"}, "limit", "min_value"),
        ({"limit": "201"}, "limit", "max_value"),
        ({"limit": "many"}, "limit", "invalid"),
        ({"limit": "9" * 5000}, "limit", "max_string_length"),
        ({"limit": ["1", "2"]}, "limit", "repeated"),
        ({"archived": "perhaps"}, "archived", "invalid"),
        ({"cursor": "x"}, "cursor", "invalid"),
        ({"cursor": "MC0x"}, "cursor", "invalid"),
        ({"cursor": ""}, "cursor", "blank"),
        ({"cursor": "é" * 90}, "cursor", "invalid"),
    ],
)
def test_a_wrong_query_is_named(token: str, query: dict[str, Any], name: str, code: str) -> None:
    answer = ask("projects", token, query)
    assert error_of(answer) == (400, "bad_query")
    assert [(fault["in"], fault["name"], fault["code"]) for fault in answer.json()["errors"]] == [("query", name, code)]
    assert answer.json()["n_errors"] == 1 and answer.json()["errors"][0]["detail"]


def test_all_faults_of_a_query_are_named_at_once(token: str) -> None:
    answer = ask("projects", token, {"colour": "red", "limit": "0", "shape": "round"})
    assert sorted(fault["name"] for fault in answer.json()["errors"]) == ["colour", "limit", "shape"]
    assert "Known: cursor, limit, archived." in answer.json()["errors"][0]["detail"]


def test_an_address_without_a_list_knows_no_cursor(token: str) -> None:
    assert ask("me", token, {"cursor": "MQ"}).json()["errors"][0]["detail"] == "There is no filter “cursor” here. Known: none."


def test_a_nul_character_is_refused(token: str) -> None:
    assert error_of(ask("projects", token, {"limit": "1\0"})) == (400, "bad_request")
    assert error_of(ask("pro%00jects", token)) == (400, "bad_request")


def test_a_host_that_the_site_does_not_have_is_refused(token: str) -> None:
    assert error_of(ask("me", token, Host="evil.example.org")) == (400, "bad_request")


def test_what_the_request_holds_cannot_break_the_document(token: str) -> None:
    answer = ask("projects", token, {"\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"): "x", '"}<script>': "y"})
    assert error_of(answer) == (400, "bad_query") and {fault["name"] for fault in answer.json()["errors"]} == {"😀", '"}<script>'}


def test_a_fault_of_the_site_is_a_problem_that_tells_nothing_of_it(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(projects, "member_projects", fail)
    client = Client(raise_request_exception=False)
    answer = client.get("/api/v1/projects", headers={"Authorization": f"Bearer {token}"})
    assert error_of(answer) == (500, "server_error") and "secret" not in answer.content.decode() and answer["X-Request-ID"]


def test_an_outage_is_a_problem_that_says_when_to_try_again(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise db.OperationalError("connection refused")

    monkeypatch.setattr(projects, "member_projects", fail)
    answer = ask("projects", token)
    assert error_of(answer) == (503, "database_unavailable") and answer["Retry-After"]


def test_a_request_that_cannot_be_read_in_a_view_is_a_problem(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BadRequest("The address is odd.")

    monkeypatch.setattr(projects, "member_projects", fail)
    assert error_of(ask("projects", token)) == (400, "bad_request")


def test_errors_are_never_kept_by_a_cache(token: str) -> None:
    for answer in (ask("nowhere", token), ask("me", "wrong"), ask("me", token, {"a": "b"})):
        assert "no-store" in answer["Cache-Control"]


def test_pages_keep_their_own_errors(token: str) -> None:
    assert Client().get("/nowhere/")["Content-Type"].startswith("text/html")


def test_a_post_to_an_address_that_only_reads_is_refused_before_its_body_is_read(token: str) -> None:
    assert error_of(send("me", token, "{" * 100)) == (405, "method_not_allowed")


# --- ETags ----------------------------------------------------------------------------------------------------------------------


def test_the_same_answer_is_sent_once(token: str, project: Project) -> None:
    first = ask("projects", token)
    again = ask("projects", token, **{"If-None-Match": first["ETag"]})
    assert again.status_code == 304 and not again.content and again["ETag"] == first["ETag"]
    Project.objects.update(name="Other")
    changed = ask("projects", token, **{"If-None-Match": first["ETag"]})
    assert changed.status_code == 200 and changed["ETag"] != first["ETag"]


@pytest.mark.parametrize("header,status", [("W/{}", 304), ('"x", {}', 304), ("*", 304), ('"x"', 200), ("x", 200)])
def test_if_none_match_is_read_as_rfc_9110_says(token: str, header: str, status: int) -> None:
    etag = ask("projects", token)["ETag"]
    assert ask("projects", token, **{"If-None-Match": header.format(etag)}).status_code == status


def test_an_answer_depends_on_who_asks_and_is_kept_by_no_shared_cache(token: str) -> None:
    answer = ask("projects", token)
    assert answer["Cache-Control"] == "private, no-cache" and {"Authorization", "Cookie"} <= set(answer["Vary"].split(", "))


# --- pages of a list ------------------------------------------------------------------------------------------------------------


def test_the_pages_of_a_list_hold_each_item_once(project: Project) -> None:
    olga = make.olga(project)
    for number in range(4):
        make.olga(make.project(f"more{number}"))
    token, seen, query = token_for(olga), [], {"limit": "2"}
    while True:
        answer = ask("projects", token, query)
        seen.append([item["slug"] for item in answer.json()["items"]])
        if answer.json()["next"] is None:
            break
        assert f'cursor={answer.json()["next"]}>; rel="next"' in answer["Link"]
        query = {"limit": "2", "cursor": answer.json()["next"]}
    assert seen == [["sums", "more0"], ["more1", "more2"], ["more3"]] and "Link" not in answer


def test_projects_are_filtered(token: str, project: Project) -> None:
    from django.utils import timezone

    make.project("old", archived_at=timezone.now()).people.add(User.objects.get(), through_defaults={"role": "owner"})
    listed = {value: [item["slug"] for item in ask("projects", token, {"archived": value}).json()["items"]] for value in ("true", "false")}
    assert listed == {"true": ["old"], "false": ["sums"]}


# --- words ----------------------------------------------------------------------------------------------------------------------


def test_every_code_is_documented() -> None:
    text = DOCS.read_text()
    assert [code for code, (status, _) in PROBLEMS.items() if f"| `{code}` | {status} |" not in text] == []
