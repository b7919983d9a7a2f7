"""Guidelines beside the page: searched by keyboard, while the keys that rate stay where the steps are."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
GUIDELINES = """## Negative steps

A step is *wrong* if its sum is wrong. See 1 + 1.

- A wrong sum
- Wrong *or* right (both) come up

Example: `7 - 3 = 5` is wrong."""


def opened(visit: Visit, **options: object) -> Page:
    """The labeling page with its guidelines open and the search field in focus."""
    project = make.project("sums", guidelines=GUIDELINES)
    make.batch(project, make.solutions(project, 1))
    page = visit(make.ann(project), "/p/sums/label/", **options)
    page.locator("[data-guidelines] summary").click()
    page.get_by_label("Search the guidelines").focus()
    return page


def test_what_is_searched_for_is_marked_and_counted(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("wrong")
    expect(page.locator(".prose mark")).to_have_text(["wrong", "wrong", "wrong", "Wrong", "wrong"])
    expect(page.locator("[data-found]")).to_have_text("1 of 5")
    page.keyboard.type("x")
    expect(page.locator(".prose mark")).to_have_count(0)
    expect(page.locator("[data-found]")).to_have_text("not found")


def test_enter_goes_from_hit_to_hit_and_around(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("sum")
    current = page.locator("mark[data-current]")
    expect(page.locator("li mark[data-current]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("[data-found]")).to_have_text("2 of 2")
    expect(page.locator("li mark[data-current]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("[data-found]")).to_have_text("1 of 2")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("[data-found]")).to_have_text("2 of 2")
    expect(current).to_have_count(1)


def test_a_hit_may_run_through_several_styles_but_not_from_one_paragraph_into_the_next(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("wrong or right (")
    expect(page.locator("[data-found]")).to_have_text("1 of 1")
    expect(page.locator("mark[data-current]")).to_have_text(["Wrong ", "or", " right ("])
    page.get_by_label("Search the guidelines").fill("stepsA")
    expect(page.locator("[data-found]")).to_have_text("not found")


def test_escape_clears_the_search_and_then_goes_back_to_the_step(visit: Visit) -> None:
    page = opened(visit)
    before = page.locator(".prose").inner_html()
    page.keyboard.type("wrong")
    expect(page.locator(".prose mark").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".prose mark")).to_have_count(0)
    expect(page.locator("[data-found]")).to_have_text("")
    assert page.locator(".prose").inner_html() == before
    page.keyboard.press("Escape")
    expect(page.locator("[data-step='0']")).to_be_focused()


def test_keys_typed_into_the_search_rate_nothing(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("1 + 1?")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    expect(page.locator("mark")).to_have_text("1 + 1")
    expect(page.locator("[data-step][data-rated='']")).to_have_count(3)
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_searched_guidelines_have_no_violation(visit: Visit, look: dict) -> None:
    page = opened(visit, **look)
    page.keyboard.type("wrong")
    expect(page.locator("mark").first).to_be_visible()
    assert violations(page) == []
