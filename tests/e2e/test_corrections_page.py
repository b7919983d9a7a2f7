"""A manager corrects a reference answer with the keyboard alone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation import queue
from annotation.models import Problem, Solution
from tests import make
from tests.annotation.test_corrections import outcomes, sums

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def test_an_answer_is_corrected_and_the_queue_cleared_with_the_keyboard_alone(visit: Visit) -> None:
    project = make.project()
    problem, four, _ = sums(project)
    queue.open_batch(project, [queue.Chosen(four.pk, premise="wrong")])
    page = visit(make.olga(project), f"/p/sums/problems/{problem.pk}/")

    def tab_to(what: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", what):
                return
        raise AssertionError(f"Tab never reaches {what}")

    tab_to("textarea")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    tab_to("button")
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", name="What changes")
    expect(heading).to_be_in_viewport()
    on_top = "e => { const box = e.getBoundingClientRect(); return document.elementFromPoint(box.x + 2, box.y + 2) === e }"
    assert heading.evaluate(on_top), "the bar of the page does not lie over it"
    assert Problem.objects.get().answer == "5"
    tab_to("[name=withdraw]")
    page.keyboard.press("Space")
    tab_to("button")
    page.keyboard.press("Enter")
    expect(page.locator(".messages")).to_contain_text("The answer is corrected. Another outcome: 2 solutions. Withdrawn: 1 solution.")
    assert outcomes() == {"4": "correct", "5": "wrong"}
    assert list(Solution.objects.filter(withdrawn_at__isnull=False)) == [four]
