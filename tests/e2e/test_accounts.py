"""The pages of an account in a real browser: links, codes, passwords and sessions; accessible, by keyboard, narrow and wide."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Page, expect

from annotation import people
from tests import make
from tests.clients import signed_in
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)
Visit = Callable[..., Page]
PASSWORD = "a good long one"


def code_of(app: TOTPDevice) -> str:
    return f"{totp(app.bin_key):06d}"


def is_within_the_window(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def check(page: Page, shot: str = "") -> None:
    assert violations(page) == [] and is_within_the_window(page)


def test_the_pages_of_an_account_are_accessible_and_fit(visit: Visit, look: dict, settings: Any) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    project = make.project()
    link = people.link_to_sign_in(make.olga(project))
    page = visit(None, link, **look)
    check(page)
    page.keyboard.press("Enter")  # the button has the focus
    expect(page.get_by_role("heading", name="Set up a second factor")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("QR code"))).to_have_js_property("complete", True)
    check(page)
    page.get_by_label("Enter the six digits").fill("000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This code is not right")
    check(page)
    TOTPDevice.objects.update(throttling_failure_count=0)
    page.get_by_label("Enter the six digits").fill(code_of(TOTPDevice.objects.get()))
    page.keyboard.press("Enter")
    expect(page.get_by_role("listitem")).to_have_count(people.CODES)
    check(page)
    page.get_by_role("link", name="I have kept them. Continue").click()
    expect(page.get_by_role("heading", name="Your projects")).to_be_visible()

    signed_in(make.olga())  # another browser
    page.goto(page.url + "account/")
    check(page)
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_label("New password, again").fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This password is too short")).to_be_visible()
    check(page)
    page.goto(page.url.partition("account/")[0] + link[1:])
    expect(page.get_by_role("heading", name="This link no longer works")).to_be_visible()
    check(page)


def test_a_labeler_who_came_by_link_sets_a_password_and_signs_in_with_it(visit: Visit) -> None:
    User.objects.filter(pk=make.ann(make.project()).pk).update(password="!none")
    page = visit(None, people.link_to_sign_in(make.ann()))
    page.get_by_role("button", name="Sign in as ann").click()
    page.get_by_text("ann", exact=True).first.click()
    page.get_by_role("link", name="Your account").click()
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password, again").fill(PASSWORD)
    page.get_by_role("button", name="Save the password").click()
    expect(page.get_by_text("Your password is saved.")).to_be_visible()
    other = visit(None, "/sign-in/")
    other.get_by_label("Name").fill("ann")
    other.get_by_label("Password").fill(PASSWORD)
    other.keyboard.press("Enter")
    expect(other.get_by_role("heading", name="Your projects")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="End the session in Chrome").click()
    expect(page.get_by_text("The session is ended.")).to_be_visible()
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_code_is_asked_for_and_the_wait_after_wrong_passwords_is_said(visit: Visit, look: dict) -> None:
    ann = make.ann(make.project())
    ann.set_password(PASSWORD)
    ann.save()
    app = TOTPDevice.objects.create(user=ann, confirmed=True)
    page = visit(None, "/account/", **look)
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_focused()
    check(page)
    page.keyboard.type(code_of(app))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your account: ann")).to_be_visible()
    check(page)
    other = visit(None, "/sign-in/", **look)
    for _ in range(5):
        other.get_by_label("Name").fill("ann")
        other.get_by_label("Password").fill("wrong")
        other.keyboard.press("Enter")
        other.wait_for_load_state()
        expect(other.get_by_role("alert")).to_be_visible()
    expect(other.get_by_role("alert")).to_contain_text("Wait 10 minutes, then try again.")
    check(other)
