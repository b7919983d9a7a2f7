"""The cache of a frozen base's states: files that training, scoring and every version of a model share.

Reads and writes segments, safetensors files of at most SEGMENT bytes, in a folder for each base and choice of layers. A segment never
changes: it is written aside, synced and renamed, so any number of processes can read and write, and a killed one leaves nothing half. Each
solution's states carry a checksum that is compared whenever they are read. What is damaged or belongs to another base is never used.
A segment is deleted only if it is proven torn: its name is the hash of its bytes. What cannot be read for another reason, such as too many
open files, stays, and its solutions are read anew.
"""

import hashlib
import json
import logging
import os
import re
import tempfile
import time
import zlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trainer.data import EncodedSolution
from trainer.files import sync

log = logging.getLogger(__name__)

FORMAT = 1
LIMIT = 10 * 2**30  # bytes of a cache, all bases together
SEGMENT = 64 * 2**20  # bytes of states in memory before they are written
FLUSH_SECONDS = 30.0  # the most work that a killed process loses
LOST_AFTER = 3600  # seconds after which an unfinished file belongs to a killed process
A_DAY = 86_400  # seconds
MAPPED = 64  # segments that are mapped into memory at once
DRAFT = ".draft-"
NAME = re.compile("[0-9a-f]{32}")  # the beginning of the sha256 of a segment
UNUSABLE = (SafetensorError, OSError, MemoryError, ValueError, KeyError, TypeError)

States = NDArray[np.float16]  # (steps, width)


def default_folder() -> Path:
    """Return where the command line keeps states: `stepmark/states` in the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepmark" / "states"


def state_key(encoded: EncodedSolution) -> bytes:
    """Return what identifies the text of a solution and the places at which it is read: a hash of its token ids and step ends."""
    digest = hashlib.sha256(np.int64(len(encoded.ids)).tobytes())
    digest.update(np.ascontiguousarray(encoded.ids, np.int32).tobytes())
    digest.update(np.ascontiguousarray(encoded.step_ends, np.int32).tobytes())
    return digest.digest()[:16]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the states of a solution are: rows `start` to `stop` of a segment, and their checksum."""

    segment: Path
    start: int
    stop: int
    checksum: int


class StateCache:
    """The states of one base at chosen layers, in `folder`, which holds those of other bases too.

    base: the sha256 of the base. layers: their numbers. width: the numbers of one state, all layers together. limit: the most bytes that
    the folder holds; segments that were not used for the longest time are removed first. spares: what was used in the last day is not
    removed; rather nothing more is kept. So a pool that is larger than the cache does not drive out what the next training needs.
    """

    def __init__(
        self, folder: str | Path, *, base: str, layers: tuple[int, ...], width: int, limit: int = LIMIT, spares: bool = False
    ) -> None:
        self.root, self.width, self.limit, self.spares = Path(folder), width, limit, spares
        self.identity = {"format": FORMAT, "base": base, "layers": list(layers), "width": width}
        name = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:24]
        self.folder = self.root / name
        self.places: dict[bytes, _Place] = {}
        self.waiting: dict[bytes, States] = {}
        self.waiting_bytes, self.flushed = 0, time.monotonic()
        self.known: set[Path] = set()
        self.used: set[Path] = set()
        self.mapped: OrderedDict[Path, Any] = OrderedDict()
        self.writable = True
        self.n_found = 0  # solutions whose states were in the cache

    def refresh(self) -> None:
        """Take note of the segments that other processes have written since, and forget those that are gone."""
        try:
            found = {path for path in self.folder.glob("*.safetensors") if not path.name.startswith(".")}
        except OSError as error:
            log.warning("The cache of states in %s cannot be read: %s. Its solutions are read anew.", self.folder, error)
            return
        gone = self.known - found
        if gone:
            self.places = {key: place for key, place in self.places.items() if place.segment not in gone}
            self.known -= gone
        for path in sorted(found - self.known):
            self.known.add(path)
            self._read_index(path)

    def get(self, key: bytes) -> States | None:
        """Return the states of a solution, (steps, width), or None if there are none that can be trusted."""
        if (waiting := self.waiting.get(key)) is not None:
            return waiting
        place = self.places.get(key)
        if place is None:
            return None
        try:
            rows: States = np.ascontiguousarray(self._map(place.segment).get_slice("states")[place.start : place.stop])
        except UNUSABLE as error:
            self._discard(place.segment, _reason(error))
            return None
        if rows.shape != (place.stop - place.start, self.width) or zlib.crc32(rows.tobytes()) != place.checksum:
            self._discard(place.segment, "the checksum of a solution's states is another one")
            return None
        self.n_found += 1
        if place.segment not in self.used:
            self.used.add(place.segment)
            with suppress(OSError):
                os.utime(place.segment)
        return rows

    def put(self, key: bytes, states: States) -> None:
        """Keep the states of a solution, (steps, width). They are on the disk after `flush`, or soon."""
        if not self.writable or key in self.waiting or key in self.places:
            return
        self.waiting[key] = states
        self.waiting_bytes += states.nbytes
        if self.waiting_bytes >= SEGMENT or time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a segment. A disk that is full or cannot be written is logged: the states are then read again next time."""
        self.flushed = time.monotonic()
        if not self.waiting or not self.writable:
            return
        keys = sorted(self.waiting)
        rows = [self.waiting[key] for key in keys]
        try:
            path = self._write(keys, rows)
        except OSError as error:
            self.writable = False
            log.warning("States cannot be kept in %s: %s. The work goes on, and reads them again next time.", self.folder, error)
            return
        finally:
            if not self.writable:
                self.waiting, self.waiting_bytes = {}, 0
        self.known.add(path)
        self.used.add(path)
        start = 0
        for key, own in zip(keys, rows, strict=True):
            self.places[key] = _Place(path, start, start + len(own), zlib.crc32(np.ascontiguousarray(own).tobytes()))
            start += len(own)
        self.waiting, self.waiting_bytes = {}, 0
        self._make_room(keep=path)

    def _write(self, keys: list[bytes], rows: list[States]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        number, draft = tempfile.mkstemp(prefix=DRAFT, suffix=".safetensors", dir=self.folder)
        os.close(number)
        try:
            save_file(
                {
                    "states": np.concatenate(rows),
                    "keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16),
                    "counts": np.array([len(own) for own in rows], np.int64),
                    "checksums": np.array([zlib.crc32(np.ascontiguousarray(own).tobytes()) for own in rows], np.int64),
                },
                draft,
                metadata={"stepmark": json.dumps(self.identity, sort_keys=True)},
            )
            os.chmod(draft, 0o644)
            sync(Path(draft))
            path = self.folder / f"{_name_of(Path(draft))}.safetensors"  # two processes that read the same solutions write the same file
            os.replace(draft, path)
            sync(self.folder)
            return path
        except BaseException as error:
            with suppress(OSError):
                os.unlink(draft)
            if isinstance(error, SafetensorError):  # what safetensors raises for a full disk
                raise OSError(str(error)) from error
            raise

    def _read_index(self, path: Path) -> None:
        try:
            with safe_open(path, framework="np") as stored:
                identity = json.loads((stored.metadata() or {}).get("stepmark", "{}"))
                if identity != self.identity:
                    log.warning("%s is not used: it holds states of another base or of other layers. You can delete it.", path)
                    return
                keys, counts, checksums = (stored.get_tensor(name) for name in ("keys", "counts", "checksums"))
                shape = tuple(stored.get_slice("states").get_shape())
            if keys.shape != (len(counts), 16) or len(checksums) != len(counts) or shape != (int(counts.sum()), self.width):
                raise ValueError("its parts do not fit each other")
        except UNUSABLE as error:
            self._discard(path, _reason(error))
            return
        ends = np.cumsum(counts).tolist()
        for key, count, end, checksum in zip(keys, counts.tolist(), ends, checksums.tolist(), strict=True):
            self.places.setdefault(key.tobytes(), _Place(path, end - count, end, checksum))

    def _map(self, path: Path) -> Any:
        if path in self.mapped:
            self.mapped.move_to_end(path)
        else:
            self.mapped[path] = safe_open(path, framework="np").__enter__()
            if len(self.mapped) > MAPPED:
                self.mapped.popitem(last=False)
        return self.mapped[path]

    def _forget(self, path: Path) -> None:
        self.mapped.pop(path, None)
        self.places = {key: place for key, place in self.places.items() if place.segment != path}

    def _discard(self, path: Path, why: str) -> None:
        """Use a segment no more, and delete it if it is torn: its solutions are read again."""
        self._forget(path)
        if not path.exists():  # another process needed the room
            return
        if _is_torn(path):
            log.warning("%s in the cache of states is damaged and was removed: %s. Its solutions are read again.", path, why.rstrip("."))
            with suppress(OSError):
                path.unlink()
        else:
            log.warning(
                "%s in the cache of states cannot be read now: %s. It stays, and its solutions are read again.", path, why.rstrip(".")
            )

    def _make_room(self, *, keep: Path) -> None:
        """Remove what was not used for the longest time until the limit holds, and files that killed processes left."""
        files = []
        for path in self.root.glob("*/*.safetensors"):
            with suppress(OSError):
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        for changed, _, path in files:
            if path.name.startswith(DRAFT) and time.time() - changed > LOST_AFTER:
                with suppress(OSError):
                    path.unlink()
        whole = sorted(row for row in files if not row[2].name.startswith("."))
        size = sum(row[1] for row in whole)
        for used, own, path in whole:
            if size <= self.limit:
                return
            if self.spares and time.time() - used < A_DAY:
                self.writable = False
                return
            if path != keep:
                with suppress(OSError):
                    path.unlink()
                self._forget(path)
                size -= own


def _reason(error: Exception) -> str:
    """Say why a segment cannot be used. safetensors says of a file that cannot be opened, whatever the reason is, that it is not there."""
    return "it cannot be opened" if isinstance(error, FileNotFoundError) else str(error)


def _name_of(path: Path) -> str:
    """Return the name of a segment with these bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _is_torn(path: Path) -> bool:
    """Tell whether a segment is proven to hold other bytes than were written: all of it can be read, and its name is that of others."""
    try:
        return NAME.fullmatch(path.stem) is not None and _name_of(path) != path.stem
    except OSError:
        return False
