"""A temporary site for a benchmark: temporary home, private PostgreSQL, gunicorn on a free port, started as script/server does.

It does not read the checkout's own home and leaves nothing behind. After a kill -9 only the folder is left: the supervisor's guard ends the
web processes, the kernel's lock the database. Django also runs in the benchmark's own process, to load and to check.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.temporary_site import template
from labelapp import embedded_postgres, supervisor
from labelapp.processes import ChildProcesses

if TYPE_CHECKING:
    from annotation.ingest import NewSolution
    from annotation.models import Project

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
OURS = "labelapp.wsgi"
BARE = "benchmarks.temporary_site.bare"


@dataclass(frozen=True)
class Site:
    """One running site. `address` ends without a slash."""

    home: Path
    address: str
    web: psutil.Process

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU seconds spent so far by the web processes and by PostgreSQL, each with its children, including ended ones."""
        return {"web": _cpu_seconds(self.web), "database": database_cpu_seconds(self.home)}


def database_cpu_seconds(home: Path) -> float:
    """Return the CPU seconds spent so far by the PostgreSQL of a home, with its ended processes."""
    postmaster = (home / "postgres" / "data" / "postmaster.pid").read_text().split(maxsplit=1)[0]
    return _cpu_seconds(psutil.Process(int(postmaster)))


def _cpu_seconds(master: psutil.Process) -> float:
    times = (one.cpu_times() for one in (master, *master.children(recursive=True)))
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


@contextlib.contextmanager
def running_home() -> Iterator[Path]:
    """Make a home with a migrated database and set Django up in this process; at the end stop the database and remove everything."""
    home = Path(tempfile.mkdtemp(prefix="stepmark-bench-"))
    home.chmod(0o755)  # PostgreSQL runs as another account when we are root
    for name in ("DATABASE_URL", "PRODUCTION", "DEBUG"):
        os.environ.pop(name, None)
    os.environ.update(STEPMARK_HOME=str(home), DJANGO_ALLOW_ASYNC_UNSAFE="true")  # Playwright's event loop runs in this thread
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        template.fill(home)
        supervisor.prepare(demonstration=False)
        yield home
    finally:
        _leave(home)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def home_without_database() -> Iterator[None]:
    """Set Django up in this process with a temporary home, for what asks no database; at the end remove the home."""
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as home:
        os.environ.update(STEPMARK_HOME=home, DJANGO_SETTINGS_MODULE="labelapp.settings")
        import django

        django.setup()
        yield


def _leave(home: Path) -> None:
    """Release the database before the process ends, so that its folder can be removed."""
    if "django" in sys.modules:
        from django.db import connections

        connections.close_all()
    if descriptor := embedded_postgres._held.pop(home, None):
        os.close(descriptor)
    for runner in embedded_postgres._runners:
        runner.wait(30)


@contextlib.contextmanager
def serving(home: Path, application: str = OURS) -> Iterator[Site]:
    """Serve an application through gunicorn as the supervisor does, for as long as the block runs."""
    port = free_port()
    command = supervisor.commands(bind=f"127.0.0.1:{port}")["web"]
    processes = ChildProcesses()
    try:
        processes.start("web", [application if word == OURS else word for word in command])
        supervisor.wait_for_page(processes, host="127.0.0.1", port=port)
        web = processes.children["web"].process
        assert web is not None
        yield Site(home, f"http://127.0.0.1:{port}", psutil.Process(web.pid))
    finally:
        processes.stop()


def free_port() -> int:
    """Return a port of this machine that nobody listens on.

    It is drawn below the ports that systems give to outgoing connections (from 32,768 on): one of these could get it before the server.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def publish(
    slug: str, *, path: Path | None = None, lines: int | None = None, rows: "Sequence[NewSolution]" = (), overlap: int = 1
) -> "Project":
    """Make a project of the first lines of a file, or of the solutions in `rows`, and publish all of them in one batch."""
    from annotation import ingest, projects, queue
    from annotation.models import Solution

    project = projects.create_project(slug, name=slug)
    if path:
        with tempfile.NamedTemporaryFile("wb", suffix=path.suffix) as head:
            try:
                with path.open("rb") as source:
                    head.writelines(islice(source, lines))
            except FileNotFoundError as missing:
                sys.exit(f"{missing.filename} is missing. Set STEPMARK_DATA to the folder that holds gsm8k/.")
            head.flush()
            ingest.load_solutions(head.name, project=project)
    else:
        ingest.add_solutions(project, rows)
    chosen = Solution.objects.filter(problem__project=project).order_by("pk").values_list("pk", flat=True)
    queue.open_batch(project, [queue.Chosen(one) for one in chosen], overlap=overlap)
    return project


def link_form(page: str) -> dict[str, str]:
    """Return the hidden fields of the page that a sign-in link opens: the form that signs in."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def invite(projects: "Sequence[Project]", count: int, *, name: str = "labeler") -> list[str]:
    """Make labelers of the projects; return the path of a one-time sign-in link for each."""
    from django.contrib.auth.models import User

    from annotation import people as accounts
    from annotation.models import Membership, Role

    people = User.objects.bulk_create(User(username=f"{name}{number}", password="!") for number in range(count))
    Membership.objects.bulk_create(Membership(project=project, user=one, role=Role.LABELER) for project in projects for one in people)
    return [accounts.link_to_sign_in(one) for one in people]
