"""Flags and notifications in a browser: worked through with keys alone, and the number beside the bell."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation import notifications, quality
from annotation.models import Flag, Membership, NotificationKind, Project
from tests import make
from tests.e2e.test_accessibility import violations
from tests.verdicts import judged

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


@pytest.fixture
def project() -> Project:
    """A project in which ann and ben find no mistake in wrong answers."""
    project = make.project("sums", name="Sums")
    make.olga(project)
    for name in ("ann", "ben"):
        make.person(name, project)
        for solution in make.solutions(project, 15, outcome="wrong"):
            judged(solution, name, None, active_ms=60_000)
    assert len(quality.watch_project(project)) == 2
    return project


def test_a_manager_decides_flags_with_keys_alone(project: Project, visit: Visit) -> None:
    page = visit(make.olga(), "/p/sums/quality/flags/")
    assert violations(page) == []
    first = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="ann: verdicts that do not fit what is known"))
    page.keyboard.press("j")
    expect(first).to_be_focused()
    page.keyboard.press("n")
    page.keyboard.type("djq is no key here: too fast.")
    page.keyboard.press("Escape")
    expect(first).to_be_focused()
    page.keyboard.press("q")
    expect(page.get_by_role("status")).to_contain_text("ann is paused, and the labels of ann count nowhere")
    assert Membership.objects.get(user__username="ann").reason == "djq is no key here: too fast."

    second = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="ben: verdicts that do not fit what is known"))
    expect(second).to_be_focused()
    page.keyboard.press("n")
    page.keyboard.type("A misunderstanding.")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    expect(page.get_by_text("No flag waits for a decision.")).to_be_visible()
    assert set(Flag.objects.values_list("person__username", "decision")) == {("ann", "quarantined"), ("ben", "dismissed")}
    page.get_by_role("button", name="Lift the quarantine of ann").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("All labels of ann count again.")


def test_the_bell_counts_down_while_notifications_are_read_with_keys(project: Project, visit: Visit) -> None:
    notifications.notify([make.olga()], NotificationKind.ROUND, "Round 3 of Sums failed.", occasion="x", project=project, page="home")
    page = visit(make.olga(), "/")
    bell = page.get_by_role("link", name="Notifications: 3 not read")
    bell.press("Enter")
    expect(page.get_by_role("heading", name="Notifications")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("j")
    page.keyboard.press("m")
    expect(page.get_by_role("link", name="Notifications: 2 not read")).to_be_visible()
    expect(page.get_by_role("listitem").first).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Flags", exact=True)).to_be_visible()
    page.goto(page.url.split("/p/")[0] + "/notifications/")
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_contain_text("1 notification marked as read.")
    expect(page.locator(".bell .count")).to_have_count(0)
