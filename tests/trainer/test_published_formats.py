"""Published sets of labeled solutions: what their labels become, and what a wrong line is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.formats import FORMATS, BadLine, Fields, NewSolution, check_solution, detect_format, read_lines, unused_keys

PROCESSBENCH = {
    "id": "gsm8k-0", "generator": "Qwen2-7B", "problem": "What is 2 + 3?", "steps": ["Add.", "So 6.", "Done."],
    "final_answer_correct": False, "label": 1,
}  # fmt: skip
SHEPHERD = {
    "input": "What is 2 + 3? Step 1: Add 2 and 3. ки\nStep 2: 2 + 3 = 6. ки\nStep 3: The answer is: 6 ки",
    "label": "What is 2 + 3? Step 1: Add 2 and 3. +\nStep 2: 2 + 3 = 6. -\nStep 3: The answer is: 6 -",
    "task": "GSM8K",
}
TRL = {"prompt": "What is 2 + 3?", "completions": ["Add.", "So 6."], "labels": [True, False]}
RLHFLOW = {
    "conversations": [
        {"role": "user", "content": "What is 2 + 3? Step 1: Add 2 and 3."},
        {"role": "assistant", "content": "+"},
        {"role": "user", "content": "Step 2: 2 + 3 = 6."},
        {"role": "assistant", "content": "-"},
    ]
}
OPENRLHF = {"input": SHEPHERD["input"], "value": ["+", "-", "-"]}
CHAT = {
    "messages": [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": "What is 2 + 3?"},
        {"role": "assistant", "content": "Add.<extra_0>So 6.<extra_0>"},
    ],
    "labels": [1, 0],
}
ORM = {"prompt": "What is 2 + 3?\n", "completion": "Add.\nSo 5.", "label": True}
PRMBENCH = {
    "idx": "redundency_prm_test_p1_1", "original_question": "What is 2 + 3?", "modified_question": "What is 2 + 3?",
    "original_process": ["Add.", "So 5."], "modified_process": ["Add.", "So 6.", "So 7."], "modified_steps": [2, 3],
    "error_steps": [2, 3], "reason": "2 + 3 is 5.",
}  # fmt: skip

MR_GSM8K = {
    "question": "What is 2 + 3?", "ground_truth_solution": "2 + 3 = 5\n#### 5", "model_output_steps": ["Step 1: Add.", "Step 2: So 6."],
    "model_output_solution_correctness": "wrong", "model_output_solution_first_error_step": 2,
}  # fmt: skip
RIGHT = {"model_output_solution_correctness": "Correct", "model_output_solution_first_error_step": None}


def written(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def solutions(tmp_path: Path, row: dict[str, Any]) -> tuple[str, list[NewSolution]]:
    path = written(tmp_path, row)
    name = detect_format(path).name
    read = FORMATS[name].solutions
    assert read
    found = [solution for _, fields in read_lines(path) for solution in read(fields)]
    for solution in found:
        check_solution(solution)
    return name, found


def ratings(solution: NewSolution) -> list[int | None]:
    return [label.rating for label in solution.annotation.labels] if solution.annotation else []


@pytest.mark.parametrize(
    ("row", "name", "steps", "expected"),
    [
        (PROCESSBENCH, "processbench", ("Add.", "So 6.", "Done."), [1, -1]),
        (PROCESSBENCH | {"label": -1}, "processbench", ("Add.", "So 6.", "Done."), [1, 1, 1]),
        (PROCESSBENCH | {"label": 1.0}, "processbench", ("Add.", "So 6.", "Done."), [1, -1]),
        (SHEPHERD, "math_shepherd", ("Step 1: Add 2 and 3.", "Step 2: 2 + 3 = 6.", "Step 3: The answer is: 6"), [1, -1]),
        (OPENRLHF, "openrlhf", ("Step 1: Add 2 and 3.", "Step 2: 2 + 3 = 6.", "Step 3: The answer is: 6"), [1, -1]),
        (CHAT, "chat", ("Add.", "So 6."), [1, -1]),
        (TRL, "trl", ("Add.", "So 6."), [1, -1]),
        (TRL | {"labels": [1, 1]}, "trl", ("Add.", "So 6."), [1, 1]),
        (RLHFLOW, "rlhflow", ("Step 1: Add 2 and 3.", "Step 2: 2 + 3 = 6."), [1, -1]),
        (PRMBENCH, "prmbench", ("Add.", "So 6.", "So 7."), [1, -1]),
        (PRMBENCH | {"error_steps": [3.0]}, "prmbench", ("Add.", "So 6.", "So 7."), [1, 1, -1]),
        (MR_GSM8K, "mr_gsm8k", ("Add.", "So 6."), [1, -1]),
        (MR_GSM8K | RIGHT, "mr_gsm8k", ("Add.", "So 6."), [1, 1]),
        ({key: value for key, value in (MR_GSM8K | RIGHT).items() if value}, "mr_gsm8k", ("Add.", "So 6."), [1, 1]),
    ],
    ids=[
        "processbench",
        "no mistake",
        "a float",
        "math_shepherd",
        "openrlhf",
        "chat",
        "trl",
        "trl as numbers",
        "rlhflow",
        "prmbench",
        "prmbench as float",
        "mr_gsm8k",
        "mr_gsm8k, right",
        "mr_gsm8k, right without a number",
    ],
)
def test_the_labels_become_an_annotation(
    tmp_path: Path, row: dict[str, Any], name: str, steps: tuple[str, ...], expected: list[int]
) -> None:
    detected, (first, *_) = solutions(tmp_path, row)
    assert (detected, first.steps, ratings(first), first.problem.statement) == (name, steps, expected, "What is 2 + 3?")


def test_ratings_after_the_first_mistake_are_named() -> None:
    (solution,) = FORMATS["math_shepherd"].solutions(Fields(SHEPHERD.items()))  # type: ignore[misc]
    assert solution.left_out == ("ratings after the first mistake",)


def test_the_original_solution_of_prmbench_is_right(tmp_path: Path) -> None:
    _, (_, original) = solutions(tmp_path, PRMBENCH)
    assert (original.steps, ratings(original)) == (("Add.", "So 5."), [1, 1])


def test_a_solution_that_was_not_changed_is_one_solution(tmp_path: Path) -> None:
    _, found = solutions(tmp_path, PRMBENCH | {"modified_process": PRMBENCH["original_process"], "error_steps": []})
    assert [ratings(solution) for solution in found] == [[1, 1]]


def test_a_conversation_of_sharegpt_is_read_too(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "What is 2 + 3?\n\nStep 1: Add."}, {"from": "gpt", "value": "+"}]
    _, (solution,) = solutions(tmp_path, {"conversations": turns})
    assert (solution.problem.statement, solution.steps) == ("What is 2 + 3?", ("Step 1: Add.",))


def test_the_words_of_the_system_are_left_out_and_named() -> None:
    turns = [Fields({"role": "system", "content": "Judge."}.items()), *(Fields(turn.items()) for turn in RLHFLOW["conversations"])]
    fields = Fields({"conversations": turns}.items())
    (solution,) = FORMATS["rlhflow"].solutions(fields)  # type: ignore[misc]
    assert (solution.left_out, ratings(solution), unused_keys(fields)) == (("turns of the system",), [1, -1], set())


def test_a_last_step_without_a_mark_has_no_rating(tmp_path: Path) -> None:
    row = {"input": "What? Step 1: A. ки\nStep 2: B", "label": "What? Step 1: A. +\nStep 2: B"}
    _, (solution,) = solutions(tmp_path, row)
    assert (solution.steps, ratings(solution)) == (("Step 1: A.", "Step 2: B"), [1])


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("processbench", PROCESSBENCH | {"label": 3}, "a whole number from 0 to 2, or -1"),
        ("processbench", PROCESSBENCH | {"label": -2}, "a whole number from 0 to 2, or -1"),
        ("processbench", PROCESSBENCH | {"label": True}, "'label' is true"),
        ("processbench", PROCESSBENCH | {"final_answer_correct": "maybe"}, "'final_answer_correct' must be true, false or null"),
        ("processbench", PROCESSBENCH | {"label": "1"}, "'label' is '1'"),
        ("processbench", PROCESSBENCH | {"label": None}, "or -1 if all steps are right"),
        ("processbench", PROCESSBENCH | {"label": 0.5}, "'label' is 0.5"),
        ("math_shepherd", SHEPHERD | {"label": "What is 2 + 3? Step 1: Add. +"}, "does not repeat step 1"),
        ("math_shepherd", SHEPHERD | {"label": SHEPHERD["input"]}, "with + or - after it"),
        ("math_shepherd", {"input": "Add. ки", "label": "Add. +"}, "Begin the first step with 'Step 1:'"),
        ("openrlhf", OPENRLHF | {"value": ["+"]}, "'input' has 3 marks 'ки', but 'value' has 1 sign. Give each mark one + or -"),
        ("openrlhf", OPENRLHF | {"value": ["+", 0.5, "-"]}, "the sign of step 2 is 0.5. A sign must be + or -"),
        ("openrlhf", OPENRLHF | {"value": ["+", None, "-"]}, "the sign of step 2 is null"),
        ("openrlhf", {"input": "Add. ки", "value": ["+"]}, "Begin the first step with 'Step 1:'"),
        ("chat", CHAT | {"labels": [1]}, "the solution has 2 steps that end with <extra_0>, but 1 label"),
        ("chat", CHAT | {"labels": [1, 2]}, "label 2 is 2"),
        ("chat", CHAT | {"messages": CHAT["messages"][:2]}, "are not one of the user and one of the assistant"),
        (
            "chat",
            CHAT | {"messages": [*CHAT["messages"][:2], {"role": "assistant", "content": "Add."}]},
            "Write <extra_0> after every step",
        ),
        ("chat", CHAT | {"messages": [{"role": ["user"]}, {"role": "assistant"}]}, "are not one of the user"),
        ("orm", ORM | {"label": None}, "'label' is missing. Give true if the final answer is right, or false"),
        ("orm", ORM | {"label": "+"}, "'label' must be true, false or null"),
        ("trl", TRL | {"labels": [True]}, "2 completions, but 1 label."),
        ("trl", TRL | {"labels": [True, 0.5]}, "label 2 is 0.5"),
        ("trl", TRL | {"labels": [True, None]}, "label 2 is null"),
        ("rlhflow", {"conversations": RLHFLOW["conversations"][:3]}, "are not one of the user and one of the assistant"),
        ("rlhflow", {"messages": [{"role": "user", "content": "Q Step 1: A"}, {"role": "assistant", "content": "good"}]}, "must be + or -"),
        *(
            ("prmbench", PRMBENCH | {"error_steps": [wrong]}, "the solution has 3 steps. Number the wrong steps from 1")
            for wrong in (4, 0, -1, "2", 2.5, True, None)
        ),
        ("prmbench", PRMBENCH | {"error_steps": None}, "'error_steps' is missing"),
        ("prmbench", {key: PRMBENCH[key] for key in PRMBENCH if key != "error_steps"}, "'error_steps' is missing"),
        ("math_shepherd", SHEPHERD | {"label": SHEPHERD["label"] + "\nStep 4: So 7. +"}, "end with different texts"),
        ("math_shepherd", SHEPHERD | {"input": SHEPHERD["input"] + "\nStep 4"}, "end with different texts"),
        ("mr_gsm8k", MR_GSM8K | {"model_output_steps": []}, "the solution has no steps"),
        ("mr_gsm8k", MR_GSM8K | {"model_output_solution_first_error_step": 3}, "a whole number from 1 to 2, or null for a solution"),
        ("mr_gsm8k", MR_GSM8K | {"model_output_solution_first_error_step": None}, "disagree"),
        ("mr_gsm8k", MR_GSM8K | {"model_output_solution_correctness": "correct"}, "disagree"),
        ("generic", {"problem": "p", "steps": [{"text": "a", "rating": 1}], "ratings": [-1]}, "Keep one of the two"),
    ],
)
def test_a_wrong_line_is_refused_with_its_remedy(tmp_path: Path, name: str, row: dict[str, Any], words: str) -> None:
    path = written(tmp_path, row)
    read = FORMATS[name].solutions
    assert read
    with pytest.raises(BadLine) as caught:
        [solution for _, fields in read_lines(path) for solution in read(fields)]
    assert words in str(caught.value)


@pytest.mark.parametrize(("file", "count"), [("gsm8k.json", 400), ("math.json", 1_000)])
def test_every_human_label_of_processbench_is_read(data: Path, file: str, count: int) -> None:
    path = data / "processbench" / file
    assert detect_format(path).name == "processbench"
    rows = json.loads(path.read_text())
    read = FORMATS["processbench"].solutions
    assert read
    mistakes = []
    for _, fields in read_lines(path):
        (solution,) = read(fields)
        mistakes.append(ratings(solution).index(-1) if -1 in ratings(solution) else -1)
    assert mistakes == [row["label"] for row in rows] and len(mistakes) == count
