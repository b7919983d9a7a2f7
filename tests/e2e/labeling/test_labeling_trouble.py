"""Labeling in a real browser through trouble: reloads, lost networks, two tabs, lost leases and sign-ins."""

import re
from collections.abc import Callable

import pytest
from django.db.models.functions import Now
from playwright.sync_api import Page, Route, expect

from annotation import labels, people
from annotation.models import Annotation, Assignment, BrowserSession, Draft, Project
from tests import make
from tests.ducks import expect_solution, expect_status, press, ratings, server_gone, steps
from tests.routes import intercept

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


# --- nothing is lost ----------------------------------------------------------------------------------------------------


def test_a_reload_keeps_the_draft(ann: Page) -> None:
    press(ann, "3 0 ArrowUp ArrowDown u")
    expect_status(ann, "saved")
    assert [one["rating"] for one in Draft.objects.get().ratings] == [1, 0, None]
    ann.evaluate("localStorage.clear()")  # the server's copy alone
    ann.reload()
    expect(ann.locator("[data-step='3']")).to_be_focused()
    assert steps(ann) == ["1", "0", "", ""]
    expect(ann.locator("[data-step='2'] .flag")).to_be_visible()


def test_a_closed_tab_keeps_what_the_server_never_saw(ann: Page, visit: Visit) -> None:
    ann.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('cut')); }")  # not even the last try of a page that is left
    press(ann, "3 3")
    expect_status(ann, "retrying")
    ann.close()
    assert not Draft.objects.exists()
    again = visit.tab(ann.context, "/p/gsm8k/label/")
    expect(again.locator("[data-step='2']")).to_be_focused()
    assert steps(again) == ["1", "1", "", ""]
    expect_status(again, "saved")
    assert [one["rating"] for one in Draft.objects.get().ratings] == [1, 1]


def test_ratings_given_while_the_server_is_gone_are_saved_after_its_return(ann: Page) -> None:
    intercept(ann, "**/draft/", server_gone)
    press(ann, "3")
    expect_status(ann, "retrying")
    expect(ann.locator("[data-status]")).to_have_text("Not saved yet, retrying")
    press(ann, "0")
    expect_status(ann, "retrying")
    ann.context.unroute("**/draft/")
    expect_status(ann, "saved")
    expect(ann.locator("[data-status]")).to_have_text("Saved")
    assert [one["rating"] for one in Draft.objects.get().ratings] == [1, 0]


def test_a_submit_whose_answer_is_lost_is_one_annotation(ann: Page) -> None:
    answers: list[int] = []

    def lose_the_first_answer(route: Route) -> None:
        if answers:
            return route.continue_()
        answers.append(route.fetch().status)
        route.abort("connectionreset")

    intercept(ann, "**/submit/", lose_the_first_answer)
    press(ann, "1 Enter")
    expect_solution(ann, 2)
    expect_status(ann, "saved")
    assert answers == [200]
    assert Annotation.objects.count() == 1


def test_a_submit_survives_a_reload(ann: Page) -> None:
    intercept(ann, "**/submit/", server_gone)
    press(ann, "3 1 Enter")
    expect_status(ann, "retrying")
    press(ann, "Backspace 3")  # sent is sent: no key changes it any more
    ann.context.unroute("**/submit/")
    ann.reload()
    expect_solution(ann, 2)
    assert ratings(Annotation.objects.get()) == [1, -1]
    assert ann.evaluate("Object.keys(localStorage).filter((key) => key.includes('outbox'))") == []


def test_a_submit_that_arrived_before_the_reload_is_not_made_again(ann: Page) -> None:
    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    intercept(ann, "**/submit/", lose_the_answer)
    press(ann, "1 Enter")
    expect_status(ann, "retrying")
    ann.context.unroute("**/submit/")
    ann.reload()
    expect_solution(ann, 2)
    expect(ann.locator("[data-busy]")).to_have_count(0)
    assert Annotation.objects.count() == 1
    press(ann, "1 Enter")
    expect_solution(ann, 3)


def test_a_second_tab_goes_on_where_the_first_is(ann: Page, visit: Visit) -> None:
    press(ann, "3")
    expect_status(ann, "saved")
    second = visit.tab(ann.context, "/p/gsm8k/label/")
    expect_solution(second, 1)
    press(second, "0")
    expect(ann.locator("[data-step='1']")).to_have_attribute("data-rated", "0")
    press(second, "1 Enter")
    expect_solution(second, 2)
    expect_solution(ann, 2)
    assert [ratings(one) for one in Annotation.objects.all()] == [[1, 0, -1]]


# --- trouble is explained -----------------------------------------------------------------------------------------------


def test_a_lost_lease_is_explained_and_the_next_solution_is_one_key_away(project: Project, ann: Page) -> None:
    press(ann, "3")
    expect_status(ann, "saved")
    Assignment.objects.filter(labeler=make.ann(), state="leased").update(labeler=make.ben(project), token=9)
    press(ann, "1 Enter")
    expect(ann.locator("#trouble")).to_contain_text("This solution is no longer yours")
    expect(ann.locator("#trouble")).to_contain_text("kept as a draft")
    press(ann, "Enter")
    expect_solution(ann, 2)
    assert steps(ann) == ["", "", "", ""]


def test_after_signing_in_again_the_work_is_there_and_is_sent(ann: Page, visit: Visit) -> None:
    BrowserSession.objects.all().delete()
    press(ann, "3 1 Enter")
    expect(ann.locator("#trouble")).to_contain_text("You are signed out")
    assert not Annotation.objects.exists()
    visit.sign_in(ann.context, make.ann())
    press(ann, "Enter")
    expect_solution(ann, 2)
    assert ratings(Annotation.objects.get()) == [1, -1]


def test_a_sign_in_in_another_tab_closes_the_dialog_and_sends_what_waits(ann: Page, visit: Visit) -> None:
    BrowserSession.objects.all().delete()
    press(ann, "3 1 Enter")
    expect(ann.locator("#trouble")).to_contain_text("ask the manager of your project for a sign-in link")
    assert not Annotation.objects.exists()
    second = visit.tab(ann.context, people.link_to_sign_in(make.ann()))
    second.get_by_role("button", name="Sign in as ann").click()
    expect_solution(ann, 2)
    expect(ann.locator("#trouble")).not_to_be_visible()
    assert ratings(Annotation.objects.get()) == [1, -1]


def test_a_sign_in_of_somebody_else_in_another_tab_sends_nothing(ann: Page, visit: Visit) -> None:
    BrowserSession.objects.all().delete()
    press(ann, "3 1 Enter")
    expect(ann.locator("#trouble")).to_contain_text("You are signed out")
    visit.sign_in(ann.context, make.ben())
    with ann.expect_response("**/sign-in/who/") as answer:
        pass
    assert answer.value.json() == {"person": make.ben().pk}
    expect(ann.locator("#trouble")).to_be_visible()
    assert not Annotation.objects.exists()


def test_signing_in_anew_in_another_tab_stops_nothing(project: Project, ann: Page, visit: Visit) -> None:
    person = make.ann()
    person.set_password("a good long one")  # which ends the session
    person.save()
    second = visit.tab(ann.context, "/")
    second.get_by_label("Name").fill("ann")
    second.get_by_label("Password").fill("a good long one")
    second.get_by_role("button", name="Sign in").click()
    expect(second.get_by_role("link", name="Continue labeling")).to_be_visible()
    press(ann, "1 Enter")  # with the new cookie, not with the token the page came with
    expect_solution(ann, 2)


def test_a_page_the_server_does_not_trust_any_more_says_so(ann: Page) -> None:
    expect(ann.locator("[data-ahead-ready]")).to_be_attached()  # else its answer brings the cookie back
    ann.context.clear_cookies(name=re.compile("^csrf"))
    press(ann, "1 Enter")
    expect(ann.locator("#trouble")).to_contain_text("This page is out of date. Reload it.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    assert ratings(Annotation.objects.get()) == [-1]


def test_ratings_the_server_does_not_take_stay_on_the_page(ann: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise labels.BadSubmission("unrated_step", "Step 2 has no rating.")

    with monkeypatch.context() as patched:
        patched.setattr(labels, "submit", refuse)
        press(ann, "3 1 Enter")
        expect(ann.locator("#trouble")).to_contain_text("Step 2 has no rating.")
    press(ann, "Enter")
    assert steps(ann)[:2] == ["1", "-1"]
    press(ann, "Enter")
    expect_solution(ann, 2)


def test_a_lapsed_lease_nobody_took_costs_nothing(ann: Page) -> None:
    Assignment.objects.filter(labeler=make.ann()).update(lease_expires_at=Now())
    press(ann, "3 1 Enter")
    expect_solution(ann, 2)
    assert Annotation.objects.count() == 1


# --- a long trouble is said in words ------------------------------------------------------------------------------------


def test_after_a_minute_of_trouble_the_page_says_what_is_wrong_and_that_the_work_is_safe(ann: Page) -> None:
    note = ann.locator("[data-long]")
    message = "The database does not answer at the moment."
    intercept(ann, "**/draft/", lambda route: route.fulfill(status=503, json={"code": "database_unavailable", "message": message}))
    assert note.get_attribute("data-after") == "60000"
    press(ann, "3")
    expect_status(ann, "retrying")
    expect(note).to_be_hidden()  # a short trouble is only the word in the status
    ann.evaluate("document.querySelector('[data-long]').dataset.after = 0")  # the minute is over
    expect(note).to_contain_text("The database does not answer at the moment. Your last ratings have not reached the server")
    expect(note).to_contain_text("They are safe in this browser")
    ann.context.unroute("**/draft/")
    expect_status(ann, "saved")
    expect(note).to_be_hidden()
    assert [one["rating"] for one in Draft.objects.get().ratings] == [1]


def test_a_server_that_cannot_be_reached_for_a_minute_is_called_that(ann: Page) -> None:
    intercept(ann, "**/submit/", server_gone)
    ann.evaluate("document.querySelector('[data-long]').dataset.after = 0")
    press(ann, "1 Enter")
    expect(ann.locator("[data-long]")).to_contain_text("The server cannot be reached. Your last ratings have not reached the server")
    ann.context.unroute("**/submit/")
    expect_solution(ann, 2)
    expect(ann.locator("[data-long]")).to_be_hidden()
