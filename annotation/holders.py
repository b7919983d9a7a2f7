"""Which process holds a round, a shard or an import, by a name that no other process ever has, so that its end is known at once.

A name is MACHINE/PROCESS/START: the kernel's number of this boot and of its space of process numbers, the number of the process, and the
tick at which it started. So a reused number is another name, and a process of another machine, container or boot is never judged. The tick
counts from the boot, because a clock that is set would change a time of day. Reads /proc; elsewhere than on Linux no name is given. Knows
no Django.
"""

import os
from datetime import timedelta
from functools import cache
from pathlib import Path

PROC = Path("/proc")
ATTEMPTS = 3  # at each stage of a round, at each shard and at each import
STALE = timedelta(minutes=3)  # a run without a heartbeat for this long is given to another worker


@cache
def machine() -> str:
    """Return the beginning of the names of all processes that this process can judge. Empty: it can judge none."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{os.stat(PROC / 'self/ns/pid').st_ino}/"
    except OSError:
        return ""


def own_name() -> str:
    """Return the name of this process. Empty: nothing can be said about its end."""
    started = _started_at(os.getpid())
    return f"{machine()}{os.getpid()}/{started}" if machine() and started else ""


def has_ended(name: str) -> bool:
    """Return whether the process of this name has certainly ended. A process of another machine is never said to have."""
    here = machine()
    if not here or not name.startswith(here):
        return False
    number, _, started = name.removeprefix(here).partition("/")
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's; perhaps /proc hides it
    now = _started_at(int(number))
    return now is not None and now != started


def _started_at(pid: int) -> str | None:
    """Return the tick at which a process started; empty for one that has ended and waits for its parent; None if that cannot be read."""
    try:
        state, *fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if state in "ZX" else fields[18]
