"""Where things stand on the labeling page: what must not move, and what must stay in view, in windows of all widths."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
LONG = "We add the numbers and see what comes out of it, word after word, until the line is full and goes on. " * 2
WIDTHS = "[...document.querySelectorAll('[data-step] .text')].map((text) => Math.round(text.getBoundingClientRect().width * 10) / 10)"
IN_VIEW = """(selector) => {
  const place = document.querySelector(selector), {left, top, width, height} = place.getBoundingClientRect();
  const seen = document.elementFromPoint(left + Math.min(width / 2, 60), top + Math.min(height / 2, 20));
  return top >= 0 && top < innerHeight && place.contains(seen);
}"""

OVERLAPS = """[...document.querySelectorAll('button, summary, a, label')].map((control) => [control, control.getBoundingClientRect()])
  .filter(([control, box]) => control.checkVisibility() && box.width && box.height)
  .flatMap(([one, a], at, all) => all.slice(at + 1)
    .filter(([other, b]) => !one.contains(other) && !other.contains(one) && !one.closest('.actions') && !other.closest('.actions')
      && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
    .map(([other]) => one.innerText + ' | ' + other.innerText))"""


def labeling_page(visit: Visit, width: int, height: int, **options: object) -> Page:
    project = make.project("maths")
    make.batch(project, [make.solution(make.problem(project, statement=LONG * 4), [LONG, LONG, LONG, *["Short."] * 6, LONG])])
    page = visit(make.ann(project), "/p/maths/label/", viewport={"width": width, "height": height}, **options)
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page


@pytest.mark.parametrize("width", [1400, 1000, 821, 375])
def test_no_text_rewraps_when_the_focus_the_flag_or_the_rating_changes(visit: Visit, width: int) -> None:
    page = labeling_page(visit, width, 800)
    before = page.evaluate(WIDTHS)
    assert len(set(before)) == 1 and before[0] > 240
    for key in ("u", "2", "3", "ArrowUp", "u", "ArrowDown", "1", "Backspace", "End"):
        page.keyboard.press(key)
        assert set(page.evaluate(WIDTHS)) <= {*before, 0}, key  # 0: folded after a mistake


@pytest.mark.parametrize(("width", "height"), [(375, 667), (700, 450), (640, 360)])
def test_a_narrow_window_keeps_the_problem_and_the_step_in_view(visit: Visit, width: int, height: int) -> None:
    page = labeling_page(visit, width, height)
    for key in ("", "3", "End"):
        if key:
            page.keyboard.press(key)
        assert page.evaluate(IN_VIEW, "[data-problem]"), f"the problem after {key or 'the opening'}"
        assert page.evaluate(IN_VIEW, "[data-focused] .text"), f"the step after {key or 'the opening'}"
    problem = page.locator(".problem")
    expect(problem).to_have_attribute("tabindex", "0")  # it is long: the keyboard can scroll it
    assert problem.evaluate("(one) => one.scrollHeight > one.clientHeight")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_key_hints_stay_where_there_is_a_keyboard_however_narrow_the_window_is(visit: Visit) -> None:
    page = labeling_page(visit, 375, 667)
    for hint in (".hint", "[data-submit] kbd", ".aside-foot kbd", "[data-act=keys]"):
        expect(page.locator(hint).first).to_be_visible()
    page = visit(make.ann(), "/p/maths/label/", viewport={"width": 375, "height": 667}, has_touch=True, is_mobile=True)
    expect(page.locator("[data-focused]")).to_be_visible()
    for hint in (".hint", "[data-submit] kbd", ".aside-foot kbd", "[data-act=keys]"):
        expect(page.locator(hint).first).to_be_hidden()


@pytest.mark.parametrize("width", [1400, 1000, 821, 700, 375, 320])
def test_no_control_covers_another_one(visit: Visit, width: int) -> None:
    page = labeling_page(visit, width, 667)
    assert page.evaluate(OVERLAPS) == []
