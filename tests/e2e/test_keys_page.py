"""Keys of one's own: chosen by pressing them or by name, used by the labeling page at once."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation import keys
from annotation.models import Keys
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def press_for(page: Page, act: str, *pressed: str) -> None:
    """Choose a key for an act by keyboard: Enter in its field, then the key."""
    field = page.locator(f"#key-{act}")
    field.focus()
    page.keyboard.press("Enter")
    expect(field).to_have_attribute("readonly", "")
    for key in pressed:
        page.keyboard.press(key)


def test_a_key_is_chosen_by_pressing_it(visit: Visit) -> None:
    ann = make.ann()
    page = visit(ann, "/keys/")
    press_for(page, "negative", "a")
    expect(page.locator("#key-negative")).to_have_value("a")
    page.get_by_role("button", name="Press a key for: Undo").click()
    page.keyboard.press("Delete")
    expect(page.locator("#key-undo")).to_have_value("Delete")
    press_for(page, "submit", "Space")
    page.locator("[data-store]").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Your keys are saved.")
    chosen = keys.key_map(ann)
    assert (chosen["negative"], chosen["undo"], chosen["submit"]) == (["a"], ["Delete"], [" "])


def test_a_key_wanted_twice_is_named_at_once(visit: Visit) -> None:
    page = visit(make.ann(), "/keys/")
    press_for(page, "undo", "u")
    expect(page.locator("#fault-unsure")).to_contain_text("u is already the key for “Undo”.")
    expect(page.locator("#key-unsure")).to_have_attribute("aria-invalid", "true")
    page.locator("#key-unsure").fill("n")
    expect(page.locator("#fault-unsure")).to_be_empty()


def test_escape_keeps_the_key_and_keys_of_the_browser_are_not_taken(visit: Visit) -> None:
    page = visit(make.ann(), "/keys/")
    press_for(page, "undo", "Shift", "F9")
    expect(page.locator("#fault-undo")).to_contain_text("F9 cannot be used. Press another key.")
    page.keyboard.press("Escape")
    expect(page.locator("#key-undo")).to_have_value("Backspace")
    press_for(page, "undo", "Tab")
    expect(page.locator("#key-undo")).to_have_value("Backspace")
    expect(page.get_by_role("button", name="Press a key for: Undo")).to_be_focused()


def test_keys_are_chosen_without_script_too(visit: Visit) -> None:
    ann = make.ann()
    page = visit(ann, "/keys/", java_script_enabled=False)
    expect(page.get_by_role("button", name="Press a key for: Undo")).to_have_count(0)
    page.get_by_label("Undo").fill("z")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Your keys are saved.")
    assert keys.key_map(ann)["undo"] == ["z"]
    page.get_by_role("button", name="Restore the default keys").click()
    expect(page.get_by_label("Undo")).to_have_value("Backspace")
    assert not Keys.objects.exists()


def test_the_page_of_keys_has_no_violation(visit: Visit, look: dict) -> None:
    page = visit(make.ann(), "/keys/", **look)
    assert violations(page) == []
    press_for(page, "undo", "u")
    press_for(page, "negative", "F9")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.locator("[data-store]").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_a_chosen_key_rates_at_once_and_only_for_who_chose_it(visit: Visit) -> None:
    project = make.project("sums")
    make.batch(project, make.solutions(project, 3))
    ann, ben = make.ann(project), make.ben(project)
    page = visit(ann, "/keys/")
    press_for(page, "negative", "a")
    page.locator("[data-store]").click()
    expect(page.get_by_role("status").first).to_contain_text("Your keys are saved.")
    page.goto(page.url.replace("keys/", "p/sums/label/"))
    step = page.locator("[data-step='0']")
    expect(step).to_be_focused()
    expect(page.locator(".hint [data-key='negative']")).to_have_text("A")
    page.keyboard.press("1")
    expect(step).to_have_attribute("data-rated", "")
    page.keyboard.press("A")
    expect(step).to_have_attribute("data-rated", "-1")

    other = visit(ben, "/p/sums/label/")
    step = other.locator("[data-step='0']")
    expect(step).to_be_focused()
    expect(other.locator(".hint [data-key='negative']")).to_have_text("1")
    other.keyboard.press("a")
    expect(step).to_have_attribute("data-rated", "")
    other.keyboard.press("1")
    expect(step).to_have_attribute("data-rated", "-1")


LAYOUTS = [
    ("г", "KeyU", False, "unsure"),  # Russian
    ("Г", "KeyU", True, "unsure"),
    ("١", "Digit1", False, "negative"),  # Arabic digits
    ("&", "Digit1", False, "negative"),  # French
    ("é", "Digit2", False, "neutral"),
    ("u", "KeyF", False, "unsure"),  # Dvorak: the letter counts, not the place
    ("!", "Digit1", True, None),
    (",", "KeyW", False, None),
    ("Dead", "KeyU", False, None),
]


def test_keys_work_on_layouts_without_latin_letters(visit: Visit) -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    page = visit(make.ann(project), "/p/sums/label/")
    expect(page.locator("[data-focused]")).to_be_visible()
    events = [{"key": key, "code": code, "shiftKey": shift} for key, code, shift, _ in LAYOUTS]
    acts = page.evaluate("events => events.map((event) => Stepmark.actOf(new KeyboardEvent('keydown', event)) ?? null)", events)
    assert acts == [act for *_, act in LAYOUTS]
    press = "event => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { ...event, bubbles: true, cancelable: true }))"
    page.evaluate(press, {"key": "г", "code": "KeyU"})
    expect(page.locator("[data-step='0'][data-flagged]")).to_be_visible()
