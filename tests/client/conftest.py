"""The Python client before the site in this process: real requests to the real views, without a socket."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import celery
import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from stepmark_client import Stepmark

from annotation.models import Project
from tests import make
from tests.api import token_for

Fault = httpx.Response | Exception | None


class Line(httpx.BaseTransport):
    """The way to the site. Faults in the order of requests: an answer of something else, or an error; `lost` after the site has acted."""

    def __init__(self) -> None:
        self.site = httpx.WSGITransport(app=get_wsgi_application())
        self.faults: list[Fault] = []
        self.lost: list[bool] = []
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return fault
        answer = self.site.handle_request(request)
        if self.lost and self.lost.pop(0):
            raise httpx.ReadError("the connection was lost")
        return answer

    def keys(self) -> list[str]:
        return [request.headers.get("Idempotency-Key", "") for request in self.sent if request.method == "POST"]


@pytest.fixture
def line() -> Iterator[Line]:
    """A line whose requests are in the transaction of the test: Django would end its connection with each of them."""
    ends = [(signal, signal.disconnect(close_old_connections)) for signal in (request_started, request_finished)]
    yield Line()
    for signal, was_connected in ends:
        assert was_connected and signal.connect(close_old_connections) is None


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client waited before it sent a request again. It does not really wait."""
    waited: list[float] = []
    for module in ("transport", "orders"):
        monkeypatch.setattr(f"stepmark_client.{module}.time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(celery.Celery, "send_task", lambda *_, **__: None)
    return make.project(text_kind="plain", batch_size=2)


@pytest.fixture
def enter(sums: Project, line: Line) -> Iterator[Callable[..., Stepmark]]:
    """Return a client of the site with a new token of its owner."""
    opened: list[Stepmark] = []

    def client(**options: object) -> Stepmark:
        token = token_for(make.olga(sums), scope="write", name=f"script {len(opened)}")
        opened.append(Stepmark("http://testserver", token, **{"transport": line, "retries": 2, **options}))  # type: ignore[arg-type]
        return opened[-1]

    yield client
    for one in opened:
        one.close()
