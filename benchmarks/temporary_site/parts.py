"""The parts of a site that runs as `script/server` runs it: their processes, to kill them and to see them come back."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from benchmarks import temporary_site

PARTS = ("web", "worker", "trainer", "beat", "postmaster", "runner")
MARKS = {"web": "gunicorn", "worker": "default", "trainer": "gpu", "beat": "beat"}
BACK_SECONDS = 240  # until a part counts as not coming back, or as not starting: on a busy machine, several times the usual
Value = TypeVar("Value")


@dataclass(frozen=True)
class SupervisedSite:
    """A site with all its parts. `address` ends without a slash."""

    home: Path
    address: str
    server: "subprocess.Popen[bytes]"

    def part(self, name: str) -> psutil.Process | None:
        """Find a part, or return None while it is not there."""
        try:
            if name == "postmaster":
                first = (self.home / "postgres" / "data" / "postmaster.pid").read_text().split(maxsplit=1)[0]
                return psutil.Process(int(first))
            if name == "runner":
                words = {"labelapp.embedded_postgres", str(self.home)}
                return next(found for found in psutil.process_iter(["cmdline"]) if words <= set(found.info["cmdline"] or ()))
            return next(child for child in psutil.Process(self.server.pid).children() if _is_part(child, name))
        except (OSError, ValueError, IndexError, StopIteration, psutil.Error):
            return None

    def is_back(self, name: str, *, before: int) -> bool:
        """Tell whether a part runs as another process than the one that was killed."""
        found = self.part(name)
        return found is not None and found.pid != before and found.is_running()

    def kill(self, name: str) -> int | None:
        """Kill a part and return its number, or None if it was not there. The number says with is_back when another one runs."""
        found = self.part(name)
        return found.pid if found and kill(found.pid) else None

    def check(self) -> None:
        """Raise RuntimeError if the supervisor has ended."""
        if self.server.poll() is not None:
            raise RuntimeError(f"The server ended with code {self.server.returncode}.")


def _is_part(child: psutil.Process, name: str) -> bool:
    """Tell whether a child of the supervisor is this part. The shell that becomes it is not, and neither is a child that has ended."""
    try:
        words = child.cmdline()
    except psutil.Error:
        return False
    return MARKS[name] in words and words[0] != "/bin/sh"


@contextlib.contextmanager
def supervised(home: Path) -> Iterator[SupervisedSite]:
    """Run the supervisor in a home for as long as the block runs. Raises RuntimeError if the site does not start within BACK_SECONDS.

    If the block fails, the end of the server's log is shown.
    """
    port = temporary_site.free_port()
    words = [sys.executable, "-m", "labelapp.supervisor", "--port", str(port)]
    path = home / "server.log"
    with path.open("wb") as log:
        server = subprocess.Popen(words, cwd=temporary_site.ROOT, stdout=log, stderr=log)
        site = SupervisedSite(home, f"http://127.0.0.1:{port}", server)
        try:
            wait_for(lambda: all(site.part(name) for name in PARTS) or server.poll() is not None, seconds=BACK_SECONDS)
            if missing := [name for name in PARTS if site.part(name) is None]:
                raise RuntimeError(f"These parts of the site did not start within {BACK_SECONDS} s: {', '.join(missing)}.")
            yield site
        except BaseException:
            sys.stderr.write(path.read_text(errors="replace")[-3000:])
            raise
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def kill(pid: int) -> bool:
    """Kill a process, and tell whether it was there: it can end between the moment it was found and this one."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], Value], *, seconds: float) -> Value:
    """Return what the condition returns once it is true, or what it returned last."""
    until = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return value


def longest_gap(moments: Sequence[float], *, since: float) -> float:
    """Return the longest time without an answer from a moment up to now, given the moments of all answers."""
    after = [since, *sorted(moment for moment in moments if moment > since), time.monotonic()]
    return max(later - earlier for earlier, later in zip(after, after[1:], strict=False))


def load_average() -> float:
    return round(os.getloadavg()[0], 1)
