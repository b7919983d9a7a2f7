"""A database in the state after all migrations, made once and copied into each temporary home.

Migrating a new database takes several seconds of a processor, more than what most benchmarks measure. A copy takes a tenth of a second.
What is about the start from nothing (benchmarks/starting.py) uses no copy. The copies' source is kept under
$XDG_CACHE_HOME/stepmark/homes (default: ~/.cache/stepmark/homes, 50 MB each) for all checkouts of a user, and deleted when nobody used it
for a week. Its name is a checksum of what decides about its content, so a changed migration makes another one.
"""

import contextlib
import fcntl
import getpass
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from labelapp import embedded_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT_SECONDS = 7 * 24 * 3600


def fill(home: Path) -> None:
    """Give an empty home a migrated database that does not run. Exits with the code of `manage.py migrate` if that fails."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        source = folder / fingerprint()
        if not source.is_dir():
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several that start at once, one makes it and the others wait
            if not source.is_dir():
                _make(source)
            _forget_old(folder, keep=source)
        os.utime(source)
        copy(source, home / "postgres")


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepmark" / "homes"


def fingerprint(root: Path = ROOT) -> str:
    """Name a database: by the migrations, the packages (PostgreSQL and Django among them), how a database is made, and who owns it."""
    others = ("requirements.txt", "labelapp/settings.py", "labelapp/embedded_postgres.py", "benchmarks/temporary_site/template.py")
    files = [*sorted(root.glob("*/migrations/*.py")), *(root / name for name in others)]
    made = hashlib.sha256(f"{getpass.getuser()} {os.geteuid()} {sys.platform} {os.uname().machine}".encode())
    for file in files:
        made.update(f"\0{file.relative_to(root)}\0".encode() + file.read_bytes())
    return made.hexdigest()[:16]


def copy(source: Path, target: Path) -> None:
    """Copy the files of a database that does not run, with their owner."""
    target.mkdir(parents=True)
    subprocess.run(["cp", "-a", str(source / "data"), str(source / "made"), str(target)], check=True)


def _make(source: Path) -> None:
    """Migrate a database in a home of its own, in a process of its own, and keep its files."""
    home = Path(tempfile.mkdtemp(prefix="stepmark-bench-"))
    home.chmod(0o755)  # PostgreSQL runs as another account when we are root
    try:
        environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PRODUCTION", "DEBUG")}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        made = subprocess.run(command, cwd=ROOT, env=environment | {"STEPMARK_HOME": str(home)}, check=False)
        if made.returncode:
            sys.exit(made.returncode)
        while embedded_postgres.is_locked(home / "postgres" / embedded_postgres.RUNNER_LOCK):  # until the server has stopped
            time.sleep(0.02)
        unfinished = source.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        copy(home / "postgres", unfinished)
        unfinished.rename(source)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _forget_old(folder: Path, *, keep: Path) -> None:
    for other in folder.iterdir():
        with contextlib.suppress(OSError):
            if other.is_dir() and other != keep and other.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(other)
