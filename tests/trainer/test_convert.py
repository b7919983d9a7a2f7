"""`python -m trainer convert`: the same solutions in another format and container, and a sentence for what has no place there."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.__main__ import main

ROWS = [
    {"problem": "What is 2 + 3?", "steps": ["Add.", "So 6.", "Done."], "ratings": [1, -1], "key": "a", "right": False, "answer": "6"},
    {"problem": "What is 2 + 2?", "steps": ["Add; “é”, 1,\n2.", "So 4."], "ratings": [0, 1], "key": "b"},
    {"problem": "What is 1 + 1?", "steps": ["So 2."], "key": "c"},
]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "jsonl.gz", "csv.gz", "parquet.gz"])
def test_every_container_gives_the_same_solutions_back(source: Path, tmp_path: Path, kind: str) -> None:
    assert main(["convert", str(source), str(tmp_path / f"own.{kind}"), "--to", "trainer"]) == 0
    assert main(["convert", str(tmp_path / f"own.{kind}"), str(tmp_path / f"generic.{kind}"), "--to", "generic"]) == 0
    assert main(["convert", str(tmp_path / f"generic.{kind}"), str(tmp_path / "back.jsonl"), "--to", "trainer"]) == 0
    back = lines(tmp_path / "back.jsonl")
    assert [(row["problem"], row["steps"], row["ratings"]) for row in back] == [
        (row["problem"], row["steps"], row.get("ratings", [])) for row in ROWS
    ]


def test_trl_gets_the_rated_steps_and_a_sentence_for_the_rest(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(source), str(tmp_path / "out.jsonl"), "--to", "trl"]) == 0
    assert lines(tmp_path / "out.jsonl") == [
        {"prompt": "What is 2 + 3?", "completions": ["Add.", "So 6."], "labels": [True, False]},
        {"prompt": "What is 2 + 2?", "completions": ["Add; “é”, 1,\n2.", "So 4."], "labels": [True, True]},
    ]
    said = capsys.readouterr().err
    assert "2 of 3 solutions." in said
    for sentence in (
        "1 solution is left out: there are no ratings.",
        "1 solution has neutral steps, which count as right.",
        "1 solution loses the steps after the last rating.",
    ):
        assert sentence in said


def test_a_converted_set_of_trl_is_read_as_one(source: Path, tmp_path: Path) -> None:
    main(["convert", str(source), str(tmp_path / "trl.csv"), "--to", "trl"])
    assert main(["convert", str(tmp_path / "trl.csv"), str(tmp_path / "own.jsonl"), "--to", "trainer"]) == 0
    assert [row["ratings"] for row in lines(tmp_path / "own.jsonl")] == [[1, -1], [1, 1]]


@pytest.mark.parametrize("to", ["processbench", "math_shepherd", "rlhflow"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_published_format_is_recognized_again_with_its_labels(source: Path, tmp_path: Path, to: str, kind: str) -> None:
    rows = [row | {"right": row["ratings"] != [1, -1], "answer": "4"} for row in ROWS if "ratings" in row]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["convert", str(source), str(tmp_path / f"out.{kind}"), "--to", to]) == 0
    assert main(["convert", str(tmp_path / f"out.{kind}"), str(tmp_path / "own.jsonl"), "--to", "trainer"]) == 0
    back = lines(tmp_path / "own.jsonl")
    assert [(row["problem"], row["ratings"]) for row in back] == [("What is 2 + 3?", [1, -1]), ("What is 2 + 2?", [1, 1])]
    if to == "processbench":
        assert [row["steps"] for row in back] == [row["steps"] for row in rows]
    else:
        assert [row["steps"][0] for row in back] == [f"Step 1: {row['steps'][0]}" for row in rows]


@pytest.mark.parametrize("to", ["math_shepherd", "rlhflow"])
def test_a_solution_that_would_be_parted_elsewhere_is_left_out(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    texts = [("Is Step 1: right?", "Yes."), ("What?", "See Step 1: it."), (" What else? ", "Step 1: Add.\n")]
    source.write_text("".join(json.dumps({"problem": p, "steps": [step], "ratings": [1]}) + "\n" for p, step in texts))
    assert main(["convert", str(source), str(tmp_path / "out.jsonl"), "--to", to]) == 0
    said = capsys.readouterr().err
    assert "2 of 3 solutions." in said and "1 solution is left out: `Step 1:` occurs inside of the first step." in said
    assert "1 solution loses the white space around the texts." in said
    assert main(["convert", str(tmp_path / "out.jsonl"), str(tmp_path / "own.jsonl"), "--to", "trainer"]) == 0
    back = [(row["problem"], row["steps"]) for row in lines(tmp_path / "own.jsonl")]
    assert back == [("Is Step 1: right?", ["Step 1: Yes."]), ("What else?", ["Step 1: Add."])]


def test_an_array_in_one_line_is_read_back_after_converting(source: Path, tmp_path: Path) -> None:
    source.write_text(json.dumps([{key: row[key] for key in ("problem", "steps")} for row in ROWS]))
    assert main(["convert", str(source), str(tmp_path / "own.jsonl"), "--to", "trainer"]) == 0
    assert main(["convert", str(tmp_path / "own.jsonl"), str(tmp_path / "back.jsonl"), "--to", "trainer"]) == 0
    assert [row["key"] for row in lines(tmp_path / "back.jsonl")] == ["object 1", "object 2", "object 3"]


def test_a_solution_whose_answer_is_not_certain_is_left_out_of_processbench(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(source), str(tmp_path / "out.jsonl"), "--to", "processbench"]) == 0
    assert [row["label"] for row in lines(tmp_path / "out.jsonl")] == [1]
    assert "1 solution is left out: it is not certain whether the answer is right." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_the_grade_that_processbench_records_is_kept(tmp_path: Path, kind: str) -> None:
    rows = [
        {"problem": "What is 2 + 3?", "steps": ["Add.", "So 6."], "final_answer_correct": right, "label": label, "generator": "m"}
        for right, label in ((False, 1), (True, -1), (True, 0))
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source, out in (("a.jsonl", f"b.{kind}"), (f"b.{kind}", "c.jsonl")):
        assert main(["convert", str(tmp_path / source), str(tmp_path / out), "--to", "processbench"]) == 0
    assert [{key: value for key, value in row.items() if key != "id"} for row in lines(tmp_path / "c.jsonl")] == rows


@pytest.mark.parametrize(
    ("name", "to", "words"),
    [
        ("out.txt", "trl", "Let it end in .jsonl, .json, .csv or .parquet"),
        ("in.jsonl", "trl", "is also an input of this command"),
        ("taken.jsonl", "trl", "--overwrite"),
    ],
)
def test_a_wrong_place_is_refused_and_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, to: str, words: str
) -> None:
    (tmp_path / "taken.jsonl").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["convert", str(source), str(tmp_path / name), "--to", to]) == 2
    assert words in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_of_which_nothing_fits_leaves_no_file(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(json.dumps(ROWS[2]) + "\n")
    assert main(["convert", str(source), str(tmp_path / "out.jsonl"), "--to", "trl"]) == 2
    assert "it has 1 solution, and none can be written as trl" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
