"""Where the web processes of one gunicorn keep the counts that /metrics adds up. prometheus_client reads this when it is imported."""

import contextlib
import os
import tempfile
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
    for path in folder.glob("*_*.db"):
        process = path.stem.rpartition("_")[2]
        if process.isdigit() and not _runs(int(process)):
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
