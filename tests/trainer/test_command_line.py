import json
import tomllib
from pathlib import Path

import pytest

import trainer
from tests.trainer.sums import SHAPE, sums
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.data import LabeledSolution
from trainer.evaluate import split_problems
from trainer.lines import read_solutions
from trainer.score import load_prm, score_solutions

GOOD = '{"problem": "Add.", "steps": ["1 + 1 = 2."], "ratings": [1]}'


def line(one: LabeledSolution) -> str:
    s = one.solution
    return json.dumps({"key": s.key, "problem_key": s.problem_key, "problem": s.problem, "steps": s.steps, "ratings": one.ratings})


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"".join((one if isinstance(one, bytes) else one.encode()) + b"\n" for one in lines))
    return path


def test_train_then_evaluate_then_score_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labeled = write(tmp_path / "labeled.jsonl", *map(line, sums(30)))
    unlabeled = write(tmp_path / "unlabeled.jsonl", *map(line, sums(10, seed=4)))
    config = tmp_path / "config.json"
    config.write_text(TrainConfig.for_base(shape=SHAPE, token_budget=1024).to_json())
    out = tmp_path / "model"
    assert (
        main(
            ["train", "--labeled", str(labeled), "--unlabeled", str(unlabeled), "--out", str(out), "--config", str(config), "--epochs", "1"]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    read = {one.solution.problem_key for one in sums(10, seed=4)}
    assert said["metrics"]["training"]["n_unlabeled_solutions"] == 2 * len(read - split_problems(read)) and Path(said["folder"]) == out
    assert json.loads((out / "stepmark.json").read_text())["config"]["epochs"] == 1

    assert main(["evaluate", "--model", str(out), "--labeled", str(labeled)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["step_auc"] == pytest.approx(said["metrics"]["step_auc"])  # the same held-out problems and no others
    assert report["left_out_as_trained_on"] == said["metrics"]["training"]["n_solutions"]

    assert main(["score", "--model", str(out), "--solutions", str(labeled), "--out", str(tmp_path / "scores.jsonl")]) == 0
    lines = [json.loads(text) for text in (tmp_path / "scores.jsonl").read_text().splitlines()]
    for written, one in zip(lines, score_solutions(load_prm(out), [one.solution for one in sums(30)]), strict=True):
        assert written["key"] == one.key and written["score"] == pytest.approx(one.score) and len(written["probabilities"]) == 3


def test_soft_labels_are_read_from_a_line(tmp_path: Path) -> None:
    told = '{"problem": "Add.", "steps": ["a", "b"], "ratings": [1, -1], "soft": [[0.1, 0.1, 0.8], null]}'
    [one] = read_solutions(write(tmp_path / "labeled.jsonl", told))
    assert (one.ratings, one.soft) == ((1, -1), ((0.1, 0.1, 0.8), None))


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (b'{"problem": "\xff", "steps": ["a"]}', "line 2: not UTF-8 .byte 0xff at position 14"),
        ('{"problem": "Add."', "line 2: the file ends inside the object"),
        ('{"problem": "Add.",, "steps": ["a"]}', "line 2: not JSON"),
        ("[1, 2]", "line 2: a list where an object is expected"),
        ('{"problem": "Add."}', "line 2: the key 'steps' is missing"),
        ('{"problem": "Add.", "steps": []}', "line 2: steps is .*. steps must be"),
        ('{"problem": "Add.", "steps": ["a", " "]}', "line 2: steps.1. is ' '. steps must be a list of at least one non-empty text"),
        ('{"problem": " ", "steps": ["a"]}', "line 2: problem is ' '. problem must be"),
        ('{"problem": "Add.", "steps": ["a"], "ratings": [1, 1]}', "line 2: .*1 step but 2 ratings"),
        (
            '{"problem": "Add.", "steps": ["a"], "ratings": ["good"]}',
            "line 2: ratings.0. is 'good'. ratings must be a list of -1, 0, 1 or null",
        ),
        ('{"problem": "Add.", "steps": ["a"], "ratings": 1}', "line 2: ratings is 1. ratings must be a list"),
        ('{"problem": "Add.", "steps": ["a"], "soft": 0.5}', "line 2: soft is 0.5. soft must be a list"),
        ('{"problem": "Add.", "steps": ["a"], "soft": [[0.5, 0.1]]}', "line 2: Solution line 2 has the soft label"),
        ('{"problem": "Add.", "steps": ["a"], "alternatives": [{"text": "b"}]}', "line 2: the key 'step_index' is missing"),
        ('{"problem": "Add.", "problem": "Add.", "steps": ["a"]}', "line 2: the key 'problem' occurs twice"),
        ('{"problem": "Add.", "steps": ["\\ud800"]}', "line 2: steps.0. contains half of a surrogate pair"),
        ('{"key": "line 1", "problem": "Add.", "steps": ["a"]}', "line 2: the key 'line 1' was already used in line 1"),
    ],
)
def test_a_bad_line_is_named_with_exit_code_2(bad: str | bytes, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import re

    file = write(tmp_path / "bad.jsonl", GOOD, bad)
    assert main(["train", "--labeled", str(file), "--out", str(tmp_path / "model")]) == 2
    said = capsys.readouterr().err
    assert re.search(named, said) and len(said.splitlines()) == 1, said
    assert not (tmp_path / "model").exists()


def test_a_file_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--labeled", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "model")]) == 2
    assert "none.jsonl" in capsys.readouterr().err


def test_too_few_labels_exit_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--labeled", str(write(tmp_path / "few.jsonl", GOOD)), "--out", str(tmp_path / "model")]) == 2
    assert "1 rated step, but at least 6" in capsys.readouterr().err


def test_a_folder_that_is_no_model_exits_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--model", str(tmp_path), "--solutions", str(write(tmp_path / "a.jsonl", GOOD))]) == 2
    assert "not a finished reward model" in capsys.readouterr().err


def test_a_setting_that_does_not_exist_exits_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"learnin_rate": 1}')
    labeled = write(tmp_path / "a.jsonl", GOOD)
    assert main(["train", "--labeled", str(labeled), "--out", str(tmp_path / "model"), "--config", str(config)]) == 2
    assert "learnin_rate" in capsys.readouterr().err


def test_a_model_is_not_judged_on_problems_it_was_trained_on(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained_on = set(json.loads((model_folder / "split.json").read_text())["training"])
    lines = [line(one) for one in sums(200) if one.solution.problem_key in trained_on]
    assert main(["evaluate", "--model", str(model_folder), "--labeled", str(write(tmp_path / "seen.jsonl", *lines))]) == 2
    assert "trained on the problems of all" in capsys.readouterr().err


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((Path(trainer.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"stepmark {project['version']}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--labeled", "a.jsonl", "--out", "model"], "Stopped. No model was written. With --checkpoint FOLDER"),
        (["train", "--labeled", "a.jsonl", "--out", "model", "--checkpoint", "saved"], "continues from the newest checkpoint in saved"),
        (["score", "--model", "model", "--solutions", "a.jsonl"], "Stopped. No file was written."),
        (["evaluate", "--model", "model", "--labeled", "a.jsonl"], "Stopped. No file was written."),
        (["convert", "a.jsonl", "b.jsonl", "--to", "trl"], "Stopped. No file was written."),
    ],
)
def test_ctrl_c_ends_a_command_with_a_sentence_and_exit_code_130(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"trainer.commands.{arguments[0]}.run", interrupt)
    assert main(arguments) == 130
    assert sentence in capsys.readouterr().err
