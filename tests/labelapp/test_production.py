"""PRODUCTION=1 script/server with a key and a host name, and nothing else: it starts, and a reverse proxy finds everything."""

import contextlib
import http.client
import re
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmarks.temporary_site import free_port, template
from labelapp import site_address
from tests.labelapp.test_supervisor import Server

PRODUCTION = {"PRODUCTION": "1", "SECRET_KEY": secrets.token_hex(32), "ALLOWED_HOSTS": "label.example.org, ", "PATH_PREFIX": "/stepmark/"}
AS_THE_PROXY = {"Host": "label.example.org", "X-Forwarded-Proto": "https"}


def ask(port: int, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def test_production_starts_and_serves_its_pages_styles_and_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    tmp_path.chmod(0o755)
    template.fill(tmp_path / "home")
    server = Server(tmp_path / "home", free_port())
    try:
        server.wait_for(r"Stepmark \S+ is at https://label\.example\.org/stepmark/\n")
        server.wait_for(rf"forwards to http://127\.0\.0\.1:{server.port}\b")
        server.wait_for(r"  https://label\.example\.org/stepmark/set-up/\S+/\n")
        answer, page = ask(server.port, "/stepmark/sign-in/", AS_THE_PROXY)
        assert answer.status == 200 and answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert re.search(r"csrf_\w+=[^;]+;.*Path=/stepmark/;.*Secure", answer.headers["Set-Cookie"])
        files = re.findall(r'(?:href|src)="(/stepmark/static/[^"]+)"', page)
        assert {re.sub(r".*/(\w+)\.[0-9a-f]{12}(\.\w+)", r"\1\2", file) for file in files} >= {"stepmark.css", "site.js"}
        for file in files:
            answer, _ = ask(server.port, file, AS_THE_PROXY)
            assert (answer.status, "immutable" in answer.headers["Cache-Control"]) == (200, True), file
        plain, _ = ask(server.port, "/stepmark/sign-in/", {"Host": "label.example.org"})
        assert (plain.status, plain.headers["Location"]) == (301, "https://label.example.org/stepmark/sign-in/")
        assert ask(server.port, "/stepmark/sign-in/", {**AS_THE_PROXY, "Host": "evil.example.org"})[0].status == 400
    finally:
        server.process.terminate()
        server.process.wait()
        if server.process.stdout:
            server.process.stdout.close()
        server.wait_until_gone()


@pytest.mark.parametrize(
    ("hosts", "main"),
    [("b.example.org,a.example.org", "b.example.org"), (".example.org", "example.org"), ("*,a.b", "a.b"), ("*", "localhost")],
)
def test_people_are_told_the_first_allowed_host(hosts: str, main: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**PRODUCTION, "ALLOWED_HOSTS": hosts}.items():
        monkeypatch.setenv(name, value)
    assert site_address.public(host="0.0.0.0", port=8000) == f"https://{main}"


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "localhost"), ("0.0.0.0", "localhost"), ("::1", "[::1]"), ("192.0.2.7", "192.0.2.7")]
)
def test_without_production_people_are_told_this_machine(host: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRODUCTION", raising=False)
    assert site_address.public(host=host, port=8000) == f"http://{address}:8000"


class Web(BaseHTTPRequestHandler):
    """Answers as the site would, and notes what it was asked."""

    status, location = 200, ""
    asked: dict[str, str]

    def do_GET(self) -> None:
        type(self).asked = {"path": self.path, **dict(self.headers)}
        self.send_response(self.status)
        self.send_header("Location", self.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "location", "wrong"),
    [
        (200, "", None),
        (301, "https://label.example.org/stepmark/sign-in/", None),  # this machine is not among the trusted proxies
        (301, "https://elsewhere.example.org/", "301"),
        (302, "/stepmark/", "302"),
        (400, "", "400"),
        (500, "", "500"),
    ],
)
def test_the_start_check_asks_as_the_proxy_does_and_says_what_came(
    status: int, location: str, wrong: str | None, web: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Web, "status", status)
    monkeypatch.setattr(Web, "location", location)
    found = site_address.what_is_wrong(host="0.0.0.0", port=web)
    assert (found is None) if wrong is None else wrong in str(found)
    assert {name: Web.asked[name] for name in ("path", *AS_THE_PROXY)} == {"path": "/stepmark/sign-in/", **AS_THE_PROXY}


def test_the_start_check_uses_the_allowed_host_without_production_too(web: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRODUCTION", raising=False)
    monkeypatch.setenv("ALLOWED_HOSTS", "label.example.org")
    assert site_address.what_is_wrong(host="127.0.0.1", port=web) is None
    assert Web.asked["Host"] == "label.example.org" and "X-Forwarded-Proto" not in Web.asked


def test_the_start_check_says_that_nobody_answers() -> None:
    assert "refused" in str(site_address.what_is_wrong(host="127.0.0.1", port=free_port()))
