"""Guidelines beside the page: searched by keyboard, while the keys that rate stay where the steps are."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests import make
from tests.e2e.test_accessibility import violations

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Page]
GUIDELINES = """## Negative steps

A step is *wrong* if its sum is wrong. See 1 + 1.

- A wrong sum
- Wrong *or* right (both) come up

Example: `7 - 3 = 5` is wrong."""


def opened(visit: Visit, *, path: str = "/p/sums/label/", guidelines: str = GUIDELINES, **options: object) -> Page:
    """The labeling page with its guidelines open, or their own page, and the search field in focus."""
    project = make.project("sums", guidelines=guidelines)
    make.batch(project, make.solutions(project, 1))
    page = visit(make.ann(project), path, **options)
    if path.endswith("/label/"):
        page.locator("[data-guidelines] summary").click()
    page.get_by_label("Search the guidelines").focus()
    return page


def test_what_is_searched_for_is_marked_and_counted(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("wrong")
    expect(page.locator(".prose mark")).to_have_text(["wrong", "wrong", "wrong", "Wrong", "wrong"])
    expect(page.locator("[data-found]")).to_have_text("1 of 5")
    page.keyboard.type("x")
    expect(page.locator(".prose mark")).to_have_count(0)
    expect(page.locator("[data-found]")).to_have_text("not found")


def test_enter_goes_from_hit_to_hit_and_around(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("sum")
    current = page.locator("mark[data-current]")
    expect(page.locator("li mark[data-current]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("[data-found]")).to_have_text("2 of 2")
    expect(page.locator("li mark[data-current]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("[data-found]")).to_have_text("1 of 2")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("[data-found]")).to_have_text("2 of 2")
    expect(current).to_have_count(1)


def test_a_hit_may_run_through_several_styles_but_not_from_one_paragraph_into_the_next(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("wrong or right (")
    expect(page.locator("[data-found]")).to_have_text("1 of 1")
    expect(page.locator("mark[data-current]")).to_have_text(["Wrong ", "or", " right ("])
    page.get_by_label("Search the guidelines").fill("stepsA")
    expect(page.locator("[data-found]")).to_have_text("not found")


def test_escape_clears_the_search_and_then_goes_back_to_the_step(visit: Visit) -> None:
    page = opened(visit)
    before = page.locator(".prose").inner_html()
    page.keyboard.type("wrong")
    expect(page.locator(".prose mark").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".prose mark")).to_have_count(0)
    expect(page.locator("[data-found]")).to_have_text("")
    assert page.locator(".prose").inner_html() == before
    page.keyboard.press("Escape")
    expect(page.locator("[data-step='0']")).to_be_focused()


def test_keys_typed_into_the_search_rate_nothing(visit: Visit) -> None:
    page = opened(visit)
    page.keyboard.type("1 + 1?")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    expect(page.locator("mark")).to_have_text("1 + 1")
    expect(page.locator("[data-step][data-rated='']")).to_have_count(3)
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_searched_guidelines_have_no_violation(visit: Visit, look: dict) -> None:
    page = opened(visit, **look)
    page.keyboard.type("wrong")
    expect(page.locator("mark").first).to_be_visible()
    assert violations(page) == []


# --- formulas --------------------------------------------------------------------------------------------------------------------

FORMULAS = r"""## The area is $4 \times 12$

Costs $5 and $6, \$7 and \(a_1*b*c_1 < 2\), never `$x$`.

| sum | of |
|-----|----|
| $|x|$ | \boxed{\{1, 2\}} |

> \[
> - x_1 \\
> - y
> \]

    $four$ blanks

```
\(fence\)
```

- **$x_2$** and [$y$](https://example.org/?$a_1$)"""
SOURCES = [r"$4 \times 12$", r"\(a_1*b*c_1 < 2\)", "$|x|$", r"\boxed{\{1, 2\}}", "\\[\n- x_1 \\\\\n- y\n\\]", "$x_2$", "$y$"]


@pytest.mark.parametrize("path", ["/p/sums/guidelines/", "/p/sums/label/"], ids=["own page", "beside the solution"])
def test_guidelines_set_formulas_outside_of_code_and_leave_money(visit: Visit, path: str) -> None:
    page = opened(visit, path=path, guidelines=FORMULAS)
    expect(page.locator(".prose .katex")).to_have_count(len(SOURCES))
    assert page.locator(".prose bdi").evaluate_all("(all) => all.map((formula) => formula.title)") == SOURCES
    assert page.locator(".prose code").all_text_contents() == ["$x$", "$four$ blanks\n", "\\(fence\\)\n"]
    expect(page.locator(".prose > p").first).to_contain_text("Costs $5 and $6, $7 and")
    assert page.locator(".prose a").get_attribute("href") == "https://example.org/?%24a_1%24"


def test_a_formula_of_the_guidelines_is_found_by_its_source_and_marked_as_a_whole(visit: Visit) -> None:
    page = opened(visit, guidelines=FORMULAS)
    expect(page.locator(".prose .katex")).to_have_count(len(SOURCES))
    before = page.locator(".prose").inner_html()
    page.keyboard.type("area is $4 \\times 1")
    expect(page.locator("[data-found]")).to_have_text("1 of 1")
    expect(page.locator("mark > bdi .katex")).to_have_count(1)
    expect(page.locator(".katex mark")).to_have_count(0)
    page.keyboard.press("Escape")
    assert page.locator(".prose").inner_html() == before


def test_a_formula_of_the_guidelines_beyond_the_limits_shows_its_source(visit: Visit) -> None:
    page = opened(visit, guidelines=r"First $\href{https://example.org}{x}$, $" + "x+" * 1_000 + "x$ and $y$")
    expect(page.locator(".prose .katex")).to_have_count(1)
    expect(page.locator(".prose .broken")).to_have_count(2)


def test_each_paragraph_of_the_guidelines_has_its_own_direction(visit: Visit) -> None:
    page = opened(visit, guidelines="Add.\n\n\u0646\u0637\u0631\u062d $2x = 4$\n\n- \u05d0 $x$")
    expect(page.locator(".prose .katex")).to_have_count(2)
    directions = page.locator(".prose > *, .prose bdi").evaluate_all("(all) => all.map((one) => getComputedStyle(one).direction)")
    assert directions == ["ltr", "rtl", "ltr", "rtl", "ltr"]
