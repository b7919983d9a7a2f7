"""The search for everything in a real browser: by keyboard alone, in a narrow window, and when the server is away."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Membership, Project
from tests import make
from tests.routes import intercept

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


@pytest.fixture
def project() -> Project:
    made = make.project("sums", name="Sums")
    make.batch(made, [make.solution(make.problem(made, statement="How many ducks swim? " * 20))])
    return made


def test_the_keyboard_alone_finds_opens_and_closes(visit: Visit, project: Project) -> None:
    make.person("x" * 150, project)
    page = visit(make.olga(project), "/p/sums/data/")
    field, chosen = page.get_by_role("combobox", name="Find"), page.locator("[role=option][aria-selected=true]")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    expect(chosen).to_have_text("Overview")
    page.keyboard.press("ArrowUp")
    last = page.get_by_role("option").last
    expect(last).to_have_attribute("aria-selected", "true")
    assert field.get_attribute("aria-activedescendant") == last.get_attribute("id")
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_text("Overview")
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("invite")
    page.keyboard.press("Enter")  # before the answer: it waits for it
    expect(page.get_by_role("heading", name="Invite people")).to_be_visible()
    page.get_by_label("Names or e-mail addresses").press("/")
    expect(page.get_by_label("Names or e-mail addresses")).to_have_value("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("xxx")
    expect(chosen).to_contain_text("labeler")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{page.url.partition('/p/')[0]}/p/sums/people/{Membership.objects.get(user__username='x' * 150).pk}/")


def test_an_act_on_the_page_itself_closes_the_search_and_goes_to_its_part(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/people/")
    page.get_by_role("link", name="Find").click()
    page.keyboard.type("invite")
    expect(page.locator("#found [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Find")).to_be_hidden()
    assert page.url.endswith("/p/sums/people/#invite")


def test_what_it_finds_fits_a_phone(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/", viewport={"width": 375, "height": 700})
    make.person("y" * 150, project)
    page.get_by_role("link", name="Find").click()
    for text in ("ducks", "yyy", "", "zzz" * 60):
        page.get_by_role("combobox", name="Find").fill(text)
        expect(page.locator("[data-find-status]")).to_contain_text("Nothing was found" if "z" in text else " found.")
        assert page.evaluate("document.querySelector('#finder').scrollWidth <= document.querySelector('#finder').clientWidth"), text
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("combobox", name="Find")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_a_server_that_is_away_is_named_and_the_next_key_asks_again(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/data/")
    intercept(page, "**/find/**", lambda route: route.abort())
    page.keyboard.press("/")
    expect(page.locator("[data-find-status]")).to_have_text("The server does not answer at the moment. Try again in a moment.")
    page.context.unroute("**/find/**")
    page.keyboard.type("a")
    expect(page.locator("[data-find-status]")).to_contain_text(" found.")


def test_after_the_end_of_the_session_the_sign_in_page_opens(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/data/")
    page.context.clear_cookies()
    page.keyboard.press("/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_on_the_labeling_page_the_keys_belong_to_labeling(visit: Visit, project: Project) -> None:
    page = visit(make.ann(project), "/p/sums/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.press("Control+k")
    expect(page.locator("dialog[open]")).to_have_count(0)
