"""At the first mistake of a whole solution: alternatives rated, the step written anew, what was wrong. In a real browser, by keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Annotation, Draft, Project, StepAlternative, StepLabel
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
STEPS = ["She eats 3 and bakes 4.", "That is 3 + 4 = 8 eggs.", "She sells 8 eggs.", "She earns $16.\n\n# Answer\n\n16"]
ALTERNATIVES = {1: ["That is $3 + 4 = 7$ eggs.", "That is 12 eggs.", "So 7 eggs are used."], 2: ["She sells 9 eggs."]}


@pytest.fixture
def project() -> Project:
    made = make.project("ducks", name="Ducks", alternatives_after_error=True)
    solutions = [make.solution(make.problem(made, statement=f"{number}. How much does Janet earn?"), STEPS) for number in (1, 2)]
    for step, texts in ALTERNATIVES.items():
        for position, text in enumerate(texts, 1):
            StepAlternative.objects.create(solution=solutions[0], step_index=step, position=position, text=text)
    make.batch(made, solutions)
    return made


@pytest.fixture
def ann(project: Project, visit: Visit) -> Page:
    page = visit(make.ann(project), "/p/ducks/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def alternative(page: Page, step: int, position: int):
    return page.locator(f"[data-alternatives='{step}'] [data-position='{position}']")


def expect_saved(page: Page) -> None:
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "saved")


def expect_solution(page: Page, number: int) -> None:
    expect(page.locator("[data-problem]")).to_contain_text(f"{number}. How")
    expect_saved(page)


def expect_next(page: Page, words: str) -> None:
    expect(page.locator("[data-next]")).to_have_text(words)


def said(annotation: Annotation) -> list[tuple]:
    rows = StepLabel.objects.filter(annotation=annotation).order_by("step_index", "position")
    return list(rows.values_list("step_index", "position", "rating", "flagged", "chosen"))


def test_the_alternatives_of_the_first_mistake_are_rated_by_the_same_keys(ann: Page) -> None:
    expect(alternative(ann, 1, 1)).to_be_hidden()
    press(ann, "3 1")
    expect(alternative(ann, 1, 1)).to_be_focused()
    expect(alternative(ann, 1, 1).locator(".katex")).to_be_visible()
    expect(alternative(ann, 2, 1)).to_be_hidden()
    expect(ann.locator("[data-step='2']")).to_be_hidden()
    expect_next(ann, "First mistake: step 2. 3 alternatives to rate.")
    press(ann, "3 1 0")
    expect_next(ann, "First mistake: step 2. Ready to submit.")
    expect(ann.locator("[data-progress-text]")).to_have_text("3 of 3 alternatives")
    press(ann, "Enter")
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    assert stored.finish_reason == "found_error"
    ratings = [(step, position, rating) for step, position, rating, *_ in said(stored)]
    assert ratings == [(0, 0, 1), (1, 0, -1), (1, 1, 1), (1, 2, -1), (1, 3, 0)]


def test_an_alternative_left_unrated_holds_the_submit_back(ann: Page) -> None:
    press(ann, "1")  # no alternatives at the first step: nothing more is asked
    expect_next(ann, "First mistake: step 1. Ready to submit.")
    press(ann, "3 1 3 ArrowDown 3 Enter")
    expect(alternative(ann, 1, 2)).to_be_focused()
    expect(ann.locator("[data-announce]")).to_have_text("Alternative 2 is not rated yet.")
    assert not Annotation.objects.exists()
    press(ann, "u Enter")  # unsure is an answer
    expect_solution(ann, 2)
    assert (1, 2, None, True, False) in said(Annotation.objects.get())


def test_undo_folds_the_alternatives_away_and_rating_anew_shows_what_was_said_of_them(ann: Page) -> None:
    press(ann, "3 1 3 0")
    press(ann, "ArrowUp ArrowUp ArrowUp 2")  # up at the step itself: no mistake after all
    expect(alternative(ann, 1, 1)).to_be_hidden()
    expect(ann.locator("[data-step='2']")).to_be_visible()
    expect_next(ann, "2 steps to rate.")
    press(ann, "Backspace")
    expect(alternative(ann, 1, 1)).to_have_attribute("data-rated", "1")
    expect_next(ann, "First mistake: step 2. 1 alternative to rate.")
    press(ann, "Backspace Backspace")
    expect(alternative(ann, 1, 1)).to_have_attribute("data-rated", "")
    press(ann, "Backspace")
    expect(alternative(ann, 1, 1)).to_be_hidden()


def test_a_step_of_ones_own_and_what_was_wrong_are_stored_with_the_labels(ann: Page) -> None:
    press(ann, "3 1 1 1 1 w")
    expect(ann.locator("#write")).to_contain_text("step 2")
    ann.keyboard.type("That is $3 + 4 = 7$")
    press(ann, "Enter")
    expect(ann.locator("[data-written] .katex")).to_be_visible()
    expect(ann.locator("[data-written]")).to_be_focused()
    ann.get_by_label("What was wrong?").fill("3 + 4 is 7")
    press(ann, "Enter Enter")  # back to the keys, and submit
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    own = StepAlternative.objects.get(author=make.ann())
    assert (own.step_index, own.text, stored.reason) == (1, "That is $3 + 4 = 7$", "3 + 4 is 7")
    assert (1, own.position, None, False, False) in said(stored)  # nothing goes on from a mistake


def test_what_one_wrote_is_edited_removed_and_brought_back(ann: Page) -> None:
    press(ann, "1 w")
    ann.keyboard.type("one")
    press(ann, "Enter w")
    expect(ann.locator("#write-text")).to_have_value("one")
    ann.locator("#write-text").fill("two")
    press(ann, "Enter")
    expect(ann.locator("[data-written] [data-text]")).to_have_text("two")
    ann.get_by_role("button", name="Remove").click()
    expect(ann.locator("[data-written]")).to_have_count(0)
    press(ann, "Backspace")
    expect(ann.locator("[data-written] [data-text]")).to_have_text("two")
    press(ann, "Backspace")
    expect(ann.locator("[data-written] [data-text]")).to_have_text("one")
    press(ann, "Backspace Backspace")
    expect(ann.locator("[data-written]")).to_have_count(0)
    expect(ann.locator("[data-step='0']")).to_have_attribute("data-rated", "")


def test_escape_keeps_what_was_typed_for_the_next_opening_and_nothing_empty_is_kept(ann: Page) -> None:
    press(ann, "w")
    expect(ann.locator("#write")).to_be_hidden()  # no mistake, nothing to write
    press(ann, "1 w Enter")
    expect(ann.locator("#write")).to_be_visible()
    ann.keyboard.type("half a th")
    press(ann, "Escape")
    expect(ann.locator("[data-written]")).to_have_count(0)
    press(ann, "w")
    expect(ann.locator("#write-text")).to_have_value("half a th")


def test_a_reload_keeps_alternatives_the_own_step_and_what_was_wrong(ann: Page) -> None:
    press(ann, "3 1 3 ArrowUp ArrowDown u w")
    ann.keyboard.type("mine")
    press(ann, "Enter")
    ann.get_by_label("What was wrong?").fill("the sum")
    expect_saved(ann)
    ann.reload()
    expect(ann.get_by_label("What was wrong?")).to_have_value("the sum")
    ann.evaluate("localStorage.clear()")  # the server's copy alone
    ann.reload()
    expect(alternative(ann, 1, 1)).to_have_attribute("data-rated", "1")
    expect(alternative(ann, 1, 2)).to_have_attribute("data-flagged", "")
    expect(ann.locator("[data-written] [data-text]")).to_have_text("mine")
    expect(alternative(ann, 1, 3)).to_be_focused()
    assert {"step": 1, "text": "mine"}.items() <= Draft.objects.get().ratings[-1].items()
    press(ann, "Backspace")  # undo goes back past a reload
    expect(ann.locator("[data-written]")).to_have_count(0)


def test_a_reopened_solution_shows_all_that_was_said_and_stores_a_correction(ann: Page) -> None:
    press(ann, "3 1 3 1 0 w")
    ann.keyboard.type("mine")
    press(ann, "Enter")
    ann.get_by_label("What was wrong?").fill("the sum")
    press(ann, "Enter Enter")
    expect_solution(ann, 2)
    press(ann, "r")
    expect(ann.locator("#recent")).to_contain_text("mistake found")
    press(ann, "Enter")
    expect(ann.locator("[data-reopened]")).to_be_attached()
    expect(alternative(ann, 1, 3)).to_have_attribute("data-rated", "0")
    expect(ann.locator("[data-written] [data-text]")).to_have_text("mine")
    expect(ann.get_by_label("What was wrong?")).to_have_value("the sum")
    expect(ann.locator("[data-verdict]")).to_contain_text("You marked the first mistake at step 2. What was wrong: the sum")
    press(ann, "Escape")  # nothing was changed, so nothing is asked
    expect_solution(ann, 2)
    press(ann, "r")
    expect(ann.locator("#recent a")).to_be_focused()
    press(ann, "Enter")
    expect(ann.get_by_label("What was wrong?")).to_have_value("the sum")
    ann.get_by_label("What was wrong?").fill("the product")
    press(ann, "Enter Escape")
    expect(ann.locator("#leave")).to_be_visible()
    press(ann, "Escape")
    ann.get_by_label("What was wrong?").fill("the sum")
    press(ann, "Enter ArrowUp 3 Enter")
    expect_solution(ann, 2)
    first, second = Annotation.objects.order_by("revision")
    assert [one[2] for one in said(second)] == [1, -1, 3 - 2, -1, 1, None] and second.reason == first.reason == "the sum"


def test_a_project_that_does_not_ask_shows_no_alternatives(project: Project, ann: Page) -> None:
    Project.objects.update(alternatives_after_error=False)
    ann.reload()
    press(ann, "3 1 w")
    expect(ann.locator("#write")).to_have_count(0)
    expect_next(ann, "First mistake: step 2. Ready to submit.")
    assert ann.locator("[data-alternatives], [data-mistake]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 375])
def test_alternatives_have_no_violation_and_fit(project: Project, visit: Visit, width: int, scheme: str) -> None:
    page = visit(make.ann(project), "/p/ducks/label/", viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.locator("[data-step='0']")).to_be_focused()
    press(page, "3 1 3 1")
    assert violations(page) == []
    press(page, "w")
    assert violations(page) == []
    page.keyboard.type("That is $3 + 4 = 7$ eggs, because she eats three of them and bakes with four.")
    press(page, "Enter")
    expect(page.locator("[data-written] .katex")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
