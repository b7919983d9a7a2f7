"""The pages of rounds in a real browser: open to everybody, narrow and wide, alive while a round runs, and usable by keys alone."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from active_learning.models import Round, RoundStage, Schedule, Selection
from annotation import labels, queue
from annotation.models import Project, Task
from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
STEPS = [r"So $x^2 = \frac{1}{2}$ costs $3.", "A \\[" + "a + " * 60 + "b\\]", "So it is.\n\n# Answer\n\n18"]
METRICS = {"base_rate_log_loss": 0.53, "threshold": 0.5}
MIX = {
    name: {"n_solutions": 4, "n_problems": 3, "share_wrong": 0.75, "share_right": 0.25, "mean_score": 0.6}
    | {"expected_share_with_mistake": 0.4}
    for name in ("chosen", "uniform")
}


@pytest.fixture
def project(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two published rounds with labels, one that failed, three models, and a proposal."""
    settings.STEPMARK_HOME = tmp_path
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    made = make.project("sums", name="Sums")
    figures = {number: {"step_auc": 0.6 + number / 20, "log_loss": 0.5 - number / 20, "first_mistake": {"f1": 0.3}} for number in (1, 2, 3)}
    versions = [make.version(made, number, metrics=METRICS | more, champion=number == 3) for number, more in figures.items()]
    for generation, version in enumerate(versions[:2]):
        chosen = {"convincing": make.solutions(made, 3), "uniform": make.solutions(made, 1), "control": make.solutions(made, 1)}
        findings = {"chosen_with": version.number, "control": 1, "mix": MIX, "short": "Asked for 9, only 5 fit the recipe."}
        round_ = make.round_of(made, chosen, generation=generation, model_version=version, findings=findings, finished_at=timezone.now())
        for name in ("train", "judge", "score", "select", "publish"):
            stage(round_, name)
        rate(made, 3)
    ended = {"state": "failed", "failure": "Too little.", "finished_at": timezone.now()}
    Round.objects.create(project=made, generation=2, strategy="convincing", **ended)
    Schedule.objects.create(project=made, note="A round is due and could not start.", noted_at=timezone.now())
    return made


def stage(round_: Round, name: str, **fields: Any) -> None:
    now = timezone.now()
    defaults = {"attempt": 1, "began_at": now - timedelta(seconds=9), "ended_at": now, "log": [[now.isoformat(), f"{name} said so."]]}
    RoundStage.objects.create(round=round_, name=name, **(defaults | fields))


def rate(project: Project, n: int) -> None:
    for place in range(n):
        lease = queue.lease_next(make.ann(project), project=project)
        labels.submit(
            lease.assignment_id,
            labeler=make.ann(),
            token=lease.token,
            submission_id=uuid.uuid4(),
            active_ms=1,
            total_ms=1,
            ratings=[{"step": 0, "rating": -1}] if place else [{"step": 0, "rating": 1}, {"step": 1, "rating": -1}],
            finish_reason="found_error",
        )


def proposal(project: Project, n: int = 4) -> Round:
    chosen = {"convincing": [make.solution(make.problem(project), [f"Way {place}.", *STEPS]) for place in range(n)]}
    made = make.round_of(project, chosen, generation=2, state="proposed", plan={"review": True}, findings={"chosen_with": 3, "mix": MIX})
    for name in ("train", "judge", "score", "select"):
        stage(made, name)
    return made


def test_the_pages_of_rounds_have_no_violation_and_fit_their_window(visit: Visit, look: dict, project: Project) -> None:
    first, failed = Round.objects.get(generation=0), Round.objects.get(state="failed")
    waiting = proposal(project)
    page = visit(make.olga(project), "/p/sums/rounds/all/", **look)
    start = page.url.removesuffix("all/")
    pages = {
        "all/": "What people confirmed",
        "compose/?preset=paper": "waits for your review",
        "schedule/": "A round is due and could not start.",
        f"round-{first.number}/": "first weak step in",
        f"round-{failed.number}/": "Too little.",
        f"round-{waiting.number}/": "4 solutions to review",
    }
    for path, words in pages.items():
        page.goto(start + path)
        expect(page.locator("main")).to_contain_text(words)
        page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")
        for wide in page.locator(".display").all():
            wide.scroll_into_view_if_needed()  # out of sight it is not laid out, and nobody knows yet that it is too wide
            expect(wide).to_have_attribute("tabindex", "0")
        assert violations(page) == [], path
    Round.objects.filter(pk=waiting.pk).update(state="scoring", progress={"stage": "scoring", "done": 3, "total": 9})
    stage(waiting, "score", ended_at=None)
    page.reload()
    expect(page.locator("main")).to_contain_text("3 of 9")
    assert violations(page) == []


def test_a_round_is_composed_looked_through_and_published_by_keys_alone(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), "/p/sums/rounds/compose/")

    def tab_to(name: str, role: str = "button") -> None:
        target = page.get_by_role(role, name=name).first  # type: ignore[arg-type]
        for _ in range(80):
            if target.evaluate("one => one === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{name} is not reached by Tab")

    tab_to("Mostly solutions that look right and are wrong, and some that look right whatever their answer.", "link")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("preset=paper"))
    page.get_by_text("Change weights and limits").focus()
    page.keyboard.press("Enter")
    tab_to("Most convincing of all", "textbox")
    page.keyboard.press("Delete")
    tab_to("At random", "textbox")
    page.keyboard.type("20")
    tab_to("Propose a batch")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("It waits for a worker.")
    round_ = Round.objects.get(state="queued")
    assert round_.plan["recipe"]["parts"] == [["convincing", 0.8], ["uniform", 0.2]]
    chosen = [make.solution(make.problem(project), STEPS) for _ in range(2)]
    Selection.objects.bulk_create(
        Selection(round=round_, solution=one, rank=rank, part="convincing", score=0.3, step_scores=[0.9, 0.2, 0.9], reason="convincing")
        for rank, one in enumerate(chosen, start=1)
    )
    Round.objects.filter(pk=round_.pk).update(state="proposed")
    expect(page.get_by_role("heading", name="2 solutions to review")).to_be_visible()  # without a reload
    expect(page.locator("[data-chosen] .katex").first).to_be_visible()
    tab_to(f"Leave out solution {chosen[0].pk}", "checkbox")
    page.keyboard.press("Space")
    expect(page.locator("[data-chosen]").first.locator(".steps")).to_be_hidden()
    tab_to("Publish")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is published")
    assert list(Task.objects.filter(batch__generation=round_.generation).values_list("solution_id", flat=True)) == [chosen[1].pk]


def test_the_progress_of_a_round_is_shown_as_it_comes(visit: Visit, project: Project) -> None:
    round_ = make.round_of(project, {"convincing": make.solutions(project, 1)}, generation=2, state="training")
    stage(round_, "train", ended_at=None, log=[])
    page = visit(make.rita(project), f"/p/sums/rounds/round-{round_.number}/")
    expect(page.locator("[aria-current=step]")).to_contain_text("Train")
    Round.objects.filter(pk=round_.pk).update(progress={"stage": "reward model", "done": 41, "total": 60, "seconds_left": 9})
    RoundStage.objects.filter(round=round_).update(log=[[timezone.now().isoformat(), "Sixty solutions are learned from."]])
    expect(page.locator("[data-progress]")).to_contain_text("about 1 min left; step 41 of 60")
    expect(page.locator("[data-progress]")).to_contain_text("Sixty solutions")
    RoundStage.objects.filter(round=round_).update(ended_at=timezone.now())
    Round.objects.filter(pk=round_.pk).update(state="failed", failure="The loss became infinite.", finished_at=timezone.now(), progress={})
    expect(page.locator(".notice.bad", has_text="The loss became infinite.")).to_be_visible()


def test_each_step_of_a_proposal_is_shaded_by_its_score(visit: Visit, project: Project) -> None:
    page = visit(make.olga(project), f"/p/sums/rounds/round-{proposal(project).number}/")
    steps = page.locator("[data-chosen]").first.locator("[data-shaded]")
    expect(steps).to_have_count(3)
    shades = steps.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    assert shades[0] == shades[2] != shades[1]
    expect(page.locator("[data-chosen]").first.locator(".katex").first).to_be_visible()


def test_what_is_left_out_on_one_page_is_still_left_out_on_the_next(
    visit: Visit, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from active_learning.pages import single

    monkeypatch.setattr(single, "ON_ONE_PAGE", 2)
    monkeypatch.setattr(single, "A_PAGE", 2)
    round_ = proposal(project)
    page = visit(make.olga(project), f"/p/sums/rounds/round-{round_.number}/", java_script_enabled=False)
    page.get_by_label("Leave out").first.check()
    with page.expect_navigation():  # a click before the page has loaded whole can miss its box
        page.get_by_role("button", name="Page 2").click()
    expect(page.locator("form.proposal")).to_contain_text("1 left out on other pages")
    page.get_by_label("Leave out").last.check()
    with page.expect_navigation():
        page.get_by_role("button", name="Page 1").click()
    expect(page.get_by_label("Leave out").first).to_be_checked()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status")).to_contain_text("is published")
    dropped = Selection.objects.filter(round=round_, is_dropped=True).values_list("rank", flat=True)
    assert sorted(dropped) == [1, 4] and Task.objects.filter(batch__generation=2).count() == 2
