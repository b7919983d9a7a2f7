"""How a load cuts solutions that are texts, what it says about their steps, and when it refuses them."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from annotation import ingest
from annotation.ingest import BadFile, NewProblem, NewSolution
from annotation.models import Problem, Solution
from tests import make
from tests.annotation.test_formats import GENERIC, write

pytestmark = pytest.mark.django_db

MARKDOWN = (
    "To find the mean, we add all numbers first.\n\nThe sum is:\n\\[\n1 + 2 + 6 = 9\n\\]\n\n"
    "We divide by 3:\n\n\\[\n\\text{Mean} = \\frac{9}{3}\n= 3\n\\]\n\nTherefore, the mean is \\(\\boxed{3}\\)."
)
STEPS = [
    "To find the mean, we add all numbers first.",
    "The sum is:\n\\[\n1 + 2 + 6 = 9\n\\]",
    "We divide by 3:\n\n\\[\n\\text{Mean} = \\frac{9}{3}\n= 3\n\\]",
    "Therefore, the mean is \\(\\boxed{3}\\).",
]
TORN = {"problem": "What is the mean?", "answer": "3", "steps": ["We add:", "\\[", "1 + 2 = 3", "\\]"]}


def text(solution: str, number: int = 1) -> dict:
    return {"problem": f"What is the mean of list {number}?", "answer": "3", "solution": solution}


def test_a_file_of_markdown_is_cut_at_its_blank_lines_and_says_why(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", text(MARKDOWN), text(MARKDOWN.replace("6", "7"), 2))
    report = ingest.load_solutions(path, project=make.project())
    assert [solution.steps for solution in Solution.objects.order_by("pk")][0] == STEPS
    assert report.steps_by == ("paragraphs", "blank lines give 4 steps in the median solution")
    assert "The texts are cut by paragraphs (auto): blank lines give 4 steps in the median solution." in str(report)
    assert "8 steps in 2 solutions: the median solution has 4 (4 to 4). The median step has" in str(report)


def test_all_texts_of_a_file_decide_how_it_is_cut(tmp_path: Path) -> None:
    lines = [text("\n".join(f"{number} + {more} = {number + more}" for more in range(1, 7)), number) for number in range(1, 6)]
    path = write(tmp_path / "f.jsonl", text(MARKDOWN), *lines)
    assert ingest.load_solutions(path, project=make.project()).steps_by == (
        "lines",
        "lines give 6 steps in the median solution, blank lines give 1",
    )


def test_the_rule_can_be_named(tmp_path: Path) -> None:
    path, out = write(tmp_path / "f.jsonl", text("Step 1: Add.\n\nMore.\n\nStep 2: Divide.")), StringIO()
    call_command("load_solutions", str(path), project=make.project().slug, steps_by="numbered", stdout=out)
    assert Solution.objects.get().steps == ["Step 1: Add.\n\nMore.", "Step 2: Divide."]
    assert "The texts are cut by numbered." in out.getvalue()


def test_an_unknown_rule_is_refused_with_the_rules(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="unknown rule 'words' for steps. The rules are lines, paragraphs, numbered, sentences, auto"):
        ingest.load_solutions(write(tmp_path / "f.jsonl", text("One.")), project=make.project(), steps_by="words")


def test_line_ends_of_windows_give_the_same_steps(tmp_path: Path) -> None:
    crlf = text("Three more than two.\r\nThat is five.\r\n\r\n# Answer\r\n\r\n5", 2)
    ingest.load_solutions(
        write(tmp_path / "f.jsonl", crlf, text("One.\rTwo.\r\r# Answer\r\r3", 3)), project=make.project(), steps_by="lines"
    )
    assert [solution.steps for solution in Solution.objects.order_by("pk")] == [
        ["Three more than two.", "That is five.\r\n\r\n# Answer\r\n\r\n5"],
        ["One.", "Two.\r\r# Answer\r\r3"],
    ]
    assert set(Solution.objects.values_list("final_answer", flat=True)) == {"5", "3"}


@pytest.mark.parametrize("rule", ["auto", "lines", "paragraphs"])
def test_the_same_file_and_rule_again_change_nothing(tmp_path: Path, rule: str) -> None:
    path, project = write(tmp_path / "f.jsonl", text(MARKDOWN), text("One.  \r\nTwo.\u2028Three.", 2)), make.project()
    first = ingest.load_solutions(path, project=project, steps_by=rule)
    again = ingest.load_solutions(path, project=project, steps_by=rule)
    assert (first.new_solutions, again.new_solutions, Solution.objects.count()) == (2, 0, 2)


def test_a_file_that_gives_its_steps_is_not_cut(tmp_path: Path) -> None:
    report = ingest.load_solutions(write(tmp_path / "f.jsonl", GENERIC), project=make.project())
    assert report.steps_by is None
    assert "The file gives the steps: 2 steps in 1 solution: the median solution has 2 (2 to 2)." in str(report)


def test_torn_steps_are_refused_with_an_example_and_nothing_is_stored(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", GENERIC, TORN)
    with pytest.raises(BadFile) as refused:
        ingest.load_solutions(path, project=make.project())
    assert str(refused.value) == (
        f"{path}: 2 steps are broken (33.33%). The first one is step 2 of line 2, '\\\\[': it has no letter and no digit. At most 1% of "
        "the steps can be broken. Give each solution as one text with the key 'solution', which --steps-by cuts, or load the file as it is "
        "with --allow-broken-steps."
    )
    assert not Problem.objects.exists()


def test_texts_with_marks_that_are_not_closed_are_refused_and_another_rule_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", text("We get \\[ x = 5\n\nSo it is 5.\n\nOr 6."))
    with pytest.raises(BadFile) as refused:
        ingest.load_solutions(path, project=make.project(), steps_by="lines")
    assert "1 step is broken (33.33%, 1 of them in the text itself). The first one is step 1 of line 1, " in str(refused.value)
    assert "\\[ is not closed. At most 1%" in str(refused.value)
    assert "Cut the texts by another rule with --steps-by paragraphs or numbered or sentences, or load the file" in str(refused.value)
    assert not Problem.objects.exists()


def test_broken_steps_are_loaded_if_that_is_said(tmp_path: Path) -> None:
    out = StringIO()
    call_command("load_solutions", str(write(tmp_path / "f.jsonl", TORN)), project=make.project().slug, allow_broken_steps=True, stdout=out)
    assert Solution.objects.get().steps == TORN["steps"]
    assert "2 steps are broken (50.00%). The first one is step 2 of line 1, '\\\\[': it has no letter and no digit." in out.getvalue()


def test_one_broken_step_in_a_hundred_is_loaded_and_named(tmp_path: Path) -> None:
    many = {**GENERIC, "steps": [f"Add {number}." for number in range(99)] + ["..."]}
    report = ingest.load_solutions(write(tmp_path / "f.jsonl", many), project=make.project())
    assert "1 step is broken (1.00%). The first one is step 100 of line 1, '...': it has no letter and no digit." in str(report)


def test_a_line_with_an_empty_solution_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="line 2: the solution is empty"):
        ingest.load_solutions(write(tmp_path / "f.jsonl", text("One."), text(" \r\n")), project=make.project())


def test_alternatives_belong_to_the_steps_of_a_cut_text(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", {**text("One.\n\nTwo."), "alternatives": {"3": ["Three."]}})
    with pytest.raises(BadFile, match="step 3 has alternatives, but the solution has 2 steps"):
        ingest.load_solutions(path, project=make.project())


def test_a_text_that_comes_as_a_value_is_cut_by_lines() -> None:
    project = make.project()
    ingest.add_solutions(project, [NewSolution(NewProblem("What is 2?"), (), text="One.\nTwo.")])
    assert Solution.objects.get().steps == ["One.", "Two."]


def test_the_choice_of_a_rule_tells_its_progress(tmp_path: Path) -> None:
    told: list[str] = []
    path = write(tmp_path / "f.jsonl", *[text(f"It is {number}.", number) for number in range(600)])
    ingest.load_solutions(path, project=make.project(), progress=lambda stage, *_: told.append(stage))
    assert "choosing how to cut" in told
