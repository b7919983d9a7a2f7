"""What one person may do and suffer, in any order: lost networks and answers, reloads, closed tabs, two tabs. Nothing is lost or doubled.

The acts of a sequence are drawn from its seed before it begins; a failure prints them, and they can be played again. Each key is pressed
between two looks at the page, all three in one go, so that no answer of the server can come in between.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Error, Page, Route, expect

from annotation.models import Annotation, Draft, Project, StepLabel
from tests import make
from tests.routes import intercept
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
Step = tuple[str, bool]  # the rating as the page shows it, and whether the step is flagged

SOLUTIONS, STEPS, ACTS = 5, 3, 30
KEYS = {"3": 12, "2": 5, "1": 5, "Enter": 10, "Backspace": 4, "u": 3, "ArrowUp": 3}
EVENTS = {"offline": 2, "gone": 2, "busy": 2, "deaf": 3, "back": 7, "reload": 3, "close and open": 2, "other tab": 5}
PAUSES = {"pause 30": 3, "pause 350": 4, "pause 700": 2}
WEIGHTS = {**{f"key {name}": weight for name, weight in KEYS.items()}, **EVENTS, **PAUSES}

LOOK = """
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const steps = all("[data-step]:not([data-beyond])");
  const dialog = document.querySelector("#trouble[open]");
  return {
    isReady: !!document.querySelector("[data-focused], [data-nothing]"),
    problem: document.querySelector("[data-problem]")?.textContent ?? null,
    steps: steps.map((one) => [one.dataset.rated, "flagged" in one.dataset]),
    focus: steps.findIndex((one) => "focused" in one.dataset),
    isBusy: !!document.querySelector("[data-busy]"),
    isReadyToSubmit: !!document.querySelector("[data-submit][data-ready]"),
    status: document.querySelector("[data-status]")?.dataset.status,
    isDelivered: !Object.keys(localStorage).some((key) => key.includes("outbox")),
    trouble: dialog && dialog.innerText,
  };
}
"""
# The page may be left the moment after the key, and the answer of this script with it: the looks are kept beside it.
PRESS = f"""
([key, number]) => {{
  const look = {LOOK}, before = look();
  if (!before.isReady) return null;
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {{ key, bubbles: true, cancelable: true }}));
  const looks = {{ number, before, after: look() }};
  localStorage.looks = JSON.stringify(looks);
  return looks;
}}
"""


class Person:
    """Does the acts, and remembers what they said last of each solution and what they submitted."""

    def __init__(self, visit: Visit, project: Project) -> None:
        self.visit, self.path = visit, f"/p/{project.slug}/label/"
        self.network, self.is_offline, self.presses = "up", False, 0
        self.torn: set[Page] = set()  # tabs that may have lost the network in the middle of loading
        self.said: dict[str, list[Step]] = {}
        self.submitted: list[str] = []
        self.rated: tuple[Page, str, int, int] | None = None  # the step that was rated last: where, of what, where the focus went from it
        self.trails: dict[Page, list[tuple[str, list[Step]]]] = {}  # of each tab: what undo leads back to, since it was opened
        self.tabs = [visit(make.ann(project), "/sign-in/")]
        self.context = self.tabs[0].context
        self.context.clock.install()  # so that a pause lets the page's timers run and takes no time
        self.load()
        intercept(self.tabs[0], "**/assignments/**", self.answer)
        self.context.on("response", lambda said: "/assignments/" in said.url and print("  ", said.status, said.url, said.request.post_data))

    @property
    def tab(self) -> Page:
        return self.tabs[-1]

    @property
    def trail(self) -> list[tuple[str, list[Step]]]:
        return self.trails.setdefault(self.tab, [])

    def answer(self, route: Route) -> None:
        with suppress(Error):  # the tab was closed meanwhile
            match self.network:
                case "gone":
                    route.abort("connectionrefused")
                case "busy":
                    route.fulfill(status=503, json={"code": "busy", "message": "Busy."})
                case "deaf":
                    route.fetch()
                    route.abort("connectionreset")
                case _:
                    route.continue_()

    # --- acts ------------------------------------------------------------------------------------------------------------

    def do(self, act: str) -> None:
        match act.split(maxsplit=1):
            case ["key", key]:
                self.press(key)
            case ["pause", milliseconds]:
                self.context.clock.run_for(int(milliseconds))
            case ["offline"]:
                self.is_offline = True
                self.torn.update(self.tabs)
                self.context.set_offline(True)
            case ["back"]:
                self.network = "up"
                if self.is_offline:
                    self.context.set_offline(False)
                self.is_offline = False
            case ["online"]:  # what the browser says of its network; the page tries again at once
                with suppress(Error):  # the page was being left
                    self.tab.evaluate("dispatchEvent(new Event('online'))")
            case ["reload"]:
                self.load()
            case ["close", "and open"]:
                self.tabs.pop().close()
                self.tabs.append(self.context.new_page())
                self.load()
            case ["other", "tab"]:
                if len(self.tabs) == 1:
                    self.tabs.append(self.visit.tab(self.context, "/sign-in/") if not self.is_offline else self.context.new_page())
                    self.load()
                else:
                    self.tabs.reverse()
            case ["close"]:
                self.tabs.pop().close()
            case [network]:
                self.network = network

    def load(self) -> None:
        self.trail.clear()
        (self.torn.add if self.is_offline else self.torn.discard)(self.tab)
        with suppress(Error):  # without a network the browser shows its own page
            self.tab.goto(self.visit.url + self.path)

    def press(self, key: str) -> None:
        if not self.wait_until_shown():
            return
        self.presses += 1
        before, after = self.press_between_looks(key)
        problem, steps, focus = before["problem"], before["steps"], before["focus"]
        print(f"   {problem} {steps} -> {after['problem']} {after['steps']}")
        if before["isBusy"] or problem is None:
            assert after["steps"] == steps, f"{key} changed what was sent"
            return
        if key == "Enter":
            if before["isReadyToSubmit"]:
                self.submitted.append(problem)
            else:
                assert after["steps"] == steps, "an unfinished solution was sent"
            return
        shown = after["steps"]
        if key in "123":
            rating = {"1": "-1", "2": "0", "3": "1"}[key]
            assert shown[: focus + 1] == [*steps[:focus], [rating, steps[focus][1]]], f"{key} at step {focus + 1} of {steps} led to {shown}"
        elif key == "u":  # of the step that was rated just now, if the focus went on by itself since
            places = {focus} | ({self.rated[3]} if self.rated and self.rated[:3] == (self.tab, problem, focus) else set())
            assert shown in [[*steps[:place], [steps[place][0], not steps[place][1]], *steps[place + 1 :]] for place in places]
        elif key == "Backspace" and self.trail and self.trail[-1][0] == problem:
            assert shown == self.trail.pop()[1], "undo led elsewhere than back"
        if key in "123u":
            self.trails = {self.tab: [*self.trail, (problem, steps)]}  # the other tab takes over what is said here, not how it came about
        if key == "Backspace":
            self.trails = {self.tab: self.trail}
        if key in "123":
            self.rated = (self.tab, problem, after["focus"], focus)
        elif key != "u":
            self.rated = None
        self.said[problem] = shown

    def press_between_looks(self, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        def looks() -> dict[str, Any] | None:
            try:
                taken = self.tab.evaluate(PRESS, [key, self.presses])
            except Error:  # the page was being left
                taken = None
                with suppress(Error):
                    taken = self.tab.evaluate("JSON.parse(localStorage.looks ?? 'null')")
            return taken if taken and taken["number"] == self.presses else None

        taken = until(looks, what="the page is ready for a key", page=self.tab)
        return taken["before"], taken["after"]

    # --- what must hold --------------------------------------------------------------------------------------------------

    def wait_until_shown(self) -> bool:
        """Wait until the tab shows what was said last of its solution; False if it shows the browser's own page."""
        look: dict[str, Any] | None = None

        def outcome() -> str | None:
            nonlocal look
            is_torn = self.tab in self.torn and self.is_loaded()  # and no more of it will come
            look = self.look()
            if look:
                return None if self.fault(look) else "shown"
            if is_torn:
                if self.is_offline:
                    return "the browser's own page"
                self.load()
            return None

        def fault() -> str:
            return f"{self.fault(look) if look else 'the page never became ready'}; it shows {look}"

        return until(outcome, what=fault, page=self.tab) == "shown"

    def is_loaded(self) -> bool:
        with suppress(Error):
            return self.tab.evaluate("document.readyState") == "complete"
        return False

    def look(self) -> dict[str, Any] | None:
        with suppress(Error):
            look = self.tab.evaluate(LOOK)
            return look if look["isReady"] else None
        return None

    def fault(self, look: dict[str, Any]) -> str | None:
        problem = look["problem"]
        if look["trouble"]:
            return "a person who did nothing wrong is told of trouble"
        if problem in self.submitted and not look["isBusy"]:
            return "a submitted solution can be rated anew"
        if problem and look["steps"] != self.said.get(problem, [["", False]] * STEPS):
            return f"of {problem} was said {self.said.get(problem)}"
        return None

    def settle(self) -> None:
        """Have the network back, and wait until every tab has told the server everything."""
        self.do("back")
        for _ in self.tabs:
            self.tabs.reverse()
            assert self.wait_until_shown()
            self.do("online")
        for _ in self.tabs:
            self.tabs.reverse()
            until(self.is_at_rest, what=lambda: f"this tab comes to rest; it shows {self.look()}", page=self.tab)

    def is_at_rest(self) -> bool:
        self.context.clock.run_for(300)  # what the page still means to send, or to send again, it sends now
        look = self.look()
        return bool(look and look["isDelivered"] and look["status"] == "saved" and not look["isBusy"] and not self.fault(look))

    def finish_one(self) -> None:
        """Label the solution in hand: after all that happened the page still does what it is for."""
        stored = len(self.submitted)
        if stored < SOLUTIONS:
            for key in ("Home", "1", "Enter"):
                self.press(key)
            assert len(self.submitted) == stored + 1
            self.settle()

    def check_stored(self) -> None:
        stored = {}
        for annotation in Annotation.objects.filter(labeler=make.ann()).select_related("solution__problem"):
            problem = annotation.solution.problem.statement
            assert problem not in stored, f"{problem} was stored twice"
            labels = StepLabel.objects.filter(annotation=annotation).order_by("step_index").values_list("rating", "flagged")
            stored[problem] = [["" if rating is None else str(rating), bool(flagged)] for rating, flagged in labels]
        assert stored == {problem: self.said[problem] for problem in self.submitted}
        assert len(set(self.submitted)) == len(self.submitted)
        for problem, steps in self.said.items():
            if problem not in self.submitted:
                draft = Draft.objects.filter(assignment__task__solution__problem__statement=problem).order_by("saved_at").last()
                kept = [["", False] for _ in steps]
                for one in draft.ratings if draft else []:
                    kept[one["step"]] = ["" if one["rating"] is None else str(one["rating"]), one["flagged"]]
                assert kept == steps, f"the draft of {problem} is {kept}"


@pytest.fixture
def person(visit: Visit) -> Person:
    project = make.project()
    problems = [make.problem(project, statement=f"What is {number} + {number}?") for number in range(1, SOLUTIONS + 1)]
    make.batch(project, [make.solution(one, [f"We add, step {step}." for step in range(1, STEPS + 1)]) for one in problems])
    return Person(visit, project)


def play(person: Person, acts: list[str]) -> None:
    print("\nacts:", acts)
    for number, act in enumerate(acts):
        print(number, act, flush=True)
        person.do(act)
    person.settle()
    person.check_stored()
    person.finish_one()
    person.check_stored()


# --- found by them ------------------------------------------------------------------------------------------------------


def test_a_second_tab_cannot_rate_what_the_first_one_has_submitted(person: Person) -> None:
    play(person, ["other tab", "other tab", "busy", "key 1", "key Enter", "other tab", "key 2"])


def test_what_a_closed_tab_could_not_tell_the_server_is_told_by_the_other_one(person: Person) -> None:
    person.do("other tab")
    # Not even the last try of a page that is left comes through.
    person.tab.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('cut')); }")
    play(person, ["key 3", "key 2", "close"])


def test_a_draft_never_follows_a_submit_whose_answer_was_lost(person: Person) -> None:
    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    for act in ("gone", "key 3", "key 1", "key Enter", "reload", "pause 350"):
        person.do(act)
    intercept(person.tab, "**/submit/", lose_the_answer)
    for act in ("online", "pause 700", "back", "online", "pause 700"):
        person.do(act)
    person.context.unroute("**/submit/")
    play(person, ["key 2"])


def test_a_second_tab_leaves_the_undo_of_the_first_one_alone(person: Person) -> None:
    play(person, ["gone", "key 3", "key ArrowUp", "key 2", "other tab", "pause 350", "other tab", "key Backspace"])


def test_a_page_that_was_asked_for_before_a_submit_arrived_does_not_offer_its_solution_anew(person: Person) -> None:
    def come_late(route: Route) -> None:
        stale = route.fetch()
        person.do("key 1")
        person.do("key Enter")
        first.locator("[data-step='0'][data-rated='']").wait_for()
        first.locator("[data-status='saved']").wait_for()
        route.fulfill(response=stale)

    first, second = person.tab, person.context.new_page()
    second.route(f"**{person.path}", come_late, times=1)
    second.goto(person.visit.url + person.path)
    person.tabs.append(second)
    play(person, ["key 2"])


def test_what_was_prepared_ahead_is_forgotten_once_another_tab_has_made_it_the_one_in_hand(person: Person) -> None:
    person.tab.locator("[data-ahead-ready]").wait_for(state="attached")
    for act in ("other tab", "gone", "key 1", "key Enter", "back", "online"):
        person.do(act)
    # A pause of the page's clock would take no time: on a slow machine the submit would still be under way when the next one is lost.
    until(person.is_at_rest, what=lambda: f"the submit arrived; the tab shows {person.look()}", page=person.tab)
    play(person, ["other tab", "deaf", "key 1", "key Enter", "key 3"])


def test_what_one_tab_gave_back_the_other_one_still_submits(person: Person) -> None:
    person.tab.locator("[data-ahead-ready]").wait_for(state="attached")
    person.do("other tab")
    person.tab.locator("[data-ahead-ready]").wait_for(state="attached")
    play(person, ["other tab", "gone", "key 1", "key Enter", "other tab", "close", "key 1", "key Enter", "pause 700"])


def test_where_the_browser_stores_nothing_labeling_goes_on(visit: Visit, person: Person) -> None:
    page = visit(None, "/sign-in/")
    visit.sign_in(page.context, make.ann())
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('closed', 'SecurityError'); } })")
    page.goto(visit.url + person.path)
    for _ in range(SOLUTIONS):
        expect(page.locator("[data-step='0'][data-rated='']")).to_be_focused()
        page.keyboard.press("1")
        page.keyboard.press("Enter")
    expect(page.locator("[data-nothing]")).to_be_visible()
    assert Annotation.objects.count() == SOLUTIONS


# --- any others ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 200))])
def test_whatever_happens_nothing_said_is_lost_and_nothing_is_stored_twice(person: Person, seed: int) -> None:
    play(person, random.Random(seed).choices(list(WEIGHTS), WEIGHTS.values(), k=ACTS))
