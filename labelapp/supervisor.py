"""Run the whole site from one terminal: web, workers and beat, with one log and one Ctrl-C.

Reads the environment (settings.py) and owns only its processes. Existing process runners leave their children behind after kill -9.
Here a guard process holds the other end of a pipe. When this process ends in any way, the guard ends every process group.
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
# Reads the numbers of the groups. The pipe ends when the supervisor ends.
GUARD = """trap "" INT TERM HUP
while read -r group; do groups="$groups $group"; done
for signal in TERM KILL; do
    for group in $groups; do kill -$signal -$group; done
    sleep 1
done"""


# Each process writes its own number to the guard's pipe and closes it before it becomes the command. If the supervisor wrote the number
# instead, a kill -9 right after the start would leave a process that the guard does not know. The pipe is the standard input until then.
KNOWN_TO_GUARD = ["/bin/sh", "-c", 'echo $$ >&0; exec "$@" </dev/null', "sh"]


class Refused(SystemExit):
    """A start that is not possible. The sentence says why and what to do. Exit code 2."""

    def __init__(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        super().__init__(2)


def commands(*, host: str, port: int) -> dict[str, list[str]]:
    """Return the commands that run as long as the site. The trainer is a separate worker, so that a long training delays no other task."""
    # -W: a container often has no other account than root, and the messages are JSON, never pickle.
    celery = [sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "-A", "labelapp.celery"]
    quiet = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "warning"]
    workers, threads = os.environ.get("WEB_WORKERS", "2"), os.environ.get("WEB_THREADS", "4")
    # A busy disk must not delay gunicorn's liveness file.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(embedded_postgres.home())
    # --preload: one import for all web processes halves the time to the first page.
    web = f"--bind {host}:{port} --preload --worker-class gthread --workers {workers} --threads {threads} --keep-alive 30"
    return {
        "web": [sys.executable, "-m", "gunicorn", "labelapp.wsgi", *web.split(), "--worker-tmp-dir", memory, "--log-level", "warning"],
        "worker": [*celery, "worker", "-Q", "default", "-c", "1", "-n", "worker@%h", *quiet],
        # One child per task: when it ends, the memory of a training is free again.
        "trainer": [*celery, "worker", "-Q", "gpu", "-c", "1", "--max-tasks-per-child", "1", "-n", "trainer@%h", *quiet],
        "beat": [*celery, "beat", "--loglevel", "warning", "--pidfile", ""],
    }


def check_port(host: str, port: int) -> None:
    """Raise Refused for a port that cannot be used, before anything is started."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            other = f"script/server --port {port + 1 if 1023 < port < 65535 else 8001}"
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise Refused(f"Port {port} is in use, perhaps by another Stepmark. Stop it, or choose another port: {other}") from None
            raise Refused(f"{host}:{port} cannot be used ({error}). Choose another port: {other}") from None


class Supervisor:
    """The processes: their start, their merged log, and their end."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.passing: set[str] = set()  # processes that may end while the site runs
        self.output = selectors.DefaultSelector()
        self.rest: dict[str, bytes] = {}
        reading, self.lifeline = os.pipe()
        subprocess.Popen(
            ["/bin/sh", "-c", GUARD], stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(reading)
        self.color = sys.stdout.isatty()

    def start(self, name: str, command: list[str], *, passing: bool = False) -> None:
        """Start a process. `passing`: it may end while the site runs."""
        child = subprocess.Popen(
            [*KNOWN_TO_GUARD, *command],
            cwd=ROOT,
            stdin=self.lifeline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        self.output.register(child.stdout, selectors.EVENT_READ, name)
        self.children[name], self.rest[name] = child, b""
        if passing:
            self.passing.add(name)

    def say(self, name: str, line: str) -> None:
        """Print a line of the log under the name of its process."""
        label = f"{name:8}"
        print(f"\033[{COLORS.get(name, 37)}m{label}\033[0m {line}" if self.color else f"{label} {line}", flush=True)

    def pump(self, seconds: float) -> None:
        """Print the output of the processes for some seconds."""
        for key, _ in self.output.select(seconds):
            chunk = os.read(key.fd, 65536)
            *lines, self.rest[key.data] = (self.rest[key.data] + chunk).split(b"\n")
            if not chunk:
                self.output.unregister(key.fileobj)
                lines = [rest] if (rest := self.rest[key.data]) else []
            for line in lines:
                self.say(key.data, line.decode(errors="replace"))

    def ended(self) -> str | None:
        """Return the name of a process that the site needs and that has ended."""
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
        """End all processes, with SIGKILL after GRACE_SECONDS. A worker's task is cut off; its row says where another worker continues."""
        for name, child in self.children.items():
            child.send_signal(signal.SIGQUIT if name in ("worker", "trainer") else signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and any(child.poll() is None for child in self.children.values()):
            self.pump(0.1)
        for child in self.children.values():  # a group can outlive its first process
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def prepare(*, demonstration: bool) -> bool:
    """Migrate the database. Return whether the demonstration must still be made."""
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    embedded_postgres.join_if_wanted()
    django.setup()
    call_command("migrate", verbosity=0)
    from active_learning.demonstration import found_demonstration

    return demonstration and found_demonstration()


def announce(address: str) -> None:
    """Print the address and a sign-in link for each person of the demonstration."""
    from active_learning import demonstration

    print(f"\nStepmark {__version__} is at {address}\n")
    for person, what, link in demonstration.sign_in_links(address):
        print(f"  {person:5} {what:20} {link}")
    print("\nEach link works once. Ctrl-C stops everything and keeps the data.\n", flush=True)


def wait_for_page(site: Supervisor, address: str) -> None:
    """Wait until the first page answers. Raises Refused after 60 s, or when a process ends."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        site.pump(0.05)
        if name := site.ended():
            raise Refused(f"{name} ended before the first page was ready. The lines above show why.")
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{address}/sign-in/", timeout=5):
            return
    raise Refused("The first page was not ready after 60 s. The lines of web above show why.")


def main() -> None:
    """Run the site until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="script/server", description="Run Stepmark.")
    parser.add_argument("--version", action="version", version=f"Stepmark {__version__}")
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"), help="address to listen on (default: $HOST, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=int(os.environ.get("PORT", "8000")), help="port to listen on (default: $PORT, else 8000)"
    )
    parser.add_argument("--no-demonstration", action="store_true", help="do not make the demonstration project in the first run")
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
        raise Refused(f"{failed} ended unexpectedly, so everything was stopped. The lines above show why. Saved work is not lost.")
    print("Stopped.")


if __name__ == "__main__":
    main()
