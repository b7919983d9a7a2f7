"""A reviewer's hour in a browser, by keyboard alone, and what labelers and a second reviewer see of it."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from active_learning.models import StepScores
from annotation import labels, quality, queue
from annotation.models import Annotation, Flag, GoldAnswer, Message, Project, Solution
from annotation.quality import records
from tests import make
from tests.e2e.test_accessibility import violations
from tests.reviews import at, decide, disputed, read_all
from tests.verdicts import judged

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
CONFLICTS = 20
SENT_BACK, MADE_GOLD = {4, 11}, {2, 7, 15}  # of the conflicts, in the order of the hour


class Hand:
    """Presses keys, and counts those at steps."""

    def __init__(self, page: Page) -> None:
        self.page, self.rated, self.keys = page, 0, 0

    def decide(self, *keys: str) -> None:
        expect(self.page.locator("[data-step='0']")).to_be_focused()
        for key in keys:
            self.page.keyboard.press(key)
            self.keys += 1
        self.rated += len(keys)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", level=1)).to_contain_text("decided")
        self.page.wait_for_load_state()  # the script of the keys has run

    def go_on(self) -> None:
        expect(self.page.locator("a[autofocus]")).to_be_focused()
        self.page.keyboard.press("Enter")


def flagged(project: Project) -> None:
    """Let cleo find no mistake in wrong answers, and have that flagged."""
    make.person("cleo", project)
    for solution in make.solutions(project, 15, outcome="wrong"):
        judged(solution, "cleo", None, active_ms=60_000)
    quality.watch_project(project)
    assert Flag.objects.filter(person__username="cleo").exists()


def test_an_hour_of_a_reviewer_by_keyboard_alone(visit: Visit) -> None:
    project, _ = disputed(*[(at(1), at(2))] * CONFLICTS)
    flagged(project)
    page = visit(make.olga(project), "/p/sums/review/")
    hand = Hand(page)
    hand.go_on()
    for number in range(CONFLICTS):
        hand.decide("3", "1")
        if number in SENT_BACK:
            page.keyboard.press("s")
            page.keyboard.type("Look at step 2 again.")
            page.keyboard.press("Enter")
            expect(page.locator(".messages")).to_contain_text("Sent back.")
        if number in MADE_GOLD:
            page.keyboard.press("g")
            page.keyboard.press("Enter")
            expect(page.locator(".messages")).to_contain_text("The solution is gold now.")
        hand.go_on()
    expect(page.get_by_text("No disagreement waits for you.")).to_be_visible()
    assert hand.keys <= hand.rated == 2 * CONFLICTS
    assert sorted(quality.adjudications(project).values()) == [1] * CONFLICTS
    assert Message.objects.filter(annotation__isnull=False).count() == len(SENT_BACK)
    assert list(GoldAnswer.objects.values_list("acceptable_first_errors", flat=True)) == [[1]] * len(MADE_GOLD)

    page.goto(page.url.replace("/review/", "/quality/flags/"))
    page.keyboard.press("j")
    page.keyboard.press("n")
    page.keyboard.type("A misunderstanding.")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    expect(page.get_by_role("status")).to_be_visible()
    assert Flag.objects.filter(decision="dismissed", note="A misunderstanding.").count() == 1


def test_the_second_of_two_reviewers_reads_what_happened_and_loses_nothing(visit: Visit) -> None:
    project, [solution] = disputed((at(1), at(2)))
    page = visit(make.olga(project), f"/p/sums/review/{solution.pk}/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    decide(project, solution, make.rolf(project), at(1))
    for key in ("3", "3", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".messages")).to_contain_text("rolf decided on this solution after you opened it.")
    expect(page.locator(".notice", has_text="decided:")).to_contain_text("rolf decided: first mistake: step 2.")
    page.wait_for_load_state()
    page.keyboard.press("d")
    expect(page.locator("[data-step='2']")).to_have_attribute("data-rated", "-1")
    expect(page.locator("[data-next]")).to_contain_text("First mistake: step 3. Ready to submit.")
    page.keyboard.press("Enter")
    expect(page.locator(".notice", has_text="decided:")).to_contain_text("olga decided: first mistake: step 3.")
    assert quality.adjudications(project) == {solution.pk: 2}


def test_a_decision_that_is_left_is_dropped(visit: Visit) -> None:
    project, [solution] = disputed((at(1), at(2)))
    page = visit(make.rolf(project), f"/p/sums/review/{solution.pk}/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    page.keyboard.press("3")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Review")
    page.keyboard.press("Enter")
    expect(page.locator("[data-step='0'][data-rated='']")).to_be_focused()
    assert labels.decision_on(solution.pk) is None


def test_a_labeler_looks_again_at_what_was_sent_back_by_keyboard(visit: Visit) -> None:
    project, [solution] = disputed((at(1), at(2)))
    reading = Annotation.objects.get(solution=solution, labeler=make.ann())
    quality.send_back(project, reading.pk, sender=make.rolf(project), text="Look at step 3.")
    page = visit(make.ann(), "/")
    link = page.get_by_role("link", name="Look at this solution again")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("A reviewer sent this back:")).to_contain_text("Look at step 3.")
    expect(page.locator("[data-step='1']")).to_be_focused()
    for key in ("3", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("[data-nothing]")).to_be_visible()
    newest = Annotation.objects.newest().get(solution=solution, labeler=make.ann())
    assert newest.supersedes == reading and newest.steplabel_set.get(rating=-1).step_index == 2


def shown_to_reviewers() -> tuple[Project, list[Solution]]:
    """A project with conflicts, one of them decided, with a model that scored its steps, sent back work and gold that contradicts."""
    project, solutions = disputed(*[(at(1), at(2))] * 3)
    version = make.version(project, 1, champion=True)
    StepScores.objects.create(
        model_version=version, solution=solutions[0], probabilities=[[0.1, 0.1, 0.8], [0.7, 0.1, 0.2], [0.3, 0.3, 0.4]]
    )
    decide(project, solutions[0], make.rolf(project), at(1))
    GoldAnswer.objects.create(solution=solutions[0], acceptable_first_errors=[2])
    reading = Annotation.objects.get(solution=solutions[1], labeler=make.ann())
    quality.send_back(project, reading.pk, sender=make.rolf(), text="Look.")
    return project, solutions


def test_the_pages_of_review_are_open_to_everybody_and_fit_a_phone(visit: Visit, look: dict) -> None:
    _, solutions = shown_to_reviewers()
    page = visit(make.rolf(), "/p/sums/review/", **look)
    for path in ("", f"{solutions[2].pk}/", f"{solutions[0].pk}/", f"{solutions[0].pk}/?again"):
        page.goto(page.url.split("/review/")[0] + f"/review/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        for fold in page.locator("summary:visible").all():
            fold.click()
        assert violations(page) == [], path


def test_the_page_of_what_a_labeler_missed_fits_a_phone(visit: Visit, look: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project("sums", gold_percent=100)
    chosen = make.solutions(project, 10)
    GoldAnswer.objects.bulk_create(GoldAnswer(solution=one, acceptable_first_errors=[1], note="Mind $x^2$.") for one in chosen)
    queue.open_batch(project, [queue.Chosen(one.pk, kind="gold") for one in chosen])
    read_all(project, make.ann(project), *[at(1)] * 5, *[at(0)] * 3, *[at(2)] * 2)
    later = records._midnight
    monkeypatch.setattr(records, "_midnight", lambda: later() + records.timedelta(days=3))
    page = visit(make.ann(), reverse("record", args=["sums"]), **look)
    expect(page.get_by_text("You were right in 50 % of 10 solutions")).to_be_visible()
    expect(page.get_by_text("marked a step before the first mistake: 3")).to_be_visible()
    expect(page.locator(".verdict")).to_have_count(5)
    assert violations(page) == []
