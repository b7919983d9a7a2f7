"""The page that people see while the database is gone: it loads again by itself, and keeps to the rules of all pages."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import OperationalError
from playwright.sync_api import Page, expect

from labelapp.http.sessions import SessionStore
from tests import make
from tests.routes import intercept

pytestmark = pytest.mark.django_db(transaction=True)

AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"


def refuse(*_: object, **__: object) -> None:
    raise OperationalError("connection refused")


def test_the_page_loads_again_by_itself_and_shows_what_was_asked_for(visit: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit(make.ann(make.project("sums")), "/")
    page.clock.install()
    with monkeypatch.context() as away:
        away.setattr(SessionStore, "load", refuse)
        page.route("**/again.js", lambda route: route.abort())  # on a busy machine its 5 seconds can be over before axe is
        page.goto(page.url + "keys/")
        expect(page.get_by_role("heading", name="Back in a moment")).to_be_visible()
        page.evaluate(AXE.read_text())
        assert page.evaluate("async () => (await axe.run(document)).violations.map((found) => found.id)") == []
        page.unroute("**/again.js")
        page.reload()
        expect(page.get_by_role("heading", name="Back in a moment")).to_be_visible()
    page.clock.fast_forward(7_000)
    expect(page.get_by_role("heading", name="Your keys")).to_be_visible()


def polled(page: Page) -> Page:
    """Stop the clock of an overview. Each part of it is loaded again after 5 seconds."""
    page.clock.install()
    page.reload()
    expect(page.locator("[data-loop]")).not_to_contain_text("Loading")
    expect(page.locator("[data-outage]")).to_be_hidden()
    return page


def test_a_part_of_a_page_that_meets_an_outage_says_so_until_it_is_over(
    visit: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = polled(visit(make.olga(make.project("sums")), "/p/sums/"))
    notice = page.locator("[data-outage]")
    with monkeypatch.context() as away:
        away.setattr(SessionStore, "load", refuse)
        page.clock.run_for(6_000)
        expect(notice).to_contain_text("The database does not answer at the moment.")
        expect(notice).to_contain_text("Try again in a moment.")
    page.clock.run_for(6_000)
    expect(notice).to_be_hidden()


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(0, "The server cannot be reached at the moment."), (502, "The server does not answer at the moment."), (500, "the error 500.")],
)
def test_a_part_of_a_page_that_cannot_be_loaded_says_why(visit: Callable[..., Page], status: int, sentence: str) -> None:
    page = polled(visit(make.olga(make.project("sums")), "/p/sums/"))
    intercept(page, "**/p/sums/rounds/", lambda route: route.fulfill(status=status, body="<h1>No</h1>") if status else route.abort())
    page.clock.run_for(6_000)
    expect(page.locator("[data-outage]")).to_contain_text(sentence)
