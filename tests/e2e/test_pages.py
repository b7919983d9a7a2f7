"""All pages in a real browser: what they show, how text and formulas look, and that no page breaks its security policy."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from django.db.models.functions import Now
from playwright.sync_api import Browser, Page, expect

from active_learning.models import ModelVersion, Round, Worker
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def labeling_page(visit: Visit, *, statement: str = "What is it?", steps: list[str], answer: str = "18", **fields: object) -> Page:
    project = make.project("maths", **fields)
    make.batch(project, [make.solution(make.problem(project, statement=statement, answer=answer), steps)])
    page = visit(make.ann(project), "/p/maths/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page


# --- text and formulas --------------------------------------------------------------------------------------------------


def test_formulas_are_set_and_prose_dollars_are_left_alone(visit: Visit) -> None:
    page = labeling_page(visit, statement=r"At $5 and $6, is \(a = b\)? \[c\] $$d$$", steps=["So $x^2$ costs $3.", r"A \$5 note", "3"])
    expect(page.locator("[data-problem] .katex")).to_have_count(3)
    expect(page.locator("[data-problem]")).to_contain_text("At $5 and $6, is")
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    expect(page.locator("[data-step='0']")).to_contain_text("costs $3.")
    expect(page.locator("[data-step='1'] .text")).to_have_text("A $5 note")


FORMULAS_OF = "texts.flatMap((text) => Stepmark.split(text)).filter((part) => part.kind !== 'text').map((part) => part.source)"


@pytest.fixture(scope="module")
def splitter(browser: Browser) -> Iterator[Page]:
    """The pure half of math.js, in an empty page."""
    page = browser.new_page()
    page.add_script_tag(path=settings.BASE_DIR / "static" / "js" / "math.js")
    yield page
    page.close()


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("$5 and $6", []),
        ("$5-$6 = $-1", []),
        ("$2*$3=$6", []),
        ("20$, and then 30$", []),
        ("$5 for each$ of them", []),
        ("it costs $ 5 or $ 6", []),
        ("$16 - 3 - 4 = 9$ eggs at $2", ["16 - 3 - 4 = 9"]),
        (r"$3 \text{ cm and more}$", [r"3 \text{ cm and more}"]),
        ("$ a > 0,$ so", [" a > 0,"]),
        (r"\$5 and $x$", ["x"]),
        (r"\begin{align*}a&=b\end{align*}", [r"\begin{align*}a&=b\end{align*}"]),
        (r"costs $\$$1500", [r"\$"]),
        ("[asy] label(\"$A$\"); [/asy]", ["[asy] label(\"$A$\"); [/asy]"]),
        ("one $a\nb$ two", ["a\nb"]),
        ("one $a\n\nb$ two", []),
        ("$", []),
        ("$$", []),
    ],
)
def test_the_splitter_tells_formulas_from_money_and_loses_nothing(splitter: Page, text: str, formulas: list[str]) -> None:
    parts = splitter.evaluate("(text) => Stepmark.split(text)", text)
    assert [part["body"] for part in parts if part["kind"] != "text"] == formulas
    assert "".join(part["source"] for part in parts) == text


def test_no_amount_of_money_in_gsm8k_is_taken_for_a_formula(splitter: Page, data: Path) -> None:
    lines = (data / "gsm8k" / "example_model_solutions.jsonl").read_text().splitlines()
    texts = [text for line in lines for text in strings(json.loads(line)) if "$" in text]
    calculator = re.compile("<<.*?>>")
    taken = splitter.evaluate(f"(texts) => {FORMULAS_OF}", [calculator.sub("", text) for text in texts])
    assert len(texts) > 2000 and taken == []


def test_no_formula_of_math_500_is_left_as_prose(splitter: Page, data: Path) -> None:
    lines = (data / "math" / "math500.jsonl").read_text().splitlines()
    texts = [text for line in lines for text in strings(json.loads(line))]
    left = r"texts.flatMap((text) => Stepmark.split(text)).filter(({kind, source}) => kind === 'text' && /(^|[^\\])\$/.test(source))"
    assert len(splitter.evaluate(f"(texts) => {FORMULAS_OF}", texts)) > 5000
    assert splitter.evaluate(f"(texts) => {left}", texts) == []


def test_a_broken_formula_shows_its_source(visit: Visit) -> None:
    page = labeling_page(visit, steps=[r"So $\frac{1$ it is, and $y$."])
    expect(page.locator("[data-step='0'] .broken")).to_have_text(r"$\frac{1$")
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)


def test_a_hostile_formula_neither_runs_nor_freezes_the_page(visit: Visit) -> None:
    doubled = "".join(rf"\def\{after}{{\{before}\{before}}}" for before, after in pairwise("abcdefghijklmnopqrstu"))
    bomb = rf"\def\a{{xx}}{doubled}\u"
    link = r"\href{javascript:document.title='run'}{x}"
    html = "<img src=x onerror=\"document.title='run'\">"
    page = labeling_page(visit, steps=[f"${bomb}$", f"${link}$", r"$\rule{9999em}{9999em}$", html])
    expect(page.locator("[data-step='0'] .broken")).to_have_count(1)
    expect(page.locator("[data-step='1'] a")).to_have_count(0)
    assert page.locator("[data-step='2']").bounding_box()["height"] < 1000
    expect(page.locator("[data-step='3'] .text")).to_have_text(html)
    assert "Labeling" in page.title()


def test_invisible_characters_are_shown(visit: Visit) -> None:
    page = labeling_page(visit, steps=["a\u200bb\u202ec"])
    assert page.locator("[data-step='0'] .unseen").evaluate_all("(all) => all.map((one) => one.dataset.code)") == ["U+200B", "U+202E"]
    assert page.locator("[data-step='0'] .text").text_content() == "a\u200bb\u202ec"


def test_the_answer_at_the_end_is_a_badge_and_stays_the_text_it_is(visit: Visit) -> None:
    page = labeling_page(visit, steps=["First.", "So it is.\n\n# Answer\n\n18"], answer=r"\frac{1}{2}")
    expect(page.locator("[data-step='1'] .answer .answer-text")).to_have_text("18")
    assert page.locator("[data-step='1'] .text").text_content() == "So it is.\n\n# Answer\n\n18"
    expect(page.locator(".reference .katex")).to_have_count(1)


def test_a_solution_of_two_thousand_steps_stays_quick(visit: Visit) -> None:
    page = labeling_page(visit, steps=[f"Step {number}: $a_{{{number}}} = {number}$." for number in range(2000)])
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    expect(page.locator("[data-step='1999'] .katex")).to_have_count(0)  # far away: not set yet
    spent = page.evaluate(
        """() => { const start = performance.now();
        for (let n = 0; n < 20; n += 1) document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "3", bubbles: true}));
        return (performance.now() - start) / 20; }"""
    )
    assert spent < 50


# --- pages --------------------------------------------------------------------------------------------------------------


def test_a_person_signs_in_with_name_and_password(visit: Visit) -> None:
    person = make.person("ann", make.project("sums", name="Sums"))
    person.set_password("a good long one")
    person.save()
    page = visit(None, "/p/sums/label/")
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
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
    expect(page.locator("[data-loop]")).to_contain_text("No worker runs")
    with page.expect_response("**/p/sums/rounds/", timeout=8000):
        pass


def test_the_overview_shows_what_became_of_rounds_and_models(visit: Visit) -> None:
    project = make.project("sums")
    metrics = {"step_auc": 0.8125, "log_loss": 0.41, "base_rate_log_loss": 0.53, "first_mistake": {"f1": 0.433}}
    version = ModelVersion.objects.create(
        project=project, number=1, base="tiny", state="ready", sha256="ab" * 32, champion=True, ready_at=Now(), metrics=metrics
    )
    Round.objects.create(project=project, generation=0, strategy="convincing", state="failed", failure="Too little.", model_version=version)
    running = {"stage": "scoring", "done": 3, "total": 9, "seconds_left": 7}
    Round.objects.create(project=project, generation=1, strategy="convincing", state="scoring", params={"size": 40}, progress=running)
    Worker.objects.create(name="asleep", queues="celery", heartbeat_at=Now() - timedelta(hours=1))
    page = visit(make.olga(project), "/p/sums/", viewport={"width": 375, "height": 700})
    loop = page.locator("[data-loop]")
    for words in ("3 of 9, 7 s left", "Too little.", "in service", "0.81", "The worker asleep was last heard of"):
        expect(loop).to_contain_text(words)
    expect(page.get_by_role("button", name="Start a round")).to_have_count(0)  # one at a time
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.get_by_role("button", name="Cancel").click()
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


@pytest.mark.parametrize("width", [375, 2560])
def test_no_page_is_wider_than_its_window(visit: Visit, width: int) -> None:
    project = make.project("sums", name="A project with quite a long name that does not fit a telephone")
    make.batch(project, [make.solution(make.problem(project, statement="x" * 300), [r"\[" + "a+" * 200 + r"b\]", "y" * 300, "z"])])
    page = visit(make.olga(project), "/", viewport={"width": width, "height": 700})
    for path in ("/", "/p/sums/", "/p/sums/label/", "/nowhere/"):
        page.goto(f"{page.url.split('/', 3)[0]}//{page.url.split('/', 3)[2]}{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


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
    page.goto(root + "/p/sums/label/")
    for key in ("3", "?", "Escape", "g", "Escape"):
        page.keyboard.press(key)
    expect(page.locator(".katex").first).to_be_visible()  # the visitors' fixture fails the test on any violation


def test_a_broken_security_policy_would_be_noticed(visit: Visit) -> None:
    page = visit(make.ann(make.project("sums")), "/")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert len(visit.faults) == 1 and "script-src" in visit.faults.pop()
