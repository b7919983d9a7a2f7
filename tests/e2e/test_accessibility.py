"""axe-core finds nothing on any page, in any of its states: wide and narrow, light and dark."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from active_learning import schedules
from active_learning.models import ModelVersion, Round, Worker
from active_learning.rounds import forecast_again
from annotation import labels, people, queue
from annotation.models import Assignment, GoldAnswer, Membership, Problem, Project
from tests import make
from tests.e2e.turns import Turns
from tests.routes import intercept

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
# From an address Chromium compiles it once for all pages of a browser context, and the source does not go through Playwright each time.
LOAD_AXE = """address => typeof axe === "object" || new Promise((loaded, failed) => {
  const script = Object.assign(document.createElement("script"), { src: address, onerror: failed });
  script.onload = () => { script.remove(); loaded(true); };
  document.head.append(script);
})"""
# A formula becomes focusable when it is found too wide, which is a frame after its fonts have come.
PAINTED = "document.fonts.ready.then(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))))"
WIDE = "A \\[\\sum_{k=1}^{n} k = " + "a + " * 60 + "b\\]"
STEPS = [r"So $x^2 = \frac{1}{2}$ costs $3.", "Zero\u200bwidth.", WIDE, "So it is.\n\n# Answer\n\n18"]
GUIDELINES = "## How to rate\n\nStep *by* step, `so`:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- [two](https://example.org/)\n\n> said"


def violations_now(page: Page) -> list[str]:
    """What axe-core says of the page once it is painted, all of its rules: "rule: selector: what is wrong"."""
    page.evaluate(LOAD_AXE, f"{settings.STATIC_URL}axe.min.js")
    page.evaluate(PAINTED)
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [f"{one['id']}: {node['target']}: {node['failureSummary']}" for one in found for node in one["nodes"]]


def violations(page: Page) -> list[str]:
    """What is wrong with the page as it is, and in the other window with the other colours. It is left as it was.

    What axe-core says in the look whose turn it is, and "wider than" if the page is wider than its window in either of them.
    """
    window, is_dark, found = page.viewport_size, page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"), []
    other = {**window, "width": 1400 if window["width"] < 1000 else 375}
    looks = ((window, "dark" if is_dark else "light"), (other, "light" if is_dark else "dark"))
    for (size, scheme), is_its_turn in zip(looks, Turns.next(page), strict=True):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        faults = violations_now(page) if is_its_turn else []
        page.evaluate(PAINTED)
        faults += [f"wider than {size['width']}"] * page.evaluate("document.documentElement.scrollWidth > innerWidth")
        found += [f"{size['width']} {scheme}: {fault}" for fault in faults]
    page.set_viewport_size(window)
    page.emulate_media(color_scheme="dark" if is_dark else "light")
    return found


def busy_project() -> Project:
    """Rounds in several states, a model that serves, a worker that is alive and one that is not, labels of two people."""
    project = make.project("sums", name="Sums", guidelines=GUIDELINES)
    make.batch(project, [make.solution(make.problem(project), STEPS) for _ in range(3)])
    metrics = {"step_auc": 0.8125, "log_loss": 0.41, "base_rate_log_loss": 0.53, "first_mistake": {"f1": 0.433}}
    version = ModelVersion.objects.create(
        project=project, number=1, base="tiny", state="ready", sha256="ab" * 32, champion=True, ready_at=Now(), metrics=metrics
    )
    Round.objects.create(project=project, generation=0, strategy="convincing", state="failed", failure="Too little.", model_version=version)
    planned = make.plan(project, size=40).as_dict()
    Round.objects.create(project=project, generation=1, strategy="uniform", state="published", plan=planned)
    running = {"stage": "scoring", "done": 3, "total": 9, "seconds_left": 7}
    Round.objects.create(project=project, generation=2, strategy="convincing", state="scoring", plan=planned, progress=running)
    Worker.objects.create(name="asleep", queues="celery", heartbeat_at=Now() - timedelta(hours=1))
    Worker.objects.create(name="awake", queues="celery", heartbeat_at=Now())
    return project


def reviewed(project: Project) -> str:
    """Label one solution and return the path at which the label is shown."""
    lease = queue.lease_next(make.ann(project), project=project)
    stored = labels.submit(
        lease.assignment_id,
        labeler=make.ann(),
        token=lease.token,
        submission_id=uuid.uuid4(),
        active_ms=1,
        total_ms=1,
        ratings=[{"step": 0, "rating": 1}, {"step": 1, "rating": -1}],
        finish_reason="found_error",
    )
    return f"/p/{project.slug}/labels/{stored.pk}/"


def test_axe_notices_what_is_wrong(visit: Visit) -> None:
    page = visit(None, "/sign-in/")
    page.evaluate("document.querySelector('label').remove(); document.querySelector('h1').style.color = 'var(--line)'")
    page.evaluate("document.querySelector('main').style.minWidth = '999px'")
    found = {tuple(one.split(": ")[:2]) for _ in range(2) for one in violations(page)}
    assert {window for window, _ in found} == {"1400 light", "375 dark"}
    assert {(window, rule) for window in ("1400 light", "375 dark") for rule in ("label", "color-contrast")} <= found
    assert ("375 dark", "wider than 375") in found and ("1400 light", "wider than 1400") not in found


def test_signing_in_has_no_violation(visit: Visit, look: dict) -> None:
    page = visit(None, "/p/sums/", **look)
    assert violations(page) == []
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_the_home_page_has_no_violation(visit: Visit, look: dict) -> None:
    page = visit(make.ann(), "/", **look)
    assert violations(page) == []
    make.ann(busy_project())
    make.ann(make.project("more"))
    page.reload()
    page.locator("[data-menu] summary").click()
    assert violations(page) == []


def test_the_overview_has_no_violation(visit: Visit, look: dict) -> None:
    page = visit(make.olga(make.project("empty")), "/p/empty/", **look)
    expect(page.locator("[data-loop]")).to_contain_text("No worker is running")
    assert violations(page) == []
    project = busy_project()
    make.olga(project), reviewed(project)
    queue.lease_next(make.ann(), project=project)
    make.batch(project, make.solutions(project, 1), state="paused")
    page.goto(page.url.replace("empty", "sums"))
    expect(page.locator("[data-loop]")).to_contain_text("3 of 9")
    for fold in page.locator("figcaption summary").all():
        fold.click()
    assert violations(page) == []
    Round.objects.filter(state="scoring").update(state="published")
    page.reload()
    expect(page.get_by_role("button", name="Start a round")).to_be_visible()
    assert violations(page) == []


def test_an_overview_on_which_nothing_needs_anybody_has_no_violation(visit: Visit, look: dict) -> None:
    project = make.project("calm")
    make.batch(project, make.solutions(project, 1))
    Worker.objects.create(name="awake", queues="default,gpu,beat", heartbeat_at=Now())
    page = visit(make.olga(project), "/p/calm/", **look)
    expect(page.get_by_text("Nothing. The work goes on by itself.")).to_be_visible()
    assert violations(page) == []


def test_the_search_for_everything_has_no_violation(visit: Visit, look: dict) -> None:
    project = busy_project()
    page = visit(make.olga(project), "/p/sums/data/", **look)
    status = page.locator("[data-find-status]")
    page.keyboard.press("/")
    expect(status).to_contain_text(" found.")
    assert violations(page) == [], "pages and acts"
    page.keyboard.type("1")
    expect(page.get_by_role("option", name="Round 1")).to_be_visible()
    assert violations(page) == [], "things"
    page.keyboard.type("zzz")
    expect(status).to_contain_text("Nothing was found")
    assert violations(page) == [], "nothing"
    for query in ("find/?q=1", "find/?q=zzz", "find/"):
        page.goto(f"{page.url.partition('/p/')[0]}/p/sums/{query}")
        assert violations(page) == [], query


def test_the_people_of_a_project_have_no_violation(visit: Visit, look: dict) -> None:
    project = busy_project()
    olga, _ = make.olga(project), reviewed(project)
    page = visit(olga, "/p/sums/people/", **look)
    assert violations(page) == [], "no invitation yet"
    page.get_by_label("Names or e-mail addresses").fill("Cleo\nann\ndan@")
    page.get_by_role("button", name="Make the links").click()
    expect(page.get_by_role("alert")).to_contain_text("Line 3")
    assert violations(page) == [], "refused"
    page.get_by_label("Names or e-mail addresses").fill("Cleo\ndan@example.org")
    page.get_by_role("button", name="Make the links").click()
    page.locator("summary", has_text="QR code").first.click()
    expect(page.locator("img").last).to_be_attached()
    assert violations(page) == [], "links"
    page.get_by_role("link", name="Back to people").click()
    assert violations(page) == [], "open invitations"
    page.get_by_label("Name", exact=True).fill("nobody at all")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nobody matches.")).to_be_visible()
    assert violations(page) == [], "nobody found"


def test_the_page_of_a_person_has_no_violation_in_any_state(visit: Visit, look: dict) -> None:
    project = busy_project()
    reviewed(project)
    page = visit(make.olga(project), f"/p/sums/people/{Membership.objects.get(user=make.ann()).pk}/", **look)
    page.locator("figcaption summary").click()
    assert violations(page) == [], "at work"
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Pause: the reason").fill("Please read the guidelines again.")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".messages")).to_contain_text("ann is paused")
    assert violations(page) == [], "paused"
    page.get_by_label("Message", exact=True).fill("Look at step 2.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("article")).to_contain_text("Look at step 2.")
    page.get_by_role("button", name="Remove from the project").click()
    expect(page.get_by_role("heading")).to_contain_text("Remove ann from Sums?")
    assert violations(page) == [], "before the removal"
    page.get_by_role("button", name="Remove from the project").click()
    expect(page.locator(".messages")).to_contain_text("former member")
    assert violations(page) == [], "removed"
    page.get_by_label("Role").select_option("labeler")
    Membership.objects.filter(user=make.ann()).update(qualified_at=Now())
    page.get_by_role("button", name="Take back as a member").click()
    expect(page.get_by_role("alert")).to_contain_text("after you opened this page")
    assert violations(page) == [], "changed meanwhile"


def test_an_invitation_has_no_violation(visit: Visit, look: dict) -> None:
    project = make.project("sums", name="Sums")
    (made,) = people.invite(project, actor=make.olga(project), role="labeler", text="Cleo")
    page = visit(None, made.path, **look)
    assert violations(page) == [], "new"
    for name, value in (("User name", "olga"), ("Password", "long enough"), ("Password, again", "something else")):
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_role("button", name="Make the account and join").click()
    expect(page.get_by_role("alert")).to_contain_text("No account was made")
    assert violations(page) == [], "refused"
    assert violations(visit(make.ben(), made.path, **look)) == [], "signed in"
    assert violations(visit(make.ann(project), made.path, **look)) == [], "a member"
    people.withdraw(project, made.number, actor=make.olga())
    page.goto(page.url)
    expect(page.get_by_role("heading")).to_contain_text("This link lets nobody in")
    assert violations(page) == [], "withdrawn"


def test_the_batches_have_no_violation(visit: Visit, look: dict) -> None:
    page = visit(make.olga(make.project("empty")), "/p/empty/batches/", **look)
    assert violations(page) == [], "empty"
    page.goto(page.url + "compose/")
    assert violations(page) == [], "nobody labeled"
    project = busy_project()
    make.olga(project), reviewed(project)
    queue.lease_next(make.ann(), project=project)
    page.goto(page.url.replace("empty", "sums").replace("compose/", ""))
    assert violations(page) == [], "list"
    page.get_by_role("link", name="Selected 0").click()
    page.locator("figcaption summary").click()
    assert violations(page) == [], "batch"
    page.get_by_role("button", name="Close for good").click()
    expect(page.get_by_text("This cannot be undone.")).to_be_visible()
    assert violations(page) == [], "question"
    page.get_by_label("People for each solution").fill("0")
    page.get_by_role("button", name="Change the overlap").click()
    expect(page.get_by_role("alert")).to_contain_text("from 1 to 99")
    assert violations(page) == [], "error"
    page.goto(page.url.split("batches/")[0] + "batches/compose/?kind=practice&by=ann&size=1")
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    page.get_by_text("4 steps").click()
    assert violations(page) == [], "composed"


def test_markdown_has_no_violation(visit: Visit, look: dict) -> None:
    project = make.project("chat", text_kind="markdown")
    cells = "| $x$ | |\n|---|---|\n| " + "a" * 90 + " | " + "b" * 90 + " |"
    steps = [
        f"## Head\n\n- **one**\n  3. *two* `c`\n\n{cells}",
        "<think>\nhm\n</think>\n> So\n\n```\ncode\n```",
        r"נחסר 3 - 2: $x$ \begin{tabular}{c}1\end{tabular}",
    ]
    make.batch(project, [make.solution(make.problem(project, statement="# What\n\nis $x$?" * 20), steps)])
    page = visit(make.ann(project), "/p/chat/label/", **look)
    expect(page.locator("[data-step='0'] table .katex")).to_have_count(1)
    assert violations(page) == [], "folded"
    page.locator("[data-step='1'] summary").click()
    expect(page.locator("[data-step='1']")).to_contain_text("hm")
    assert violations(page) == [], "open"


def test_the_dialogs_of_labeling_have_no_violation(visit: Visit, look: dict) -> None:
    page = visit(make.ann(busy_project()), "/p/sums/label/", **look)
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    for key in ("?", "b", "g"):
        page.keyboard.press(key)
        expect(page.locator("dialog[open]")).to_be_visible()
        assert violations(page) == [], key
        page.keyboard.press("Escape")


def test_the_labeling_page_has_no_violation_at_any_point_of_a_sitting(visit: Visit, look: dict) -> None:
    page = visit(make.ann(busy_project()), "/p/sums/label/", **look)
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    expect(page.locator("[data-ahead-ready]")).to_be_attached()
    assert violations(page) == [], "fresh"
    page.keyboard.press("3")
    page.keyboard.press("u")
    assert violations(page) == [], "half rated"
    page.keyboard.press("1")
    page.get_by_role("button", name="Show").click()
    wide = page.locator("[data-beyond] .display")
    wide.scroll_into_view_if_needed()  # out of sight it is not laid out, and nobody knows yet that it is too wide
    expect(wide).to_have_attribute("tabindex", "0")
    assert violations(page) == [], "unfolded behind the mistake"

    held: list[Route] = []
    is_held = True
    intercept(page, "**/submit/", lambda route: held.append(route) if is_held else route.continue_())
    page.keyboard.press("Enter")
    expect(page.locator("[data-progress-text]")).to_have_text("0 of 4 steps")
    assert violations(page) == [], "the next one, put up ahead"
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("[data-busy]")).to_be_attached()
    assert violations(page) == [], "submitted"
    is_held = False
    held[0].continue_()
    expect(page.locator("[data-busy]")).to_have_count(0)
    expect(page.locator("[data-status]")).to_have_text("Saved")


def test_the_labeling_page_has_no_violation_in_trouble_nor_when_reopened(visit: Visit, look: dict) -> None:
    project = busy_project()
    page = visit(make.ann(project), "/p/sums/label/", **look)
    expect(page.locator("[data-ahead-ready]")).to_be_attached()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("[data-today]")).to_contain_text("today 1")
    page.keyboard.press("r")
    expect(page.locator("#recent a")).to_be_focused()
    assert violations(page) == [], "the last submissions"
    page.keyboard.press("Enter")
    expect(page.locator("[data-reopened]")).to_be_attached()
    assert violations(page) == [], "reopened"
    page.get_by_role("link", name="Back without changes").click()
    expect(page.locator("[data-reopened]")).to_have_count(0)
    expect(page.locator("[data-step='0']")).to_be_focused()
    intercept(page, "**/draft/", lambda route: route.abort())
    page.keyboard.press("3")
    expect(page.locator("[data-status]")).to_have_text("Not saved yet, retrying")
    assert violations(page) == [], "retrying"
    page.context.unroute("**/draft/")
    Assignment.objects.filter(state="leased").update(labeler=make.ben(project), token=9)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#trouble")).to_contain_text("no longer yours")
    assert violations(page) == [], "no longer yours"


def test_a_page_without_work_has_no_violation(visit: Visit, look: dict) -> None:
    page = visit(make.ann(make.project("sums")), "/p/sums/label/", **look)
    expect(page.locator("[data-nothing]")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_an_error_page_has_no_violation(visit: Visit, look: dict, name: str) -> None:
    page = visit(None, "/sign-in/", **look)
    html = render_to_string(f"{name}.html")
    page.route("**/broken/", lambda route: route.fulfill(status=int(name[:3]), content_type="text/html", body=html))
    page.goto(page.url.replace("sign-in", "broken"))
    expect(page.locator("h1")).to_be_visible()
    assert violations(page) == []


def test_the_labels_that_are_looked_through_are_open_to_everybody(visit: Visit, look: dict) -> None:
    project = busy_project()
    path = reviewed(project)
    page = visit(make.rita(project), "/p/sums/labels/", **look)
    assert violations(page) == [], "list"
    page.goto(page.url.replace("/p/sums/labels/", path))
    expect(page.locator(".katex").first).to_be_visible()
    assert violations(page) == [], "one of them"
    page.get_by_text("Exported record").click()
    assert violations(page) == [], "as exported"


def test_the_pages_of_the_solutions_have_no_violation(visit: Visit, look: dict) -> None:
    project = busy_project()
    label = reviewed(project)
    page = visit(make.olga(project), "/p/sums/solutions/", **look)
    expect(page.locator(".found td a").first).to_be_visible()
    assert violations(page) == [], "full"
    page.get_by_label("Words of the problem").fill("nowhere")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("No solution found")
    assert violations(page) == [], "empty"
    page.get_by_label("Smallest score").fill("x")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == [], "error"
    page.goto(page.url.partition("/p/")[0] + label)
    page.get_by_role("link", name="all ratings, scores and history").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    assert violations(page) == [], "one of them"
    page.get_by_role("link", name="Withdraw from labeling").click()
    assert violations(page) == [], "asked"
    page.get_by_role("button", name="Withdraw it for good").click()
    expect(page.locator(".messages")).to_contain_text("is withdrawn")
    assert violations(page) == [], "withdrawn"


def test_the_page_of_gold_has_no_violation(visit: Visit, look: dict) -> None:
    project = busy_project()
    solution = make.solution(make.problem(project, statement="What is $x$?"), ["So $x = 2$.", "So it is $3$."])
    GoldAnswer.objects.create(solution=solution, acceptable_first_errors=[1])
    page = visit(make.olga(project), f"/p/sums/solutions/{solution.pk}/gold/", **look)
    expect(page.locator(".katex").first).to_be_visible()
    assert violations(page) == [], "as it is"
    page.get_by_label("Note").fill("a" * 2_001)
    page.get_by_role("button", name="Change the gold").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == [], "refused"
    page.get_by_label("Note").fill("It is $2$.")
    page.get_by_label("Step 1").check()
    page.get_by_role("button", name="Change the gold").click()
    expect(page.locator(".messages")).to_contain_text("The gold is changed.")
    assert violations(page) == [], "changed"


def test_the_page_of_a_problem_has_no_violation_at_any_point_of_a_correction(visit: Visit, look: dict) -> None:
    project = busy_project()
    problem = Problem.objects.order_by("pk")[0]
    solution = make.solution(problem, final_answer=r"\frac{1}{2}")
    queue.open_batch(project, [queue.Chosen(solution.pk, premise="wrong")])
    page = visit(make.olga(project), f"/p/sums/problems/{problem.pk}/", **look)
    assert violations(page) == [], "as it is"
    page.get_by_label("Reference answer").fill(" ")
    page.get_by_role("button", name="Show what changes").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == [], "refused"
    page.get_by_label("Reference answer").fill(r"\frac{1}{2}")
    page.get_by_role("button", name="Show what changes").click()
    expect(page.locator("#changes .katex").first).to_be_visible()
    assert violations(page) == [], "what changes"
    page.get_by_label("Withdraw this solution from labeling for good").check()
    page.get_by_role("button", name="Correct the answer").click()
    expect(page.locator(".messages")).to_contain_text("The answer is corrected")
    assert violations(page) == [], "corrected"


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)


def test_the_pages_of_rounds_have_no_violation_when_empty(visit: Visit, look: dict, no_broker: None) -> None:
    page = visit(make.olga(make.project("empty")), "/p/empty/rounds/all/", **look)
    start = page.url.removesuffix("rounds/all/")
    for path, words in (
        ("rounds/all/", "No round has run yet."),
        ("rounds/compose/", "there are no labels to train one from"),
        ("rounds/schedule/", "No round starts by itself"),
        ("models/", "There is no model yet."),
    ):
        page.goto(start + path)
        expect(page.locator("main")).to_contain_text(words)
        assert violations(page) == [], path


def test_cancelling_a_round_has_no_violation_at_any_point(visit: Visit, look: dict, no_broker: None) -> None:
    project = busy_project()
    page = visit(make.olga(project), "/p/sums/rounds/round-2/", **look)
    assert violations(page) == [], "under way"
    page.get_by_role("link", name="Cancel…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel round 2?")
    assert violations(page) == [], "asked"
    asked = page.url
    page.get_by_role("button", name="Cancel the round").click()
    expect(page.locator(".messages")).to_contain_text("Round 2 is cancelled.")
    assert violations(page) == [], "cancelled"
    page.goto(asked)
    expect(page.locator("main")).to_contain_text("There is nothing to cancel.")
    assert violations(page) == [], "ended before"
    chosen = {"convincing": [make.solution(make.problem(project), STEPS)]}
    number = make.round_of(project, chosen, generation=3, state="proposed", plan={"review": True}).number
    page.goto(asked.replace("round-2", f"round-{number}"))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Discard the proposal of round {number}?")
    assert violations(page) == [], "a proposal"
    page.get_by_role("button", name="Discard the proposal").click()
    expect(page.locator(".messages")).to_contain_text("is cancelled")
    assert violations(page) == [], "discarded"


def test_composing_a_round_has_no_violation_in_any_state(
    visit: Visit, look: dict, no_broker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = busy_project()
    Round.objects.filter(state="scoring").update(state="cancelled")
    make.solutions(project, 4)
    page = visit(make.olga(project), "/p/sums/rounds/compose/?preset=uniform", **look)
    expect(page.locator("[data-recipes]")).to_contain_text("4 solutions of")
    expect(page.locator("[data-recipes]")).to_contain_text("nothing now")
    assert violations(page) == [], "folded"
    page.get_by_text("Change weights and limits").click()
    expect(page.get_by_label("Convincing wrong answers")).to_be_visible()
    assert violations(page) == [], "unfolded"
    page.get_by_label("At random", exact=True).fill("much")
    page.get_by_label("Solutions", exact=True).fill("0")
    page.get_by_role("button", name="Propose a batch").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a number of at least 0")
    expect(page.get_by_label("At random", exact=True)).to_be_visible()
    assert violations(page) == [], "refused"
    monkeypatch.setattr("active_learning.rounds.forecasting._is_large", lambda *_: True)
    page.goto(page.url)
    expect(page.get_by_text("Counting what it would serve").first).to_be_visible()
    assert violations(page) == [], "a worker counts"
    forecast_again(project.pk)
    expect(page.locator("[data-recipes]")).to_contain_text("4 solutions of")  # without a reload
    page.get_by_role("link", name="Solutions at random.", exact=True).click()
    expect(page.locator("[data-chosen-sentence]")).to_have_text("Solutions at random.")
    page.get_by_label("Train first").uncheck()
    page.get_by_role("button", name="Propose a batch").click()
    expect(page.locator("main")).to_contain_text("It waits for a worker.")
    assert violations(page) == [], "queued"


def test_the_schedule_has_no_violation_in_any_state(visit: Visit, look: dict, no_broker: None) -> None:
    project = busy_project()
    page = visit(make.olga(project), "/p/sums/rounds/schedule/", **look)
    assert violations(page) == [], "as it is"
    page.get_by_label("After hours").fill("soon")
    page.get_by_label("At random", exact=True).fill("much")
    page.get_by_role("button", name="Save the schedule").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a whole number")
    assert violations(page) == [], "refused"
    page.get_by_label("After hours").fill("12")
    page.get_by_label("At random", exact=True).fill("25")
    page.get_by_role("button", name="Save the schedule").click()
    expect(page.locator(".messages")).to_contain_text("The schedule is saved.")
    expect(page.locator("[data-shares]")).to_be_visible()
    assert violations(page) == [], "saved"
    values = {"is_on": True, "every_labels": 9, "every_hours": None, "daily_at": None, "recipe": None}
    schedules.change(project, actor=make.person("mona", project, "manager"), **values)
    page.get_by_role("button", name="Save the schedule").click()
    expect(page.get_by_role("alert")).to_contain_text("mona changed the schedule")
    assert violations(page) == [], "changed meanwhile"
    page = visit(make.rita(project), "/p/sums/rounds/schedule/", **look)
    assert violations(page) == [], "of a researcher"


def test_the_page_of_redundancy_has_no_violation_in_any_state(visit: Visit, look: dict, no_broker: None) -> None:
    project = busy_project()
    page = visit(make.olga(project), "/p/sums/quality/redundancy/", **look)
    expect(page.locator("main")).to_contain_text("Nobody is asked: the limit is empty.")
    assert violations(page) == [], "off"
    page.get_by_label("Most people for one solution").fill("many")
    page.get_by_role("button", name="Show what changes").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a whole number from 2 to 99")
    assert violations(page) == [], "refused"
    page.get_by_label("Most people for one solution").fill("3")
    page.get_by_label("the model contradicts").fill("80")
    page.get_by_role("button", name="Show what changes").click()
    expect(page.get_by_role("heading", name="What this would have asked for in the past 30 days")).to_be_visible()
    assert violations(page) == [], "asked"
    page.keyboard.press("Enter")  # the button that saves has the focus
    expect(page.locator(".messages")).to_contain_text("The thresholds are saved.")
    assert violations(page) == [], "saved"
    page = visit(make.rita(project), "/p/sums/quality/redundancy/", **look)
    expect(page.get_by_label("Most people for one solution")).to_be_disabled()
    assert violations(page) == [], "of a researcher"


GROUP = {"n_problems": 12, "n_labeled_problems": 12, "n_solutions": 40, "step_auc": 0.8, "step_auc_low": 0.7, "step_auc_high": 0.9}
BEST = {name: {"mean": 0.75, "low": 0.5, "high": 0.9} for name in ("PRM", "majority")}


def test_the_groups_of_a_model_have_no_violation(visit: Visit, look: dict) -> None:
    project = busy_project()
    version = ModelVersion.objects.get()
    sampled = {"n": 8, "best_of_n": BEST, "n_sampled_problems": 4, "too_few_sampled": True}
    groups = {"subject": {"(none)": GROUP | {"too_few_labeled": True}, "geometry": GROUP | sampled}, "level": {"5": GROUP}}
    for more, words in (({"groups": groups}, "too few problems to say"), ({"groups": {}}, "has a subject or a level"), ({}, "come when")):
        ModelVersion.objects.filter(pk=version.pk).update(metrics=version.metrics | more)
        page = visit(make.olga(project), "/p/sums/models/1/", **look)
        expect(page.get_by_role("region", name="By subject and by level")).to_contain_text(words)
        assert violations(page) == [], words
