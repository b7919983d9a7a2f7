"""The file of a backup: how it is written in one pass, and how every byte is checked before it is believed."""

import hashlib
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

FORMAT, FORMAT_VERSION = "stepmark-backup", 1
MANIFEST, DUMP = "manifest.json", "database.dump"
FOLDERS = ("models", "rounds", "scores", "samples", "experiments", "exports", "snapshots")  # of the home
PIECE = 1 << 20


class BackupRefused(Exception):
    """A backup that cannot be made, read or restored. The message says why, and what to do."""


Progress = Callable[[str, int, int | None], None]  # stage, done, total


@dataclass(frozen=True)
class Manifest:
    """What is in a backup. `files`: size and sha256 of each member. `missing`: files that rows name and that were not there."""

    made_at: str
    stepmark: str
    server_version: int  # as PostgreSQL counts: 180004
    migrations: list[list[str]]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class Archive:
    """A backup that is being written to a file that can seek."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.files: dict[str, dict[str, Any]] = {}

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Give a function that appends to a member whose size is known only at its end. Then its header is written."""
        start, digest, size = self.file.tell(), hashlib.sha256(), 0
        self.file.write(bytes(tarfile.BLOCKSIZE))

        def append(piece: bytes) -> None:
            nonlocal size
            self.file.write(piece)
            digest.update(piece)
            size += len(piece)

        yield append
        self.file.write(bytes(-size % tarfile.BLOCKSIZE))
        end = self.file.tell()
        self.file.seek(start)
        self._header(name, size)
        self.file.seek(end)
        self.files[name] = {"size": size, "sha256": digest.hexdigest()}

    def _header(self, name: str, size: int) -> None:
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size, 0o600, int(time.time())
        self.file.write(header.tobuf(tarfile.GNU_FORMAT))

    def copy(self, name: str, path: Path) -> None:
        """Append a file as it is now. What is appended to it meanwhile is left out. Raises FileNotFoundError before anything is written."""
        with path.open("rb") as source:
            size, digest = path.stat().st_size, hashlib.sha256()
            header = tarfile.TarInfo(name)
            header.size, header.mode, header.mtime = size, 0o600, int(path.stat().st_mtime)
            self.file.write(header.tobuf(tarfile.GNU_FORMAT))  # a name over 100 bytes takes more than one block
            left = size
            while left:
                piece = source.read(min(PIECE, left))
                if not piece:
                    raise BackupRefused(f"{path} became shorter while it was copied. Run the backup again. No backup was written.")
                self.file.write(piece)
                digest.update(piece)
                left -= len(piece)
            self.file.write(bytes(-size % tarfile.BLOCKSIZE))
        self.files[name] = {"size": size, "sha256": digest.hexdigest()}

    def close(self, manifest: Manifest) -> None:
        """Write the manifest and the end of the tar."""
        text = json.dumps({"format": FORMAT, "version": FORMAT_VERSION, **asdict(manifest), "files": self.files}, indent=1)
        with self.member(MANIFEST) as append:
            append(text.encode())
        self.file.write(bytes(2 * tarfile.BLOCKSIZE))


def check(path: Path, *, progress: Progress) -> Manifest:
    """Read a whole backup, compare every member with the manifest, and return the manifest. Raises BackupRefused: it names the damage."""
    seen: dict[str, dict[str, Any]] = {}
    text = b""
    total = path.stat().st_size
    with _opened(path) as tar:
        for member in tar:
            source = tar.extractfile(member)
            if source is None:
                raise damaged(path, f"it holds {member.name}, which is not a file")
            digest, text = hashlib.sha256(), b""
            while piece := source.read(PIECE):
                digest.update(piece)
                if member.name == MANIFEST:
                    text += piece
            if member.name in seen:
                raise damaged(path, f"it holds {member.name} twice")
            seen[member.name] = {"size": member.size, "sha256": digest.hexdigest()}
            progress("reading", member.offset_data + member.size, total)
    if not text:
        raise damaged(path, f"its end is missing: it has no {MANIFEST}")
    manifest = _read(path, text)
    del seen[MANIFEST]
    for name in sorted(manifest.files.keys() | seen.keys()):
        if name not in seen:
            raise damaged(path, f"{name} is missing")
        if manifest.files.get(name) != seen[name]:
            raise damaged(path, f"{name} is not what the manifest says (its sha256 differs)")
        place = PurePosixPath(name)
        if name != DUMP and (place.is_absolute() or ".." in place.parts or place.parts[0] not in FOLDERS):
            raise damaged(path, f"{name} does not belong into a home")
    if DUMP not in seen:
        raise damaged(path, f"{DUMP} is missing")
    return manifest


def _read(path: Path, text: bytes) -> Manifest:
    try:
        values = json.loads(text)
        name, version = values.pop("format"), values.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise damaged(path, f"its {MANIFEST} cannot be read") from None
    if name != FORMAT:
        raise damaged(path, f"its {MANIFEST} is not one of Stepmark")
    if version != FORMAT_VERSION:
        raise BackupRefused(
            f"{path} has version {version} of the format, and this Stepmark reads {FORMAT_VERSION}. Nothing was changed. "
            "Use a newer Stepmark."
        )
    try:
        return Manifest(**values)
    except TypeError:
        raise damaged(path, f"its {MANIFEST} lacks fields") from None


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise damaged(path, f"it cannot be read as a tar ({error})") from None


def members(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Yield name and contents of each member of a checked backup, in the order of the file."""
    with _opened(path) as tar:
        for member in tar:
            source = tar.extractfile(member)
            assert source is not None  # `check` saw it
            yield member.name, source  # type: ignore[misc]


def damaged(path: Path, what: str) -> BackupRefused:
    """Return the error for a backup that must not be restored."""
    return BackupRefused(f"{path} is damaged or not a backup: {what}. Nothing was changed. Use another backup.")
