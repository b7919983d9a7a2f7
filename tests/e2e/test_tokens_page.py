"""The page of a person's API tokens with the keyboard alone, and what it shows."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation.models import ApiToken
from tests import make
from tests.api import ask

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_token_is_made_copied_and_revoked_with_the_keyboard(visit: Callable[..., Page]) -> None:
    page = visit(make.ann(make.project()), "/account/tokens/")
    expect(page.get_by_text("You have no token.")).to_be_visible()
    page.get_by_label("Name").focus()
    page.keyboard.type("notebook")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Read", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("Sums")
    page.keyboard.press("Tab")
    page.keyboard.type("7")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Make the token")).to_be_focused()
    page.keyboard.press("Enter")
    field = page.get_by_label("The token")
    expect(field).to_be_focused()
    assert ask("me", field.input_value()).json() == {"username": "ann", "scope": "write", "project": "sums"}
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("Copied|Press Ctrl"))).to_be_visible()
    page.get_by_role("button", name="Revoke the token notebook").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The token “notebook” is revoked.")
    assert ApiToken.objects.get().revoked_at is not None
