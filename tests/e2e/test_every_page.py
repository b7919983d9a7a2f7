"""Every page that a GET opens, in a browser: axe-core finds nothing, nothing is wider than the window, nothing lies on the header.

The pages come from Django's resolver: full and with a message, empty, and refusing what was sent. All texts in them are long. The states
that one page alone has are in test_accessibility.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver, reverse
from playwright.sync_api import Page

from tests import make
from tests.addresses import address_of, routes
from tests.clients import signed_in
from tests.e2e.test_accessibility import violations_now
from tests.full_project import FullProject, Place
from tests.test_access import BODIES, TABLE

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
LONG = "Unbroken" * 9 + " and a name of many words that no telephone shows in one line"
FILES = {
    "who",
    "api-openapi",
    "api-order-file",
    "member-work",
    "figures-file",
    "agreement-file",
    "experiment-file",
}  # no pages: what scripts and other programs read
# So high that all is laid out: a formula below the window is not, and nobody knows yet that it is too wide and has to be focusable.
NARROW, WIDE = {"width": 375, "height": 6000}, {"width": 2560, "height": 1300}
IS_WIDER = "document.documentElement.scrollWidth > innerWidth"
# Pairs of texts and controls of the header of which one lies on the other, and what of the page lies on the header.
OVERLAPS = """() => {
  scrollTo(0, 0);
  const header = document.querySelector("header.site");
  if (!header) return [];
  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width > 0;
  const name = (element) => (element.textContent.trim() || element.tagName).slice(0, 30);
  const covers = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const parts = [...header.querySelectorAll("a, .place, summary, button")].filter((part) => seen(part) && !part.closest(".menu-body"));
  const boxes = parts.map((part) => [part, part.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([part, box], place) => {
    for (const [other, its] of boxes.slice(place + 1))
      if (!part.contains(other) && !other.contains(part) && covers(box, its)) found.push(`${name(part)} on ${name(other)}`);
  });
  const end = header.getBoundingClientRect().bottom;
  for (const below of document.querySelectorAll("nav.sections, main"))
    if (seen(below) && below.getBoundingClientRect().top < end - 1) found.push(`${below.tagName} on the header`);
  return found;
}"""
# Chips that reach into the edge of their card.
OUTSIDE = """() => [...document.querySelectorAll(".panel .chip")]
  .filter((chip) => chip.checkVisibility() && !chip.closest(".scroll"))
  .filter((chip) => {
    const card = chip.closest(".panel");
    return chip.getBoundingClientRect().right > card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight) + 1;
  })
  .map((chip) => `the chip ${chip.textContent.trim()} is on the edge of its card`)"""
SEND = """([address, body]) => {
  const form = Object.assign(document.createElement("form"), { method: "post", action: address });
  const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  for (const [name, value] of Object.entries({ ...body, csrfmiddlewaretoken: token })) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture
def full(tmp_path: Path, settings: Any) -> FullProject:
    settings.STEPMARK_HOME = tmp_path
    return FullProject(tmp_path, name=LONG)


def opened(full: FullProject) -> list[tuple[str, Place]]:
    """Return each page once, with a person who can open it."""
    clients = {"olga": signed_in(full.olga), "ann": signed_in(full.ann), "nobody": Client()}
    pages: dict[str, tuple[str, Place]] = {}
    for place in full.pages():
        for who, client in clients.items():
            answer = client.get(place.address) if place.name not in pages else None
            if answer is not None and answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
                pages[place.name] = who, place
    return list(pages.values())


def refused(full: FullProject) -> list[tuple[str, dict[str, str]]]:
    """Return each address that refuses a form with nothing in it, or with what the tests of access send, and answers a page."""
    client, found = signed_in(full.olga), []
    for place in full.pages():
        body = BODIES.get(place.name, {})
        with transaction.atomic():
            answer = client.post(place.address, body)
            if "?" not in place.address and answer.status_code == 400 and answer["Content-Type"].startswith("text/html"):
                found.append((place.address, body))
            answer.close()
            transaction.set_rollback(True)
    return found


class Looker:
    """Looks at pages in one browser, and notes what is wrong with each."""

    def __init__(self, page: Page, *, is_thorough: bool) -> None:
        self.page, self.is_thorough = page, is_thorough
        self.root = page.url.split("/", 3)[0] + "//" + page.url.split("/", 3)[2]
        self.faults: list[str] = []

    def open(self, address: str, *, message: str = "") -> None:
        if message:
            self.page.context.add_cookies([{"name": "messages", "value": message, "url": self.root}])
        self.page.set_viewport_size(NARROW)
        self.page.goto(self.root + address)
        self.check(address)

    def check(self, address: str) -> None:
        """Look at the page that is open: narrow and dark, then wide and light."""
        found = []
        for window, scheme in ((NARROW, "dark"), (WIDE, "light")):
            self.page.set_viewport_size(window)
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found += [f"wider than {window['width']}"] * self.page.evaluate(IS_WIDER)
            found += self.page.evaluate(OVERLAPS) + self.page.evaluate(OUTSIDE)
            if scheme == "dark" or self.is_thorough:
                found += violations_now(self.page)
        self.faults += [f"{address}: {fault}" for fault in found]


@pytest.fixture
def look_at(visit: Visit, request: pytest.FixtureRequest) -> Callable[..., Looker]:
    return lambda person: Looker(visit(person, "/sign-in/who/", viewport=NARROW), is_thorough=request.config.getoption("--long"))


@pytest.mark.django_db(transaction=False)
def test_every_page_that_a_get_opens_is_looked_at(full: FullProject) -> None:
    wanted = {name for name, row in TABLE.items() if row.get == 200 and not row.is_api} - FILES
    assert sorted(wanted - {place.name for _, place in opened(full)}) == [], "Give tests/full_project.py rows with which these pages open."


def test_every_page_is_open_to_everybody_and_fits_its_window(full: FullProject, look_at: Callable[..., Looker]) -> None:
    sender = signed_in(full.olga)
    sender.post(reverse("keys"), {"defaults": ""})
    message = sender.cookies["messages"].value
    pages = opened(full)
    found = []
    for who, person in {"olga": full.olga, "ann": full.ann, "nobody": None}.items():
        looker = look_at(person)
        for _, place in (page for page in pages if page[0] == who):
            looker.open(place.address, message=message)
        looker.open("/nowhere/")
        found += looker.faults
    assert found == []


def test_every_empty_page_is_open_to_everybody_and_fits_its_window(look_at: Callable[..., Looker]) -> None:
    project = make.project("empty", name=LONG)
    looker, client = look_at(make.olga(project)), signed_in(make.olga())
    for name, parameters, written in routes(get_resolver().url_patterns):
        address = address_of(written, parameters, {"slug": "empty"}) if parameters == ["slug"] and name in TABLE else ""
        if address and TABLE[name].get == 200 and not TABLE[name].is_api and client.get(address).status_code == 200:
            looker.open(address)
    assert looker.faults == []


def test_every_page_that_refuses_a_form_is_open_to_everybody_and_fits_its_window(full: FullProject, look_at: Callable[..., Looker]) -> None:
    looker = look_at(full.olga)
    addresses = refused(full)
    assert len(addresses) >= 5
    for address, body in addresses:
        looker.page.goto(looker.root + "/keys/")
        with looker.page.expect_navigation():
            looker.page.evaluate(SEND, [address, body])
        looker.check(address)
    assert looker.faults == []


def test_what_is_too_wide_or_on_the_header_is_noticed(look_at: Callable[..., Looker]) -> None:
    looker = look_at(make.ann(make.project("sums")))
    looker.open("/")
    assert looker.faults == []
    looker.page.evaluate("document.querySelector('main').style.minWidth = '9999px'")
    looker.page.evaluate("document.querySelector('main').style.marginTop = '-50px'")
    looker.page.evaluate("document.querySelector('.finder-button').style.marginLeft = '-3000px'")
    looker.page.evaluate("document.querySelector('.finder-button').style.paddingLeft = '5000px'")
    looker.check("/")
    assert {"/: wider than 375", "/: wider than 2560", "/: MAIN on the header"} <= set(looker.faults)
    assert any("Find" in fault and " on " in fault for fault in looker.faults)
