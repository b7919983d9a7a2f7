"""All pages in a real browser: what they show, what they weigh, and that no page breaks its security policy."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from playwright.sync_api import Page, expect

from active_learning.models import ModelVersion, Round, Worker
from tests import make
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def labeling_page(visit: Visit, *, statement: str = "What is it?", steps: list[str], answer: str = "18", **fields: object) -> Page:
    project = make.project("maths", **fields)
    make.batch(project, [make.solution(make.problem(project, statement=statement, answer=answer), steps)])
    page = visit(make.ann(project), "/p/maths/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page


def test_a_person_signs_in_with_name_and_password(visit: Visit) -> None:
    person = make.person("ann", make.project("sums", name="Sums"))
    person.set_password("a good long one")
    person.save()
    page = visit(None, "/p/sums/label/")
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
    page.get_by_label("Password").fill("a good long one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[data-nothing]")).to_be_visible()
    page.locator("[data-menu] summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_overview_shows_the_loop_and_goes_on_asking(visit: Visit) -> None:
    project = make.project("sums")
    page = visit(make.olga(project), "/p/sums/")
    expect(page.get_by_role("button", name="Start a round")).to_be_visible()
    expect(page.locator("[data-loop]")).to_contain_text("No worker is running")
    with page.expect_response("**/p/sums/rounds/"):
        pass


def test_the_overview_shows_what_became_of_rounds_and_models(visit: Visit) -> None:
    project = make.project("sums")
    metrics = {"step_auc": 0.8125, "log_loss": 0.41, "base_rate_log_loss": 0.53, "first_mistake": {"f1": 0.433}}
    version = ModelVersion.objects.create(
        project=project, number=1, base="tiny", state="ready", sha256="ab" * 32, champion=True, ready_at=Now(), metrics=metrics
    )
    Round.objects.create(project=project, generation=0, strategy="convincing", state="failed", failure="Too little.", model_version=version)
    running = {"stage": "scoring", "done": 3, "total": 9, "seconds_left": 7}
    planned = make.plan(project, size=40).as_dict()
    Round.objects.create(project=project, generation=1, strategy="convincing", state="scoring", plan=planned, progress=running)
    Worker.objects.create(name="asleep", queues="celery", heartbeat_at=Now() - timedelta(hours=1))
    page = visit(make.olga(project), "/p/sums/", viewport={"width": 375, "height": 700})
    loop = page.locator("[data-loop]")
    for words in ("less than 1 min left; solution 3 of 9", "Too little.", "serves", "0.81", "The worker asleep last reported"):
        expect(loop).to_contain_text(words)
    expect(page.get_by_role("button", name="Start a round")).to_have_count(0)  # one at a time
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the round").click()
    expect(page.get_by_role("status")).to_contain_text("Round 1 is cancelled.")


def test_the_guidelines_open_beside_the_page(visit: Visit) -> None:
    page = labeling_page(visit, steps=["One", "Two"], guidelines="## How to rate\n\nStep *by* step.")
    page.locator("[data-guidelines] summary").click()
    expect(page.get_by_role("heading", name="How to rate")).to_be_visible()


def test_a_chosen_theme_is_kept(visit: Visit) -> None:
    page = visit(make.ann(make.project("sums")), "/")
    dark = "rgb(17, 21, 28)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.locator("[data-menu] summary").click()
    page.get_by_role("button", name="Theme").click(click_count=2)
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_every_page_keeps_to_its_security_policy(visit: Visit, live_server: object) -> None:
    project = make.project("sums", guidelines="**So**")
    make.batch(project, [make.solution(make.problem(project, statement=r"$\sqrt{\frac{a}{b}}$"), ["$x$", "y"])])
    olga = make.olga(project)
    olga.is_staff = olga.is_superuser = True
    olga.save()
    page = visit(olga, "/")
    root = page.url.rstrip("/")
    administration = ("/admin/", "/admin/annotation/project/add/", "/admin/annotation/solution/")
    for path in ("/", "/p/sums/", "/p/sums/label/", "/nowhere/", *administration):
        answer = page.goto(root + path)
        assert "default-src 'none'" in answer.header_value("Content-Security-Policy")
        expect(page.locator("h1").first).to_be_attached()
    page = visit(make.ann(project), "/p/sums/label/")
    for key in ("3", "?", "Escape", "g", "Escape"):
        page.keyboard.press(key)
    expect(page.locator(".katex").first).to_be_visible()  # the visitors' fixture fails the test on any violation


def test_a_broken_security_policy_would_be_noticed(visit: Visit) -> None:
    page = visit(make.ann(make.project("sums")), "/")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))")
    until(lambda: visit.faults, what="the violation is noticed", page=page)
    assert page.evaluate("window.ran") is None
    assert len(visit.faults) == 1 and "script-src" in visit.faults.pop()


def weight(visit: Visit, statement: str, **fields: object) -> dict[str, int]:
    """Bytes, uncompressed, of each script, style sheet and font that a labeling page fetches."""
    project = make.project("sums", **fields)
    make.batch(project, [make.solution(make.problem(project, statement=statement), ["So it is."])])
    page = visit(make.ann(project), "/")
    fetched = []
    page.on("response", lambda answer: answer.request.resource_type in ("script", "stylesheet", "font") and fetched.append(answer))
    page.goto(page.url + "p/sums/label/")
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    return {answer.url.rsplit("/", 1)[1]: len(answer.body()) for answer in fetched}


def test_the_labeling_page_weighs_at_most_80_kb_without_formulas(visit: Visit) -> None:
    found = weight(visit, "At $5 each?")
    assert "label.js" in found and sum(found.values()) <= 80_000


def test_markdown_adds_at_most_40_kb_to_the_labeling_page(visit: Visit) -> None:
    found = weight(visit, "At **$5** each?", text_kind="markdown")
    added = sum(found.pop(name) for name in ("markdown.js", "prose.css"))
    assert added <= 40_000 and sum(found.values()) <= 80_000


def test_the_labeling_page_weighs_at_most_450_kb_with_formulas_and_their_fonts(visit: Visit) -> None:
    found = weight(visit, r"**Is** $\sqrt{x^2} = \mathbf{1} \in \left\{ \frac{1}{2} \right\}$?", text_kind="markdown")
    assert {"katex.min.js", "KaTeX_Main-Latin.woff2", "KaTeX_Math-Latin.woff2"} <= found.keys() and sum(found.values()) <= 450_000


def test_guidelines_that_could_not_be_fetched_are_fetched_at_the_next_opening(visit: Visit) -> None:
    project = make.project("sums", guidelines="## How to rate")
    make.batch(project, make.solutions(project, 1))
    page = visit(make.ann(project), "/p/sums/label/")
    page.route("**/htmx*", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.locator("[data-guidelines] summary").click()
    page.unroute("**/htmx*")
    for _ in range(2):
        page.locator("[data-guidelines] summary").click()
    expect(page.get_by_role("heading", name="How to rate")).to_be_visible()


def test_lists_and_tables_set_formulas(visit: Visit) -> None:
    project = make.project("sums", text_kind="markdown")
    statement = "## What\n\n**is** $8$ plus \\[x_1\\] in $\\frac{1}{2}$? " + "It goes on. " * 30 + "$y$"
    made = make.solution(make.problem(project, statement=statement), ["So it is."])
    version = make.version(project, 1)
    shown = make.round_of(project, {"convincing": [made, make.solution(made.problem, ["It is so."])]}, model_version=version)
    page = visit(make.ann(project), "/p/sums/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("[data-today='1']")).to_be_attached()
    root = page.url.split("/p/")[0]
    table = visit(make.olga(project))
    for path in ("/p/sums/labels/", f"/p/sums/rounds/round-{shown.number}/"):
        table.goto(root + path)
        row = table.locator("[data-brief]").first
        expect(row.locator(".katex")).to_have_count(3)
        assert row.locator(".katex-display").count() == 0
        expect(row.locator("strong")).to_have_text("is")
        assert row.evaluate("(one) => one.scrollHeight > one.clientHeight && one.clientHeight < 80")  # two lines of it
    page.goto(root + "/p/sums/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator(".recent .katex")).to_have_count(3)
    assert page.locator(".recent .brief").evaluate("(one) => one.clientHeight < 80")
