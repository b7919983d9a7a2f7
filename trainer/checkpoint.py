"""Training checkpoints on disk: safetensors and JSON, each a folder with a manifest. A run keeps its last two.

Deletes only files that belong to a checkpoint: other files in the same folder stay.
"""

import json
import logging
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.files import OutputRefused
from trainer.folders import (
    MANIFEST_FILE,
    SETTINGS_FILE,
    BadModelFolder,
    check_manifest,
    check_writable,
    remove_folder,
    strange_files,
    write_folder,
)
from trainer.loading import not_finite

log = logging.getLogger(__name__)
CHECKPOINT_FORMAT = 4  # a checkpoint of another format belongs to another run
STATE_FILE = "state.safetensors"
FILES = (MANIFEST_FILE, SETTINGS_FILE, STATE_FILE)
NAME = re.compile(r"\d{2}-\d{9}")  # number of the phase, optimizer steps done
DRAFT_NAME = re.compile(rf"\.{NAME.pattern}\.\w+|\.{NAME.pattern}\.old\.\w+")
N_KEPT = 2  # checkpoints of a run: the newest, and the one before it in case the newest is damaged
LOST_AFTER = 3600  # seconds


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after `done` optimizer steps of phase number `phase`: the sums of the current epoch, weights, optimizer state.

    There is no random state to keep: each optimizer step has a seed made from its place in the run.
    """

    phase: int
    done: int
    sums: list[float]
    losses: dict[str, float]
    curve: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]


def check_checkpoint_folder(folder: Path) -> None:
    """Raise OutputRefused unless checkpoints can be written in `folder` and removed again: call it before the work begins."""
    check_writable(folder)
    for path in _newest_first(folder):
        if strange := [file for file in strange_files(path) if file not in FILES]:
            raise OutputRefused(
                f"{path} has the name of a checkpoint, but holds another file: {strange[0]}. Name another folder with --checkpoint."
            )


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, fingerprint: str) -> None:
    """Write a checkpoint to `folder`, then remove all but the last two. Raises DiskFull: the earlier ones then stay."""
    state = checkpoint.optimizer["state"]
    tensors = {f"optimizer.{name}.{part}": value for name, values in state.items() for part, value in values.items()}
    place = {
        "fingerprint": fingerprint,
        "phase": checkpoint.phase,
        "done": checkpoint.done,
        "sums": checkpoint.sums,
        "losses": checkpoint.losses,
        "curve": checkpoint.curve,
        "param_groups": checkpoint.optimizer["param_groups"],
    }
    newest = folder / f"{checkpoint.phase:02d}-{checkpoint.done:09d}"
    with write_folder(newest, overwrite=True) as draft:
        save_file({f"weights.{name}": value.contiguous() for name, value in checkpoint.weights.items()} | tensors, draft / STATE_FILE)
        (draft / SETTINGS_FILE).write_text(json.dumps(place) + "\n", encoding="utf-8")
    for path in _newest_first(folder)[N_KEPT:]:
        remove_folder(path, files=FILES)
    for path in _drafts(folder):  # left by killed processes; a recent one may belong to a run that is still alive
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LOST_AFTER:
                _remove_draft(path)


def load_checkpoint(folder: Path, *, fingerprint: str) -> Checkpoint | None:
    """Read the newest intact checkpoint of the run with this fingerprint, or return None. Remove the checkpoints of other runs."""
    for path in _newest_first(folder):
        try:
            check_manifest(path)
            place = json.loads((path / SETTINGS_FILE).read_text(encoding="utf-8"))
            tensors = load_file(path / STATE_FILE)
            if spoiled := not_finite(tensors):
                raise BadModelFolder(f"{spoiled}.")
        except (BadModelFolder, SafetensorError, OSError) as error:
            log.warning("The checkpoint %s is damaged and is not used: %s", path, error)
            remove_folder(path, files=FILES)
            continue
        if place.pop("fingerprint") != fingerprint:
            remove_folder(path, files=FILES)  # one with a higher number would look newer than this run's
            continue
        weights = {name.removeprefix("weights."): value for name, value in tensors.items() if name.startswith("weights.")}
        state: dict[int | str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                owner, _, part = name.removeprefix("optimizer.").rpartition(".")
                state.setdefault(int(owner) if owner.isdigit() else owner, {})[part] = value
        return Checkpoint(weights=weights, optimizer={"state": state, "param_groups": place.pop("param_groups")}, **place)
    return None


def forget_checkpoint(folder: Path) -> None:
    """Remove the checkpoints of a finished run, and their folder if it is then empty."""
    for path in _newest_first(folder):
        remove_folder(path, files=FILES)
    for path in _drafts(folder):
        _remove_draft(path)
    if folder.resolve() != Path.cwd():
        with suppress(OSError):
            folder.rmdir()


def _newest_first(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.glob("*") if NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()), reverse=True
    )


def _drafts(folder: Path) -> list[Path]:
    return _folders(folder.glob(".*"), DRAFT_NAME)


def _folders(paths: Iterable[Path], name: re.Pattern[str]) -> list[Path]:
    return [path for path in paths if name.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]


def _remove_draft(path: Path) -> None:
    remove_folder(path, files=[*FILES, *(f"was/{name}" for name in FILES)])
