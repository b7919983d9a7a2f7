"""How the client sends requests: again where that is safe, with errors that say what happened, and without ever showing the token."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import stepmark_client
from stepmark_client import Stepmark

from active_learning.models import Round
from annotation.models import Project
from tests import make
from tests.api import token_for
from tests.client.conftest import Line

pytestmark = pytest.mark.django_db
LOST = httpx.ReadError("the connection was lost")
NOBODY = httpx.ConnectError("connection refused")
Enter = Callable[..., Stepmark]


def outage(status: int = 503, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, content=b"busy")


def a_round(site: Stepmark) -> stepmark_client.Round:
    make.solutions(Project.objects.get(), 3)
    return site.project("sums").rounds.start(strategy="uniform", size=2, review=True)


@pytest.mark.parametrize("fault", [outage(), outage(429), outage(502), outage(504), LOST, NOBODY, httpx.ReadTimeout("late")], ids=repr)
def test_a_request_that_reads_is_sent_again(enter: Enter, line: Line, waits: list[float], fault: httpx.Response | Exception) -> None:
    line.faults = [fault]
    assert enter().me().username == "olga"
    assert len(line.sent) == 2 and len(waits) == 1 and 0.2 < waits[0] <= 0.5


def test_the_client_gives_up_after_so_many_attempts_and_waits_longer_each_time(enter: Enter, line: Line, waits: list[float]) -> None:
    line.faults = [outage()] * 4
    with pytest.raises(stepmark_client.Outage) as refused:
        enter(retries=3).me()
    assert refused.value.status == 503 and len(line.sent) == 4 and waits[0] <= 0.5 < waits[2] <= 2


def test_the_client_waits_as_long_as_the_site_asks(enter: Enter, line: Line, waits: list[float]) -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    line.faults = [outage(429, **{"Retry-After": "7"}), outage(**{"Retry-After": in_a_minute})]
    enter().me()
    assert waits[0] == 7 and 50 < waits[1] <= 60


def test_the_client_does_not_wait_for_an_hour(enter: Enter, line: Line, waits: list[float]) -> None:
    line.faults = [outage(429, **{"Retry-After": "3600"})]
    with pytest.raises(stepmark_client.TooManyRequests):
        enter().me()
    assert waits == []


def test_a_round_whose_answer_was_lost_starts_once(enter: Enter, line: Line, waits: list[float]) -> None:
    line.lost = [True]
    assert a_round(enter()).number == 0
    assert Round.objects.count() == 1 and len(line.keys()) == 2 and len(set(line.keys())) == 1 and line.keys()[0]


@pytest.mark.parametrize("code", ["key_in_use", "load_running"])
def test_a_request_whose_first_one_or_another_load_still_runs_is_sent_again(
    enter: Enter, line: Line, waits: list[float], code: str
) -> None:
    running = {"code": code, "detail": "Still running.", "status": 409}
    headers = {"Retry-After": "5", "Content-Type": "application/problem+json"}
    line.faults = [httpx.Response(409, json=running, headers=headers)]
    assert a_round(enter()).state == "queued" and waits == [5]


@pytest.mark.parametrize("fault", [outage(), LOST], ids=repr)
def test_a_request_that_could_act_twice_is_not_sent_again(
    enter: Enter, line: Line, waits: list[float], fault: httpx.Response | Exception
) -> None:
    started = a_round(enter())
    line.faults, line.sent = [fault], []
    with pytest.raises(stepmark_client.StepmarkError) as refused:
        started.cancel()
    assert len(line.sent) == 1 and waits == []
    assert "may have done" in str(refused.value) or isinstance(refused.value, stepmark_client.Outage)


@pytest.mark.parametrize("fault", [outage(429), NOBODY], ids=repr)
def test_a_request_that_the_site_never_acted_on_is_sent_again(
    enter: Enter, line: Line, waits: list[float], fault: httpx.Response | Exception
) -> None:
    started = a_round(enter())
    line.faults = [fault]
    assert started.cancel().state == "cancelled"


# --- errors ---------------------------------------------------------------------------------------------------------------------


def test_a_refusal_carries_the_problem_document(enter: Enter) -> None:
    with pytest.raises(stepmark_client.BadRequest) as refused:
        list(enter().project("sums").solutions.pages(limit=1000))
    assert (refused.value.status, refused.value.code, refused.value.errors[0]["name"]) == (400, "bad_query", "limit")
    assert refused.value.detail in str(refused.value) and refused.value.document["type"] == "urn:stepmark:problem:bad_query"


def test_each_refusal_has_a_kind(enter: Enter, sums: Project) -> None:
    site = enter()
    with pytest.raises(stepmark_client.NotFound):
        site.project("other").details()
    with pytest.raises(stepmark_client.Conflict):
        site.project("sums").rounds.start(strategy="nonsense")
    with pytest.raises(stepmark_client.NotSignedIn, match="token_unknown"):
        Stepmark("http://testserver", "abc", transport=site.api._transport).me()
    reads = Stepmark("http://testserver", token_for(make.olga(sums), name="reads"), transport=site.api._transport)
    with pytest.raises(stepmark_client.NotAllowed, match="scope_missing"):
        reads.project("sums").rounds.start(strategy="uniform")


def test_an_answer_that_is_not_by_the_api_is_explained(enter: Enter, line: Line, waits: list[float]) -> None:
    line.faults = [httpx.Response(404, text="<html>nginx"), httpx.Response(301, headers={"Location": "https://elsewhere/"})]
    with pytest.raises(stepmark_client.NotFound, match="Is the address that of a Stepmark site?"):
        enter().me()
    with pytest.raises(stepmark_client.RequestRefused, match="https://elsewhere/"):
        enter().me()


def test_a_fault_of_the_site_names_the_request_for_its_log(enter: Enter, line: Line) -> None:
    headers = {"X-Request-ID": "8f2a", "Content-Type": "application/problem+json"}
    line.faults = [httpx.Response(500, headers=headers, json={"code": "server_error", "detail": "A fault of the site."})]
    with pytest.raises(stepmark_client.SiteFault, match=r"A fault of the site. \(500 server_error\)\n  X-Request-ID: 8f2a") as refused:
        enter().me()
    assert refused.value.request_id == "8f2a" and len(line.sent) == 1


def test_nobody_at_the_address_is_an_error_that_names_it(enter: Enter, line: Line, waits: list[float]) -> None:
    line.faults = [NOBODY] * 3
    with pytest.raises(stepmark_client.Unreachable, match="No answer from http://testserver: connection refused."):
        enter().me()


def test_an_address_or_a_token_that_cannot_be_right_is_refused_at_once() -> None:
    for url, token in (("localhost:8000", "abc"), ("http://localhost", ""), ("http://localhost", "abc def"), ("http://localhost", "abc\n")):
        with pytest.raises(ValueError):
            Stepmark(url, token)


def test_the_address_of_the_api_is_that_of_its_site(enter: Enter, line: Line) -> None:
    site = Stepmark("https://host/labels/api/v1/", "abc", transport=line)
    line.faults = [httpx.Response(200, json={"username": "olga", "scope": "read", "project": None})]
    assert site.me().username == "olga" and str(line.sent[0].url) == "https://host/labels/api/v1/me"


def test_the_token_is_in_the_header_and_is_never_shown(enter: Enter, line: Line, sums: Project, waits: list[float]) -> None:
    site = enter()
    site.me()
    token = line.sent[0].headers["Authorization"].removeprefix("Bearer ")
    line.faults = [NOBODY] * 3
    with pytest.raises(stepmark_client.Unreachable) as refused:
        site.me()
    shown = [repr(site), repr(site.api), repr(site.project("sums")), repr(site.api.headers), repr(vars(site)), repr(refused.value)]
    assert len(token) > 20 and all(token not in text for text in shown)
