"""What eases long labeling, in a real browser: calculator, size and width of texts, a goal for the day, a hint to rest, time zone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Response, Route, expect

from annotation import preferences
from annotation.models import Annotation, Preferences, Project
from tests import make
from tests.ducks import expect_solution, press, steps
from tests.e2e.test_accessibility import violations
from tests.routes import intercept
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


# --- the calculator -----------------------------------------------------------------------------------------------------


def test_c_works_out_the_sum_of_the_step_in_focus_and_escape_goes_back_to_it(ann: Page) -> None:
    press(ann, "ArrowDown ArrowDown c")
    dialog = ann.locator("#calculator")
    expect(dialog.locator("[data-sums-of]")).to_have_text("Sums in step 3:")
    expect(dialog.locator("input")).to_have_value("16 - 7 = 9")
    expect(dialog.locator("input")).to_be_focused()
    expect(dialog.locator("[data-results]")).to_contain_text("Both sides are equal.")
    assert violations(ann) == []
    ann.keyboard.type("0.1 + 0.2")  # instead of the sum, which is selected
    press(ann, "Enter")
    expect(dialog.locator("[data-results]")).to_have_text("0.3 = 3/10")
    press(ann, "Escape")
    expect(dialog).not_to_be_visible()
    expect(ann.locator("[data-step='2']")).to_be_focused()
    press(ann, "3")
    assert steps(ann) == ["", "", "1", ""]


def test_a_bad_sum_and_a_server_that_is_away_are_said_in_the_dialog(ann: Page) -> None:
    press(ann, "ArrowDown c")  # a step without a sum
    dialog = ann.locator("#calculator")
    expect(dialog.locator("[data-sums-of]")).to_have_text("No sum was found in step 2. Write one.")
    ann.keyboard.type("1/0")
    press(ann, "Enter")
    expect(dialog.locator("[data-results]")).to_have_text("Nothing can be divided by zero.")
    assert violations(ann) == []
    intercept(ann, "**/calculate/", lambda route: route.abort())
    press(ann, "Enter")
    expect(dialog.locator("[data-results]")).to_have_text("The server does not answer at the moment. Try again.")


def test_c_does_nothing_where_the_project_has_no_calculator(project: Project, visit: Visit) -> None:
    Project.objects.update(calculator=False)
    page = visit(make.ann(project), "/p/gsm8k/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    press(page, "c 3")
    expect(page.locator("[data-step='0']")).to_have_attribute("data-rated", "1")
    expect(page.locator("dialog[open]")).to_have_count(0)


# --- reading ------------------------------------------------------------------------------------------------------------


def test_size_and_width_are_chosen_in_the_dialog_of_keys_and_remembered_for_every_browser(ann: Page, visit: Visit) -> None:
    size = "getComputedStyle(document.querySelector('[data-step] [data-text]')).fontSize"
    before = float(ann.evaluate(size).removesuffix("px"))
    press(ann, "?")
    ann.get_by_label("Text", exact=True).select_option("huge")
    ann.get_by_label("Lines", exact=True).select_option("narrow")
    expect(ann.locator("[data-reading-word]")).to_have_text("Saved for all your browsers.")
    until(lambda: float(ann.evaluate(size).removesuffix("px")) > 1.3 * before, what="the texts are larger", page=ann)
    until(lambda: Preferences.objects.filter(text_size="huge", line_width="narrow").exists(), what="both are stored", page=ann)
    other = visit(make.ann(), "/p/gsm8k/label/")
    expect(other.locator("[data-step='0']")).to_be_visible()
    assert float(other.evaluate(size).removesuffix("px")) > 1.3 * before
    press(ann, "Escape 3")
    expect(ann.locator("[data-step='0']")).to_have_attribute("data-rated", "1")


def test_of_two_quick_choices_the_newer_one_stays_however_late_the_first_arrives(ann: Page) -> None:
    held: list[Route] = []
    answered: list[Response] = []
    ann.on("response", lambda response: answered.append(response) if response.url.endswith("/reading/") else None)
    intercept(ann, "**/reading/", lambda route: held.append(route) if not held else route.continue_())
    press(ann, "?")
    ann.get_by_label("Text", exact=True).select_option("huge")
    until(lambda: held, what="the first choice is on its way", page=ann)
    ann.get_by_label("Lines", exact=True).select_option("narrow")
    held[0].continue_()
    until(lambda: len(answered) == 2, what="both choices are answered", page=ann)
    expect(ann.locator("[data-reading-word]")).to_have_text("Saved for all your browsers.")
    assert Preferences.objects.filter(text_size="huge", line_width="narrow").exists()


# --- the day ------------------------------------------------------------------------------------------------------------


def test_a_goal_is_counted_quietly_in_the_bar_and_on_the_home_page(project: Project, visit: Visit) -> None:
    preferences.choose(make.ann(project), goal=2, pace=1.5)
    page = visit(make.ann(), "/p/gsm8k/label/")
    for number in (2, 3):
        expect(page.locator("[data-step='0']")).to_be_focused()
        press(page, "1 Enter")
        expect_solution(page, number)
    expect(page.locator("[data-today]")).to_contain_text("today 2 of 2 ✓")
    expect(page.locator("[data-today]")).to_contain_text("goal 1.5")
    page.goto(page.url.split("/p/")[0] + "/")
    expect(page.get_by_role("region", name="Your day")).to_contain_text("2 of 2 solutions. You have reached your goal.")


def test_a_hint_to_rest_comes_after_long_work_holds_nothing_up_and_can_be_closed(project: Project, visit: Visit) -> None:
    preferences.choose(make.ann(project), rest_minutes=30)
    page = visit(make.ann(), "/")
    page.context.clock.install()
    page.goto(page.url + "p/gsm8k/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    hint = page.locator("[data-rest-hint]")
    with page.expect_response("**/rest.js"):
        page.context.clock.run_for(61_000)
    for _ in range(8):  # work without a break, a sign every four minutes
        expect(hint).to_be_hidden()
        press(page, "ArrowDown")
        page.context.clock.fast_forward(4 * 60_000)
    press(page, "Home 1")
    expect(hint).to_contain_text("minutes without a break. A short rest helps.")
    expect(page.locator("[data-step='0']")).to_have_attribute("data-rated", "-1")
    assert violations(page) == []
    hint.get_by_role("button", name="Close").click()
    expect(hint).to_be_hidden()
    expect(page.locator("[data-step='0']")).to_be_focused()
    press(page, "Enter")
    until(lambda: Annotation.objects.count() == 1, what="the submit is stored", page=page)


# --- the account --------------------------------------------------------------------------------------------------------


def test_the_account_proposes_the_browsers_time_zone_until_one_is_chosen(project: Project, visit: Visit) -> None:
    page = visit(make.ann(project), "/account/", timezone_id="Europe/Berlin")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    expect(page.locator("[data-zone-note]")).to_have_text("Your browser is in Europe/Berlin. Save to use this time zone.")
    assert not Preferences.objects.exists()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save your preferences").click()
    expect(page.get_by_text("Your preferences are saved.")).to_be_visible()
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    expect(page.locator("[data-zone-note]")).to_be_hidden()


def test_the_account_has_no_violation_also_with_errors(project: Project, visit: Visit, look: dict) -> None:
    page = visit(make.ann(project), "/account/", **look)
    page.get_by_label("Solutions a day").fill("none")
    page.get_by_role("button", name="Save your preferences").click()
    expect(page.get_by_text("Your goal must be a whole number")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
