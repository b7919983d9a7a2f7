"""The first minute of a site in a real browser, by keyboard: the set-up link, the first account, the first project."""

import os
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from annotation import people
from annotation.models import Project
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)
Visit = Callable[..., Page]


def check(page: Page, name: str) -> None:
    if folder := os.environ.get("STEPMARK_SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True)
    assert violations(page) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_from_the_set_up_link_to_the_first_project(visit: Visit, look: dict) -> None:
    page = visit(None, people.link_to_set_up(), **look)
    check(page, "set-up")
    expect(page.get_by_label("User name")).to_be_focused()
    for text in ("olga", "Olga Ortiz", "short", "short"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The account was not made")
    check(page, "set-up-refused")
    assert page.get_by_label("Full name").input_value() == "Olga Ortiz"
    for label in ("Password", "Password, again"):
        page.get_by_label(label, exact=True).fill("a good long one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New project")).to_be_visible()
    assert User.objects.get().is_superuser

    check(page, "new")
    page.get_by_role("textbox", name="Name", exact=True).fill("Größte Übung 1")
    expect(page.get_by_label("Address")).to_have_value("großte-ubung-1".replace("ß", "-"))
    page.get_by_label("Address").fill("sums")
    page.get_by_role("textbox", name="Name", exact=True).fill("Sums")
    expect(page.get_by_label("Address")).to_have_value("sums")
    page.get_by_role("textbox", name="Guidelines").fill("## Rate\n\n- *each* step $x^2$")
    page.get_by_role("button", name="Show how labelers see them").click()
    preview = page.get_by_role("region", name="Preview of the guidelines")
    expect(preview.locator("em")).to_have_text("each")
    expect(preview.locator(".katex")).to_have_count(1)
    page.get_by_label("Step by step").check()
    page.get_by_label("Overlap").fill("0")
    page.get_by_role("button", name="Make the project").click()
    expect(page.get_by_role("alert")).to_contain_text("The overlap must be a whole number from 1 to 99.")
    check(page, "new-refused")
    page.get_by_label("Overlap").fill("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The project Sums is made, and you own it.")
    project = Project.objects.get()
    assert (project.slug, project.overlap, project.step_source) == ("sums", 2, "interactive")


def test_the_set_up_link_of_a_site_that_is_set_up_leads_to_the_sign_in_page(visit: Visit, look: dict) -> None:
    make.olga(make.project())
    page = visit(None, people.link_to_set_up(), **look)
    check(page, "set-up-over")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_the_sign_in_page_of_an_empty_site_and_a_home_with_archived_projects_have_no_violation(visit: Visit, look: dict) -> None:
    page = visit(None, "/sign-in/", **look)
    check(page, "sign-in-empty")
    make.ann(make.project("old", name="Old", archived_at="2026-01-01T00:00Z"))
    page = visit(make.olga(Project.objects.get()), "/", **look)
    page.get_by_text("1 archived project").click()
    check(page, "home-archived")
