"""Step by step: completions rated, one gone on from or a step written, to the answer. In a real browser, by keyboard."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from annotation.models import Annotation, Draft, Project, Solution, StepAlternative, StepLabel
from tests import make
from tests.e2e.test_accessibility import violations
from tests.routes import intercept

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
STEPS = ["She eats 3 and bakes 4.", "That is $3 + 4 = 7$ eggs.", "So she earns $18.\n\n# Answer\n\n18"]
ALTERNATIVES = {0: ["She has 16 eggs.", "Ducks cannot bake."], 1: ["She sells $16 - 7 = 9$ eggs."], 2: ["So it is 9.\n\n# Answer\n\n9"]}
TREE = {0: 3, 1: 2, 2: 2}  # completions shown at each step


def duck_project(**fields: Any) -> Project:
    made = make.project("ducks", name="Ducks", step_source="interactive", **fields)
    solutions = [make.solution(make.problem(made, statement=f"{number}. How much does Janet earn?"), STEPS) for number in (1, 2)]
    make.batch(made, solutions)
    return made


@pytest.fixture
def project() -> Project:
    """Everything loaded ahead."""
    made = duck_project()
    for solution in Solution.objects.all():
        for step, texts in ALTERNATIVES.items():
            for position, text in enumerate(texts, 1):
                StepAlternative.objects.create(solution=solution, step_index=step, position=position, text=text)
    return made


@pytest.fixture
def ann(project: Project, visit: Visit) -> Page:
    page = visit(make.ann(project), "/p/ducks/label/")
    expect(completion(page, 0, 0)).to_be_focused()
    return page


def completion(page: Page, step: int, position: int) -> Locator:
    return page.locator(f"[data-step='{step}'] [data-position='{position}']")


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def write(page: Page, text: str, answer: str = "") -> None:
    press(page, "w")
    page.locator("#write-text").fill(text)
    page.locator("#write-answer").fill(answer)
    page.locator("#write-answer").press("Enter")


def expect_next(page: Page, words: str) -> None:
    expect(page.locator("[data-next]")).to_have_text(words)


def expect_saved(page: Page) -> None:
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "saved")


def expect_solution(page: Page, number: int) -> None:
    expect(page.locator("[data-problem]")).to_contain_text(f"{number}. How")
    expect_saved(page)


def said(annotation: Annotation) -> list[tuple]:
    rows = StepLabel.objects.filter(annotation=annotation).order_by("step_index", "position")
    return list(rows.values_list("step_index", "position", "rating", "chosen"))


# --- rows loaded ahead --------------------------------------------------------------------------------------------------


def test_a_solution_is_walked_to_its_answer_with_the_keyboard_alone(ann: Page) -> None:
    expect(ann.locator("[data-submit]")).to_contain_text("Continue")
    press(ann, "3 2 1")
    expect(completion(ann, 0, 0)).to_be_focused()  # the first positive one
    expect_next(ann, "Enter continues from completion 1.")
    press(ann, "Enter")
    expect(completion(ann, 1, 0)).to_be_focused()
    expect(completion(ann, 1, 0).locator(".katex")).to_be_visible()
    expect(completion(ann, 0, 1)).to_be_hidden()  # only what was gone on from is left of a step before
    expect(ann.locator("[data-progress-text]")).to_have_text("Step 2: 0 of 2")
    press(ann, "3 3 ArrowDown Enter")
    expect(completion(ann, 2, 0)).to_be_focused()
    press(ann, "3 1")
    expect(ann.locator("[data-submit]")).to_contain_text("Submit")
    press(ann, "Enter")
    expect_solution(ann, 2)
    expect(completion(ann, 0, 0)).to_be_focused()
    stored = Annotation.objects.get()
    assert stored.finish_reason == "solution"
    first = [(0, 0, 1, True), (0, 1, 0, False), (0, 2, -1, False)]
    assert said(stored) == [*first, (1, 0, 1, False), (1, 1, 1, True), (2, 0, 1, True), (2, 1, -1, False)]


def test_enter_waits_for_every_completion_and_for_a_choice_among_positive_ones(ann: Page) -> None:
    press(ann, "3 3 Enter")
    expect(ann.locator("[data-announce]")).to_have_text("Completion 3 of step 1 is not rated yet.")
    press(ann, "1")
    press(ann, "End Enter")  # at a negative one, with two positive ones beside it
    expect_next(ann, "Go to the completion to continue from, then press Enter.")
    expect(ann.locator("[data-step='1']")).to_have_count(0)
    press(ann, "Home 1 1")
    expect_next(ann, "No completion is positive. Write the step yourself, or give up.")
    press(ann, "Enter")
    expect(ann.locator("[data-step='1']")).to_have_count(0)


def test_a_step_written_by_hand_is_gone_on_from(ann: Page) -> None:
    press(ann, "1 1 1")
    write(ann, "She uses $3 + 4$ eggs.")
    expect(ann.locator("[data-step='0'] [data-written] .katex")).to_be_visible()
    expect_next(ann, "Enter continues from your step.")
    press(ann, "Enter 1 2")
    write(ann, "She earns $18.", answer="18")
    expect(ann.locator("[data-step='1'] [data-written] .answer")).to_contain_text("18")
    expect_next(ann, "Enter submits this answer.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    own = StepAlternative.objects.filter(author=make.ann()).order_by("step_index")
    assert [one.text for one in own] == ["She uses $3 + 4$ eggs.", "She earns $18.\n\n# Answer\n\n18"]
    assert [one for one in said(Annotation.objects.get()) if one[3]] == [(one.step_index, one.position, None, True) for one in own]


def test_a_written_answer_is_edited_in_its_own_field(ann: Page) -> None:
    press(ann, "1 1 1")
    write(ann, "Well.", answer="18")
    press(ann, "w")
    expect(ann.locator("#write-text")).to_have_value("Well.")
    expect(ann.locator("#write-answer")).to_have_value("18")
    ann.locator("#write-answer").fill("")
    ann.locator("#write-answer").press("Enter")
    expect_next(ann, "Enter continues from your step.")


def test_going_on_otherwise_from_an_earlier_step_drops_what_came_after_and_undo_brings_it_back(ann: Page) -> None:
    press(ann, "3 3 1 Enter 3 1 ArrowUp ArrowUp")
    expect(completion(ann, 0, 1)).to_be_visible()  # looking at a step again shows all of it
    press(ann, "ArrowDown")
    expect(completion(ann, 0, 1)).to_be_focused()
    press(ann, "Enter")
    expect(ann.locator("#drop")).to_contain_text("This removes what comes after step 1: 1 step.")
    press(ann, "Escape")
    expect(completion(ann, 1, 0)).to_have_attribute("data-rated", "1")
    press(ann, "Enter Enter")
    expect(completion(ann, 1, 0)).to_have_attribute("data-rated", "")
    expect(completion(ann, 0, 1)).to_have_attribute("data-chosen", "")
    press(ann, "Backspace")
    expect(completion(ann, 1, 0)).to_have_attribute("data-rated", "1")
    expect(completion(ann, 1, 1)).to_have_attribute("data-rated", "-1")
    expect(completion(ann, 0, 0)).to_have_attribute("data-chosen", "")
    press(ann, "Backspace")
    expect(completion(ann, 1, 1)).to_have_attribute("data-rated", "")


def test_what_is_gone_on_from_cannot_turn_negative_behind_its_back(ann: Page) -> None:
    press(ann, "3 1 1 Enter 3 1 Home 1")
    expect(ann.locator("#drop")).to_be_visible()
    press(ann, "Enter")
    expect(ann.locator("[data-step='1']")).to_have_count(0)
    expect(completion(ann, 0, 0)).to_have_attribute("data-rated", "-1")
    press(ann, "Backspace")
    expect(completion(ann, 0, 0)).to_have_attribute("data-rated", "1")
    expect(completion(ann, 1, 1)).to_have_attribute("data-rated", "-1")


def test_undo_goes_back_over_the_steps_to_the_very_first_rating(ann: Page) -> None:
    press(ann, "3 1 1 Enter 3")
    press(ann, "Backspace Backspace")
    expect(ann.locator("[data-step='1']")).to_have_count(0)
    expect(completion(ann, 0, 0)).not_to_have_attribute("data-chosen", "")
    press(ann, "Backspace Backspace Backspace Backspace")
    expect(completion(ann, 0, 0)).to_have_attribute("data-rated", "")
    expect(ann.locator("[data-announce]")).to_have_text("Nothing to undo.")


def test_a_reload_keeps_the_way_and_every_rating(ann: Page) -> None:
    press(ann, "1 1 u 1")
    write(ann, "Mine.")
    press(ann, "Enter 3 0 Enter 3")
    expect_saved(ann)
    assert {"step": 1, "position": 0, "rating": 1, "chosen": True}.items() <= Draft.objects.get().ratings[4].items()
    ann.evaluate("localStorage.clear()")  # the server's copy alone
    ann.reload()
    expect(completion(ann, 2, 1)).to_be_focused()
    expect(ann.locator("[data-step='0'] [data-written][data-chosen]")).to_have_text("Mine.", use_inner_text=True)
    expect(completion(ann, 2, 0)).to_have_attribute("data-rated", "1")
    press(ann, "Backspace Backspace")  # past the reload: the rating, then the step
    expect(ann.locator("[data-step='2']")).to_have_count(0)


def test_giving_up_keeps_the_way_so_far(ann: Page) -> None:
    press(ann, "3 1 1 Enter 1 g")
    ann.keyboard.type("It leads nowhere.")
    press(ann, "Enter")
    expect_solution(ann, 2)
    stored = Annotation.objects.get()
    assert (stored.finish_reason, stored.reason) == ("give_up", "It leads nowhere.")
    assert said(stored) == [(0, 0, 1, True), (0, 1, -1, False), (0, 2, -1, False), (1, 0, -1, False), (1, 1, None, False)]


def test_where_nothing_is_left_the_step_is_written_by_hand(project: Project, visit: Visit) -> None:
    StepAlternative.objects.filter(step_index=2).update(text="So it is 9.")  # which states no answer
    page = visit(make.ann(project), "/p/ducks/label/")
    press(page, "3 1 1 Enter 3 1 Enter 1 3 Enter")
    expect_next(page, "This step has no completions. Write the step yourself, or give up.")
    press(page, "3 u Enter ArrowUp")  # nothing to rate here, nowhere to go on to, and a way back
    expect(completion(page, 2, 1)).to_be_focused()
    press(page, "ArrowDown Enter")
    expect_next(page, "This step has no completions. Write the step yourself, or give up.")
    write(page, "She earns $18.", answer="18")
    press(page, "Enter")
    expect_solution(page, 2)
    assert said(Annotation.objects.get())[-1] == (3, 1, None, True)


def test_a_second_tab_goes_on_where_the_first_is(ann: Page, visit: Visit) -> None:
    press(ann, "3 1 1 Enter 3")
    expect_saved(ann)
    second = visit.tab(ann.context, "/p/ducks/label/")
    expect(completion(second, 1, 1)).to_be_focused()
    press(second, "1 Enter 3")
    expect(completion(ann, 2, 0)).to_have_attribute("data-rated", "1")
    expect(completion(ann, 1, 1)).to_have_attribute("data-rated", "-1")
    press(ann, "1 Enter")
    expect_solution(ann, 2)
    expect_solution(second, 2)
    assert Annotation.objects.count() == 1


def test_a_walked_solution_is_reopened_and_corrected(ann: Page) -> None:
    press(ann, "3 1 1 Enter 1 3 Enter 3 1 Enter")
    expect_solution(ann, 2)
    press(ann, "r")
    expect(ann.locator("#recent")).to_contain_text("no mistakes")
    press(ann, "Enter")
    expect(ann.locator("[data-reopened]")).to_be_attached()
    expect(completion(ann, 1, 1)).to_have_attribute("data-chosen", "")
    expect(completion(ann, 2, 0)).to_be_focused()
    press(ann, "Escape")  # nothing was changed, so nothing is asked
    expect_solution(ann, 2)
    press(ann, "r")
    expect(ann.locator("#recent a")).to_be_focused()
    press(ann, "Enter")
    expect(completion(ann, 2, 0)).to_be_focused()
    press(ann, "ArrowDown 0 ArrowUp Enter")
    expect_solution(ann, 2)
    first, second = Annotation.objects.order_by("revision")
    assert [one for one in said(second) if one not in said(first)] == [(2, 1, 0, False)]


def test_the_mouse_and_a_thumb_do_it_too(project: Project, visit: Visit) -> None:
    phone = visit(make.ann(project), "/p/ducks/label/", viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True)
    for step, ratings in enumerate(([1, -1, -1], [1, 0], [1, -1])):
        for position, rating in enumerate(ratings):
            completion(phone, step, position).locator(f"[data-rating='{rating}']").tap()
        phone.locator("[data-submit]").tap()
    expect_solution(phone, 2)
    assert Annotation.objects.get().finish_reason == "solution"


# --- the generator ------------------------------------------------------------------------------------------------------

Asked = list[tuple[str, list[str], int]]
asked: Asked = []
failures: list[Exception] = []


def generate(problem: str, steps: list[str], count: int) -> list[str]:
    """A generator as a project would have it: two ways on, and the answer at the third step."""
    asked.append((problem, steps, count))
    if failures:
        raise failures.pop()
    end = "\n\n# Answer\n\n18" if len(steps) == 2 else ""
    return [f"Way {way} after {steps[-1].split()[0]} {len(steps)}.{end}" for way in ("one", "two")]


@pytest.fixture
def generating(settings: Any) -> Iterator[Asked]:
    settings.STEPMARK_GENERATOR = f"{__name__}.generate"
    yield asked
    asked.clear()
    failures.clear()


@pytest.fixture
def ben(generating: Asked, visit: Visit) -> Page:
    made = make.project("ducks", step_source="interactive", completions_per_step=2)
    solutions = [make.solution(make.problem(made, statement=f"{number}. How much does Janet earn?"), ["Start."]) for number in (1, 2)]
    StepAlternative.objects.create(solution=solutions[0], step_index=0, position=1, text="Begin.")
    make.batch(made, solutions)
    page = visit(make.ben(made), "/p/ducks/label/")
    expect(completion(page, 0, 0)).to_be_focused()
    return page


def test_the_generator_writes_what_comes_next(ben: Page, generating: Asked) -> None:
    press(ben, "3 1 Enter")
    expect(completion(ben, 1, 1)).to_be_focused()
    expect(ben.locator("[data-step='1']")).to_contain_text("Way two after Start. 1.")
    press(ben, "1 3 Enter")
    expect(completion(ben, 2, 1)).to_be_focused()
    press(ben, "3 1 Enter")
    expect_solution(ben, 2)
    assert [(steps, count) for _, steps, count in generating] == [(["Start."], 2), (["Start.", "Way two after Start. 1."], 2)]
    assert [one[:3] for one in said(Annotation.objects.get()) if one[3]] == [(0, 0, 1), (1, 2, 1), (2, 1, 1)]


def test_a_reload_and_another_way_ask_the_generator_for_nothing_twice(ben: Page, generating: Asked) -> None:
    press(ben, "3 3 Enter")
    expect(completion(ben, 1, 1)).to_be_focused()
    press(ben, "3")
    expect_saved(ben)
    ben.reload()
    expect(completion(ben, 1, 2)).to_be_focused()
    expect(completion(ben, 1, 1)).to_have_attribute("data-rated", "1")
    press(ben, "Home ArrowDown Enter Enter")  # the other way, after a yes
    expect(ben.locator("[data-step='1']")).to_contain_text("Way one after Begin. 1.")
    press(ben, "Backspace")
    expect(ben.locator("[data-step='1']")).to_contain_text("Way one after Start. 1.")
    assert [steps for _, steps, _ in generating] == [["Start."], ["Begin."]]


def test_while_the_generator_works_the_page_says_so(ben: Page, generating: Asked) -> None:
    held: list[Route] = []
    intercept(ben, "**/completions/", lambda route: held.append(route))
    press(ben, "3 1 Enter")
    expect(ben.locator("[data-step='1']")).to_contain_text("Waiting for the next step…")
    expect_next(ben, "Waiting for the next step.")
    held.pop().continue_()
    expect(completion(ben, 1, 1)).to_be_focused()


def test_a_generator_that_fails_is_said_tried_again_or_done_without(ben: Page, generating: Asked) -> None:
    failures.append(RuntimeError("out of memory"))
    press(ben, "3 1 Enter")
    expect(ben.locator("[data-step='1']")).to_contain_text("The generator failed.")
    ben.get_by_role("button", name="Try again").click()
    expect(completion(ben, 1, 1)).to_be_focused()
    press(ben, "3 1")
    expect(completion(ben, 1, 1)).to_be_focused()
    failures.append(RuntimeError("out of memory"))
    press(ben, "Enter")
    expect(ben.locator("[data-step='2']")).to_contain_text("The generator failed.")
    write(ben, "By hand then.", answer="18")
    press(ben, "Enter")
    expect_solution(ben, 2)
    assert said(Annotation.objects.get())[-1][2:] == (None, True)


def test_a_lost_network_is_waited_for(ben: Page, generating: Asked) -> None:
    intercept(ben, "**/completions/", lambda route: route.abort("connectionrefused"))
    press(ben, "3 1 Enter")
    expect(ben.locator("[data-step='1']")).to_contain_text("This page tries again by itself.")
    ben.context.unroute("**/completions/")
    expect(completion(ben, 1, 1)).to_be_focused()


# --- how it weighs, looks and sounds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{"step_source": "interactive"}, {"alternatives_after_error": True}], ids=["stepwise", "alternatives"])
def test_the_page_weighs_at_most_120_kb_in_every_kind_of_project(visit: Visit, kind: dict[str, Any]) -> None:
    made = make.project("light", **kind)
    make.batch(made, make.solutions(made, 1))
    page = visit(make.ann(made), "/")
    fetched = []
    page.on("response", lambda answer: answer.request.resource_type in ("script", "stylesheet") and fetched.append(answer))
    page.goto(page.url + "p/light/label/")
    page.wait_for_load_state("networkidle")
    assert len(fetched) > 12 and sum(len(answer.body()) for answer in fetched) <= 120_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 375])
def test_going_step_by_step_has_no_violation_and_fits(project: Project, visit: Visit, width: int, scheme: str) -> None:
    page = visit(make.ann(project), "/p/ducks/label/", viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(completion(page, 0, 0)).to_be_focused()
    assert violations(page) == []
    press(page, "3 1 3 Enter 3 1 Home")
    assert violations(page) == []
    press(page, "End ArrowDown")
    write(page, "She earns $2 \\cdot 9$.", answer="18")
    assert violations(page) == []
    press(page, "Home End Home")
    press(page, "1")
    expect(page.locator("#drop")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
