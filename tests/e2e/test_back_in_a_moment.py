"""The page that people see while the database is gone: it loads again by itself, and keeps to the rules of all pages."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import OperationalError
from playwright.sync_api import Page, expect

from labelapp.sessions import SessionStore
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"


def refuse(*_: object, **__: object) -> None:
    raise OperationalError("connection refused")


def test_the_page_loads_again_by_itself_and_shows_what_was_asked_for(visit: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit(make.ann(make.project("sums")), "/")
    page.clock.install()
    with monkeypatch.context() as away:
        away.setattr(SessionStore, "load", refuse)
        page.goto(page.url + "keys/")
        expect(page.get_by_role("heading", name="Back in a moment")).to_be_visible()
        page.evaluate(AXE.read_text())
        assert page.evaluate("async () => (await axe.run(document)).violations.map((found) => found.id)") == []
    page.clock.fast_forward(7_000)
    expect(page.get_by_role("heading", name="Your keys")).to_be_visible()
