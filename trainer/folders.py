"""Write a folder safely, with a manifest of the sha256 of its files: a model, a checkpoint. Nothing else in its place is ever deleted.

`write_folder` fills a folder next to its place, syncs it and renames it, manifest last; `check_manifest` is what a reader trusts.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.config import BadBase
from trainer.files import OutputRefused, free_name, is_disk_full, sync

FORMAT_VERSION = 1
SETTINGS_FILE = "stepmark.json"
MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"
FROZEN_FILE = "base.json"  # of a model on a frozen base: which base, and at which layers it is read
SPLIT_FILE = "split.json"  # the keys of the problems trained on, held out, and read as text: a later evaluation tells them apart
ABOUT = (SETTINGS_FILE, SPLIT_FILE, CARD_FILE)  # files about a model, from which no score comes
FRAMING = ("kind", "context", "threshold", "prefix", "step_end", "rating_ids", "pad_id")  # settings that change scores


class BadModelFolder(BadBase):
    """A reward model folder that is absent, damaged or of another format; the message says which."""


class DiskFull(OSError):
    """The disk filled up while writing; the message names the folder. Nothing half-written is left."""


def check_output_folder(folder: Path, *, overwrite: bool, checkpoint: Path | None = None) -> None:
    """Raise OutputRefused unless a model can be written to `folder` and nothing is lost: call it before the work begins.

    The folder is absent, empty, or, with `overwrite`, a folder that `write_folder` wrote, with no other file in it.
    """
    place, here = folder.resolve(), Path.cwd()
    if folder.is_symlink():
        raise OutputRefused(f"{folder} is a link, and a link cannot be replaced by a folder. Name the folder it leads to: {place}.")
    if os.path.lexists(place) and not place.is_dir():
        raise OutputRefused(f"{folder} is a file. Name a folder for the model.")
    if here.is_relative_to(place) or _home().is_relative_to(place) or os.path.ismount(place):
        raise OutputRefused(
            f"{folder} cannot be replaced by a model: it is, or contains, the current folder, your home folder or a mounted disk. "
            f"Name a new folder, such as {folder / 'model'}."
        )
    if checkpoint and checkpoint.resolve().is_relative_to(place):
        raise OutputRefused(f"The checkpoint folder {checkpoint} lies in {folder}. Name two folders of which neither contains the other.")
    if place.is_dir() and any(place.iterdir()):
        if strange := strange_files(place):
            raise OutputRefused(
                f"{folder} is not empty and holds a file that is not part of a Stepmark model: {strange[0]}. Nothing was deleted. "
                "Name a new or empty folder."
            )
        if not overwrite:
            raise OutputRefused(
                f"{folder} already holds a model. Name another folder, or use --overwrite (in Python: overwrite=True) to replace the model."
            )
    check_writable(place.parent)


def check_writable(folder: Path) -> None:
    """Raise OutputRefused unless files can be made in a folder, which need not exist yet."""
    nearest = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputRefused(f"{folder} cannot be written: {nearest} is not a folder that you can write to. Name another folder.")


def strange_files(folder: Path) -> list[str]:
    """Return the files in a folder that its manifest does not name; all of them if it has no manifest of ours."""
    known = files_of(folder)
    inside = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in inside if str(path.relative_to(folder)) not in known)


def files_of(folder: Path) -> frozenset[str]:
    """Return the names in a folder's manifest and the manifest's own; nothing if the folder is not one of ours."""
    try:
        hashes = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset({*hashes, MANIFEST_FILE}) if isinstance(hashes, dict) and SETTINGS_FILE in hashes else frozenset()


def remove_folder(folder: Path, *, files: Collection[str]) -> None:
    """Remove these files (names within the folder) and the folders that are then empty; whatever else is there stays."""
    paths = [folder / name for name in files if ".." not in Path(name).parts and not Path(name).is_absolute()]
    parents = {parent for path in paths for parent in path.parents if parent.is_relative_to(folder)}
    for path in paths:
        with suppress(OSError):
            path.unlink()
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            parent.rmdir()


@contextmanager
def write_folder(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder to fill; on success write its manifest, sync all files and rename it to `folder`.

    A reader sees the old folder or the new one. An error while the folder is filled removes it. If its place was taken meanwhile,
    what is there stays, the new folder gets a name next to it, and OutputRefused says which. Raises DiskFull.
    """
    check_output_folder(folder, overwrite=overwrite)
    place = folder.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name[:40]}.", dir=place.parent))
        try:
            draft.chmod(0o755)
            yield draft
            names = sorted(str(p.relative_to(draft)) for p in draft.rglob("*") if p.is_file())
            (draft / MANIFEST_FILE).write_text(
                json.dumps({name: file_sha256(draft / name) for name in names}, indent=2) + "\n", encoding="utf-8"
            )
            for path in (*(draft / name for name in names), draft / MANIFEST_FILE, draft):
                sync(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull(
                errno.ENOSPC, f"The disk is full: {folder} could not be written and nothing was changed. Free some space and start again"
            ) from error
        raise
    try:
        _take_place(draft, place, overwrite=overwrite)
    except (OutputRefused, OSError) as error:
        kept = draft
        with suppress(OSError):
            kept = draft.rename(free_name(place))
        raise OutputRefused(f"{str(error).rstrip('.')}. The new folder is not lost: it is {kept}.") from error
    sync(place.parent)


def _take_place(draft: Path, place: Path, *, overwrite: bool) -> None:
    check_output_folder(place, overwrite=overwrite)  # again: a training may have taken days
    if not place.is_dir() or not any(place.iterdir()):
        draft.rename(place)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{place.name[:40]}.old.", dir=place.parent))  # rename cannot replace a folder that holds files
    place.rename(old / "was")
    try:
        draft.rename(place)
    except OSError:
        (old / "was").rename(place)
        old.rmdir()
        raise
    remove_folder(old / "was", files=files_of(old / "was"))
    with suppress(OSError):  # a file that was put there in the last moment stays
        old.rmdir()


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_manifest(folder: Path) -> str:
    """Compare every file with manifest.json and return the manifest's own sha256. Raises BadModelFolder."""
    manifest = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise BadModelFolder(f"There is no model folder {folder}. Check the path.")
    if not manifest.is_file():
        raise BadModelFolder(
            f"{folder} is not a finished reward model: it holds no {MANIFEST_FILE}. Train one with: python -m trainer train"
        )
    try:
        hashes = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadModelFolder(f"{manifest} is damaged: {error}. Restore the folder or train again.") from error
    for name, expected in hashes.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise BadModelFolder(
                f"{folder / name} is missing or damaged: its sha256 is not the one in the manifest. Restore the folder or train again."
            )
    if SETTINGS_FILE not in hashes:
        raise BadModelFolder(f"{folder} is not a reward model: its manifest names no {SETTINGS_FILE}. Name another folder.")
    return file_sha256(manifest)


def model_sha256(folder: Path) -> str:
    """Return the identity of a finished model: the sha256 of what its scores come from. Call `check_manifest` before it.

    These are the weights, the tokenizer and the framing of a text. Metrics, provenance and the seconds of the training are not part of
    it, so two equal trainings give one identity.
    """
    hashes = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    sources = {
        "files": {name: value for name, value in hashes.items() if name not in ABOUT},
        "framing": {name: settings[name] for name in FRAMING},
    }
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def _home() -> Path:
    try:
        return Path.home().resolve()
    except RuntimeError:  # an account without one
        return Path("/")
