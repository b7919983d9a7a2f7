"""A manager's work with the keyboard alone: solutions, batches and people. No test here touches the mouse."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from annotation import queue
from annotation.models import Batch, Membership, Solution
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
MOST = 150  # presses of Tab: more than a page here has controls
IS_FOCUSED = "(element) => element === document.activeElement && element.matches(':focus-visible')"


def reach(page: Page, wanted: Locator) -> Locator:
    """Press Tab until something is focused, and shown so."""
    for _ in range(MOST):
        if wanted.evaluate(IS_FOCUSED):
            return wanted
        page.keyboard.press("Tab")
    raise AssertionError(f"No Tab leads to {wanted}")


def press(page: Page, role: str, name: str, *, key: str = "Enter", within: str = "body") -> None:
    reach(page, page.locator(within).get_by_role(role, name=name, exact=True).first)
    page.keyboard.press(key)


def write(page: Page, label: str, text: str) -> None:
    reach(page, page.get_by_label(label, exact=True))
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)


def test_solutions_are_found_read_and_changed_with_the_keyboard_alone(visit: Visit) -> None:
    project = make.project("sums")
    solutions = make.solutions(project, 3, final_answer="7")
    make.batch(project, solutions)
    first, second, last = (solution.pk for solution in reversed(solutions))  # newest first
    page = visit(make.olga(project), "/p/sums/solutions/")
    write(page, "Words of the problem", "what")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("3 solutions")
    reach(page, page.get_by_label("Outcome", exact=True))
    page.keyboard.type("wrong")
    press(page, "button", "Find")
    expect(page.get_by_role("status")).to_have_text("3 solutions")
    press(page, "link", str(first))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Solution {first}")
    press(page, "link", "Next →")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Solution {second}")
    press(page, "link", "← Previous")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Solution {first}")
    press(page, "button", "Hand it out first", key="Space")
    expect(page.locator(".messages")).to_contain_text("is now before the other solutions")
    press(page, "link", "Withdraw from labeling…")
    press(page, "link", "Keep it")
    assert Solution.objects.get(pk=first).withdrawn_at is None
    press(page, "link", "Withdraw from labeling…")
    press(page, "button", "Withdraw it for good")
    expect(page.locator(".messages")).to_contain_text(f"Solution {first} is withdrawn.")
    press(page, "link", "Problem: its answers, and correct the reference answer")
    write(page, "Reference answer", "7")
    press(page, "button", "Show what changes")
    press(page, "button", "Correct the answer", key="Space")
    expect(page.locator(".messages")).to_contain_text("The answer is corrected.")
    assert Solution.objects.get(pk=first).problem.answer == "7" and Solution.objects.get(pk=last).withdrawn_at is None


def test_a_batch_is_published_paused_and_closed_with_the_keyboard_alone(visit: Visit) -> None:
    project = make.project("sums")
    batch = make.batch(project, make.solutions(project, 2))
    Batch.objects.update(state="draft")
    page = visit(make.olga(project), "/p/sums/batches/")
    press(page, "link", "Selected 0")
    acts = (("Publish", "open"), ("Pause", "paused"), ("Resume", "open"), ("Close for good", "closed"))
    for words, state in acts:
        press(page, "button", words)
        if words != "Resume":  # the one act that changes nothing for people at work, so it asks nothing
            reach(page, page.locator("#asked button"))
            page.keyboard.press("Enter")
        expect(page.locator(".page-head .chip")).to_have_text(state)
        assert Batch.objects.get(pk=batch.pk).state == state
    with pytest.raises(queue.NothingToLabel):
        queue.lease_next(make.ann(project), project=project)


def test_people_are_invited_and_paused_with_the_keyboard_alone(visit: Visit) -> None:
    project = make.project("sums")
    make.ann(project)
    page = visit(make.olga(project), "/p/sums/people/")
    write(page, "Names or e-mail addresses, one a line", "Cleo\ndan@example.org")
    press(page, "button", "Make the links")
    reach(page, page.get_by_text("QR code").first)
    page.keyboard.press("Enter")
    expect(page.locator("img[src^='data:']").first).to_be_visible()
    press(page, "link", "Back to people")
    press(page, "link", "ann")
    reach(page, page.get_by_label("Pause: the reason"))
    page.keyboard.type("Please read the guidelines again.")
    press(page, "button", "Pause")
    expect(page.locator(".messages")).to_contain_text("ann is paused")
    press(page, "button", "End the pause")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert Membership.objects.get(user=make.ann()).suspended_at is None


def test_staff_add_a_member_by_typing_names(visit: Visit) -> None:
    project, ann = make.project("sums", name="Long sums"), make.ann()
    page = visit(User.objects.create_superuser("adam"), "/admin/annotation/membership/add/")
    for field, typed, shown in (("project", "sum", "Long sums"), ("user", "an", "ann")):
        chosen = page.locator(f".field-{field} .select2-selection")
        reach(page, chosen)
        page.keyboard.press("Enter")
        expect(page.locator(".select2-search__field")).to_be_focused()
        page.keyboard.type(typed)
        expect(page.locator(".select2-results__option--highlighted")).to_have_text(shown)
        page.keyboard.press("Enter")
        expect(chosen).to_contain_text(shown)
    reach(page, page.locator("#id_role"))
    page.keyboard.type("labeler")
    reach(page, page.locator("[name=_save]"))
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("ann as labeler of Long sums")
    assert Membership.objects.get(user=ann).project == project


def test_tab_that_leads_nowhere_is_noticed(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.e2e.test_keyboard_alone.MOST", 30)
    page = visit(make.ann(make.project("sums")), "/")
    page.evaluate("document.querySelector('.finder-button').tabIndex = -1")
    with pytest.raises(AssertionError, match="No Tab leads to"):
        reach(page, page.locator(".finder-button"))
