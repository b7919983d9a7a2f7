"""Run the whole site from one terminal: web, workers and beat, with one log and one Ctrl-C.

Reads the environment (settings.py) and owns only its processes. A process that dies is started again and takes no other with it
(processes.py). The private database is joined again when it is gone. One home has one supervisor, which holds its file (site_state.py).
"""

import argparse
import contextlib
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from active_learning.site_state import GivenUp, HomeInUse, SupervisorFile
from labelapp import embedded_postgres, environment, site_address
from labelapp.processes import RED, ChildProcesses, Restarts
from trainer import __version__

POLL_SECONDS = 0.2
DATABASE_SECONDS = 0.5  # between two looks at the private database
SLOW_SECONDS = 60  # what the site cannot do without is tried again at this interval, however often it has ended


class Refused(SystemExit):
    """A start that is not possible. The sentence says why and what to do. Exit code 2."""

    def __init__(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        super().__init__(2)


def commands(*, bind: str) -> dict[str, list[str]]:
    """Return the commands that run as long as the site. Web listens on `bind`: an address, or `fd://NUMBER` for an inherited socket.

    The trainer is a separate worker, so that a long training delays no other task.
    """
    # -W: a container often has no other account than root, and the messages are JSON, never pickle.
    celery = [sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "-A", "labelapp.celery"]
    quiet = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "warning"]
    workers = environment.number("WEB_WORKERS", 2, lowest=1, highest=1000)
    threads = environment.number("WEB_THREADS", 4, lowest=1, highest=1000)
    # A busy disk must not delay gunicorn's liveness file.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(embedded_postgres.home())
    # --preload: one import for all web processes halves the time to the first page.
    sizes = f"--workers {workers} --threads {threads} --keep-alive 30"
    web = f"--config python:labelapp.web_server --bind {bind} --preload --worker-class gthread {sizes}"
    return {
        "web": [sys.executable, "-m", "gunicorn", "labelapp.wsgi", *web.split(), "--worker-tmp-dir", memory, "--log-level", "warning"],
        # Two children: an import takes minutes, and meanwhile leases expire and schedules are looked at.
        "worker": [*celery, "worker", "-Q", "default", "-c", "2", "-n", "worker@%h", *quiet],
        # One child per task: when it ends, the memory of a training is free again.
        "trainer": [*celery, "worker", "-Q", "gpu", "-c", "1", "--max-tasks-per-child", "1", "-n", "trainer@%h", *quiet],
        "beat": [*celery, "beat", "--loglevel", "warning", "--pidfile", ""],
    }


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises Refused for an address that cannot be used.

    The supervisor keeps it while web processes come and go: a request waits meanwhile and is not refused, and no orphan holds the port.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        other = f"script/server --port {port + 1 if 1023 < port < 65535 else 8001}"
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise Refused(f"Port {port} is in use, perhaps by another Stepmark. Stop it, or choose another port: {other}") from None
        raise Refused(f"{host}:{port} cannot be used ({error}). Choose another port: {other}") from None
    listener.listen(2048)
    return listener


class DatabaseWatch:
    """Starts the private PostgreSQL again when it is gone."""

    def __init__(self, site: ChildProcesses) -> None:
        self.site = site
        self.restarts, self.due, self.is_up = Restarts(), 0.0, True
        self.is_private = not os.environ.get("DATABASE_URL")

    def look(self) -> None:
        """Start it if it does not run and its pause is over. Never waits for it."""
        now = time.monotonic()
        if not self.is_private or now < self.due:
            return
        self.due = now + DATABASE_SECONDS
        if embedded_postgres.is_running():
            self.is_up = True
            return
        pause = self.restarts.pause(now)
        if pause is None:
            reason = embedded_postgres.explain()
            self.site.say("database", f"It does not stay up, so it is tried again every {SLOW_SECONDS} s. {reason}", color=RED)
        elif self.is_up:
            self.site.say("database", "It ended, and is started again. The pages answer when it is ready.")
        self.is_up = False
        embedded_postgres.revive()
        self.due = now + max(DATABASE_SECONDS, SLOW_SECONDS if pause is None else pause)


def prepare(*, demonstration: bool) -> bool:
    """Migrate the database. Return whether the demonstration was begun and must still be filled."""
    import django
    from django.core.management import CommandError, call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    embedded_postgres.join_if_wanted()
    django.setup()
    try:
        call_command("migrate", verbosity=0)
    except CommandError as error:
        sys.exit(str(error))  # 1, not 2: a lock that somebody holds is free later
    if environment.is_production():
        collect_static_files()
    from active_learning.demonstration import find_demonstration, found_demonstration

    if not demonstration:
        return False
    is_new = found_demonstration()
    if not is_new and find_demonstration() is None:
        print("The demonstration was not made: this home has a project already. Set STEPMARK_HOME to an empty folder for it.")
    return is_new


def collect_static_files() -> None:
    """Collect the files of the pages. Raises Refused if they cannot be written."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    django.setup()
    from labelapp import static_files

    try:
        static_files.collect()
    except OSError as error:
        raise Refused(f"The files of the pages could not be copied: {error}. Repair that and start again. Nothing is lost.") from None


def announce(*, host: str, port: int, is_first_start: bool) -> None:
    """Print the address, the set-up link while nobody can administrate the site, and a sign-in link for each person of the demonstration.

    Its owner gets one at the first start only.
    """
    from django.db import connections

    from active_learning import demonstration
    from annotation import people

    address, prefix = site_address.public(host=host, port=port), environment.path_prefix()
    print(f"\nStepmark {__version__} is at {address}{f'{prefix}/' if prefix else ''}\n")
    if environment.is_production():
        local = f"[{host}]" if ":" in host else host
        print(f"The reverse proxy forwards to http://{local}:{port}, with X-Forwarded-Proto and X-Forwarded-For: docs/deploy.md\n")
    if not people.is_set_up():
        print("Open this link to make the first account. It works until that account is there:\n")
        print(f"  {address}{people.link_to_set_up()}\n")
    for person, what, link in demonstration.sign_in_links(address, is_first_start=is_first_start):
        print(f"  {person:5} {what:20} {link}")
    print(
        "\nEach sign-in link works once. manage.py sign_in_link NAME prints a new one. Ctrl-C stops everything and keeps the data.\n",
        flush=True,
    )
    connections.close_all()  # the supervisor asks nothing more


def wait_for_page(site: ChildProcesses, *, host: str, port: int, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait until the first page answers or the site is to stop. Raises Refused after 60 s, or when a process ends."""
    until, wrong = time.monotonic() + 60, ""
    while time.monotonic() < until and not is_stopping():
        site.pump(0.05)
        if name := site.ended():
            raise Refused(f"{name} ended before the first page was ready. The lines above show why.")
        if not (wrong := site_address.what_is_wrong(host=host, port=port) or ""):
            return
    if is_stopping():
        return
    raise Refused(f"The first page was not ready after 60 s ({wrong}). The lines of web above show why.")


def main() -> None:
    """Run the site until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="script/server", description="Run Stepmark.")
    parser.add_argument("--version", action="version", version=f"Stepmark {__version__}")
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"), help="address to listen on (default: $HOST, else 127.0.0.1)")
    default_port = environment.number("PORT", 8000, lowest=1, highest=65535)
    parser.add_argument("--port", type=int, default=default_port, help="port to listen on (default: $PORT, else 8000)")
    parser.add_argument("--demonstration", action="store_true", help="make the demonstration project and its people, if the home is empty")
    # Unit files of older versions name it. Nothing is made without --demonstration.
    parser.add_argument("--no-demonstration", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    file = SupervisorFile(embedded_postgres.home())
    try:
        file.check()
        listener = listen(options.host, options.port)
        file.claim(site_address.public(host=options.host, port=options.port))
    except HomeInUse as other:
        where = f" at {other.address}" if other.address else ""
        raise Refused(
            f"Stepmark already runs with the folder {file.path.parent}{where}. "
            "Use that one, stop it first, or set STEPMARK_HOME to another folder."
        ) from None
    except OSError as error:
        raise Refused(
            f"{file.path} cannot be written ({error.strerror}). Repair that, or set STEPMARK_HOME to another folder. Nothing was started."
        ) from None
    fresh = prepare(demonstration=options.demonstration)
    run(listener, file, fresh=fresh)


def run(listener: socket.socket, file: SupervisorFile, *, fresh: bool) -> None:
    """Run all processes until Ctrl-C. `fresh`: make the demonstration, too."""
    stopping = False

    def stop(number: int, _: object) -> None:
        # Nothing is raised here. An exception that meets a destructor is printed and dropped, and the site would run on for ever.
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)

    def note(given_up: list[GivenUp], restarts: dict[str, int]) -> None:
        with contextlib.suppress(OSError):  # a full disk: the log has it
            file.write(given_up, restarts)

    site = ChildProcesses(note)
    try:
        host, port = listener.getsockname()[:2]
        every = commands(bind=f"fd://{listener.fileno()}")
        site.start("web", every.pop("web"), again_seconds=SLOW_SECONDS, sockets=[listener.fileno()])
        wait_for_page(site, host=host, port=port, is_stopping=lambda: stopping)
        if not stopping:
            announce(host=host, port=port, is_first_start=fresh)
            for name, command in every.items():
                site.start(name, command)
            if fresh:
                site.start("demo", [sys.executable, "manage.py", "make_demonstration"], passing=True)
        database = DatabaseWatch(site)
        while not stopping:
            site.pump(POLL_SECONDS)
            site.tend()
            database.look()
    finally:
        listener.close()  # who comes now is refused at once
        site.stop()
    print("Stopped.")


if __name__ == "__main__":
    main()
