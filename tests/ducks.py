"""The labeling page in a real browser: three solutions about Janet's ducks, the keys of a labeler, and what is waited for."""

from playwright.sync_api import Page, Route, expect

from annotation.models import Annotation, Project, StepLabel
from tests import make


def duck_project() -> Project:
    made = make.project("gsm8k", name="GSM8K")
    statement = "Janet's ducks lay 16 eggs a day. She eats three and bakes with four. She sells the rest at $2 each. How much is that?"
    steps = [
        "Janet eats 3 and bakes with 4, so $3 + 4 = 7$ eggs are used.",
        "Let's see what she earns.",
        "She has 16 - 7 = 9 eggs to sell at $2 each, or $18 a day.",
        "She makes $18 a day.\n\n# Answer\n\n18",
    ]
    make.batch(made, [make.solution(make.problem(made, statement=f"{number}. {statement}", answer="18"), steps) for number in (1, 2, 3)])
    return made


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def steps(page: Page) -> list[str | None]:
    return [step.get_attribute("data-rated") for step in page.locator("[data-step]").all()]


def expect_shown(page: Page, number: int) -> None:
    expect(page.locator("[data-problem]")).to_contain_text(f"{number}. Janet")


def expect_solution(page: Page, number: int) -> None:
    """Wait for a solution to be ready for keys, and for the server to have stored what came before it."""
    expect_shown(page, number)
    expect(page.locator("[data-step][data-focused]")).to_have_count(1)
    expect_status(page, "saved")


def expect_status(page: Page, status: str) -> None:
    expect(page.locator("[data-status]")).to_have_attribute("data-status", status)


def ratings(annotation: Annotation) -> list[int | None]:
    return list(StepLabel.objects.filter(annotation=annotation).order_by("step_index").values_list("rating", flat=True))


def server_gone(route: Route) -> None:
    route.abort("connectionrefused")
