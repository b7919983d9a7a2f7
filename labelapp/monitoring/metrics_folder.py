"""Where the web processes of one gunicorn keep the counts that /metrics adds up. prometheus_client reads this when it is imported."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from labelapp import embedded_postgres

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare() -> None:
    """Name the folder in the environment, make it, and delete the counts of processes that have ended.

    In memory: each request writes into it. It belongs to this machine, because its files are named after process numbers.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    home = embedded_postgres.fingerprint(embedded_postgres.home())
    folder = Path(os.environ.setdefault(VARIABLE, f"{memory}/stepmark-metrics-{os.getuid()}-{home}"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _forget(folder, kept=_runs)


def leave() -> None:
    """Delete the counts of this process and of ended ones, and the folder if no other process counts there."""
    if VARIABLE in os.environ:
        folder = Path(os.environ[VARIABLE])
        _forget(folder, kept=lambda process: process != os.getpid() and _runs(process))
        with contextlib.suppress(OSError):
            folder.rmdir()


def _forget(folder: Path, *, kept: Callable[[int], bool]) -> None:
    for path in folder.glob("*_*.db"):
        process = path.stem.rpartition("_")[2]
        if process.isdigit() and not kept(int(process)):
            with contextlib.suppress(OSError):
                path.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
