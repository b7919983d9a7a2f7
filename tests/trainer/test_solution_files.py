"""What `train`, `score` and `evaluate` read: lines of the trainer's own format, checked whole by one schema, and the public formats."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.trainer.test_command_line import write
from trainer.lines import BadInput, read_graded_lines, read_solution_lines, read_solutions


def own(**more: object) -> str:
    return json.dumps({"problem": "Add.", "steps": ["a", "b", "c"], **more})


def test_ratings_as_pandas_writes_them_are_whole_numbers(tmp_path: Path) -> None:
    (labeled,) = read_solutions(write(tmp_path / "f.jsonl", own(ratings=[1.0, -1.0])))
    assert labeled.ratings == (1, -1) and all(type(rating) is int for rating in labeled.ratings)


@pytest.mark.parametrize("kind", ["csv", "parquet", "array", "gzip"])
def test_a_table_of_solutions_reads_as_lines_do(tmp_path: Path, kind: str) -> None:
    row = {"key": "007", "problem": "Add.", "steps": ["a", "b"], "ratings": [1.0, -1.0], "right": True}
    if kind == "csv":
        path = write(tmp_path / "f.csv", "key,problem,steps,ratings,right", '007,Add.,"[""a"", ""b""]","[1.0, -1.0]",True')
    elif kind == "parquet":
        path = tmp_path / "f.parquet"
        parquet.write_table(pa.Table.from_pylist([row]), path)
    else:
        path = write(tmp_path / "f.json", json.dumps([row], indent=2))
    (line,) = read_solution_lines(path)
    assert (line.labeled.solution.key, line.labeled.solution.steps, line.labeled.ratings, line.right) == ("007", ("a", "b"), (1, -1), True)


BAD_LINES = [
    ({"ratings": [1, 0.5]}, "ratings[1] is 0.5. ratings must be a list of -1, 0, 1 or null"),
    ({"ratings": [True]}, "ratings[0] is true"),
    ({"ratings": ["1"]}, "ratings[0] is '1'"),
    ({"ratings": [1, 1, 1, 1]}, "3 steps but 4 ratings"),
    ({"labels": [1, -1]}, "the line has 'labels', but no 'ratings'. Rename 'labels' to 'ratings'"),
    ({"step_labels": [1, -1]}, "the line has 'step_labels', but no 'ratings'"),
    ({"label": 1}, "the line has 'label', but no 'ratings'"),
    ({"right": "yes"}, "right is 'yes'. right must be true or false"),
    ({"right": 1}, "right is 1"),
    ({"answer": ["5"]}, "answer is ['5']"),
    ({"key": {"a": 1}}, "key is {'a': 1}. key must be a text or a number"),
    ({"problem": ["Add."]}, "problem is ['Add.']. problem must be a non-empty text"),
    ({"problem": None}, "problem is null"),
    ({"steps": ["a", 2]}, "steps[1] is 2. steps must be a list"),
    ({"steps": "a"}, "'steps' is a text"),
    ({"steps": ["a\0"]}, "steps[0] contains a NUL character at position 2"),
    ({"soft": [[0.5, 0.5, "0"]]}, "soft[0][2] is '0'"),
    ({"soft": [[0.5, 0.5, 0.5]]}, "Give three probabilities"),
    ({"alternatives": [{"step_index": 0.5, "text": "d", "rating": 1}]}, "alternatives[0].step_index is 0.5"),
    ({"alternatives": [{"step_index": 0, "text": "d", "rating": None}]}, "alternatives[0].rating is null"),
    ({"alternatives": [{"step_index": 9, "text": "d", "rating": 1}]}, "An alternative needs a step that exists"),
    ({"alternatives": [5]}, "alternatives[0] is 5"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), BAD_LINES, ids=[sentence[:40] for _, sentence in BAD_LINES])
def test_every_value_of_a_line_is_checked_before_anything_is_trained(tmp_path: Path, change: dict, sentence: str) -> None:
    with pytest.raises(BadInput) as bad:
        list(read_solutions(write(tmp_path / "f.jsonl", own(), own(**change))))
    assert "f.jsonl line 2: " in str(bad.value) and sentence in str(bad.value)
    assert str(bad.value).endswith(".") and "\n" not in str(bad.value)


@pytest.mark.parametrize("written", ["NaN", "1e400"])
def test_a_probability_that_is_no_finite_number_is_refused(tmp_path: Path, written: str) -> None:
    path = write(tmp_path / "f.jsonl", f'{{"problem": "Add.", "steps": ["a"], "soft": [[{written}, 0, 1]]}}')
    with pytest.raises(BadInput, match=f"line 1: .*{written}"):
        list(read_solutions(path))


def test_unknown_keys_are_named_with_their_counts_and_known_ones_are_not(tmp_path: Path) -> None:
    known = {"right": True, "answer": 5, "id": 1, "subject": "s", "level": 2, "split": "train", "source": "m", "draw": 1, "drawn_with": {}}
    other = {"step_index": 0, "text": "d", "rating": 1, "author": "kim"}
    path = write(tmp_path / "f.jsonl", own(**known), own(uuid=1, note=None), own(uuid=2, alternatives=[other]))
    notes: list[str] = []
    assert len(list(read_solutions(path, say=notes.append))) == 3
    assert notes == [f"{path}: 2 keys were not used: uuid (2), alternatives.author (1)."]


def test_a_file_of_another_format_is_read_and_named(samples: Path) -> None:
    path, notes = samples / "prm800k/labeled_paths.jsonl", list[str]()
    labeled = list(read_solutions(path, say=notes.append))
    raw = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one.solution.steps for one in labeled] == [tuple(step["text"] for step in line["steps"]) for line in raw]
    assert [one.ratings for one in labeled] == [tuple(step["rating"] for step in line["steps"]) for line in raw]
    assert f"{path}: The format is generic" in notes[0] and notes[1] == f"{path}: 1 key was not used: phase (3)."


@pytest.mark.parametrize(
    ("file", "n"),
    [("prm800k/records.jsonl", 6), ("gsm8k/mr_gsm8k_wrong_solutions.jsonl", None), ("gsm8k/example_model_solutions.jsonl", 80)],
)
def test_the_trainer_reads_the_formats_of_the_site(samples: Path, file: str, n: int | None) -> None:
    labeled = list(read_solutions(samples / file))
    assert len(labeled) == (n or len((samples / file).read_text().splitlines()))
    assert len({one.solution.key for one in labeled}) == len(labeled)
    assert any(one.n_rated for one in labeled) == ("example" not in file)


def test_a_file_with_problems_alone_is_refused_with_its_format(samples: Path) -> None:
    with pytest.raises(BadInput, match="a file of format gsm8k has problems but no solutions"):
        list(read_solutions(samples / "gsm8k/test.jsonl"))


def test_a_format_that_the_objects_do_not_show_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", json.dumps({"question": "q", "solution": "a\nb"}))
    with pytest.raises(BadInput, match="unknown format"):
        list(read_solutions(path))
    (labeled,) = read_solutions(path, format="generic")
    assert labeled.solution.problem == "q"


def test_solutions_that_state_no_grade_are_graded_by_their_answers(samples: Path) -> None:
    path, notes = samples / "gsm8k/example_model_solutions.jsonl", list[str]()
    graded = {solution.key: right for solution, right, _ in read_graded_lines(path, read_solution_lines(path), say=notes.append)}
    stated = {
        f"line {number}.{place}": value["is_correct"]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for place, value in enumerate((value for value in json.loads(line).values() if isinstance(value, dict)), 1)
    }
    assert len(graded) == 79 and {key: stated[key] for key in graded} == graded
    assert notes == [f"{path}: 1 solution was left out: it is not certain whether the answer is right."]  # it states no answer


def test_a_grade_that_the_file_records_needs_no_reference_answer(tmp_path: Path) -> None:
    rows = [{"problem": "p", "steps": ["So 5."], "label": -1, "final_answer_correct": right} for right in (True, False, None)]
    path, notes = write(tmp_path / "f.jsonl", *map(json.dumps, rows)), list[str]()
    graded = read_graded_lines(path, read_solution_lines(path, format="processbench"), say=notes.append)
    assert [(solution.key, right) for solution, right, _ in graded] == [("line 1", True), ("line 2", False)]
    assert notes == [f"{path}: 1 solution was left out: it is not certain whether the answer is right."]


def test_a_solution_whose_answer_cannot_be_graded_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [{"problem": "p", "answer": "5", "solution": f"So.\n\n# Answer\n\n{answer}"} for answer in ("5", "6", "\\frac{")]
    path, notes = write(tmp_path / "f.jsonl", *map(json.dumps, lines)), list[str]()
    graded = list(read_graded_lines(path, read_solution_lines(path), say=notes.append))
    assert [(right, answer) for _, right, answer in graded] == [(True, "5"), (False, "6")]
    assert notes == [f"{path}: 1 solution was left out: it is not certain whether the answer is right."]


def test_a_problem_that_its_labeler_called_bad_teaches_nothing(tmp_path: Path) -> None:
    line: Callable[[str], str] = lambda reason: json.dumps({"problem": "p", "steps": [{"text": "a", "rating": 1}], "finish_reason": reason})  # noqa: E731
    notes: list[str] = []
    path = write(tmp_path / "f.jsonl", line("bad_problem"), line("solution"))
    assert [one.solution.key for one in read_solutions(path, say=notes.append)] == ["line 2"]
    assert f"{path}: 1 solution was left out: a labeler called the problem bad." in notes


def test_solutions_that_are_texts_are_cut_by_one_rule_for_the_file(tmp_path: Path) -> None:
    text = "We add 2 and 3.\n\nThis gives:\n\\[\n2 + 3 = 5\n\\]\n\nWe check it.\n\nSo it is 5."
    path, notes = write(tmp_path / "f.jsonl", json.dumps({"problem": "Add 2 and 3.", "solution": text})), []
    (labeled,) = read_solutions(path, say=notes.append)
    assert labeled.solution.steps == ("We add 2 and 3.", "This gives:\n\\[\n2 + 3 = 5\n\\]", "We check it.", "So it is 5.")
    assert f"{path}: The texts are cut by paragraphs: blank lines give 4 steps in the median solution." in notes[1]
