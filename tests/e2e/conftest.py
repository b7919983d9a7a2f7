"""A real Chromium before the real pages. No page may break the content security policy or throw: checked after every test."""

import functools
import mimetypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e import chromium
from tests.waiting import PATIENCE

# The window and the colours a test acts in. `violations` looks at each state also in the other window with the other colours: each width
# and each scheme once in the short form, both with both in the long one. A phone is where a control is out of reach first.
LOOKS = [
    pytest.param((375, "dark"), id="375-dark"),
    pytest.param((1400, "dark"), id="1400-dark", marks=pytest.mark.long),
]
AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> dict:
    width, scheme = request.param
    return {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}


@functools.cache
def static_file(path: str) -> tuple[str, bytes] | None:
    """Return the type and the content of a static file, read once: each browser context asks for all of them anew."""
    found = AXE if path == AXE.name else finders.find(path)
    return (mimetypes.guess_type(path)[0] or "application/octet-stream", Path(found).read_bytes()) if found else None


class Door:
    """Stands before the live server: lets requests in, and once shut turns them away and knows when the last one has left.

    It hands out the static files itself.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app, self.inside, self.is_open, self.left = app, 0, True, threading.Condition()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        with self.left:
            self.inside += self.is_open
            is_let_in = self.is_open
        if not is_let_in:
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return
        try:
            before, _, path = environ["PATH_INFO"].partition(settings.STATIC_URL)
            if not before and (file := static_file(path)):
                kind, content = file
                start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "max-age=3600")])
                yield content
                return
            response = self.app(environ, start_response)
            try:
                yield from response
            finally:
                response.close()
        finally:
            with self.left:
                self.inside -= 1
                self.left.notify_all()

    def shut(self) -> None:
        """Wait for the requests that are inside. A request that runs while the database is emptied would deadlock with it."""
        with self.left:
            self.is_open = False
            assert self.left.wait_for(lambda: self.inside == 0, timeout=PATIENCE), f"{self.inside} requests never ended"


class Visitors:
    """Opens pages as one person or another, and notes what goes wrong in them."""

    def __init__(self, browser: Browser, url: str, settings: Any) -> None:
        self.browser, self.url, self.settings = browser, url, settings
        self.contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def __call__(self, person: User | None = None, path: str = "/", **options: Any) -> Page:
        """Open a page in a browser of its own, signed in."""
        context = self.browser.new_context(**{"viewport": {"width": 1400, "height": 900}, "reduced_motion": "reduce", **options})
        context.set_default_timeout(PATIENCE * 1000)
        self.contexts.append(context)
        if person:
            self.sign_in(context, person)
        return self.tab(context, path)

    def tab(self, context: BrowserContext, path: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"{page.url} threw {error}"))
        page.on("console", lambda said: "Content Security Policy" in said.text and self.faults.append(f"{page.url}: {said.text}"))
        page.goto(self.url + path)
        return page

    def leave(self) -> None:
        for context in self.contexts:
            context.close()

    def sign_in(self, context: BrowserContext, person: User) -> None:
        client = Client()
        client.force_login(person)
        name = self.settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": self.url}])


@pytest.fixture
def door(live_server: Any) -> Iterator[Door]:
    """A new one for every test. The last one's stays shut: a page says what it still has to say after it was closed."""
    httpd, app = live_server.thread.httpd, live_server.thread.httpd.get_app()
    door = Door(app.app if isinstance(app, Door) else app)
    httpd.set_app(door)
    yield door
    door.shut()


@pytest.fixture
def visit(browser: Browser, live_server: Any, door: Door, settings: Any) -> Iterator[Callable[..., Page]]:
    visitors = Visitors(browser, live_server.url, settings)
    yield visitors
    door.shut()
    visitors.leave()
    assert visitors.faults == []
