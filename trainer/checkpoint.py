"""Model folders and training checkpoints on disk: atomic, hashed, safetensors and JSON only.

`published` writes a folder beside its place, fsyncs it and renames it, manifest last; `check_manifest` is what a reader trusts. A run
keeps its last two checkpoints.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.config import BadBase

log = logging.getLogger(__name__)
FORMAT_VERSION = 1
CHECKPOINT_FORMAT = 2  # checkpoints of another one are of another run
SETTINGS_FILE = "stepmark.json"
MANIFEST_FILE = "manifest.json"
STATE_FILE = "state.safetensors"
KEPT = 2  # checkpoints of a run: the newest, and the one before it in case the newest is damaged
LOST_AFTER = 3600  # seconds
SPLIT_FILE = "split.json"  # problem keys trained on and held out, so that a later evaluation can tell them apart


class BadModelFolder(BadBase):
    """A reward model folder that is absent, damaged or of another format; the message says which."""


class DiskFull(OSError):
    """The disk filled up while writing; the message names the folder. Nothing half-written is left."""


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a run stood: `done` optimizer steps of stage number `stage`, the sums of its running epoch, weights and optimizer state.

    No random state: every optimizer step seeds its own from its place in the run.
    """

    stage: int
    done: int
    sums: list[float]
    losses: dict[str, float]
    curve: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, fingerprint: str) -> None:
    """Write a checkpoint beside the last one in `folder`, and then remove older ones. Raises DiskFull; the earlier ones then stay."""
    state = checkpoint.optimizer["state"]
    tensors = {f"optimizer.{name}.{part}": value for name, values in state.items() for part, value in values.items()}
    place = {
        "fingerprint": fingerprint,
        "stage": checkpoint.stage,
        "done": checkpoint.done,
        "sums": checkpoint.sums,
        "losses": checkpoint.losses,
        "curve": checkpoint.curve,
        "param_groups": checkpoint.optimizer["param_groups"],
    }
    newest = folder / f"{checkpoint.stage:02d}-{checkpoint.done:09d}"
    with published(newest) as draft:
        save_file({f"weights.{name}": value.contiguous() for name, value in checkpoint.weights.items()} | tensors, draft / STATE_FILE)
        (draft / SETTINGS_FILE).write_text(json.dumps(place) + "\n", encoding="utf-8")
    for path in _newest_first(folder)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*"):  # drafts that killed processes left; a young one may be of a run that is not lost after all
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LOST_AFTER:
                shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(folder: Path, *, fingerprint: str) -> Checkpoint | None:
    """Read the newest undamaged checkpoint of the run that `fingerprint` names; None if there is none. Those of another run are removed."""
    for path in _newest_first(folder):
        try:
            check_manifest(path)
            place = json.loads((path / SETTINGS_FILE).read_text(encoding="utf-8"))
            tensors = load_file(path / STATE_FILE)
        except (BadModelFolder, SafetensorError, OSError) as error:
            log.warning("The checkpoint %s is damaged and is left out: %s", path, error)
            shutil.rmtree(path, ignore_errors=True)
            continue
        if place.pop("fingerprint") != fingerprint:
            shutil.rmtree(path, ignore_errors=True)  # a later one would else be taken for newer than this run's
            continue
        weights = {name.removeprefix("weights."): value for name, value in tensors.items() if name.startswith("weights.")}
        state: dict[int | str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                owner, _, part = name.removeprefix("optimizer.").rpartition(".")
                state.setdefault(int(owner) if owner.isdigit() else owner, {})[part] = value
        return Checkpoint(weights=weights, optimizer={"state": state, "param_groups": place.pop("param_groups")}, **place)
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("[0-9]*-*") if path.is_dir()), reverse=True)


def forget_checkpoint(folder: Path) -> None:
    """Remove the checkpoints of a run that is finished."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; on success write its manifest, fsync all and rename it to `folder`, replacing what was there.

    A reader sees the old folder or the new one. On any error the temporary folder is removed. Raises DiskFull.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            draft.chmod(0o755)
            yield draft
            names = sorted(str(p.relative_to(draft)) for p in draft.rglob("*") if p.is_file())
            (draft / MANIFEST_FILE).write_text(
                json.dumps({name: file_sha256(draft / name) for name in names}, indent=2) + "\n", encoding="utf-8"
            )
            for path in (*(draft / name for name in names), draft / MANIFEST_FILE, draft):
                _fsync(path)
            if folder.exists():  # rename cannot replace a folder that holds files: step aside, then forget the old one
                old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
                folder.rename(old / "was")
                draft.rename(folder)
                shutil.rmtree(old, ignore_errors=True)
            else:
                draft.rename(folder)
            _fsync(folder.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull(
                errno.ENOSPC, f"The disk is full: {folder} could not be written and nothing was changed. Free some space and start again"
            ) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means "no space left", also when a library wrapped it in its own class."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def check_manifest(folder: Path) -> str:
    """Compare every file with manifest.json and return the manifest's own sha256, the model's identity. Raises BadModelFolder."""
    manifest = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise BadModelFolder(f"There is no model folder {folder}.")
    if not manifest.is_file():
        raise BadModelFolder(
            f"{folder} is not a finished reward model: it holds no {MANIFEST_FILE}. Train one with: python -m trainer train"
        )
    try:
        hashes = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadModelFolder(f"{manifest} is damaged: {error}.") from error
    for name, expected in hashes.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise BadModelFolder(
                f"{folder / name} is missing or damaged: its sha256 is not the manifest's. Restore the folder or train again."
            )
    if SETTINGS_FILE not in hashes:
        raise BadModelFolder(f"{folder} is not a reward model: its manifest names no {SETTINGS_FILE}.")
    return file_sha256(manifest)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
