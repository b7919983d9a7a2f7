"""Where a model may be written: nothing that is not a model of ours is ever deleted, and a place that cannot serve is refused at once."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.sums import small, sums
from tests.trainer.test_command_line import line, write
from trainer.__main__ import main
from trainer.checkpoint import check_checkpoint_folder, forget_checkpoint, load_checkpoint
from trainer.files import OutputRefused
from trainer.folders import check_manifest, check_output_folder, write_folder
from trainer.train import train

QUICK = {"epochs": 1, "language_model_epochs": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(sums(20), config=small(**QUICK), folder=tmp_path_factory.mktemp("trained") / "model").folder


def no_training(*_: object, **__: object) -> None:
    pytest.fail("It trained before it refused.")


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with the bytes of its file."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def notes(folder: Path) -> Path:
    (folder / "notes").mkdir()
    (folder / "notes" / "thesis.txt").write_text("years of work")
    return folder / "notes"


def annotated_model(folder: Path, model: Path) -> Path:
    shutil.copytree(model, folder / "annotated")
    (folder / "annotated" / "what I think of it.txt").write_text("good")
    return folder / "annotated"


def a_file(folder: Path, _: Path) -> Path:
    (folder / "thesis.txt").write_text("years of work")
    return folder / "thesis.txt"


def a_link(folder: Path, model: Path) -> Path:
    shutil.copytree(model, folder / "seven")
    (folder / "latest").symlink_to(folder / "seven")
    return folder / "latest"


def a_link_to_nothing(folder: Path, _: Path) -> Path:
    (folder / "latest").symlink_to(folder / "gone")
    return folder / "latest"


def inside_a_file(folder: Path, _: Path) -> Path:
    (folder / "thesis.txt").write_text("years of work")
    return folder / "thesis.txt" / "model"


def other_manifest(folder: Path, _: Path) -> Path:
    (folder / "extension").mkdir()
    (folder / "extension" / "manifest.json").write_text(json.dumps({"name": "an extension of a browser"}))
    return folder / "extension"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (lambda folder, _: notes(folder), r"not empty.*thesis\.txt"),
        (lambda folder, _: notes(folder).parent, "current folder"),
        (annotated_model, r"model: what I think of it\.txt"),
        (a_file, "is a file"),
        (a_link, "is a link.*seven"),
        (a_link_to_nothing, "is a link"),
        (inside_a_file, "not a folder that you can write to"),
        (other_manifest, r"model: manifest\.json"),
        (lambda *_: Path("."), "current folder"),
        (lambda *_: Path(".."), "current folder"),
        (lambda *_: Path("/"), "current folder"),
        (lambda *_: Path.home(), "home folder|current folder"),
        (lambda *_: Path("/proc"), "mounted disk"),
    ],
)
def test_a_place_that_cannot_be_replaced_is_refused_before_any_work(
    place: Callable[[Path, Path], Path],
    reason: str,
    overwrite: bool,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "work" / "here")
    labeled = write(tmp_path / "labeled.jsonl", *map(line, sums(30)))
    folder = place(tmp_path / "work" / "here", model)
    before = snapshot(tmp_path)
    monkeypatch.setattr("trainer.train.run", no_training)
    monkeypatch.setattr("trainer.commands.train.read_solutions", no_training)

    options = ["--overwrite"] if overwrite else []
    assert main(["train", "--labeled", str(labeled), "--out", str(folder), *options]) == 2
    said = capsys.readouterr().err
    with pytest.raises(OutputRefused, match=reason):
        train(sums(30), config=small(**QUICK), folder=folder, overwrite=overwrite)
    with pytest.raises(OutputRefused, match=reason) as refused, write_folder(folder, overwrite=overwrite):
        pytest.fail("It gave a folder to fill.")
    assert said == f"{refused.value}\n" and snapshot(tmp_path) == before


def test_an_empty_folder_takes_a_model_and_a_model_is_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labeled, config = write(tmp_path / "labeled.jsonl", *map(line, sums(30))), tmp_path / "config.json"
    config.write_text(small(**QUICK).to_json())
    (tmp_path / "model").mkdir()
    command = ["train", "--labeled", str(labeled), "--config", str(config), "--out", str(tmp_path / "model")]
    assert main(command) == 0
    first = check_manifest(tmp_path / "model")
    capsys.readouterr()
    assert main([*command, "--seed", "1"]) == 2
    assert "already holds a model" in capsys.readouterr().err and check_manifest(tmp_path / "model") == first
    assert main([*command, "--seed", "1", "--overwrite"]) == 0
    assert check_manifest(tmp_path / "model") != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "labeled.jsonl", "model"]


def test_checkpoints_in_the_folder_of_the_model_are_refused(tmp_path: Path) -> None:
    for checkpoint in (tmp_path / "model", tmp_path / "model" / "checkpoint"):
        with pytest.raises(OutputRefused, match="checkpoint folder"):
            check_output_folder(tmp_path / "model", overwrite=True, checkpoint=checkpoint)
    check_output_folder(tmp_path / "run" / "model", overwrite=False, checkpoint=tmp_path / "run")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_finished_folder_is_kept_when_its_place_was_taken_meanwhile(overwrite: bool, tmp_path: Path) -> None:
    with pytest.raises(OutputRefused, match=r"not lost: it is .*model-2\."), write_folder(tmp_path / "model", overwrite=overwrite) as draft:
        (draft / "stepmark.json").write_text("{}")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "thesis.txt").write_text("years of work")
    assert (tmp_path / "model" / "thesis.txt").read_text() == "years of work"
    check_manifest(tmp_path / "model-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model-2"]


def test_a_file_put_into_the_old_model_in_the_last_moment_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with write_folder(tmp_path / "model", overwrite=False) as draft:
        (draft / "stepmark.json").write_text("{}")
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        if path.name == "model":
            (path / "thesis.txt").write_text("years of work")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with write_folder(tmp_path / "model", overwrite=True) as draft:
        (draft / "stepmark.json").write_text("{}")
    check_manifest(tmp_path / "model")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.parent.name == "was"] == ["thesis.txt"]


def test_a_manifest_that_names_files_elsewhere_deletes_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "model").mkdir()
    names = {"stepmark.json": "", "../thesis.txt": "", str(tmp_path / "thesis.txt"): "", "../../thesis.txt": ""}
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(names))
    with write_folder(tmp_path / "model", overwrite=True) as draft:
        (draft / "stepmark.json").write_text("{}")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


# --- checkpoints ----------------------------------------------------------------------------------------------------------------------


def test_a_run_leaves_other_files_in_its_checkpoint_folder_alone(tmp_path: Path) -> None:
    config = small(checkpoint_minutes=0, **QUICK)
    theirs = tmp_path / "notes"
    for name in ("thesis.txt", "2024-photos/one.jpg", ".git/HEAD", "9-lives"):
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / name).write_text("mine")
        os.utime((theirs / name).parent, (0, 0))
    before = snapshot(theirs)
    train(sums(20), config=config, folder=tmp_path / "model", checkpoint=theirs)
    assert snapshot(theirs) == before


def test_a_file_in_a_folder_with_the_name_of_a_checkpoint_is_never_deleted(tmp_path: Path) -> None:
    theirs = tmp_path / "01-000000001"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputRefused, match=r"thesis\.txt"):
        check_checkpoint_folder(tmp_path)
    with pytest.raises(OutputRefused, match=r"thesis\.txt"):
        train(sums(20), config=small(**QUICK), folder=tmp_path / "model", checkpoint=tmp_path)
    assert load_checkpoint(tmp_path, fingerprint="run") is None
    forget_checkpoint(tmp_path)
    assert (theirs / "thesis.txt").read_text() == "years of work"


def test_checkpoints_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match="not a folder"):
        check_checkpoint_folder(tmp_path / "file" / "checkpoint")


# --- files ----------------------------------------------------------------------------------------------------------------------------


def score(model: Path, solutions: Path, out: Path, *options: str) -> int:
    return main(["score", "--model", str(model), "--solutions", str(solutions), "--out", str(out), *options])


def test_scores_replace_no_file_unasked_and_never_their_own_input(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solutions = write(tmp_path / "s.jsonl", *map(line, sums(2)))
    (tmp_path / "thesis.txt").write_text("years of work")
    before = snapshot(tmp_path)
    for out, options, reason in (
        (solutions, ["--overwrite"], "also an input"),
        (tmp_path / "thesis.txt", [], "already exists"),
        (tmp_path, ["--overwrite"], "is a folder"),
        (tmp_path / "nowhere" / "out.jsonl", [], "not a folder"),
    ):
        assert score(model, solutions, out, *options) == 2
        assert reason in capsys.readouterr().err and snapshot(tmp_path) == before
    assert score(model, solutions, tmp_path / "thesis.txt", "--overwrite") == 0
    assert len((tmp_path / "thesis.txt").read_text().splitlines()) == 4
    assert score(model, solutions, Path("/dev/null")) == 0


def test_scores_that_break_off_leave_the_old_file(model: Path, tmp_path: Path) -> None:
    solutions = write(tmp_path / "s.jsonl", *map(line, sums(2)), "no solution")
    (tmp_path / "scores.jsonl").write_text("the old ones")
    assert score(model, solutions, tmp_path / "scores.jsonl", "--overwrite") == 2
    assert (tmp_path / "scores.jsonl").read_text() == "the old ones"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.jsonl", "scores.jsonl"]
