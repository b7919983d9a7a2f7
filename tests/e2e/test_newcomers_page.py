"""A manager decides about newcomers in a real browser, by keyboard alone, and the newcomers read what was decided."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Event, Membership
from tests import make
from tests.e2e.test_accessibility import violations
from tests.newcomers import failed, more_gold, screened_project

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def test_a_manager_decides_about_each_newcomer_with_one_key(visit: Visit) -> None:
    project = screened_project()
    more_gold(project, 5)
    people = {name: failed(project, name) for name in ("ann", "ben", "cleo")}
    page = visit(make.olga(), "/p/sums/")
    page.get_by_role("link", name="Decide about ann").focus()
    page.keyboard.press("Enter")
    shown = page.get_by_role("heading", level=2)
    expect(shown.filter(has_text="ann")).to_be_visible()
    expect(page.get_by_role("heading", name="3 wait for a decision")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("j")
    expect(shown.filter(has_text="ben")).to_be_visible()
    page.keyboard.press("k")
    expect(shown.filter(has_text="ann")).to_be_visible()
    page.keyboard.press("x")
    expect(page.get_by_role("status")).to_contain_text("ann is refused")
    expect(shown.filter(has_text="ben")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_role("status")).to_contain_text("ben gets 4 other questions")
    expect(shown.filter(has_text="cleo")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_contain_text("cleo is admitted")
    expect(page.get_by_role("heading", name="0 wait for a decision")).to_be_visible()
    verbs = ("refuse member", "let repeat", "admit member")
    assert list(Event.objects.filter(verb__in=verbs).order_by("pk").values_list("verb", flat=True)) == list(verbs)

    home = visit(people["ann"], "/")
    expect(home.get_by_text("a manager decided that you do not label in Sums")).to_be_visible()
    expect(home.get_by_role("link", name="Start labeling")).to_have_count(0)
    home = visit(people["ben"], "/")
    expect(home.get_by_text("4 screening questions, then real work")).to_be_visible()
    home = visit(people["cleo"], "/")
    expect(home.get_by_text("10 solutions waiting")).to_be_visible()


def test_a_key_typed_into_a_field_decides_nothing(visit: Visit) -> None:
    failed(screened_project())
    page = visit(make.olga(), "/p/sums/people/newcomers/")
    page.keyboard.press("/")
    page.keyboard.type("xar")
    expect(page.get_by_role("combobox").or_(page.get_by_role("searchbox")).first).to_have_value("xar")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+r")
    expect(page.get_by_role("heading", name="1 waits for a decision")).to_be_visible()
    membership = Membership.objects.get(user__username="ann")
    assert (membership.qualified_at, membership.refused_at, membership.screening_set) == (None, None, 1)
