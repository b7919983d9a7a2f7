"""Texts that run from right to left: what stands where, measured in Chromium sign by sign."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.static_page import StaticPage

# The signs of the first line, from left to right as they are painted. In KaTeX's boxes only what is painted counts.
PAINTED = """() => {
  const walker = document.createTreeWalker(document.querySelector("[data-text]"), NodeFilter.SHOW_TEXT), signs = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest(".katex-mathml, [hidden]")) continue;
    for (let at = 0; at < node.length; at++) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const {left, right, width} = range.getBoundingClientRect();
      if (width || node.data[at].trim()) signs.push([(left + right) / 2, node.data[at]]);
    }
  }
  return signs.sort(([one], [other]) => one - other).map(([, sign]) => sign).join("").replace(/[\\u200b\\u00a0]/g, "");
}"""


@pytest.fixture(scope="module")
def shown(browser: Browser) -> Iterator[StaticPage]:
    page = StaticPage(browser)
    yield page
    page.context.close()
    assert page.faults == []


@pytest.mark.parametrize("kind", ["plain", "markdown"])
@pytest.mark.parametrize(
    ("text", "painted"),
    [  # what must be found, in this order from left to right
        ("نطرح 3 من الطرفين: $2x = 4$، إذن x = 2.", [".", "x = 2", "،", "2x=4", ":", "3"]),
        (r"נחסר 3: \(2x - 1 = 4\), ולכן x = 2.", [".", "x = 2", "2x−1=4", "3"]),
        (r"پس \boxed{2x} و $x^2 - 1$ است", ["x2−1", "2x"]),
        ("חשבו 10 - 3 = 7 תפוחים.", [".", "10 - 3 = 7"]),
        ("حاصل ۱۰ - ۳ = ۷ است.", [".", "۱۰ - ۳ = ۷"]),
        ("لدينا 10 - 3 = 7 تفاحات.", [".", "10 - 3 = 7"]),
        ("السعر $5 ثم -3 ثم 50% فقط", ["50%", "-3", "$5"]),
        ("המחיר $5 ואז -3 ואז 50% בלבד", ["50%", "-3", "$5"]),
        ("يساوي (3 + 4) / 2 تماما", ["(3 + 4) / 2"]),
        ("הסכום (3 + 4 = 7) נכון", ["(3 + 4 = 7)"]),
        ("הסכום 3 + 4 = שבע", ["=", "3 + 4"]),
        ("العدد 12,345.67 و 1/2 و 3:4.", [".", "3:4", "1/2", "12,345.67"]),
        ("القيم 3, 4, 5 هنا", ["5", "4", "3"]),
        ("מורידים 3 מ-10 ומ-12", ["12-", "10-", "3"]),
        ("שווה ל-3 - 2 = 1 בלבד", ["3 - 2 = 1-"]),
        ("נקבל −3 או -4.", [".", "-4", "−3"]),
        ("The word שלום means 3 - 2 = 1.", ["The word", "means 3 - 2 = 1."]),
    ],
)
def test_formulas_sums_and_amounts_read_from_left_to_right(shown: StaticPage, kind: str, text: str, painted: list[str]) -> None:
    shown.show(text, kind=kind)
    line, at = shown(PAINTED), 0
    for piece in painted:
        assert piece in line[at:], f"{piece} is not where it should be in {line}"
        at = line.index(piece, at) + len(piece)


@pytest.mark.parametrize("kind", ["plain", "markdown"])
def test_each_text_takes_its_direction_from_its_own_words(shown: StaticPage, kind: str) -> None:
    shown.show("نطرح 3", "Subtract 3", "$x$ שלום", "- אחת\n- שתיים", "| א | ב |\n|---|---|\n| 1 | 2 |", kind=kind)
    found = shown(
        "[...document.querySelectorAll('[data-text]')].map((one) => getComputedStyle(one.querySelector('[dir=auto]') ?? one).direction)"
    )
    assert found == ["rtl", "ltr", "rtl", "rtl", "rtl"]
    assert shown("[...document.querySelectorAll('bdi')].every((one) => getComputedStyle(one).direction === 'ltr')")


@pytest.mark.parametrize("kind", ["plain", "markdown"])
@pytest.mark.parametrize("sign", ["\u202e", "\u202b", "\u2067", "\u200f"])
def test_a_mark_of_the_writing_direction_turns_nothing_round(shown: StaticPage, kind: str, sign: str) -> None:
    shown.show(f"So {sign}x - 2 = 5 here", kind=kind)
    assert shown(PAINTED).replace(sign, "") == "So x - 2 = 5 here"


@pytest.mark.parametrize(
    "text", ["می\u200cکنیم", "۵\u200cتایی", "क्\u200dष", "\U0001f469\u200d\U0001f467", "\U0001f469\U0001f3fd\u200d\U0001f680"]
)
def test_joiners_that_belong_to_the_spelling_are_no_marks(shown: StaticPage, text: str) -> None:
    shown.show(text, "a\u200bb")
    expect(shown.page.locator("[data-text]").nth(1).locator(".unseen")).to_have_count(1)  # the script that marks has run
    expect(shown.page.locator("[data-text]").nth(0).locator(".unseen")).to_have_count(0)


@pytest.mark.parametrize("text", ["12\u200c3", "a\u200db", "\u200c", "x \u200d= 5"])
def test_joiners_that_only_hide_are_marks(shown: StaticPage, text: str) -> None:
    shown.show(text)
    expect(shown.page.locator(".unseen")).to_have_count(1)
