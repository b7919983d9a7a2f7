"""Hostile texts in a real Chromium (harness A9 of docs/reliability.md): no script in them runs, and nothing is fetched from elsewhere.

The short form shows every STRIDE-th text of the corpus in each kind of project, the long form all of them. That no page breaks the content
security policy or throws is checked after every test (conftest.py). How long the page is busy is measured by `script/bench page`.
"""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation.labels import LONGEST_REASON
from annotation.models import Message, Project
from benchmarks import hostile
from tests import make
from tests.exports import label

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
STRIDE, SHORT = 7, 5_000  # characters
SETTLED = """() => [...document.querySelectorAll(".inline, .display:not(div)")].every(
  (one) => one.querySelector(".katex, .broken") || one.matches(".broken"))"""
GUIDELINES_LENGTH = 2_000


@pytest.fixture
def texts(request: pytest.FixtureRequest) -> list[str]:
    is_long = request.config.getoption("--long")
    found = [
        text
        for number, text in enumerate(hostile.STORED)
        if is_long or text.name.startswith("script") or number % STRIDE == 0 and len(text.text) <= SHORT
    ]
    return [text.text for text in found]


class Guard:
    """Notices what a page fetches from elsewhere, and whether a script of the corpus ran."""

    def __init__(self, page: Page) -> None:
        self.page, self.elsewhere = page, list[str]()
        self.root = page.url.split("/p/")[0]
        page.context.on("request", lambda request: request.url.startswith((self.root, "data:")) or self.elsewhere.append(request.url))
        page.on("dialog", lambda dialog: self.elsewhere.append(dialog.message))

    def check(self) -> None:
        self.page.wait_for_function(SETTLED)
        assert self.page.evaluate(f"() => globalThis.{hostile.MARK}") is None
        assert self.elsewhere == []

    def open(self, path: str) -> None:
        self.page.goto(self.root + path)
        self.check()


@pytest.mark.parametrize("kind", ["plain", "markdown"])
def test_no_text_of_a_solution_runs_a_script_on_any_page_that_shows_it(visit: Visit, texts: list[str], kind: str) -> None:
    project = make.project("sums", text_kind=kind, guidelines="\n\n".join(texts)[:GUIDELINES_LENGTH])
    portions = [list(some) for some in hostile.pages(texts)]
    problems = [make.problem(project, statement="\n".join(some), reference_solution="\n".join(some)) for some in portions]
    made = [make.solution(problem, some) for problem, some in zip(problems, portions, strict=True)]
    make.batch(project, made)
    make.version(project, 1)
    page = visit(make.ann(project), "/p/sums/guidelines/")
    labeler, guard = Guard(page), Guard(visit(make.olga(project), "/p/sums/guidelines/"))
    for one in made:
        labeler.open("/p/sums/label/")
        expect(page.locator("[data-step]")).to_have_count(len(one.steps))
        expect(page.locator("[data-step='0']")).to_be_focused()
        labeler.check()
        annotation = label(project, *[1] * (len(one.steps) - 1), -1, finish_reason="found_error", reason=one.steps[0][:LONGEST_REASON])
        guard.open(f"/p/sums/labels/{annotation.pk}/")
        guard.open(f"/p/sums/models/1/solutions/{one.pk}/")
        guard.open(f"/p/sums/problems/{one.problem_id}/")
    guard.open("/p/sums/labels/")
    labeler.open("/p/sums/recent/")


def test_no_message_and_no_guidelines_run_a_script(visit: Visit, texts: list[str]) -> None:
    project = make.project("sums")
    ann, olga = make.ann(project), make.olga(project)
    for text in texts:
        Message.objects.create(project=project, sender=olga, recipient=ann, text=text)
    guard = Guard(visit(olga, "/p/sums/messages/"))
    guard.check()
    for some in hostile.pages(texts):
        Project.objects.update(guidelines="\n\n".join(some))
        guard.open("/p/sums/guidelines/")
    guard = Guard(visit(ann, "/p/sums/label/"))
    guard.open("/")
