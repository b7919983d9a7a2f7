"""A newcomer's way in a real browser: practice with feedback, screening, real work; by keyboard alone."""

import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from annotation import labels, quality, queue
from annotation.models import Annotation, GoldAnswer, Membership, Project
from tests import make
from tests.e2e.test_accessibility import violations
from tests.routes import intercept

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def school(*, practice: int, screening: int = 0) -> Project:
    """A project whose every solution has its first mistake at step 1 (from 0), labeled by rolf; one more waits as real work."""
    project = make.project("sums", name="Sums")
    rolf = make.rolf(project)
    make.batch(project, make.solutions(project, practice + screening))
    for _ in range(practice + screening):
        lease = queue.lease_next(rolf, project=project)
        labels.submit(
            lease.assignment_id,
            labeler=rolf,
            token=lease.token,
            submission_id=uuid.uuid4(),
            active_ms=1,
            total_ms=1,
            ratings=[{"step": 0, "rating": 1}, {"step": 1, "rating": -1}],
            finish_reason="found_error",
        )
    quality.open_practice(project, by="rolf", size=practice)
    if screening:
        quality.open_screening(project, by="rolf", size=screening)
    make.batch(project, make.solutions(project, 2))
    return project


def begin(visit: Visit, ann: User, **options: object) -> Page:
    page = visit(ann, "/p/sums/label/", **options)
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page


def answer(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")


def test_a_newcomer_goes_from_practice_over_screening_to_work_by_keyboard(visit: Visit) -> None:
    project = school(practice=2, screening=1)
    ann = make.ann(project)
    page = begin(visit, ann)
    answer(page, "3", "3", "1")
    expect(page.locator("#verdict")).to_contain_text("Not quite. The first mistake is at step 2. You marked step 3.")
    expect(page.locator("[data-progress-of-practice]")).to_contain_text("Practice 1 of 2, 0 right.")
    expect(page.locator("[data-today]")).to_have_text("no labels yet today")  # practice is no work
    expect(page.get_by_role("link", name="Continue")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("[data-step='0']")).to_be_focused()
    answer(page, "3", "1")
    expect(page.locator("#verdict")).to_contain_text("Right. The first mistake is at step 2.")
    expect(page.locator("[data-progress-of-practice]")).to_contain_text("2 of 2, 1 right. Practice is over. Your labels are counted")
    page.keyboard.press("Enter")

    expect(page.locator("[data-step='0']")).to_be_focused()
    assert not Membership.objects.get(user=ann).qualified_at
    answer(page, "3", "1")  # the screening question: the next solution comes at once, and says nothing of this one
    expect(page.locator("[data-step='0'][data-rated='']")).to_be_focused()
    expect(page.locator("[data-feedback]")).to_have_count(0)
    expect(page.locator("[data-status='saved']")).to_be_visible()
    kinds = Annotation.objects.filter(labeler=ann).order_by("pk").values_list("assignment__batch__kind", flat=True)
    assert list(kinds) == ["practice", "practice", "screening"]
    assert Membership.objects.get(user=ann).qualified_at


def test_feedback_shows_the_ratings_and_where_gold_sees_the_mistake(visit: Visit) -> None:
    project = school(practice=1)
    GoldAnswer.objects.update(acceptable_first_errors=[1, 2], note="Adding $1$ here is wrong.")
    page = begin(visit, make.ann(project))
    answer(page, "1")
    expect(page.locator("#verdict")).to_contain_text("The first mistake is at step 2 or 3. You marked step 1.")
    expect(page.locator("[data-note] .katex")).to_have_count(1)
    expect(page.locator("[data-seen='0'][data-judged='blamed']")).to_contain_text("this step is right")
    expect(page.locator("[data-seen='0']")).to_contain_text("your rating: negative")
    expect(page.locator("[data-answer]")).to_be_visible()
    expect(page.locator("[data-gold]")).to_have_count(2)
    expect(page.locator("[data-seen='1']")).to_contain_text("first mistake")
    expect(page.locator("[data-seen='1']")).to_contain_text("not rated")


def test_a_practice_submit_whose_answer_was_lost_is_answered_with_the_same_feedback(visit: Visit) -> None:
    page = begin(visit, make.ann(school(practice=1)))
    lost = []

    def lose_the_first(route: object) -> None:
        response = route.fetch()
        if lost:
            return route.fulfill(response=response)
        lost.append(response.status)
        route.abort()

    intercept(page, "**/submit/", lose_the_first)
    answer(page, "3", "1")
    expect(page.locator("#verdict")).to_contain_text("Right")
    assert lost == [200] and Annotation.objects.filter(labeler__username="ann").count() == 1


def test_a_skipped_practice_solution_leads_to_the_next_one(visit: Visit) -> None:
    page = begin(visit, make.ann(school(practice=2)))
    first = page.locator("[data-problem]").inner_text()
    page.keyboard.press("g")
    page.keyboard.type("Not mine.")
    page.get_by_role("button", name="Not for me").click()
    expect(page.locator("[data-problem]")).not_to_have_text(first)
    answer(page, "3", "1")
    expect(page.locator("[data-progress-of-practice]")).to_contain_text("Practice 2 of 2, 1 right.")


def test_feedback_has_no_violation(visit: Visit, look: dict) -> None:
    project = school(practice=2)
    GoldAnswer.objects.update(note="Mind $x^2$. " * 9)
    page = begin(visit, make.ann(project), **look)
    for keys in (("1",), ("3", "1")):
        answer(page, *keys)
        expect(page.locator("#verdict")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Enter")
        expect(page.locator("[data-step='0']")).to_be_focused()
