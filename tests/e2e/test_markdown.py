"""Markdown as models write it, in a project whose texts are Markdown: shown, never run, and formulas are never touched by it."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from annotation import ingest, projects
from tests import make
from tests.e2e.static_page import StaticPage
from trainer.formats import NewProblem, NewSolution

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def shown(browser: Browser) -> Iterator[StaticPage]:
    page = StaticPage(browser)
    yield page
    page.context.close()
    assert page.faults == []


# ⟨..⟩ is a formula that is set, with its source; ⟪..⟫ is one that shows its source.
@pytest.mark.parametrize(
    ("text", "elements"),
    [
        (
            "**bold**, *it*, ***both***, _u_, __uu__, ~~no~~",
            "<p><strong>bold</strong>, <em>it</em>, <em><strong>both</strong></em>, <em>u</em>, <strong>uu</strong>, <s>no</s></p>",
        ),
        ("**Step 1: *x* is $2$.**", "<p><strong>Step 1: <em>x</em> is ⟨$2$⟩.</strong></p>"),
        ("**答案：**下一步 and **$x$**", "<p><strong>答案：</strong>下一步 and <strong>⟨$x$⟩</strong></p>"),
        ("# One #\n### Three $x$\ntext", "<h3>One</h3><h3>Three ⟨$x$⟩</h3><p>text</p>"),
        ("#5 is no heading", "<p>#5 is no heading</p>"),
        (
            "- a\n- b\n  - c\n    - d\n* e",
            "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p><ul><li><p>d</p></li></ul></li></ul></li></ul><ul><li><p>e</p></li></ul>",
        ),
        (
            "3. three\n4. four\n\n   more\n7. seven",
            "<ol 3><li><p>three</p></li><li><p>four</p><p>more</p></li><li 7><p>seven</p></li></ol>",
        ),
        ("1. So:\n\\[ x \\]\n2. Next", "<ol><li><p>So:\n⟨\\[ x \\]⟩</p></li><li><p>Next</p></li></ol>"),
        ("One line\nand the next", "<p>One line\nand the next</p>"),
        (
            "| a | $|b|$ |\n|:-:|--:|\n| `x|y` | **2** |\n| \\| |",
            "<table><thead><tr><th>a</th><th>⟨$|b|$⟩</th></tr></thead><tbody><tr><td><code>x|y</code></td><td><strong>2</strong></td></tr><tr><td>|</td></tr></tbody></table>",
        ),
        ("`a * b` and `` ` `` and `$x$`", "<p><code>a * b</code> and <code>`</code> and <code>$x$</code></p>"),
        ("```python\nx = '$5$'\n  y **z**\n```\nafter", "<pre>x = '$5$'\n  y **z**</pre><p>after</p>"),
        ("1. code\n   ```\n   a\n     b\n   ```\n2. next", "<ol><li><p>code</p><pre>a\n  b</pre></li><li><p>next</p></li></ol>"),
        ("```\nnever closed\n$x$", "<pre>never closed\n$x$</pre>"),
        ("> said\n> again", "<blockquote><p>said\nagain</p></blockquote>"),
        ("a\n\n---\n\nb", "<p>a</p><hr></hr><p>b</p>"),
        (r"\*no\* \_no\_ \#", "<p>*no* _no_ #</p>"),
    ],
)
def test_markdown_is_shown_as_models_mean_it(shown: StaticPage, text: str, elements: str) -> None:
    assert shown.html(text) == elements


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 = 24 and 5 * 3 * 2 and (a)*(b)*c",
        "2**3 = 8 and 3**2 = 9",
        "x*-y*z, f(x)*g(x)*h(x)",
        "a_1 + b_2, _{n}C_{r}, snake_case_name",
        "+ 3 = 5",
        "x\n=\n5",
        "    12\n  x  5",
        ">= 5",
        "~5 and ~6",
        r"a \\ b \, c \( d",
        "5 < 6 & 7 > 3",
        "&lt;b&gt; &amp; &#42;",
    ],
)
def test_arithmetic_that_looks_like_markdown_stays_as_it_is(shown: StaticPage, text: str) -> None:
    assert shown.html(text) == f"<p>{text}</p>"


def test_a_minus_at_the_begin_of_a_line_stays_a_minus(shown: StaticPage) -> None:
    shown.show("12\n- 5 = 7", "3) three", "* star")
    assert shown("[...document.querySelectorAll('li')].map((one) => getComputedStyle(one).listStyleType)") == ['"– "', '"3) "', '"• "']


@pytest.mark.parametrize(
    "formula",
    [
        "$a_1 * b_2 * c$",
        r"\[ x_{i} \\ y \]",
        r"\(a_i * b_j * c\)",
        "$$a\n- b\n+ c\n\n= **d**$$",
        "\\begin{align*}\na &= b \\\\\n- c &= d\n\\end{align*}",
        r"\begin{cases} 1 & x_1 \\ 2 & x_2 \end{cases}",
        r"\begin{pmatrix} a_1 & b_1 \\ c & d \end{pmatrix}",
        r"\boxed{x_1 * x_2 * 3}",
        r"\boxed 5",
        r"\frac{a_1}{b_1}",
        r"\sqrt[3]{x_1}",
    ],
)
def test_no_markdown_touches_a_formula(shown: StaticPage, formula: str) -> None:
    assert shown.html(f"**So** {formula} *is*") == f"<p><strong>So</strong> ⟨{formula}⟩ <em>is</em></p>"
    assert shown.html(f"- a\n- {formula}") == f"<ul><li><p>a</p></li><li><p>⟨{formula}⟩</p></li></ul>"
    assert shown.html(formula, kind="plain") == f"⟨{formula}⟩"


@pytest.mark.parametrize("text", ["<b>bold</b>", "<img src=x onerror=alert(1)>", "[words](https://example.org/a_b_c)", "![words](https://example.org/i.png)",
                                  "<https://example.org/>", "https://example.org/a_b_c?d=*e*f", "[a]: javascript:alert(1)"])  # fmt: skip
def test_html_links_and_images_are_shown_as_they_were_written(shown: StaticPage, text: str) -> None:
    assert shown.html(text) == f"<p>{text}</p>"


FRAMES = """() => [...document.querySelectorAll('.broken, .code')].map(
  (one) => [one.textContent, parseFloat(getComputedStyle(one).borderTopWidth) > 0])"""


def test_what_katex_lacks_shows_its_source_in_a_frame(shown: StaticPage) -> None:
    sources = [
        r"$\centerline{x}$",
        r"\begin{tabular}{c} 1 & 2 \end{tabular}",
        '[asy] draw("$a$"); [/asy]',
        r"\begin{tikzpicture}\draw;\end{tikzpicture}",
        r"\centerline{a}",
    ]
    for kind in ("plain", "markdown"):
        shown.show(*sources, kind=kind)
        frames = shown(FRAMES)
        assert frames == [[source, True] for source in sources]


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        (r"$\href{https://example.org}{x = 5}$", "a link, an image or HTML"),
        (r"$\url{https://example.org}$", "a link, an image or HTML"),
        (r"$a \includegraphics{x.png}$", "a link, an image or HTML"),
        (r"$\htmlStyle{color: white}{x = 5}$", "a link, an image or HTML"),
        (r"$\hspace{-100em} x$", "can cover others"),
        (r"$1 \kern -3em 2$", "can cover others"),
        (r"$1 \mkern-72mu 2$", "can cover others"),
        (r"$\raisebox{10em}{x}$", "can cover others"),
        (r"$\rule[-9em]{1em}{1em}$", "can cover others"),
        (r"\[ a \\[-4em] b \]", "can cover others"),
        (r"$\llap{aaaaaaaa}$", "can cover others"),
        (r"$\mathrlap{aaaaaaaa}$", "can cover others"),
        ("$1" + r"\!" * 40 + "2$", "can cover others"),
        (r"$\color\bgroup x$", "colours"),
    ],
)
def test_a_formula_that_could_hide_or_cover_something_shows_its_source(shown: StaticPage, formula: str, reason: str) -> None:
    shown.show(formula)
    assert shown("[...document.querySelectorAll('.broken')].map((one) => one.textContent)") == [formula]
    assert reason in shown("document.querySelector('.broken').title")


@pytest.mark.parametrize(
    "formula",
    [r"10{,}\!000", r"\hspace{-0.5em} x", r"\raisebox{0.2em}{x}", r"\sum_{\mathclap{1 \le i \le n}} i", r"\rlap{/}D", r"a \hspace{2mm} b"],
)
def test_a_formula_that_moves_its_parts_a_little_is_set(shown: StaticPage, formula: str) -> None:
    assert shown.html(f"${formula}$") == f"<p>⟨${formula}$⟩</p>"


COLOURS = """() => [...new Set([...document.querySelectorAll('.katex-html *')].flatMap(
  (one) => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]))].length"""


@pytest.mark.parametrize(
    ("formula", "letters"),
    [
        (r"\color{white}{= 5}", "=5"),
        (r"\textcolor{white}{x} + \color {#ffffff} 7", "x+7"),
        (r"\textcolor[rgb]{1,1,1}{y}", "y"),
        (r"\colorbox{black}{black}", "black"),
        (r"\fcolorbox{red}{yellow}{z}", "z"),
        (r"\color{transparent} 7", "7"),
    ],
)
def test_the_colours_of_a_formula_are_left_out(shown: StaticPage, formula: str, letters: str) -> None:
    shown.show(f"${formula}$")
    assert shown("document.querySelector('.katex-html').textContent").replace("\u200b", "").replace("\u00a0", "") == letters
    assert shown(COLOURS) == 2  # the colour of the text, and no background


def test_the_name_of_an_equation_is_left_out(shown: StaticPage) -> None:
    formula = r"\begin{equation} x = 1 \label{eq:one} \end{equation}"
    assert shown.html(formula) == f"<p>⟨{formula}⟩</p>"


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        (r"\boxed{$7455} or $\boxed{$400}$, 5 %", [r"\boxed{$7455}", r"$\boxed{$400}$"]),
        (r"\boxed{66.67%}", [r"\boxed{66.67%}"]),
        (r"$50\%$", [r"$50\%$"]),
    ],
)
def test_an_amount_or_a_percentage_in_a_formula_is_set(shown: StaticPage, text: str, formulas: list[str]) -> None:
    shown.show(text, kind="plain")
    assert shown("[...document.querySelectorAll('.inline:not(.broken)')].map((one) => one.title)") == formulas


def test_thoughts_are_folded_and_can_be_opened(shown: StaticPage) -> None:
    shown.show(
        "<think>\nHm, **x**.\n\n$y$\n</think>\nSo it is.", "<think>one line</think>", "Use <think> never closed", "`<think>` a\n`</think>`"
    )
    assert shown("[...document.querySelectorAll('details')].map((one) => [one.open, one.firstChild.textContent])") == [
        [False, "<think> 2 lines"],
        [False, "<think> 1 line"],
    ]
    assert shown.page.locator("[data-text]").nth(0).inner_text().split() == ["<think>", "2", "lines", "So", "it", "is."]
    expect(shown.page.locator("[data-text]").nth(2)).to_have_text("Use <think> never closed")
    expect(shown.page.locator("[data-text]").nth(3).locator("code")).to_have_count(2)


HOSTILE = {
    "quotes": ">" * 300 + " x",
    "nested quotes": "> " * 9_000 + "x",
    "stars": "*" * 10_000,
    "openings": "*a **b _c " * 1_900,
    "closings": "a* b** c_ " * 1_900,
    "lists": "".join("  " * depth + "- a\n" for depth in range(130)),
    "one-line lists": "1. - " * 3_900 + "a",
    "fences": "```\n" * 4_900,
    "backticks": " ".join("`" * count for count in range(1, 190)),
    "cells": "|a" * 5_000 + "|\n" + "|-" * 4_900 + "|",
    "thoughts": "<think>\n" * 2_000 + "</think>",
    "blanks": "# a" + " " * 19_000 + "b",
    "begins": "\\begin{a}" * 2_000 + "\\end{a}",
    "boxes": "\\boxed{" * 2_800,
    "parentheses": "א " + "(" * 19_000 + "3",
    "one long line": "**a** $x" * 125_000,
    "one long word": "a" * 1_000_000,
    "openings of formulas": "\\[" * 500_000,
    "dollars": "$" * 1_000_000,
    "NUL": "a\0b " * 4_000,
    "private use": "\ue000\ue001 **x** $y$ " * 1_000,
}  # fmt: skip
TIMED = """(text) => {
  const holder = document.createElement("div"), element = holder.appendChild(document.createElement("div"));
  element.textContent = text;
  element.dataset.text = "markdown";
  const start = performance.now();
  Stepmark.show(holder);
  let deepest = 0;
  for (const one of element.querySelectorAll(":not(:has(*))")) {
    let depth = 0;
    for (let at = one; at !== element; at = at.parentElement) depth++;
    deepest = Math.max(deepest, depth);
  }
  return [performance.now() - start, deepest];
}"""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_without_an_error_and_not_nested_deeply(shown: StaticPage, name: str) -> None:
    milliseconds, deepest = shown(TIMED, HOSTILE[name])
    assert deepest < 60
    assert milliseconds < 20_000  # quadratic work on these texts takes minutes; linear work takes 0.1 to 2 s here


# --- copying ---------------------------------------------------------------------------------------------------------

COPY = """async ([from, to]) => {
  const range = document.createRange(), text = document.querySelector("[data-text]");
  const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(".katex, summary")) nodes.push(walker.currentNode);
  if (from === null) range.selectNodeContents(text);
  else {
    const at = (word, isEnd) => {
      const node = nodes.find((one) => one.data.includes(word));
      return [node, node.data.indexOf(word) + (isEnd ? word.length : 0)];
    };
    range.setStart(...at(from, false));
    range.setEnd(...at(to, true));
  }
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  for (;;) {
    const data = new DataTransfer(), event = new ClipboardEvent("copy", {clipboardData: data, bubbles: true, cancelable: true});
    (text.querySelector("p") ?? text).dispatchEvent(event);
    if (event.defaultPrevented) return data.getData("text/plain");
    await new Promise(requestAnimationFrame); // the script comes with the first selection
  }
}"""
LONG = (
    "## Head\n\n- **one** $x_1$\n- two `c`\n\n| a | b |\n|---|---|\n| \\[y\\] | z |\n\n"
    "<think>\nhm\n</think>\nEnd *it*.\n\n# Answer\n\n\\frac{1}{2}"
)


@pytest.mark.parametrize(
    ("text", "start", "end", "copied"),
    [
        (LONG, None, None, LONG),
        (LONG, "one", "two", "- **one** $x_1$\n- two"),
        (LONG, "wo", "End", "wo `c`\n\n| a | b |\n|---|---|\n| \\[y\\] | z |\n\n<think>\nhm\n</think>\nEnd"),
        ("a $x$ b \\$5 c", None, None, "a $x$ b \\$5 c"),
        ("نطرح 3 - 2 = 1 و\u200b $x$.", None, None, "نطرح 3 - 2 = 1 و\u200b $x$."),
        ("```\na\n  b\n```\nrest", "b", "rest", "b\n```\nrest"),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "markdown"])
def test_a_copy_is_the_text_as_it_was_written(
    shown: StaticPage, kind: str, text: str, start: str | None, end: str | None, copied: str
) -> None:
    shown.show(text, kind=kind)
    if kind == "plain" and start == "one":
        copied = copied.removeprefix("- **")
    assert shown(COPY, [start, end]) == copied


# --- real texts ---------------------------------------------------------------------------------------------------

LOST = """(texts) => texts.map((text) => {
  const holder = document.createElement("div"), element = holder.appendChild(document.createElement("div"));
  element.textContent = text;
  element.dataset.text = "markdown";
  Stepmark.show(holder);
  let at = 0, lost = "", isOther = false;
  for (const [node, from, to] of Stepmark.drawn.get(element).leaves) {
    lost += text.slice(at, from);
    if (from < at || (node.nodeType === Node.TEXT_NODE && node.data !== text.slice(from, to))) isOther = true;
    at = to;
  }
  const isFormula = ({kind}) => kind === "inline" || kind === "display";
  const formulas = (isMarkdown) => Stepmark.split(text, isMarkdown).filter(isFormula).map(({source}) => source).join();
  return [lost + text.slice(at), isOther, text.includes("`") || formulas(true) === formulas(false)];
})"""


def test_no_word_and_no_formula_of_the_real_solutions_is_lost(shown: StaticPage, data: Path) -> None:
    rows = map(json.loads, (data / "best-of-n" / "math_cot_100.jsonl").read_text().splitlines())
    texts = [text for row in rows for value in row.values() if isinstance(value, list) for text in value if isinstance(text, str)]
    for name in ("gsm8k", "math"):
        texts += itertools.chain.from_iterable(row["steps"] for row in json.loads((data / "processbench" / f"{name}.json").read_text()))
    assert len(texts) > 9_000
    results = shown(LOST, texts)
    assert [text for text, (_, is_other, is_same) in zip(texts, results, strict=True) if is_other or not is_same] == []
    lost = {word for gone, *_ in results for word in gone.replace("```python", "").replace("```output", "").split()}
    assert {word for word in lost if word.strip("*_#`>|:\\-.)0123456789")} == set()


# --- the pages ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_labeling_page_shows_markdown_and_folds_stay_open_while_rating(visit: Visit) -> None:
    project = make.project("maths", text_kind="markdown")
    steps = ["**One** is $1$.", "<think>\nhm\n</think>\nTwo", "Three"]
    make.batch(project, [make.solution(make.problem(project, statement="What is **it**?"), steps)])
    page = visit(make.ann(project), "/p/maths/label/")
    expect(page.locator("[data-problem] strong")).to_have_text("it")
    expect(page.locator("[data-step='0'] strong")).to_have_text("One")
    fold = page.locator("[data-step='1'] details")
    expect(fold).not_to_have_attribute("open", "")
    summary = page.locator("[data-step='1'] summary")
    summary.focus()
    expect(page.locator("[data-step='1']")).to_have_attribute("data-focused", "")
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("open", "")
    expect(summary).to_be_focused()
    page.keyboard.press("3")  # the keys rate the step of the fold
    expect(page.locator("[data-step='1']")).to_have_attribute("data-rated", "1")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("3")
    expect(fold).to_have_attribute("open", "")


@pytest.mark.django_db(transaction=True)
def test_a_plain_project_shows_the_signs(visit: Visit) -> None:
    project = make.project("maths", text_kind="plain")
    make.batch(project, [make.solution(make.problem(project), ["**One** is $1$.", "- 2"])])
    page = visit(make.ann(project), "/p/maths/label/")
    expect(page.locator("[data-step='0'] .katex")).to_have_count(1)
    expect(page.locator("[data-step='0'] .text")).to_contain_text("**One** is")
    expect(page.locator("[data-step='1'] .text")).to_have_text("- 2")
    assert not page.evaluate("performance.getEntriesByType('resource').some(({name}) => /markdown|prose/.test(name))")


@pytest.mark.django_db(transaction=True)
def test_the_first_load_decides_and_says_so() -> None:
    kinds = {}
    for slug, step in (("chat", "**Step 1**: so."), ("sums", "So 2*3*4 = 24.")):
        project = projects.create_project(slug, name=slug)
        report = ingest.add_solutions(project, [NewSolution(NewProblem("What?", answer="5"), [step, "5\n\n# Answer\n\n5"])])
        project.refresh_from_db()
        kinds[slug] = project.text_kind
        assert f"Pages show this project's texts as {'Markdown' if slug == 'chat' else 'plain text'}" in str(report)
        assert "Pages show" not in str(ingest.add_solutions(project, [NewSolution(NewProblem("Why?", answer="6"), ["**x**"])]))
    assert kinds == {"chat": "markdown", "sums": "plain"}
