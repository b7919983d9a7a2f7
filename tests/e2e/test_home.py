"""A labeler's home and the messages on it, and the small form a manager writes them in."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation import quality
from annotation.models import Membership, Message, Role
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def test_a_manager_writes_from_the_page_of_a_person_and_the_labeler_puts_it_away(visit: Visit) -> None:
    project = make.project("sums", name="Sums")
    ann = make.ann(project)
    manager = visit(make.olga(project), "/p/sums/")
    manager.get_by_role("navigation", name="Sections of").get_by_role("link", name="People").click()
    manager.get_by_role("link", name="ann").click()
    manager.get_by_role("textbox", name="Message").fill("Look at the units,\nplease.")
    manager.get_by_role("button", name="Send").click()
    expect(manager.get_by_role("status")).to_contain_text("Your message is sent. ann sees it")
    expect(manager.get_by_role("article", name="Message from olga")).to_contain_text("not read yet")

    page = visit(ann, "/")
    expect(page.get_by_role("heading", name="1 new message")).to_be_visible()
    expect(page.get_by_role("article")).to_contain_text("Look at the units,\nplease.")
    page.get_by_role("button", name="Mark as read").click()
    expect(page.get_by_role("heading", name="1 new message")).to_have_count(0)
    page.get_by_text("Messages you have read").click()
    expect(page.get_by_role("article")).to_contain_text("Look at the units")
    assert Message.objects.get().read_at


def test_a_reviewer_writes_from_the_page_of_messages(visit: Visit) -> None:
    project = make.project("sums", name="Sums")
    make.ann(project)
    page = visit(make.person("rob", project, Role.REVIEWER), "/")
    page.get_by_role("link", name="Messages").click()
    page.get_by_label("To").select_option("ann")
    page.get_by_role("textbox", name="Message").fill("Well done.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("article", name="Message to ann")).to_contain_text("Well done.")


def test_from_home_to_the_first_step_takes_one_press_of_enter(visit: Visit) -> None:
    project = make.project("sums", name="Sums")
    make.batch(project, make.solutions(project, 2))
    page = visit(make.ann(project), "/")
    page.get_by_role("link", name="Start labeling").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-step='0']")).to_be_focused()
    page.get_by_role("link", name="Stepmark").click()
    expect(page.get_by_role("link", name="Continue labeling")).to_be_visible()


def test_home_and_messages_have_no_violation(visit: Visit, look: dict) -> None:
    project = make.project("sums", name="Sums", gold_percent=10)
    make.batch(project, make.solutions(project, 2))
    ann, olga = make.ann(project), make.olga(project)
    for text in ("Look at the units, please. " * 9, "Well done:\n\n" + "x" * 200):
        letter = quality.send_message(project, sender=olga, recipient="ann", text=text)
    quality.mark_read(letter.pk, recipient=ann)
    page = visit(ann, "/", **look)
    page.get_by_text("Messages you have read").click()
    assert violations(page) == []
    manager = visit(olga, "/p/sums/", **look)
    expect(manager.locator("[data-loop]")).not_to_contain_text("Loading")
    assert violations(manager) == []
    manager.get_by_role("navigation", name="Sections of").get_by_role("link", name="People").click()
    manager.get_by_role("link", name="Messages").click()
    expect(manager.get_by_role("article").first).to_be_visible()
    assert violations(manager) == []


def test_a_labeler_who_became_a_manager_reads_why_and_finds_what_they_rated(visit: Visit, look: dict) -> None:
    project = make.project("sums", name="Sums")
    make.batch(project, make.solutions(project, 2))
    ann, olga = make.ann(project), make.olga(project)
    page = visit(ann, "/p/sums/label/", **look)
    expect(page.locator("[data-step='0']")).to_be_focused()
    page.keyboard.press("3")
    expect(page.locator("[data-status='saved']")).to_be_visible()
    row = Membership.objects.get(user=ann)
    seen = quality.member_page(project, row.pk).seen
    quality.change_role(project, row.pk, actor=olga, role=Role.MANAGER, seen=seen)
    for key in ("1", "Enter"):
        page.keyboard.press(key)
    trouble = page.get_by_role("dialog", name="You no longer label here")
    expect(trouble).to_contain_text("You are manager of Sums.")
    expect(trouble).to_contain_text("Your ratings are kept as a draft.")
    trouble.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="You do not label here")).to_be_visible()
    drafts = page.get_by_role("region", name="Ratings that you did not submit")
    expect(drafts.get_by_role("row").nth(1)).to_contain_text("2")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Invite them on People").click()
    expect(page.get_by_role("heading", name="Members", exact=True)).to_be_visible()
