"""A person's path with the keyboard alone: sign in, start, label twenty real GSM8K solutions, see that all is done, go home."""

import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, expect

from annotation.models import Annotation, Membership, Project, Role, StepLabel
from annotation.views.shown_numbers import real_number
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

SOLUTIONS = 20
PASSWORD = "a good long one"
# What the person really pressed, counted by the browser for each page of its own.
COUNT = """
addEventListener("keydown", (event) => {
  const page = location.pathname;
  if (event.isTrusted) sessionStorage[page] = 1 + Number(sessionStorage[page] ?? 0);
}, true);
"""


@pytest.fixture
def project(samples: Path, tmp_path: Path) -> Project:
    """The first twenty problems of the file, loaded and published as anybody would; one of the four solutions of each."""
    some = tmp_path / "some.jsonl"
    with (samples / "gsm8k" / "example_model_solutions.jsonl").open() as lines:
        some.write_text("".join(islice(lines, SOLUTIONS)))
    make.olga()
    call_command("create_project", "gsm8k", name="GSM8K", owner=["olga"])
    call_command("load_solutions", str(some), project="gsm8k")
    call_command("retrain", project="gsm8k", strategy="uniform", size=SOLUTIONS, per_problem=1)
    return Project.objects.get()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the link or button of this name has the focus."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText").strip().startswith(name):
            return
    raise AssertionError(f"Tab never comes to {name}.")


def test_twenty_solutions_take_one_key_a_step_and_one_a_solution(project: Project, visit: Callable[..., Page]) -> None:
    person = make.person("ann")
    Membership.objects.create(project=project, user=person, role=Role.LABELER)
    person.set_password(PASSWORD)
    person.save()
    page = visit(None, "/sign-in/")
    page.context.add_init_script(COUNT)
    page.reload()
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your projects")).to_be_visible()
    tab_to(page, "Start labeling")
    page.keyboard.press("Enter")

    choose, pressed = random.Random(20), {}
    for _ in range(SOLUTIONS):
        expect(page.locator("[data-step='0']")).to_be_focused()
        work = page.locator("[data-work]")
        assignment = work.get_attribute("data-assignment")
        n_steps = page.locator("[data-step]").count()
        mistake = choose.randrange(n_steps) if choose.random() < 0.5 else n_steps
        ratings = [choose.choice((0, 1, 1)) for _ in range(mistake)] + [-1] * (mistake < n_steps)
        for rating in ratings:
            page.keyboard.press({-1: "1", 0: "2", 1: "3"}[rating])
        page.keyboard.press("Enter")
        expect(page.locator(f"[data-work][data-assignment='{assignment}']")).to_have_count(0)
        pressed[real_number(int(assignment or 0))] = ratings
    expect(page.locator("[data-nothing='nothing_to_label'] h2")).to_be_focused()
    expect(page.get_by_role("heading", name="All done for now")).to_be_visible()
    presses = int(page.evaluate("sessionStorage[location.pathname]"))

    stored: dict[int, list[int | None]] = {}
    for label in StepLabel.objects.select_related("annotation").order_by("annotation", "step_index"):
        stored.setdefault(label.annotation.assignment_id, []).append(label.rating)
    assert stored == pressed
    assert presses == StepLabel.objects.count() + Annotation.objects.count()

    tab_to(page, "Go to your projects")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your projects")).to_be_visible()
