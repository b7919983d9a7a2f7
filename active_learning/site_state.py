"""What supervisor and broker leave in files for the pages: where the site is, what was given up, how many messages were damaged.

Reads and writes files under STEPMARK_HOME. Knows no Django and no database, because both can be what is missing. The supervisor holds a
lock on its file for as long as it lives. The kernel drops the lock of a killed process, so an old file never speaks for a new site.
"""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

SUPERVISOR_FILE = "supervisor.json"
SET_ASIDE = Path("broker") / "aside"  # the broker puts messages here that it cannot read


class HomeInUse(Exception):
    """Another supervisor serves this home. `address` is where."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A part of the site that ended too often. `again_seconds`: it is tried again at this interval; None: never."""

    name: str
    at: str  # ISO 8601, UTC
    again_seconds: int | None = None

    @property
    def since(self) -> datetime:
        return datetime.fromisoformat(self.at)


class SupervisorFile:
    """The file that a supervisor holds while it runs. `lock` claims the home for this process."""

    def __init__(self, home: Path) -> None:
        self.path = home / SUPERVISOR_FILE

    def check(self) -> None:
        """Raise HomeInUse if another supervisor holds the file. Changes nothing."""
        with suppress(FileNotFoundError):
            descriptor = os.open(self.path, os.O_RDWR)
            try:
                self._lock(descriptor)
            finally:
                os.close(descriptor)

    def claim(self, address: str) -> None:
        """Hold the file until this process ends, and write the address into it. Raises HomeInUse."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self._lock(self.descriptor)
        self.address = address
        self.write([])

    def write(self, given_up: Sequence[GivenUp], restarts: Mapping[str, int] = {}) -> None:
        """Write what was given up, and how often each part was started again. In place, because the lock belongs to this file."""
        parts = [asdict(part) for part in given_up]
        state = {"address": self.address, "pid": os.getpid(), "given_up": parts, "restarts": dict(restarts)}
        text = json.dumps(state).encode()
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUse(_read(self.path).get("address", "")) from None


def given_up(home: Path) -> list[GivenUp]:
    """Return the parts that the supervisor of this home gave up. Without a supervisor there are none."""
    return [GivenUp(**part) for part in _of_running(home).get("given_up", [])]


def restarts(home: Path) -> dict[str, int]:
    """Return how often the supervisor of this home started each part again. Without a supervisor it is empty."""
    return dict(_of_running(home).get("restarts", {}))


def _of_running(home: Path) -> dict:
    try:
        descriptor = os.open(home / SUPERVISOR_FILE, os.O_RDONLY)
    except OSError:
        return {}
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return {}  # nobody holds it: the file is old
    except BlockingIOError:
        return _read(home / SUPERVISOR_FILE)
    finally:
        os.close(descriptor)


def n_set_aside(home: Path) -> int:
    """Count the messages to workers that could not be read."""
    try:
        return len(os.listdir(home / SET_ASIDE))
    except OSError:
        return 0


def _read(path: Path) -> dict:
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):  # it is being written
        return {}
    return state if isinstance(state, dict) else {}
