"""The child processes of the supervisor: their start, their merged log, their restarts, and their end.

Existing process runners leave their children behind after kill -9. Here a guard process holds the other end of a pipe. When this process
ends in any way, the guard ends every process group.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from active_learning.site_state import GivenUp
from labelapp.monitoring import logs

ROOT = Path(__file__).resolve().parent.parent
COLORS = {"web": 36, "worker": 32, "trainer": 35, "beat": 33, "demo": 34, "database": 37}
RED = 31
GRACE_SECONDS = 10
QUIET_SECONDS = 60  # an end is forgotten after this time
GIVE_UP = 5  # ends within QUIET_SECONDS
# Reads "+ GROUP" and "- GROUP". The pipe ends when the supervisor ends. A group that has ended is forgotten: its number can be used again.
GUARD = """trap "" INT TERM HUP
while read -r mark group; do
    rest=
    for known in $groups; do [ "$known" = "$group" ] || rest="$rest $known"; done
    groups=$rest
    [ "$mark" = + ] && groups="$groups $group"
done
for group in $groups; do kill -TERM -$group; done
for second in 1 2 3 4 5; do # a worker needs a moment to give its round back
    alive=
    for group in $groups; do kill -0 -$group && alive=1; done
    [ "$alive" ] && sleep 1
done
for group in $groups; do kill -KILL -$group; done"""
# Each process writes its own number to the guard's pipe and closes it before it becomes the command. If the supervisor wrote the number
# instead, a kill -9 right after the start would leave a process that the guard does not know. The pipe is the standard input until then.
KNOWN_TO_GUARD = ["/bin/sh", "-c", 'echo "+ $$" >&0; exec "$@" </dev/null', "sh"]


class Restarts:
    """When something that ended is started again: at once, then after 1, 2, 4 s. The fifth end within a minute is one too many."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def pause(self, now: float) -> float | None:
        """Note an end; return the seconds to wait before the next start, or None if it ended too often."""
        self.ends = [*(end for end in self.ends if now - end < QUIET_SECONDS), now]
        n_ends = len(self.ends)
        if n_ends >= GIVE_UP:
            return None
        return 0 if n_ends == 1 else 2.0 ** (n_ends - 2)


@dataclass
class Child:
    """One process of the site, over all its starts."""

    name: str
    command: Sequence[str]
    passing: bool  # it ends by itself, and is not started again
    again_seconds: int | None  # after it was given up: the interval of further tries
    sockets: Sequence[int]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    due: float | None = None  # when it is started again
    rest: bytes = b""  # of its output: a line that has not ended yet
    restarts: Restarts = field(default_factory=Restarts)
    given_up: GivenUp | None = None
    n_restarts: int = 0


class ChildProcesses:
    """The processes of the site. `tend` starts again what has ended; `on_change` hears what was given up, and how often
    each part was started again."""

    def __init__(self, on_change: Callable[[list[GivenUp], dict[str, int]], None] = lambda parts, restarts: None) -> None:
        self.children: dict[str, Child] = {}
        self.on_change = on_change
        self.output = selectors.DefaultSelector()
        reading, self.lifeline = os.pipe()
        self.guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD], stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(reading)
        self.color = sys.stdout.isatty()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        passing: bool = False,
        again_seconds: int | None = None,
        sockets: Sequence[int] = (),
    ) -> None:
        """Start a process, which inherits `sockets`. A `passing` one ends by itself."""
        self.children[name] = Child(name, command, passing, again_seconds, sockets)
        self._launch(self.children[name])

    def _launch(self, child: Child) -> None:
        child.due, child.started_at = None, time.monotonic()
        child.process = subprocess.Popen(
            [*KNOWN_TO_GUARD, *child.command],
            cwd=ROOT,
            stdin=self.lifeline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=child.sockets,
        )
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self.output.register(child.process.stdout, selectors.EVENT_READ, child)

    def say(self, name: str, line: str, *, color: int | None = None) -> None:
        """Print a line of the log under the name of its process, or with it as JSON."""
        if logs.is_json() and not line.strip():
            return
        line, label = logs.merged(name, line, level="ERROR" if color == RED else "INFO"), f"{name:8}"
        if self.color:
            label = f"\033[{COLORS.get(name, 37)}m{label}\033[0m"
            line = f"\033[{color}m{line}\033[0m" if color else line
        with contextlib.suppress(OSError):  # a log on a full disk must not end the site
            os.write(sys.stdout.fileno(), (line if logs.is_json() else f"{label} {line}").encode(errors="replace") + b"\n")

    def pump(self, seconds: float) -> None:
        """Print the output of the processes for some seconds."""
        for key, _ in self.output.select(seconds):
            self._read(key.data, key.fd)

    def _read(self, child: Child, descriptor: int) -> bool:
        """Print what a process has written; return whether there is more to come."""
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        *lines, child.rest = (child.rest + chunk).split(b"\n")
        if not chunk:
            self.output.unregister(descriptor)
            lines, child.rest = ([child.rest] if child.rest else []), b""
        for line in lines:
            self.say(child.name, line.decode(errors="replace"))
        return bool(chunk)

    def ended(self) -> str | None:
        """Return the name of a process that the site needs and that has ended. Starts nothing."""
        for name, child in self.children.items():
            if not child.passing and child.process and child.process.poll() is not None:
                return name
        return None

    def tend(self) -> None:
        """Start again what has ended, each after its pause, and give up what ends too often. Call it several times a second."""
        now = time.monotonic()
        for child in list(self.children.values()):
            if child.process is None:
                if child.due is not None and now >= child.due:
                    self._start_again(child)
            elif child.process.poll() is not None:
                self._after_end(child)
            elif child.given_up and now - child.started_at >= QUIET_SECONDS:
                self.say(child.name, "runs again.")
                self._give_up(child, None)

    def _start_again(self, child: Child) -> None:
        try:
            self._launch(child)
        except OSError as error:  # no memory, or no more processes allowed
            self.say(child.name, f"could not be started: {error.strerror}.", color=RED)
            self._wait(child, "It")

    def _after_end(self, child: Child) -> None:
        assert child.process is not None
        code = child.process.returncode
        self._end_group(child)
        if child.passing:
            del self.children[child.name]
            if code:
                self.say(child.name, f"ended with code {code}")
        else:
            self._wait(child, f"ended {f'by signal {-code}' if code < 0 else f'with code {code}'}. It")

    def _wait(self, child: Child, beginning: str) -> None:
        """Decide when an ended process is started again, and say so."""
        now = time.monotonic()
        child.n_restarts += 1
        self._note()
        pause = child.restarts.pause(now)
        if pause is not None:
            child.due = now + pause
            self.say(child.name, f"{beginning} starts again {f'in {pause:g} s' if pause else 'now'}.")
            return
        then = "is not started again" if child.again_seconds is None else f"is tried again every {child.again_seconds} s"
        child.due = None if child.again_seconds is None else now + child.again_seconds
        words = f"{beginning} ended {GIVE_UP} times within a minute, so it was given up and {then}. The lines above show why."
        self.say(child.name, f"{words} Everything else goes on.", color=RED)
        at = child.given_up.at if child.given_up else datetime.now(UTC).isoformat(timespec="seconds")
        self._give_up(child, GivenUp(child.name, at, child.again_seconds))

    def _give_up(self, child: Child, part: GivenUp | None) -> None:
        child.given_up = part
        self._note()

    def _note(self) -> None:
        given_up = [child.given_up for child in self.children.values() if child.given_up]
        self.on_change(given_up, {name: child.n_restarts for name, child in self.children.items() if not child.passing})

    def _end_group(self, child: Child) -> None:
        """End what is left of a process that has ended: gunicorn's workers outlive their master, and still answer."""
        process, child.process = child.process, None
        assert process is not None and process.stdout is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        os.write(self.lifeline, f"- {process.pid}\n".encode())
        process.wait()
        while process.stdout in self.output.get_map() and self._read(child, process.stdout.fileno()):
            pass
        with contextlib.suppress(KeyError):
            self.output.unregister(process.stdout)
        process.stdout.close()

    def stop(self) -> None:
        """End all processes, with SIGKILL after GRACE_SECONDS. A round of a worker is taken up again at the next start."""
        running = [child for child in self.children.values() if child.process]
        for child in running:
            assert child.process is not None
            child.process.send_signal(signal.SIGQUIT if child.name in ("worker", "trainer") else signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and any(child.process and child.process.poll() is None for child in running):
            self.pump(0.1)
        for child in running:  # a group can outlive its first process
            self._end_group(child)
        os.close(self.lifeline)
        self.guard.wait()
