"""Which format a file has: decided by all signs of its first objects, never by two common keys. What is not read is named."""

from pathlib import Path

import pytest

from tests.annotation.test_formats import GENERIC, write
from trainer.answers import stated_answer
from trainer.formats import FORMATS, BadFile, Fields, cut_solution, detect_format, read_lines, unused_keys
from trainer.lines import BadInput, read_solution_lines

SAMPLED = {
    "question": "What is 2 + 3?",
    "gt": "5",
    "gt_cot": "2 + 3 = 5",
    "answer": "5",
    "solution": "2 + 3 = 5",
    "level": "Level 3",
    "code": ["Add.\nSo \\boxed{5}.", "So six."],
    "pred": ["5", "6"],
    "score": [True, False],
}


def test_the_samples_of_qwen_are_no_problems_of_gsm8k(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", SAMPLED)
    assert detect_format(path) == ("qwen_math", "question (a text), code (a list), pred (a list), gt")
    first, second = FORMATS["qwen_math"].solutions(next(read_lines(path))[1])  # type: ignore[misc]
    assert cut_solution(first, by="lines").steps == ("Add.", "So \\boxed{5}.")
    assert (first.final_answer, second.final_answer) == (
        None,
        "6",
    )  # only what the text does not state comes from the file
    assert (first.problem.answer, first.problem.reference_solution, first.problem.level) == ("5", "2 + 3 = 5", "3")


def test_all_800_samples_of_qwen_load_with_their_problems(data: Path) -> None:
    path = data / "best-of-n/math_cot_100.jsonl"
    assert detect_format(path).name == "qwen_math"
    solutions = [s for _, fields in read_lines(path) for s in FORMATS["qwen_math"].solutions(fields)]  # type: ignore[misc]
    assert len(solutions) == 800 and len({solution.problem for solution in solutions}) == 100
    answers = [solution.final_answer or stated_answer(cut_solution(solution, by="paragraphs").steps) for solution in solutions]
    assert all(answers) and all(solution.problem.answer for solution in solutions)


UNKNOWN = [
    ({"question": "q", "answer": "5"}, "unknown format (keys: 'question', 'answer')"),
    ({"question": "q", "answer": ["#### 5"]}, "unknown format"),
    ({"question": "q", "ground_truth": "5"}, "unknown format"),
    ({"question": "q", "ground_truth": "A: 5", "note": {"text": "no solution"}}, "unknown format"),
    ({"question": "q", "label": 1}, "unknown format"),
    ({"question": {"problem": "p"}, "label": 1}, "unknown format"),
    ({"problem": ["p"], "type": "Algebra"}, "unknown format"),
    (
        {"question": "q", "answer": "#### 5", "model_output_steps": ["a"], "model_output_solution_first_error_step": 1},
        "the formats mr_gsm8k and gsm8k fit",
    ),
    ({**SAMPLED, "answer": "#### 5"}, "the formats gsm8k and qwen_math fit"),
]


@pytest.mark.parametrize(("fields", "reason"), UNKNOWN)
def test_a_file_that_no_format_or_two_formats_fit_is_refused_with_its_keys(tmp_path: Path, fields: dict, reason: str) -> None:
    with pytest.raises(BadFile) as bad:
        detect_format(write(tmp_path / "f.jsonl", fields))
    assert reason in bad.value.reason and all(repr(key) in bad.value.reason for key in fields)
    assert "--format" in bad.value.remedy


LABELED = [
    ({"problem": "p", "steps": ["a", "b"], "label": -1}, "label"),
    ({"problem": "p", "steps": ["a"], "labels": [True]}, "labels"),
    ({"problem": "p", "steps": ["a"], "step_correctness": [1]}, "step_correctness"),
    ({"problem": "p", "steps": ["a"], "human_annotations": [1]}, "human_annotations"),
    ({"problem": "p", "solution": "a", "first_error_step": 1}, "first_error_step"),
    ({"problem": "p", "solution": "a", "mistake_index": 0}, "mistake_index"),
    ({"problem": "p", "steps": [{"text": "a", "label": 1}]}, "steps.label"),
]


@pytest.mark.parametrize(("fields", "key"), LABELED, ids=[key for _, key in LABELED])
def test_generic_does_not_take_a_file_whose_labels_it_would_lose(tmp_path: Path, fields: dict, key: str) -> None:
    with pytest.raises(BadFile, match=rf"the file has labels \({key}\) in a format that is not known.*--format generic"):
        detect_format(write(tmp_path / "f.jsonl", fields))


def test_labels_far_below_the_beginning_of_a_file_are_not_lost_either(tmp_path: Path) -> None:
    row = {"problem": "p", "solution": "Add."}
    path = write(tmp_path / "f.jsonl", *[row] * 30, {**row, "first_error_step": 1})
    with pytest.raises(BadInput, match=r"line 31: the file has labels \(first_error_step\) in a format that is not known"):
        list(read_solution_lines(path))
    assert len(list(read_solution_lines(path, format="generic"))) == 31


@pytest.mark.parametrize("fields", [{**GENERIC, "labels": None}, {**GENERIC, "ratings": [1, 1]}, {**GENERIC, "right": True}])
def test_generic_takes_a_file_whose_labels_it_reads(tmp_path: Path, fields: dict) -> None:
    assert detect_format(write(tmp_path / "f.jsonl", fields)).name == "generic"


def test_a_file_of_two_formats_is_refused_with_the_line_that_differs(tmp_path: Path) -> None:
    gsm8k = {"question": "q", "answer": "#### 5"}
    with pytest.raises(BadFile, match="line 2: the object has the format gsm8k, but the file begins with the format generic"):
        detect_format(write(tmp_path / "f.jsonl", GENERIC, gsm8k))


def test_ratings_beside_the_steps_are_labels(tmp_path: Path) -> None:
    fields = Fields({"problem": "p", "steps": ["a", "b", "c"], "ratings": [1.0, -1.0]}.items())
    (solution,) = FORMATS["generic"].solutions(fields)  # type: ignore[misc]
    assert solution.annotation
    assert [label.rating for label in solution.annotation.labels] == [1, -1]
    assert solution.annotation.finish_reason == "found_error"


def read_all(path: Path, format: str) -> list[set[str]]:
    """Read every solution of a file; return the unused keys of each line."""
    unused = []
    for _, fields in read_lines(path):
        FORMATS[format].solutions(fields)  # type: ignore[misc]
        unused.append(unused_keys(fields))
    return unused


def test_a_key_that_no_reader_looked_at_is_named_also_inside_others(tmp_path: Path) -> None:
    rated = {
        "problem": "p",
        "steps": [{"text": "a", "rating": 1, "by": "kim"}, {"text": "b", "rating": -1}],
        "note": {"x": 1},
        "empty": None,
    }
    plain = {"problem": "p", "solution": "a", "finish_reason": "solution", "answer": 1, "ground_truth_answer": 1}
    path = write(tmp_path / "f.jsonl", rated, plain)
    assert read_all(path, "generic") == [{"steps.by", "note"}, {"finish_reason", "ground_truth_answer"}]


@pytest.mark.parametrize(
    ("file", "format", "unused"),
    [
        ("gsm8k/example_model_solutions.jsonl", "gsm8k_solutions", None),
        ("prm800k/records.jsonl", "prm800k", set()),
        ("prm800k/labeled_paths.jsonl", "generic", {"phase", "truncated_at_1024_tokens", "_row"}),
    ],
)
def test_the_readers_look_at_every_key_that_matters(samples: Path, file: str, format: str, unused: set[str] | None) -> None:
    names = set().union(*read_all(samples / file, format))
    if unused is None:  # answers are graded here
        assert names and all(name.endswith(".is_correct") for name in names)
    else:
        assert names <= unused
