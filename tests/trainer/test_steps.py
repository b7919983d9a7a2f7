"""How a solution's text becomes steps: where a person would cut, and never inside of what belongs together."""

import random
import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.steps import LINES, NUMBERED, PARAGRAPHS, RULES, SENTENCES, StepFigures, choose_rule, cut, find_formulas, shortened, why_broken

WHOLE = {  # what stays in one step by every rule, in the middle of a text
    "a displayed formula": "\\[\n\\text{Mean} = \\frac{1}{2}\n\n= 0.5\n\\]",
    "a formula in double dollars": "$$\nx = 1\n\n+ 2\n$$",
    "an inline formula over lines": "Let $x +\ny = 3$ and \\(z\n= 4\\) hold.",
    "an environment": "\\begin{align*}\na &= b \\\\[5pt]\n\n&= c\n\\end{align*}",
    "environments in each other": "\\begin{cases}\n\\begin{pmatrix}\n1\n\\end{pmatrix}\n\n2\n\\end{cases}",
    "a code fence": "```python\na = 1\n\n# a comment\nb = '$'\n```",
    "a code fence of waves": "~~~\na\n\n```\nb\n~~~",
    "an indented code fence": "   ````\n   a\n\n   ```\n   ````",
    "a table": "| a | b |\n|:--|--:|\n| 1 | 2 |\n| 3 | 4 |",
    "a table without outer bars": "a | b\n--- | ---\n1 | 2",
    "a table in frames": "+---+---+\n| a | b |\n+---+---+",
    "a list under its lead-in": "There are three cases:\n\n- a = 1\n* a = 2\n\n- a = 3, where\n  b = 4",
    "a list in a formula's place": "The roots are\n- 1 and\n- 2.",
    "a drawing": "[asy]\ndraw(a);\n\nlabel(\"$x$\", b);\n[/asy]",
    "a thought": "<think>\nIs it 5?\n\nNo, \\[ 6 \\].\n\n- 7\n</think>",
    "a lead-in and its formula": "Adding both gives:\n\n\\[ x = 5 \\]",
    "an equation over lines": "2x + 3\n= 5 + 2\n= 7",
    "a heading and its text": "### Part two\n\nNow we add 3.",
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_no_rule_cuts_inside_of(whole: str, rule: str) -> None:
    assert any(whole in step for step in cut(f"We begin.\n\n{whole}\n\nSo we are done.", by=rule))
    steps = cut(f"We begin.\n\n{whole}\n\nSo we are done.".replace("\n", "\r\n"), by=rule)
    assert any(whole.replace("\n", "\r\n") in step for step in steps)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_no_rule_loses_the_cuts_around(whole: str, rule: str) -> None:
    steps = cut(f"We begin.\n\n{whole}\n\nSo we are done.", by=rule)
    assert (steps[0], steps[-1]) == ("We begin.", "So we are done.")


CUTS = [  # text, rule, steps
    ("One.\nTwo.\n\nThree.", LINES, ["One.", "Two.", "Three."]),
    ("One.\nTwo.\n \nThree.", PARAGRAPHS, ["One.\nTwo.", "Three."]),
    ("One.\r\nTwo.\r\n\r\nThree.", PARAGRAPHS, ["One.\r\nTwo.", "Three."]),
    ("One.\rTwo.\r\rThree.", LINES, ["One.", "Two.", "Three."]),
    ("a\x0bb\x0cc\x85d\u2028e\u2029f\x1cg\nh", LINES, ["a\x0bb\x0cc\x85d\u2028e\u2029f\x1cg", "h"]),
    ("  One. \n\tTwo.  ", LINES, ["  One. ", "\tTwo.  "]),
    ("Three more than two.\r\nThat is five.\r\n\r\n# Answer\r\n\r\n5", LINES, ["Three more than two.",
    "That is five.\r\n\r\n# Answer\r\n\r\n5"]),
    ("One.\n\nTwo.\n\n# Answer\n\n\\begin{pmatrix}\n1\n\\end{pmatrix}\n\n", PARAGRAPHS, ["One.",
    "Two.\n\n# Answer\n\n\\begin{pmatrix}\n1\n\\end{pmatrix}"]),
    ("# Answer\n\n5", LINES, ["# Answer\n\n5"]),
    ("Step 1: Add.\n1. a\n2. b\n\nMore.\n\nStep 2: Go.", NUMBERED, ["Step 1: Add.\n1. a\n2. b\n\nMore.", "Step 2: Go."]),
    ("We add.\n\n**Step 1**\n\nOne.\n\n**Step 2 — Two**\nTwo.", NUMBERED, ["We add.", "**Step 1**\n\nOne.", "**Step 2 — Two**\nTwo."]),
    ("### Step 1\nOne.\n#### Why\nSo.\n### Step 2\nTwo.\n### End\nThree.", NUMBERED, ["### Step 1\nOne.\n#### Why\nSo.",
    "### Step 2\nTwo.", "### End\nThree."]),
    ("1. Add:\n   - a\n   - b\n\n   More.\n2) Go.\n\nTherefore 5.", NUMBERED, ["1. Add:\n   - a\n   - b\n\n   More.", "2) Go.",
    "Therefore 5."]),
    ("1. Add\n\n\\[x\\]\n\nwe get x.\n\n2. Go\n\nb", NUMBERED, ["1. Add\n\n\\[x\\]\n\nwe get x.", "2. Go\n\nb"]),
    ("It was\n2024. was a year\n3.14 is pi", NUMBERED, ["It was\n2024. was a year\n3.14 is pi"]),
    ("Step 3 gives 4, see\nStep 4 too.", NUMBERED, ["Step 3 gives 4, see\nStep 4 too."]),
    ("第一步：加。\n是5。\n第二步：得到6。", NUMBERED, ["第一步：加。\n是5。", "第二步：得到6。"]),
    *(
        (f"{first}加。\n是5。\n{second}得到6。", NUMBERED, [f"{first}加。\n是5。", f"{second}得到6。"])
        for first, second in (("1、", "2、"), ("１．", "２．"), ("（1）", "（2）"), ("1：", "2："), ("①", "②"), ("1: ", "2: "))
    ),
    ("The ratio is\n1:1 and\n2:1 then.", NUMBERED, ["The ratio is\n1:1 and\n2:1 then."]),
    ("\n".join(f"{mark} Add.\nSo." for mark in "①②③④⑤⑥⑦⑧⑨⑩⑪⑫"), NUMBERED, [f"{mark} Add.\nSo." for mark in "①②③④⑤⑥⑦⑧⑨⑩⑪⑫"]),
    *(
        (f"{first} Add.\nSo 5.\n{second} Go.", NUMBERED, [f"{first} Add.\nSo 5.", f"{second} Go."])
        for first, second in (("[Step 1]", "[Step 2]"), ("(Step 1)", "(Step 2)"), ("**[Step 1]**", "**[Step 2]**"),
        ("步骤一：", "步骤二："),
        ("【步骤1】", "【步骤2】"),
        ("1단계:", "2단계:"), ("الخطوة ١:", "الخطوة ٢:"), ("Step I:", "Step II:"), ("STEP ONE:", "STEP TWO:"))
    ),
    ("One.\n\nTwo.", NUMBERED, ["One.", "Two."]),
    ("Two is 3 (e.g. 5). So $x=3.$ Then\r\nit is. Done?", SENTENCES, ["Two is 3 (e.g. 5).", "So $x=3.$", "Then\r\nit is.", "Done?"]),
    ("We get \\[x = 1.\\]So $$y = 2.5.$$ A. B. 3.5 is it.", SENTENCES, ["We get \\[x = 1.\\]", "So $$y = 2.5.$$", "A. B. 3.5 is it."]),
    ("是五。得到六！好。\n\n# Answer\n\n5. So", SENTENCES, ["是五。", "得到六！", "好。\n\n# Answer\n\n5. So"]),
    ("We add. $ Two. “ *", SENTENCES, ["We add.", "$ Two. “ *"]),
    ("We add. These hold:\n- One. Two.\n- Three.", SENTENCES, ["We add. These hold:\n- One. Two.\n- Three."]),
    ("We follow these steps:\n\n1. Add all\n   of it.\n\n2. Go.", PARAGRAPHS, ["We follow these steps:", "1. Add all\n   of it.",
    "2. Go."]),
    ("We get:\n\n\\[x = c\\]\n\nwhere c is 5.\n\nSo.", PARAGRAPHS, ["We get:\n\n\\[x = c\\]\n\nwhere c is 5.", "So."]),
    ("We follow:\n\n1. x = 1\n2. y = 2\n\nSo.", PARAGRAPHS, ["We follow:\n\n1. x = 1\n2. y = 2", "So."]),
    ("### Step 1\n\nAdd.\n\n---\n\n**Final Answer**\n\n\\[\\boxed{5}\\]", PARAGRAPHS, ["### Step 1\n\nAdd.\n\n---",
    "**Final Answer**\n\n\\[\\boxed{5}\\]"]),
    ("One.\n***\n\nTwo.", LINES, ["One.\n***", "Two."]),
    ("x = 3\n\\]\nand 4.", LINES, ["x = 3\n\\]", "and 4."]),
    ("\\[\n\nx = 3", LINES, ["\\[\n\nx = 3"]),
    ("Two.\n### The end", LINES, ["Two.\n### The end"]),
    ("It costs $5\nand then $6 more.\nSo $11.", LINES, ["It costs $5", "and then $6 more.", "So $11."]),
    ("|x - 1| = 5\n|x| = 4", LINES, ["|x - 1| = 5", "|x| = 4"]),
    ("Is it 5?\n\nNo.\n</think>\n\nIt is 6.", PARAGRAPHS, ["Is it 5?", "No.\n</think>", "It is 6."]),
    ("<think>\nIs it 5?\n\nNo.\n</think>", PARAGRAPHS, ["<think>\nIs it 5?", "No.\n</think>"]),
    ("<think>\nIs <think> a\n\nb</think> it?\n\nNo.\n</think>\n\nIt is 6.", PARAGRAPHS,
    ["<think>\nIs <think> a\n\nb</think> it?\n\nNo.\n</think>", "It is 6."]),
    ("<think> a\n\nb\n\n<think> c\n\nd</think>\n\nIt is 6.", PARAGRAPHS, ["<think> a", "b", "<think> c\n\nd</think>", "It is 6."]),
    ("Use `\\[` and\n`$` so.\nThen `\\]`.", LINES, ["Use `\\[` and", "`$` so.", "Then `\\]`."]),
    ("It is ``a $5'' thing\nof ``b $6''.", LINES, ["It is ``a $5'' thing", "of ``b $6''."]),
    (" \n\n\t\n", LINES, []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule", "steps"), CUTS)
def test_a_text_is_cut_where_a_person_would(text: str, rule: str, steps: list[str]) -> None:
    assert cut(text, by=rule) == steps


UNCLOSED = {
    "a displayed formula": "We get \\[ x = 5",
    "double dollars": "We get $$x = 5",
    "a dollar": "We get $x = 5",
    "an environment": "\\begin{align} x = 5",
    "a formula before a whole one": "\\(a\n\\(b\\)",
    "a drawing": "[asy] draw(a);",
    "a thought": "<think> Is it?",
    "code": "Use `x",
}


@pytest.mark.parametrize("opening", UNCLOSED.values(), ids=UNCLOSED)
def test_what_is_not_closed_does_not_hold_the_rest_together(opening: str) -> None:
    steps = cut(f"One.\n\n{opening}\n\nThen we see.\n\n$$y = 6$$ and \\[z\\].\n\nFour.", by=PARAGRAPHS)
    assert steps == ["One.", opening, "Then we see.", "$$y = 6$$ and \\[z\\].", "Four."]


def test_a_code_fence_without_its_end_is_cut_as_text() -> None:
    assert cut("Run\n\n```python\nx = 1\n\ny = 2\n\nSo 3.", by=PARAGRAPHS) == ["Run", "```python\nx = 1", "y = 2", "So 3."]


def test_a_thought_too_long_for_a_step_is_cut_and_keeps_its_tags_with_their_text() -> None:
    paragraphs = ["We think " + "again " * 500] * 10
    steps = cut("\n\n".join(["<think>", *paragraphs, "</think>", "It is 5."]), by=PARAGRAPHS)
    assert (len(steps), steps[0][:10], steps[9][-10:], steps[10]) == (11, "<think>\n\nW", "\n\n</think>", "It is 5.")


# --- properties --------------------------------------------------------------------------------------------------------

PIECES = [
    "One.", "Two is it", "so 3", "\n", "\n\n", "\r\n", "\r", " ", "\x85", "\u2028", "\\[", "\\]", "$$", "$", "\\(", "\\)", "\\begin{a}",
    "\\end{a}", "```", "~~~",
    "`", "| a | b |", "|---|---|", "- ", "1. ", "2) ", "Step 1: ", "**Step 2**", "### ", "---", "# Answer", ":", "[asy]", "[/asy]",
    "<think>", "</think>", "= 5", "$5",
    "\\$", "\\\\", "نعم", "步骤 3：", *WHOLE.values(),
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(TEXTS, st.sampled_from(RULES))
def test_the_steps_are_the_text_without_blank_lines_between_them(text: str, rule: str) -> None:
    at = 0
    for step in cut(text, by=rule):
        start = text.index(step, at)
        assert not text[at:start].strip() and step.strip()
        assert at == 0 or rule == SENTENCES or re.search(r"[\r\n]", text[at:start])
        at = start + len(step)
    assert not text[at:].strip()


@given(TEXTS, st.sampled_from(RULES))
def test_line_ends_of_windows_give_the_same_steps(text: str, rule: str) -> None:
    text = re.sub(r"\r\n?", "\n", text)
    steps = cut(text, by=rule)
    assert [step.replace("\r\n", "\n") for step in cut(text.replace("\n", "\r\n"), by=rule)] == steps
    assert [step.replace("\r", "\n") for step in cut(text.replace("\n", "\r"), by=rule)] == steps


PARAGRAPH = st.one_of(
    st.sampled_from([*WHOLE.values()]), st.sampled_from(["We add 2 and 3.", "That costs $5.", "So it is 6, or 7.", "Let $x$ be \\(y\\)."])
)


@given(st.lists(PARAGRAPH, min_size=1, max_size=12), st.sampled_from(["\n", "\n\n", "\n \n\n"]), st.sampled_from(RULES))
def test_no_step_of_a_sound_text_is_broken(paragraphs: list[str], between: str, rule: str) -> None:
    if between == "\n":
        paragraphs = [text for pair in zip(paragraphs, ["We go on."] * 12, strict=False) for text in pair]
    steps = cut(between.join(["We begin.", *paragraphs]), by=rule)
    assert [(step, why) for step in steps if (why := why_broken(step))] == []
    for whole in set(paragraphs):
        assert any(whole in step for step in steps)


SLOW = {
    "dollars": "$", "dollars in lines": "$a\n", "openings": "\\[", "openings in lines": "\\(\n", "closings": "\\]\n", "backticks": "`",
    "fences": "```a\n",
    "more backticks": "` `` ``` ", "environments": "\\begin{a}\n", "double dollars": "$$x\n\n", "texts": "\\text{$a$",
    "thoughts": "<think>\n", "drawings": "[asy]\n",
    "lists": "a:\n- b\n", "numbers": "1. a\n\n2. b\n\n", "headings": "# a\n", "bars": "|", "rows": "| a | b |\n", "rulers": "|-",
    "stars": "**", "white space": " \t",
    "line ends": "\r", "equations": "= a\n", "steps": "Step 1:\n", "amounts": "$5 for each ", "tags": "<a>\n", "answers": "# Answer\n",
}  # fmt: skip


def _calls(do: Callable[[], object]) -> int:
    """Return how many calls of Python and C functions something takes: a measure of work that does not depend on the machine's load."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", SLOW.values(), ids=SLOW)
def test_twice_the_text_takes_twice_the_work(piece: str) -> None:
    def work(times: int) -> int:
        text = piece * times
        return _calls(lambda: [why_broken(step) for rule in RULES for step in cut(text, by=rule)])

    assert work(200) <= 2.3 * work(100) + 1_000


@pytest.mark.parametrize("piece", SLOW.values(), ids=SLOW)
def test_a_long_text_of_marks_is_cut(piece: str) -> None:
    for rule in RULES:
        cut(piece * (20_000 // len(piece)), by=rule)
    cut(" " * 100_000 + piece, by=LINES)


# --- broken steps ------------------------------------------------------------------------------------------------------

BROKEN = {
    "\\[": "it has no letter and no digit",
    "---": "it has no letter and no digit",
    "<think>": "it has no letter and no digit",
    "...": "it has no letter and no digit",
    "x = 3\n\\]": "\\] closes nothing",
    "we have \\[ x = 3": "\\[ is not closed",
    "we have $$ x = 3": "$$ has no partner",
    "we have $\\frac{1}{2}": "$ has no partner",
    "\\frac{1}{2}$ is it": "$ has no partner",
    "\\(x": "\\( is not closed",
    "\\begin{align} x": "\\begin{align} is not closed",
    "\\[ \\begin{cases} 1 \\]": "\\begin{cases} is not closed",
    "x \\end{align}": "\\end{align} closes nothing",
    "```python\nx": "the code fence ``` is not closed",
    "[asy] draw": "[asy] is not closed",
}
SOUND = [
    "5", "五", "نعم", "½", "$5 and $6", "It costs 5$.", "US$ and A$5", "$$43.00 is it", "a \\$ sign", "\\\\[5pt] x", "`\\[` opens",
    "```\n\\[\n```\nso", "$x$ and $y$$z$",
    "\\[ \\text{if $x$} \\]", "$$a \\text{ if $b$}$$", "$\\(20\\)", "Answer: $x\n= 5$", "<think>a</think>",
    "\\begin{a}\\begin{b}x\\end{b}\\end{a}",
]  # fmt: skip


@pytest.mark.parametrize(("step", "reason"), BROKEN.items())
def test_a_broken_step_is_told_with_its_reason(step: str, reason: str) -> None:
    assert why_broken(step) == reason
    assert why_broken(step.replace("\n", "\r\n")) == reason


@pytest.mark.parametrize("step", SOUND)
def test_a_sound_step_is_not_broken(step: str) -> None:
    assert why_broken(step) is None


def test_a_report_counts_steps_their_lengths_and_the_broken_ones() -> None:
    report = StepFigures()
    report.add(["One.", "Two and 3."], place="line 1")
    report.add(["\\[", "x = 5", "\\]"], place="line 2")
    report.add(["Four"], place="line 3")
    assert (report.solutions, report.steps, report.broken, round(report.share_broken, 2)) == (3, 6, 2, 0.33)
    assert str(report) == (
        "6 steps in 3 solutions: the median solution has 2 (1 to 3). The median step has 4 characters, the longest has 10. "
        "2 steps are broken (33.33%). The first one is step 1 of line 2, '\\\\[': it has no letter and no digit."
    )


def test_a_long_step_is_shortened_to_one_line() -> None:
    assert shortened("a\nb") == "'a\\nb'"
    assert len(shortened("ab" * 100)) == 80


# --- the choice of a rule ----------------------------------------------------------------------------------------------


def test_numbers_decide_if_most_solutions_have_them() -> None:
    numbered = "\n".join(f"Step {number}: Add {number}.\n\nIt is {number}." for number in range(1, 5))
    choice = choose_rule([numbered, numbered, "One.\n\nTwo."])
    assert choice == (NUMBERED, "solutions with numbered steps: 2 of 3")


def test_blank_lines_decide_if_they_give_a_usual_number_of_steps() -> None:
    text = "\n\n".join(["We add this.\nIt is 5."] * 5)
    assert choose_rule([text] * 3) == (PARAGRAPHS, "blank lines give 5 steps in the median solution, lines give 10")


def test_lines_decide_if_blank_lines_are_rare() -> None:
    assert choose_rule(["One.\nTwo.\nThree.\nFour.\n\nFive."] * 3).rule == LINES


def test_sentences_decide_if_most_solutions_are_one_paragraph() -> None:
    choice = choose_rule(["We add 2 and 3. This gives 5. We double it. So it is 10."] * 2 + ["One.\n\nTwo."])
    assert choice == (SENTENCES, "most solutions are one paragraph, and sentences give 4 steps in the median one")


def test_all_texts_decide_and_not_the_first_alone() -> None:
    lines, paragraphs = "\n".join(["We add."] * 5), "\n\n".join(["We add this.\nIt is 5."] * 5)
    assert choose_rule([lines, *[paragraphs] * 4]).rule == PARAGRAPHS


def test_a_file_without_texts_is_cut_by_lines() -> None:
    assert choose_rule([]) == (LINES, "There are no texts to cut")


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("So $4 \\times 12$ or \\(x\\)", ["$4 \\times 12$", "\\(x\\)"]),
        ("\\[\n- x\n\n= 2\n\\] then", ["\\[\n- x\n\n= 2\n\\]"]),
        ("$$\\begin{matrix} a \\\\ b \\end{matrix}$$", ["$$\\begin{matrix} a \\\\ b \\end{matrix}$$"]),
        ("\\begin{cases} 1 \\end{cases}", ["\\begin{cases} 1 \\end{cases}"]),
        ("It costs $5 and $6, or \\$7", []),
        ("`$x$` and ``\\(y\\)``, $z$", ["$z$"]),
        ("```\n$x$\n```\n$y$", ["$y$"]),
        ("$a `b$ c`", []),
        ("<think> $x$ </think>", ["$x$"]),
    ],
)  # fmt: skip
def test_formulas_are_found_outside_of_code(text: str, formulas: list[str]) -> None:
    assert [text[start:end] for start, end in find_formulas(text)] == formulas


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="no rule 'sentence' for steps. The rules are lines, paragraphs, numbered"):
        cut("One.", by="sentence")


def test_random_texts_are_cut_without_an_error() -> None:
    rng = random.Random(7)
    for _ in range(300):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(60)))
        for rule in RULES:
            for step in cut(text, by=rule):
                why_broken(step)
