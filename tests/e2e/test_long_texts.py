"""A text with thousands of formulas: it is shown in parts and set in slices, and the browser does other work between them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.static_page import StaticPage

FORMULAS = 1500
IN_ONE_LINE = "$x$ " * FORMULAS
IN_LINES = "".join(f"Line {number}:\nso $x_{{{number}}}$\n\n" for number in range(FORMULAS))

# The clock stands still here, so only the number of elements ends a slice. `begin` shows the long text: a test calls it in the script that
# then looks, because between two scripts a busy machine sets many slices.
READY = """async ([kind, text]) => {
  performance.now = () => 0;
  const main = document.getElementById("main");
  const show = (text) => {
    const element = Object.assign(document.createElement("div"), {className: "text", dir: "auto", textContent: text});
    element.dataset.text = kind;
    main.append(element);
    Stepmark.show(main);
    return element;
  };
  globalThis.until = async (holds) => { while (!holds()) await new Promise(requestAnimationFrame); };
  globalThis.count = (element) => element.querySelectorAll(".katex").length;
  main.replaceChildren();
  globalThis.short = show("$y$");
  await until(() => count(short) === 1); // KaTeX is there
  main.replaceChildren();
  globalThis.begin = () => { globalThis.long = show(text); };
}"""


@pytest.fixture(scope="module")
def shown(browser: Browser) -> Iterator[StaticPage]:
    page = StaticPage(browser)
    yield page
    assert page.faults == []
    page.context.close()


@pytest.fixture(params=["plain", "markdown"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_other_events_come_between_the_slices_of_one_text_and_all_formulas_are_set(shown: StaticPage, kind: str) -> None:
    shown(READY, [kind, IN_ONE_LINE])
    counts = shown(f"""async () => {{
      begin();
      const counts = new Set();
      await until(() => counts.add(count(long)) && count(long) === {FORMULAS});
      return [...counts];
    }}""")
    assert len(counts) > 5 and max(after - before for before, after in zip(counts, counts[1:], strict=False)) < FORMULAS / 4


def test_what_is_in_the_window_is_set_first(shown: StaticPage, kind: str) -> None:
    shown(READY, [kind, IN_LINES])
    between = shown(f"""async () => {{
      begin();
      await until(() => long.querySelector(".part"));
      const last = [...long.querySelectorAll(".part")].at(-2);
      last.scrollIntoView();
      await until(() => count(last) && count(last) === last.querySelectorAll(".inline").length);
      const between = count(long);
      await until(() => count(long) === {FORMULAS});
      return between;
    }}""")
    assert between < FORMULAS / 2


def test_a_replaced_solution_is_left_alone_and_set_to_its_end_if_it_comes_back(shown: StaticPage, kind: str) -> None:
    shown(READY, [kind, IN_ONE_LINE])
    before, after = shown("""async () => {
      begin();
      await until(() => count(long) > 0);
      const before = count(long), main = document.getElementById("main");
      long.remove();
      const next = Object.assign(document.createElement("div"), {textContent: "$z$ ".repeat(1000)});
      next.dataset.text = "plain";
      main.append(next);
      Stepmark.show(main);
      await until(() => count(next) === 1000);
      return [before, count(long)];
    }""")
    assert 0 < before == after < FORMULAS
    shown(f"""async () => {{
      document.getElementById("main").replaceChildren(long);
      await until(() => {{ long.lastElementChild.scrollIntoView(); return count(long) > {before}; }});
    }}""")


def test_a_text_that_is_drawn_again_drops_the_formulas_of_the_first_drawing(shown: StaticPage) -> None:
    shown(READY, ["plain", IN_ONE_LINE])
    left, words = shown("""async () => {
      begin();
      await until(() => count(long) > 0);
      const first = long.querySelectorAll(".part"), before = [...first].map(count).join();
      long.textContent = "Only $x$ now";
      Stepmark.show(document.getElementById("main"));
      await until(() => count(long) === 1);
      return [[...first].map(count).join() === before, long.querySelector(".part") === null];
    }""")
    assert (left, words) == (True, True)


@pytest.mark.parametrize("text", [IN_ONE_LINE, IN_LINES, "\u05d0\u200b" * 1000, "a\u202e$x$\u202c\n" * 500, "$$x$$\n" * 400], ids=range(5))
def test_the_parts_of_a_text_joined_are_the_text(shown: StaticPage, text: str) -> None:
    shown.show(text, kind="plain")
    parts, is_same = shown("""() => {
      const element = document.querySelector("[data-text]"), {text, leaves} = Stepmark.drawn.get(element);
      const isLeaf = ([node, from, to]) => element.contains(node) &&
        (node.nodeType !== Node.TEXT_NODE || node.data === text.slice(from, to));
      const joined = leaves.map(([, from, to]) => text.slice(from, to)).join("");
      return [element.querySelectorAll(".part").length, leaves.every(isLeaf) && joined === text];
    }""")
    assert parts > 3 and is_same


def test_a_part_ends_where_a_line_ends(shown: StaticPage) -> None:
    shown.show(IN_LINES, kind="plain")
    ends = shown("() => [...document.querySelectorAll('.part')].map((part) => part.lastChild.data.slice(-1))")
    assert set(ends) == {"\n"}


def test_a_text_of_usual_length_is_in_one_piece(shown: StaticPage) -> None:
    shown.show("$x$ and " * 76, kind="plain")
    assert shown("() => document.querySelector('.part')") is None


IN_TURNS = """async () => {
  let clock = 0;
  performance.now = () => (clock += 50); // each look at the clock ends a turn
  const main = document.getElementById("main");
  main.replaceChildren(...Array.from({length: 12}, (_, number) => {
    const element = Object.assign(document.createElement("div"), {className: "text", textContent: `${number} $x$ ` + "so ".repeat(2000)});
    element.dataset.text = "plain";
    return element;
  }));
  const texts = [...main.children], isDrawn = (element) => element.querySelector(".inline") !== null;
  globalThis.drawnTexts = () => texts.filter(isDrawn).length;
  globalThis.texts = texts;
  globalThis.counts = new Set([0]);
  new MutationObserver(() => counts.add(drawnTexts())).observe(main, {childList: true, subtree: true}); // after each turn, before the next
  globalThis.until = async (holds) => { while (!holds()) await new Promise(requestAnimationFrame); };
  Stepmark.show(main);
}"""


def test_the_texts_of_a_long_page_are_shown_one_after_the_other_and_all_that_come_near(shown: StaticPage) -> None:
    shown(IN_TURNS)
    counts = shown("""async () => {
      for (const text of texts) { text.scrollIntoView(); await until(() => text.querySelector(".katex")); }
      return [...counts];
    }""")
    assert counts == list(range(13))
    assert shown("() => texts.every((text) => text.ariaBusy === null)")


def test_a_long_page_that_is_replaced_is_shown_no_further_unless_it_comes_back(shown: StaticPage) -> None:
    shown(IN_TURNS)
    before, after = shown("""async () => {
      await until(() => drawnTexts() > 0);
      const main = document.getElementById("main"), next = Object.assign(document.createElement("div"), {textContent: "$z$"});
      const before = drawnTexts();
      next.dataset.text = "plain";
      main.replaceChildren(next);
      Stepmark.show(main);
      await until(() => next.querySelector(".katex"));
      for (let frames = 0; frames < 5; frames++) await new Promise(requestAnimationFrame);
      return [before, drawnTexts()];
    }""")
    assert 0 < before == after < 12
    shown("""async () => {
      document.getElementById("main").replaceChildren(...texts);
      for (const text of texts) { text.scrollIntoView(); await until(() => text.querySelector(".katex")); }
    }""")
