"""Statements that differ only in white space are one problem for the trainer's files, too."""

import json
from pathlib import Path

import pytest

from trainer.commands import evaluate
from trainer.lines import BadInput, read_solutions
from trainer.sample import read_problems
from trainer.statements import without_blanks

COPIES = ["What is 2 + 2?", "What is  2 + 2? ", "What is 2+2?\r\n", "\ufeffWhat\u00a0is 2 + 2?"]


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_copies_of_a_statement_are_on_one_side_of_a_split(tmp_path: Path) -> None:
    lines = [{"problem": text, "steps": ["4"]} for text in [*COPIES, "What is 2 + 3?", "What is 2 2?", "What is 22?"]]
    keys = [labeled.solution.problem_key for labeled in read_solutions(write(tmp_path / "l.jsonl", lines))]
    assert len(set(keys[: len(COPIES)])) == 1 and len(set(keys)) == 4


def test_the_text_of_a_problem_stays_byte_for_byte(tmp_path: Path) -> None:
    lines = [{"problem": text, "steps": ["4"]} for text in COPIES]
    assert [labeled.solution.problem for labeled in read_solutions(write(tmp_path / "l.jsonl", lines))] == COPIES


def test_a_key_in_the_file_counts_as_it_is(tmp_path: Path) -> None:
    lines = [{"problem": COPIES[0], "steps": ["4"], "problem_key": key} for key in ("a b", "ab")]
    assert [labeled.solution.problem_key for labeled in read_solutions(write(tmp_path / "l.jsonl", lines))] == ["a b", "ab"]


def test_copies_of_a_problem_are_sampled_once(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"problem": text} for text in [*COPIES, "What is 2 + 3?"]]
    file = write(tmp_path / "p.jsonl", [*lines, {"problem": COPIES[2], "id": "a"}])
    assert [problem.text for problem in read_problems(file)] == [COPIES[0], "What is 2 + 3?"]


def test_a_copy_of_a_test_problem_is_sampled_as_a_test_problem(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", [{"problem": COPIES[0], "id": "a"}, {"problem": COPIES[1], "id": "b", "split": "test"}])
    assert [dict(problem.fields) for problem in read_problems(file)] == [{"id": "a", "split": "test"}]


def test_an_id_names_one_problem_whatever_its_white_space(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", [{"problem": text, "id": "a"} for text in COPIES])
    assert [problem.text for problem in read_problems(file)] == COPIES[:1]
    with pytest.raises(BadInput, match="uses the id 'a' for another problem"):
        read_problems(write(file, [{"problem": COPIES[0], "id": "a"}, {"problem": "What is 2 + 3?", "id": "a"}]))


def test_a_model_of_an_older_version_knows_what_it_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        kind = "prm"

    monkeypatch.setattr("trainer.score.load_prm", lambda folder: Model())
    (tmp_path / "split.json").write_text(json.dumps({"training": [COPIES[0], "p1"], "held_out": ["What is 2 + 3?"]}))
    _, training, held_out = evaluate.load(tmp_path, kind="prm")
    assert {without_blanks(COPIES[2]), "p1"} <= training
    assert without_blanks("What is 2 + 3?") in held_out
