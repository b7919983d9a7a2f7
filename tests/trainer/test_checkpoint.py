"""Checkpoints: a run that is killed anywhere, also while it writes one, ends with the bytes of a run that is not."""

import multiprocessing
import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.bases import make_base
from tests.trainer.sums import small, sums
from trainer import checkpoint, folders, phases
from trainer.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trainer.config import TrainConfig
from trainer.train import train

SPAWNER = multiprocessing.get_context("forkserver")
SPAWNER.set_forkserver_preload(["tests.trainer.test_checkpoint"])  # a child begins with torch imported


def config_of(base: Path) -> TrainConfig:
    """A base with dropout 0.1, saved after every optimizer step."""
    return small(
        base=str(base), epochs=3, language_model_epochs=1, context=200, token_budget=128, checkpoint_minutes=0, uncertainty_heads=2
    )


def train_until(module: Any, name: str, calls: int, base: Path, folder: Path) -> None:
    """Train in this process, which ends itself with SIGKILL at the given call of a function of the trainer (0: never)."""
    torch.set_num_threads(1)
    original, left = getattr(module, name), iter(range(calls - 1, -1, -1) if calls else ())

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(module, name, counted)
    train(sums(12), config=config_of(base), folder=folder / "model", checkpoint=folder / "checkpoint")


def spawn(where: str, name: str, calls: int, base: Path, folder: Path) -> int | None:
    child = SPAWNER.Process(target=_start, args=(where, name, calls, base, folder))
    child.start()
    child.join()
    return child.exitcode


def _start(where: str, name: str, calls: int, base: Path, folder: Path) -> None:
    train_until({"phases": phases, "folders": folders}[where], name, calls, base, folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert spawn("phases", "take_step", 0, base, folder) == 0
    return folder / "model"


@pytest.mark.parametrize("n_kills", [5, pytest.param(20, marks=pytest.mark.long)])
def test_a_run_killed_at_random_points_ends_with_the_same_bytes(n_kills: int, base: Path, whole: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(n_kills)
    for number in range(n_kills):
        # At the beginning of an optimizer step, or within the writing of a checkpoint: it syncs five files and folders.
        where, name, most = (("phases", "take_step", 4), ("folders", "sync", 16))[number % 2]
        assert spawn(where, name, int(rng.integers(2, most)), base, tmp_path / "killed") == -signal.SIGKILL
        assert not (tmp_path / "killed" / "model").exists()
    assert spawn("phases", "take_step", 0, base, tmp_path / "killed") == 0
    for file in ("model.safetensors", "heads.safetensors"):
        assert (tmp_path / "killed" / "model" / file).read_bytes() == (whole / file).read_bytes()
    assert not (tmp_path / "killed" / "checkpoint").exists()


def state(done: int) -> Checkpoint:
    weights = {"w": torch.full((3,), float(done))}
    return Checkpoint(
        1, done, [0.0] * 4, {}, asdict(phases.LossCurve(1)), weights, {"state": {0: {"step": torch.tensor(done)}}, "param_groups": []}
    )


def test_the_last_two_checkpoints_are_kept_and_a_damaged_one_falls_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for done in (1, 2, 3):
        save_checkpoint(tmp_path, state(done), fingerprint="run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01-000000002", "01-000000003"]
    newest = load_checkpoint(tmp_path, fingerprint="run")
    assert newest is not None and newest.done == 3 and newest.weights["w"].tolist() == [3.0] * 3
    file = tmp_path / "01-000000003" / "state.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    older = load_checkpoint(tmp_path, fingerprint="run")
    assert older is not None and older.done == 2 and older.optimizer["state"][0]["step"] == 2
    assert "01-000000003 is damaged" in caplog.text


def test_a_checkpoint_that_holds_nan_is_not_continued_and_its_weight_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for done in (1, 2):
        save_checkpoint(tmp_path, state(done), fingerprint="run")
    spoiled = state(3)
    spoiled.weights["w"][1] = float("nan")
    save_checkpoint(tmp_path, spoiled, fingerprint="run")
    found = load_checkpoint(tmp_path, fingerprint="run")
    assert found is not None and found.done == 2
    assert "01-000000003 is damaged" in caplog.text and "weights.w holds NaN (not a number) in 1 of its 3 numbers" in caplog.text


def test_a_checkpoint_of_another_run_is_not_continued_and_does_not_outlive_this_ones(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(900), fingerprint="other")
    assert load_checkpoint(tmp_path, fingerprint="run") is None
    save_checkpoint(tmp_path, state(1), fingerprint="run")
    found = load_checkpoint(tmp_path, fingerprint="run")
    assert found is not None and found.done == 1


def test_drafts_of_killed_processes_go_when_they_are_old(tmp_path: Path) -> None:
    old, young, theirs = ".01-000000007.k2_x", ".01-000000008.abcd", ".git"
    for name, age in ((old, 2 * checkpoint.LOST_AFTER), (young, 0), (theirs, 2 * checkpoint.LOST_AFTER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.safetensors").write_text("half")
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    save_checkpoint(tmp_path, state(1), fingerprint="run")
    assert sorted(path.name for path in tmp_path.iterdir()) == [young, theirs, "01-000000001"]


def test_a_run_goes_on_from_the_older_checkpoint_to_the_same_bytes(base: Path, whole: Path, tmp_path: Path) -> None:
    assert spawn("phases", "take_step", 6, base, tmp_path / "killed") == -signal.SIGKILL
    newest = max((tmp_path / "killed" / "checkpoint").glob("[0-9]*"))
    (newest / "stepmark.json").write_text("torn")
    assert spawn("phases", "take_step", 0, base, tmp_path / "killed") == 0
    file = "model.safetensors"
    assert (tmp_path / "killed" / "model" / file).read_bytes() == (whole / file).read_bytes()
