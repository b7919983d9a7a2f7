"""Text and formulas in a real browser: what is maths and what is money, on real solutions; what cannot be set; what must not run."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect

from tests import make
from tests.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]


def labeling_page(visit: Visit, *, statement: str = "What is it?", steps: list[str], answer: str = "18", **options: object) -> Page:
    project = make.project("maths")
    make.batch(project, [make.solution(make.problem(project, statement=statement, answer=answer), steps)])
    page = visit(make.ann(project), "/p/maths/label/", **options)
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page


def test_formulas_are_set_and_prose_dollars_are_left_alone(visit: Visit) -> None:
    page = labeling_page(visit, statement=r"At $5 and $6, is \(a = b\)? \[c\] $$d$$", steps=["So $x^2$ costs $3.", r"A \$5 note", "3"])
    expect(page.locator("[data-problem] .katex")).to_have_count(3)
    expect(page.locator("[data-problem]")).to_contain_text("At $5 and $6, is")
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    expect(page.locator("[data-step='0']")).to_contain_text("costs $3.")
    expect(page.locator("[data-step='1'] .text")).to_have_text("A $5 note")


@pytest.mark.parametrize(("formula", "fonts"), [(r"\mathbb{R}", ["AMS-Capitals"]), (r"\leqslant", ["AMS-Regular"]), ("x", [])])
def test_a_formula_brings_the_half_of_the_ams_font_it_needs(visit: Visit, formula: str, fonts: list[str]) -> None:
    page = labeling_page(visit, steps=[f"So ${formula}$."])
    page.evaluate("async () => { await document.fonts.ready; }")
    loaded = page.evaluate("() => performance.getEntriesByType('resource').map((one) => one.name)")
    assert re.findall(r"KaTeX_(AMS-\w+)", " ".join(loaded)) == fonts


@pytest.fixture(scope="module")
def splitter(browser: Browser) -> Iterator[Page]:
    """The scripts that find and set formulas, in an empty page."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    for name in ("js/math.js", "vendor/katex/katex.min.js", "js/formulas.js"):
        page.add_script_tag(path=settings.BASE_DIR / "static" / name)
    yield page
    page.close()


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
        ('[asy] label("$A$"); [/asy]', ['[asy] label("$A$"); [/asy]']),
        ("they saved $75 - ($x + $45)", []),
        ("from $.05 x 40 = $2 on", []),
        ("$<<9*2=18>>18 and $<<2*2=4>>4", []),
        ("at most $ 50$ or $ 7 $", [" 50", " 7 "]),
        ("near $1^+$ it grows", ["1^+"]),
        ("I get $$\na = b.", ["\na = b."]),
        (r"simplify: $\frac{1}{2} = 1", [r"\frac{1}{2} = 1"]),
        ("it is full of cash $$", []),
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


# --- every text of the public collections, through the page's own code -------------------------------------------------

AUDIT = r"""(texts) => {
  const formulas = [], failed = [], prose = [];
  for (const text of texts) for (const part of Stepmark.split(text)) {
    if (part.kind === "text") { if (/(^|[^\\])\$/.test(part.source)) prose.push(part.source); continue; }
    if (part.kind === "code") continue;
    formulas.push(part.source);
    try { Stepmark.setFormula(part, katex.renderToString); } catch (error) { failed.push(part.source); }
  }
  return {formulas, failed, prose};
}"""
AMOUNT = re.compile(r"\$\s*\.?\d[^\\$]*\s[a-z]{3,}\b[^\\$]*\$")  # "$5 for each and $": an amount, words, and the next amount's dollar


def strings(value: object) -> list[str]:
    if isinstance(value, dict | list):
        return [text for one in (value.values() if isinstance(value, dict) else value) for text in strings(one)]
    return [value] if isinstance(value, str) else []


def audit(splitter: Page, path: Path, wanted: Callable[[dict], object] = lambda row: row) -> dict[str, list[str]]:
    """Split and set each different text of a file once."""
    texts = [text for line in path.read_text().splitlines() for text in strings(wanted(json.loads(line))) if re.search(r"[$\\]", text)]
    return splitter.evaluate(AUDIT, list(dict.fromkeys(texts)))


@pytest.mark.parametrize("name", ["test", "example_model_solutions", "mr_gsm8k_wrong_solutions"])
def test_no_amount_of_money_in_gsm8k_is_taken_for_a_formula(splitter: Page, data: Path, name: str) -> None:
    found = audit(splitter, data / "gsm8k" / f"{name}.jsonl")
    assert len(found["prose"]) > 700 and found["formulas"] == []


def test_every_formula_of_math_500_is_found_and_set(splitter: Page, data: Path) -> None:
    found = audit(splitter, data / "math" / "math500.jsonl", lambda row: [row["problem"], row["solution"], row["answer"]])
    assert (len(found["formulas"]), found["failed"], found["prose"]) == (5632, [], [])


def test_every_formula_of_prm800k_phase_2_is_set_and_no_amount_is_one(splitter: Page, data: Path) -> None:
    path = data / "prm800k" / "phase2_labeled_paths_1818.jsonl"
    found = audit(splitter, path, lambda row: [row["problem"], [step["text"] for step in row["steps"]]])
    assert (len(found["formulas"]), found["failed"]) == (11_274, [])
    assert [source for source in found["formulas"] if AMOUNT.fullmatch(source)] == []
    amounts, closings = [], []  # a formula cut in two by the end of a step: its first half is set, its second has no opening dollar
    for source in found["prose"]:
        (closings if source.rstrip(".").endswith("$") else amounts).append(source)
    assert (amounts, len(closings)) == (["Rounding to the nearest cent, the final answer is $0.67.\n\n# Answer\n\n$0.67"], 4)


@pytest.mark.long
def test_what_of_prm800k_phase_1_cannot_be_set_is_no_latex(splitter: Page, data: Path) -> None:
    found = audit(splitter, data / "prm800k" / "phase1_train_reconstructed.jsonl", lambda row: [row["question"], row["label"]])
    assert (len(found["formulas"]), len(found["failed"]), len(found["prose"])) == (64_294, 11, 36)
    typos = [source for source in found["failed"] if re.search(r"\\(sighs|mapstto|beginrt)|^\$_ _", source)]
    pairs = (("{", "}"), (r"\begin", r"\end"))
    unpaired = [source for source in found["failed"] if any(source.count(one) != source.count(other) for one, other in pairs)]
    assert (len(typos), len(set(unpaired) - set(typos))) == (4, 7)


# --- what cannot be set, what must not run -------------------------------------------------------------------------------


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
    expect(page.locator("[data-step='0'] .unseen")).to_have_count(2)
    assert page.locator("[data-step='0'] .unseen").evaluate_all("(all) => all.map((one) => one.dataset.code)") == ["U+200B", "U+202E"]
    assert page.locator("[data-step='0'] .text").text_content() == "a\u200bb\u202ec"


def test_the_answer_at_the_end_is_a_badge_and_stays_the_text_it_is(visit: Visit) -> None:
    page = labeling_page(visit, steps=["First.", "So it is.\n\n# Answer\n\n18"], answer=r"\frac{1}{2}")
    expect(page.locator("[data-step='1'] .answer .answer-text")).to_have_text("18")
    assert page.locator("[data-step='1'] .text").text_content() == "So it is.\n\n# Answer\n\n18"
    expect(page.locator(".reference .katex")).to_have_count(1)


def test_a_hostile_formula_shows_its_source_and_why(visit: Visit) -> None:
    hostile = [
        r"\def\a{" + "x" * 900 + "}" + r"\a" * 190,
        r"\newcommand{\a}{x}\a",
        r"\renewcommand{\arraystretch}{999}\begin{matrix}1\end{matrix}",
        r"\sqrt{" * 200 + "x" + "}" * 200,
        r"\left(" * 100 + "x" + r"\right)" * 100,
        "x+" * 10_000 + "x",
        r"\dots" * 300,
        r"\begin{matrix}" + "&" * 1900 + r"\end{matrix}",
        r"\boxed{" * 21 + "x" + "}" * 21,
    ]
    page = labeling_page(visit, steps=[f"${body}$" for body in hostile] + ["$x$"])
    expect(page.locator(".broken")).to_have_count(len(hostile))
    assert page.locator(".broken").all_text_contents() == [f"${body}$" for body in hostile]
    reasons = page.locator(".broken").evaluate_all("(all) => all.map((one) => one.title)")
    words = (
        ["defines commands"] * 3
        + ["nested deeper"] * 2
        + ["longer than 2000", "Too many expansions", "more than 400 cells", "nested boxes"]
    )
    assert [word in reason for word, reason in zip(words, reasons, strict=True)] == [True] * len(hostile)
    expect(page.locator(f"[data-step='{len(hostile)}'] .katex")).to_have_count(1)  # what comes after is set all the same


def test_thousands_of_formulas_are_set_in_slices_and_all_of_them(visit: Visit) -> None:
    page = labeling_page(visit, statement="$x$", steps=[" ".join(f"$x_{{{number}}}$" for number in range(1500)), "$y$"])
    expect(page.locator(".katex")).to_have_count(1502)


def test_a_long_inline_formula_breaks_into_lines_and_nothing_is_cut_off(visit: Visit) -> None:
    page = labeling_page(visit, steps=["So $" + "a_1 + " * 40 + "b = 1$."], viewport={"width": 375, "height": 800})
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    assert page.locator("[data-step='0'] .text").evaluate("(text) => text.scrollWidth <= text.clientWidth")


def test_steps_far_away_are_set_only_when_they_come_near(visit: Visit) -> None:
    page = labeling_page(visit, steps=[f"Step {number}: $a_{{{number}}} = {number}$." for number in range(2000)])
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    expect(page.locator("[data-step='1999'] .katex")).to_have_count(0)
    page.keyboard.press("End")
    expect(page.locator("[data-step='1999'] .katex")).to_have_count(1)
