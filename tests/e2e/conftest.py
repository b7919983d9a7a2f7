"""A real Chromium before the real pages. No page may break the content security policy or throw: checked after every test."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

ARGUMENTS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
expect.set_options(timeout=10_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """$STEPMARK_CHROMIUM, else the system's Chromium or Chrome, else the one Playwright installed."""
    executable = os.environ.get("STEPMARK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root otherwise
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS + sandbox)
        yield browser
        browser.close()


class Visitors:
    """Opens pages as one person or another, and notes what goes wrong in them."""

    def __init__(self, browser: Browser, url: str, settings: Any) -> None:
        self.browser, self.url, self.settings = browser, url, settings
        self.contexts: list[BrowserContext] = []
        self.faults: list[str] = []
        self.in_flight: dict[Page, set[Request]] = {}

    def __call__(self, person: User | None = None, path: str = "/", **options: Any) -> Page:
        """Open a page in a browser of its own, signed in."""
        context = self.browser.new_context(**{"viewport": {"width": 1400, "height": 900}, "reduced_motion": "reduce", **options})
        self.contexts.append(context)
        if person:
            self.sign_in(context, person)
        return self.tab(context, path)

    def tab(self, context: BrowserContext, path: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"{page.url} threw {error}"))
        page.on("console", lambda said: "Content Security Policy" in said.text and self.faults.append(f"{page.url}: {said.text}"))
        asked = self.in_flight[page] = set()
        page.on("request", lambda request: asked.add(request))
        page.on("requestfinished", lambda request: asked.discard(request))
        page.on("requestfailed", lambda request: asked.discard(request))
        page.on("close", lambda closed: self.in_flight.pop(closed, None))  # what it asked is answered to nobody
        page.goto(self.url + path)
        return page

    def leave(self) -> None:
        """Close all pages once the server has answered: a request still running would meet the emptying of the database."""
        for context in self.contexts:
            context.route("**/*", lambda route: route.abort())
            for page in context.pages:
                until = time.monotonic() + 5
                while self.in_flight.get(page) and time.monotonic() < until:
                    page.wait_for_timeout(20)
                page.goto("about:blank")  # a page that is left sends its last draft
            context.close()

    def sign_in(self, context: BrowserContext, person: User) -> None:
        client = Client()
        client.force_login(person)
        name = self.settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": self.url}])


@pytest.fixture
def visit(browser: Browser, live_server: Any, settings: Any) -> Iterator[Callable[..., Page]]:
    visitors = Visitors(browser, live_server.url, settings)
    yield visitors
    visitors.leave()
    assert visitors.faults == []
