"""A real Chromium before the real pages. No page may break the content security policy or throw: checked after every test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.doors import Door
from tests.e2e import chromium
from tests.e2e.turns import Turns
from tests.waiting import PATIENCE

# The window and the colours a test acts in. `violations` looks at each state in this one or in the other window with the other colours, in
# turn, and in the long form in all four. A phone is where a control is out of reach first.
LOOKS = [
    pytest.param((375, "dark"), id="375-dark"),
    pytest.param((1400, "dark"), id="1400-dark", marks=pytest.mark.long),
]
expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(autouse=True, scope="session")
def thoroughness(request: pytest.FixtureRequest) -> None:
    Turns.is_thorough = request.config.getoption("--long")


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
def visit(browser: Browser, live_server: Any, door: Door, settings: Any) -> Iterator[Callable[..., Page]]:
    visitors = Visitors(browser, live_server.url, settings)
    yield visitors
    door.shut()
    visitors.leave()
    assert visitors.faults == []
