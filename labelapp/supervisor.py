"""Run the whole site for one person at one terminal: web, workers and beat, one log, one Ctrl-C.

Reads the environment (settings.py), owns nothing but the processes. Process runners on the shelf leave their children behind at
kill -9; here a guard holds the other end of a pipe and ends every process group once this process is gone, however it went.
"""

import argparse
import contextlib
import errno
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from labelapp import embedded_postgres
from trainer import __version__

ROOT = Path(__file__).resolve().parent.parent
COLORS = {"web": 36, "worker": 32, "trainer": 35, "beat": 33, "demo": 34}
GRACE_SECONDS = 10
# Reads the groups' numbers, then waits for the end of the pipe: the supervisor's.
GUARD = """trap "" INT TERM HUP
while read -r group; do groups="$groups $group"; done
for signal in TERM KILL; do
    for group in $groups; do kill -$signal -$group; done
    sleep 1
done"""


class Refused(SystemExit):
    """A start that cannot be; the sentence says why and what to do. Exit code 2."""

    def __init__(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        super().__init__(2)


def commands(*, host: str, port: int) -> dict[str, list[str]]:
    """Return what runs for as long as the site does. The trainer is a worker of its own, so that an hour of training delays no bell."""
    # -W: as root in a container there is nobody to drop to, and the messages are JSON, never pickle.
    celery = [sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "-A", "labelapp.celery"]
    quiet = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "warning"]
    workers, threads = os.environ.get("WEB_WORKERS", "2"), os.environ.get("WEB_THREADS", "4")
    # gunicorn's liveness file must not wait for a busy disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(embedded_postgres.home())
    # --preload: one import for all web processes, which halves the wait for the first page.
    web = f"--bind {host}:{port} --preload --worker-class gthread --workers {workers} --threads {threads} --keep-alive 30"
    return {
        "web": [sys.executable, "-m", "gunicorn", "labelapp.wsgi", *web.split(), "--worker-tmp-dir", memory, "--log-level", "warning"],
        "worker": [*celery, "worker", "-Q", "default", "-c", "1", "-n", "worker@%h", *quiet],
        # One child per task: the memory of a training goes back with it.
        "trainer": [*celery, "worker", "-Q", "gpu", "-c", "1", "--max-tasks-per-child", "1", "-n", "trainer@%h", *quiet],
        "beat": [*celery, "beat", "--loglevel", "warning", "--pidfile", ""],
    }


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be used, before anything is started."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            other = f"script/server --port {port + 1 if 1023 < port < 65535 else 8001}"
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise Refused(f"Port {port} is in use, perhaps by another Stepmark. Stop that one, or choose another: {other}") from None
            raise Refused(f"{host}:{port} cannot be used ({error}). Choose another: {other}") from None


class Supervisor:
    """The processes, their merged log and their end."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.passing: set[str] = set()  # those that may end without ending the site
        self.output = selectors.DefaultSelector()
        self.rest: dict[str, bytes] = {}
        reading, self.lifeline = os.pipe()
        subprocess.Popen(
            ["/bin/sh", "-c", GUARD], stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(reading)
        self.color = sys.stdout.isatty()

    def start(self, name: str, command: list[str], *, passing: bool = False) -> None:
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        os.write(self.lifeline, f"{child.pid}\n".encode())
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        self.output.register(child.stdout, selectors.EVENT_READ, name)
        self.children[name], self.rest[name] = child, b""
        if passing:
            self.passing.add(name)

    def say(self, name: str, line: str) -> None:
        label = f"{name:8}"
        print(f"\033[{COLORS.get(name, 37)}m{label}\033[0m {line}" if self.color else f"{label} {line}", flush=True)

    def pump(self, seconds: float) -> None:
        """Pass on what the processes say for a while."""
        for key, _ in self.output.select(seconds):
            chunk = os.read(key.fd, 65536)
            *lines, self.rest[key.data] = (self.rest[key.data] + chunk).split(b"\n")
            if not chunk:
                self.output.unregister(key.fileobj)
                lines = [rest] if (rest := self.rest[key.data]) else []
            for line in lines:
                self.say(key.data, line.decode(errors="replace"))

    def ended(self) -> str | None:
        """Return the name of a process that ended though the site needs it."""
        for name, child in list(self.children.items()):
            if child.poll() is None:
                continue
            if name in self.passing:
                del self.children[name]
                if child.returncode:
                    self.say(name, f"ended with code {child.returncode}")
            else:
                return name
        return None

    def stop(self) -> None:
        """End everything: politely, then not. A worker's task is cut off: its row says where another goes on."""
        for name, child in self.children.items():
            child.send_signal(signal.SIGQUIT if name in ("worker", "trainer") else signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and any(child.poll() is None for child in self.children.values()):
            self.pump(0.1)
        for child in self.children.values():  # the group outlives the child that led it
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def prepare(*, demonstration: bool) -> bool:
    """Migrate, and say whether the demonstration is still to be made."""
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    embedded_postgres.join_if_wanted()
    django.setup()
    call_command("migrate", verbosity=0)
    from active_learning.demonstration import found_demonstration

    return demonstration and found_demonstration()


def announce(address: str) -> None:
    from active_learning import demonstration

    print(f"\nStepmark {__version__} is at {address}\n")
    for person, what, link in demonstration.sign_in_links(address):
        print(f"  {person:5} {what:20} {link}")
    print("\nEach link signs in once. Ctrl-C stops everything; the data stays.\n", flush=True)


def wait_for_page(site: Supervisor, address: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        site.pump(0.05)
        if name := site.ended():
            raise Refused(f"{name} ended before the first page was there; its last words stand above.")
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{address}/sign-in/", timeout=5):
            return
    raise Refused("The first page was not there after 60 s; see what web says above.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/server", description="Run Stepmark.")
    parser.add_argument("--version", action="version", version=f"Stepmark {__version__}")
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    parser.add_argument("--no-demonstration", action="store_true", help="do not make the demonstration project on the first run")
    options = parser.parse_args()
    check_port(options.host, options.port)
    fresh = prepare(demonstration=not options.no_demonstration)
    address = f"http://{'localhost' if options.host in ('127.0.0.1', '0.0.0.0', '::') else options.host}:{options.port}"

    stopping = False

    def interrupt(number: int, _: object) -> None:
        nonlocal stopping
        if not stopping:  # a second Ctrl-C must not leave half of the processes behind, however soon it comes
            stopping = True
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    site = Supervisor()
    failed = None
    try:
        every = commands(host=options.host, port=options.port)
        site.start("web", every.pop("web"))
        wait_for_page(site, address)
        announce(address)
        for name, command in every.items():
            site.start(name, command)
        if fresh:
            site.start("demo", [sys.executable, "manage.py", "make_demonstration"], passing=True)
        while not (failed := site.ended()):
            site.pump(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        stopping = True
        site.stop()
    if failed:
        raise Refused(
            f"{failed} ended unexpectedly, so everything was stopped; its last words stand above. Nothing that was saved is lost."
        )
    print("Stopped.")


if __name__ == "__main__":
    main()
