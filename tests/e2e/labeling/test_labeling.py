"""Labeling in a real browser: by keyboard, by mouse, on a phone; what is there already, what is corrected, other ends."""

import threading
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation import labels
from annotation.models import Annotation, Assignment, Draft, Event, Project, StepLabel
from tests import make
from tests.ducks import expect_shown, expect_solution, expect_status, press, ratings, server_gone, steps
from tests.routes import intercept
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def expect_ahead(page: Page) -> None:
    expect(page.locator("[data-ahead-ready]")).to_be_attached()


class Gate:
    """Before the storing of a submit: what arrives waits until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Callable[..., Annotation] = labels.submit) -> None:
        self.opened, self.arrived = threading.Event(), 0

        def wait(*args: object, **more: object) -> Annotation:
            self.arrived += 1
            assert self.opened.wait(PATIENCE)
            return store(*args, **more)

        monkeypatch.setattr(labels, "submit", wait)


# --- the path of six hours a day ----------------------------------------------------------------------------------------


def test_a_solution_is_labeled_up_to_its_first_mistake_with_the_keyboard_alone(ann: Page) -> None:
    press(ann, "3 2")
    expect(ann.locator("[data-step='2']")).to_be_focused()
    press(ann, "1")
    expect(ann.locator("[data-step='3']")).to_be_hidden()
    expect(ann.locator("[data-next]")).to_have_text("First mistake: step 3. Ready to submit.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    assert (stored.finish_reason, ratings(stored)) == ("found_error", [1, 0, -1])
    assert 0 < stored.active_ms <= stored.total_ms


def test_a_solution_is_labeled_to_its_end_with_a_neutral_and_a_flag(ann: Page) -> None:
    press(ann, "= 0 u + 3")
    expect(ann.locator("[data-step='1']")).to_have_attribute("data-flagged", "")
    expect(ann.locator("[data-next]")).to_have_text("No mistakes. Ready to submit.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    assert (stored.finish_reason, ratings(stored)) == ("solution", [1, 0, 1, 1])
    assert list(StepLabel.objects.filter(flagged=True).values_list("step_index", flat=True)) == [1]


def test_u_flags_the_step_just_rated_says_which_and_takes_the_flag_back(ann: Page) -> None:
    press(ann, "3 u")
    expect(ann.locator("[data-step='1']")).to_be_focused()
    expect(ann.locator("[data-step='0']")).to_have_attribute("data-flagged", "")
    for place in ("[data-next]", "[data-announce]"):
        expect(ann.locator(place)).to_have_text("Step 1 marked as unsure.")
    press(ann, "u")
    expect(ann.locator("[data-flagged]")).to_have_count(0)
    expect(ann.locator("[data-next]")).to_have_text("Step 1 no longer marked as unsure.")
    ann.get_by_role("button", name="Unsure").click()
    expect(ann.locator("[data-step='0']")).to_have_attribute("data-flagged", "")
    ann.get_by_role("button", name="Unsure").click()
    expect(ann.locator("[data-flagged]")).to_have_count(0)


def test_u_flags_the_focused_step_after_somebody_moved_to_it(ann: Page) -> None:
    press(ann, "3 ArrowDown u")
    expect(ann.locator("[data-flagged]")).to_have_count(1)
    expect(ann.locator("[data-step='2']")).to_have_attribute("data-flagged", "")
    press(ann, "2 ArrowUp ArrowDown u")  # back at the same step, but on purpose
    expect(ann.locator("[data-step='3'][data-flagged]")).to_have_count(1)
    ann.locator("[data-step='1'] [data-text]").click()
    press(ann, "u")
    expect(ann.locator("[data-step='1'][data-flagged]")).to_have_count(1)


def test_the_next_solution_appears_without_a_page_load(ann: Page) -> None:
    ann.evaluate("window.stillThere = true")
    press(ann, "3 3 3 3 Enter")
    expect_solution(ann, 2)
    expect(ann.locator("[data-step='0']")).to_be_focused()
    expect(ann.locator("[data-today]")).to_contain_text("today 1 ·")
    assert ann.evaluate("window.stillThere")
    assert steps(ann) == ["", "", "", ""]


def test_after_the_last_solution_the_page_says_that_all_is_done(ann: Page) -> None:
    for number in (1, 2, 3):
        expect_solution(ann, number)
        press(ann, "1 Enter")
    expect(ann.locator("[data-nothing='nothing_to_label'] h2")).to_be_focused()
    assert Annotation.objects.count() == 3


def test_a_doubled_enter_is_one_annotation(ann: Page) -> None:
    press(ann, "1")
    enter = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))"
    sent: list[str] = []
    ann.on("request", lambda request: sent.append(request.url) if request.url.endswith("/submit/") else None)
    ann.evaluate(f"for (const _ of [1, 2, 3]) {enter}")
    expect_solution(ann, 2)
    assert len(sent) == 1
    assert Annotation.objects.count() == 1


def test_a_key_held_down_rates_one_step(ann: Page) -> None:
    ann.keyboard.down("3")
    ann.keyboard.down("3")  # down again without up: the browser's auto-repeat
    ann.keyboard.up("3")
    assert steps(ann) == ["1", "", "", ""]


def test_submit_with_a_step_unrated_leads_to_that_step(ann: Page) -> None:
    press(ann, "3 3 3 Enter")
    expect(ann.locator("[data-announce]")).to_have_text("Step 4 is not rated yet.")
    expect(ann.locator("[data-step='3']")).to_be_focused()
    expect(ann.locator("[data-next]")).to_have_text("1 step to rate.")
    assert not Annotation.objects.exists()


def test_undo_goes_back_to_the_beginning(ann: Page) -> None:
    press(ann, "3 3 3 3 ArrowUp ArrowUp 1")
    assert steps(ann)[1:2] == ["-1"]
    expect(ann.locator("[data-step='2']")).to_be_hidden()
    press(ann, "Backspace")
    expect(ann.locator("[data-step='2']")).to_be_visible()
    assert steps(ann) == ["1", "1", "1", "1"]
    press(ann, "Backspace Backspace Backspace Backspace Backspace")
    assert steps(ann) == ["", "", "", ""]
    expect(ann.locator("[data-announce]")).to_have_text("Nothing to undo.")


def test_steps_after_the_first_mistake_can_be_read_and_are_never_labeled(ann: Page) -> None:
    press(ann, "3 3 3 3 ArrowUp ArrowUp ArrowUp 1")
    ann.get_by_role("button", name="Show").click()
    expect(ann.locator("[data-step='3']")).to_be_visible()
    press(ann, "Enter")
    expect_solution(ann, 2)
    assert ratings(Annotation.objects.get()) == [-1]


def test_the_mouse_does_it_too(ann: Page) -> None:
    for step, rating in enumerate((1, 0, 1, 1)):
        ann.locator(f"[data-step='{step}'] [data-rating='{rating}']").click()
    ann.locator("[data-submit]").click()
    expect_solution(ann, 2)
    assert ratings(Annotation.objects.get()) == [1, 0, 1, 1]


def test_a_thumb_does_it_too(project: Project, visit: Visit) -> None:
    phone = visit(make.ann(project), "/p/gsm8k/label/", viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True)
    phone.locator("[data-step='0'] [data-rating='1']").tap()
    phone.locator("[data-step='1'] [data-rating='-1']").tap()
    assert phone.evaluate("document.documentElement.scrollWidth") == 375
    phone.locator("[data-submit]").tap()
    expect_solution(phone, 2)
    assert ratings(Annotation.objects.get()) == [1, -1]


# --- the next solution is there already ---------------------------------------------------------------------------------


def test_after_enter_the_next_solution_does_not_wait_for_the_server(ann: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_ahead(ann)
    gate = Gate(monkeypatch)
    press(ann, "1 Enter")
    expect_shown(ann, 2)
    expect(ann.locator("[data-step='0']")).to_be_focused()
    expect(ann.locator("[data-step='0'] .katex")).to_be_visible()
    assert not Annotation.objects.exists()
    press(ann, "3 0")  # rated while the submit before it is still on its way
    until(lambda: gate.arrived == 1, what="the submit has arrived", page=ann)
    gate.opened.set()
    expect_status(ann, "saved")
    assert steps(ann) == ["1", "0", "", ""]
    assert [one["rating"] for one in Draft.objects.get(labeler=make.ann(), token=1, assignment__state="leased").ratings] == [1, 0]
    press(ann, "1 Enter")
    expect_solution(ann, 3)
    assert [ratings(one) for one in Annotation.objects.order_by("pk")] == [[-1], [1, 0, -1]]


def test_the_answer_to_a_submit_brings_the_solution_after_the_next_one(ann: Page) -> None:
    expect_ahead(ann)
    asked: list[str] = []
    ann.on("request", lambda request: asked.append(request.url) if request.url.endswith("/ahead/") else None)
    press(ann, "1 Enter")
    expect_solution(ann, 2)
    expect_ahead(ann)
    assert asked == []
    press(ann, "1 Enter")
    expect_solution(ann, 3)
    assert Annotation.objects.count() == 2


def test_two_submits_on_their_way_arrive_in_their_order(ann: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_ahead(ann)
    gate = Gate(monkeypatch)
    press(ann, "1 Enter")
    expect_shown(ann, 2)
    press(ann, "3 1 Enter")  # nothing is prepared behind it: it waits, its ratings as they were sent
    expect(ann.locator("[data-next]")).to_have_text("Sending…")
    until(lambda: gate.arrived == 1, what="the submit has arrived", page=ann)
    gate.opened.set()
    expect_solution(ann, 3)
    assert [ratings(one) for one in Annotation.objects.order_by("pk")] == [[-1], [1, -1]]


def test_a_refused_submit_brings_its_work_back_and_keeps_what_was_rated_since(ann: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise labels.BadSubmission("too_long", "The reason is too long.")

    expect_ahead(ann)
    with monkeypatch.context() as patched:
        gate = Gate(patched, store=refuse)
        press(ann, "3 1 Enter")
        expect_shown(ann, 2)
        press(ann, "0")
        until(lambda: gate.arrived == 1, what="the submit has arrived", page=ann)
        gate.opened.set()
        expect(ann.locator("#trouble")).to_contain_text("The reason is too long.")
    expect_shown(ann, 1)
    press(ann, "Enter")  # back to the ratings
    assert steps(ann)[:2] == ["1", "-1"]
    press(ann, "Enter")
    expect_solution(ann, 2)
    assert steps(ann) == ["0", "", "", ""]
    assert [ratings(one) for one in Annotation.objects.all()] == [[1, -1]]


def test_what_was_rated_ahead_survives_a_reload_in_mid_submit(ann: Page) -> None:
    expect_ahead(ann)
    intercept(ann, "**/submit/", server_gone)
    press(ann, "1 Enter")
    expect_shown(ann, 2)
    press(ann, "3 0")
    expect_status(ann, "retrying")
    ann.context.unroute("**/submit/")
    ann.reload()
    expect_solution(ann, 2)
    expect(ann.locator("[data-step='1']")).to_have_attribute("data-rated", "0")
    assert [ratings(one) for one in Annotation.objects.all()] == [[-1]]


def test_a_prepared_solution_that_was_given_on_is_replaced(project: Project, ann: Page) -> None:
    expect_ahead(ann)
    Assignment.objects.filter(state="reserved").update(state="leased", labeler=make.ben(project), token=9)
    press(ann, "1 Enter")
    expect_solution(ann, 3)
    assert steps(ann) == ["", "", "", ""]
    assert Annotation.objects.count() == 1


def test_leaving_the_page_gives_the_prepared_solution_back(ann: Page) -> None:
    expect_ahead(ann)
    assert Assignment.objects.filter(state="reserved").count() == 1
    ann.goto(ann.url.split("/p/")[0] + "/")
    until(lambda: not Assignment.objects.filter(state="reserved").exists(), what="the reservation is given back", page=ann)
    assert sorted(Assignment.objects.values_list("state", flat=True)) == ["leased", "open", "open"]


# --- reopening ----------------------------------------------------------------------------------------------------------


def test_the_last_submission_is_reopened_by_keyboard_and_corrected_as_a_new_revision(ann: Page) -> None:
    press(ann, "3 1 Enter")
    expect_solution(ann, 2)
    press(ann, "0")
    expect_status(ann, "saved")
    press(ann, "r")
    expect(ann.locator("#recent a")).to_be_focused()
    press(ann, "Enter")
    expect(ann.locator("[data-reopened]")).to_be_attached()
    expect_shown(ann, 1)
    expect(ann.locator("[data-step='1']")).to_have_attribute("data-rated", "-1")
    press(ann, "ArrowUp 1 Enter")
    expect_solution(ann, 2)
    assert steps(ann) == ["0", "", "", ""]  # the solution in hand is as it was left
    first, second = Annotation.objects.order_by("revision")
    assert (ratings(first), ratings(second), second.supersedes) == ([1, -1], [-1], first)


def test_a_reopened_solution_left_alone_changes_nothing(ann: Page) -> None:
    press(ann, "1 Enter")
    expect_solution(ann, 2)
    press(ann, "r")
    ann.locator("#recent a").click()
    expect_shown(ann, 1)
    ann.get_by_role("link", name="Back without changes").click()
    expect_solution(ann, 2)
    assert Annotation.objects.count() == 1


def test_a_reopened_submission_shows_its_verdict_and_reason_and_escape_leaves(ann: Page) -> None:
    press(ann, "3 b")
    ann.keyboard.type("No question is asked.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    press(ann, "r")
    expect(ann.locator("#recent a")).to_be_focused()
    press(ann, "Enter")
    expect(ann.locator("[data-verdict]")).to_contain_text("You reported a bad problem. Your reason: No question is asked.")
    expect(ann.locator("[data-step='0']")).to_have_attribute("data-rated", "1")
    expect(ann.locator("[data-step='1']")).to_be_focused()
    press(ann, "ArrowUp")
    expect(ann.locator("[data-step='0']")).to_be_focused()
    press(ann, "b")
    expect(ann.locator("#bad_problem-reason")).to_have_value("No question is asked.")
    press(ann, "Escape")
    expect(ann.locator("dialog[open]")).to_have_count(0)
    press(ann, "Escape")
    expect_solution(ann, 2)
    assert Annotation.objects.count() == 1


def test_escape_asks_before_it_drops_the_changes_of_a_reopened_submission(ann: Page) -> None:
    press(ann, "3 1 Enter")
    expect_solution(ann, 2)
    press(ann, "r")
    ann.locator("#recent a").click()
    expect(ann.locator("[data-verdict]")).to_contain_text("You marked the first mistake at step 2.")
    expect(ann.locator("[data-step='1']")).to_be_focused()
    reopened = ann.url
    press(ann, "ArrowUp 2 Escape")
    expect(ann.locator("#leave")).to_be_visible()
    press(ann, "Escape")
    expect(ann.locator("#leave")).not_to_be_visible()
    assert steps(ann)[:2] == ["0", "-1"]
    press(ann, "Escape Enter")
    expect_solution(ann, 2)
    ann.goto(reopened)
    expect(ann.locator("[data-step='1']")).to_have_attribute("data-rated", "-1")
    assert steps(ann)[:2] == ["1", "-1"]  # as it is stored
    assert Annotation.objects.count() == 1


# --- other ends ---------------------------------------------------------------------------------------------------------


def test_a_bad_problem_takes_a_reason(ann: Page) -> None:
    press(ann, "3 b Enter")
    expect(ann.locator("#bad_problem")).to_be_visible()  # without a reason it stays open
    ann.keyboard.type("No question is asked.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    assert (stored.finish_reason, stored.reason, ratings(stored)) == ("bad_problem", "No question is asked.", [1])


def test_giving_up_keeps_what_is_rated_without_a_gap(ann: Page) -> None:
    press(ann, "3 ArrowDown 3 g")
    ann.keyboard.type("Too long, 123.")  # keys in a text are text
    ann.get_by_role("button", name="Give up", exact=False).last.click()
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    assert (stored.finish_reason, stored.reason, ratings(stored)) == ("give_up", "Too long, 123.", [1])


def test_a_solution_can_be_handed_to_somebody_else(project: Project, ann: Page) -> None:
    press(ann, "g")
    ann.keyboard.type("not my field")
    ann.get_by_role("button", name="Not for me").click()
    expect_solution(ann, 2)
    assert not Annotation.objects.exists()
    assert Event.objects.get().details == {"reason": "not my field"}
    assert Assignment.objects.filter(task__solution__problem__statement__startswith="1.", state="open").count() == 1


def test_escape_closes_a_dialog_and_changes_nothing(ann: Page) -> None:
    for key in "bg?":
        press(ann, key)
        expect(ann.locator("dialog[open]")).to_be_visible()
        press(ann, "Escape")
        expect(ann.locator("dialog[open]")).to_have_count(0)
    assert steps(ann) == ["", "", "", ""]
