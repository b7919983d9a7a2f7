"""script/server: one command starts everything, one Ctrl-C ends it, and nothing outlives it."""

import contextlib
import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labelapp.test_embedded_postgres import ROOT, environment
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for what is left in /proc")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """script/server in a home of its own."""

    def __init__(self, home: Path, port: int, *options: str) -> None:
        self.home, self.port, self.output = home, port, ""
        command = ["script/server", "--port", str(port), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches the pattern."""

        def match() -> re.Match[str] | None:
            if not (found := re.search(pattern, self.output)):
                self.read(pattern)
            return found

        match_ = until(match, what=lambda: f"the output matches {pattern}:\n{self.output}")
        assert match_
        return match_

    def read(self, pattern: str) -> None:
        assert self.process.stdout
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, f"it ended, and its output never matched {pattern}:\n{self.output}"
            self.output += chunk.decode()

    def left(self) -> list[str]:
        """The command lines of all processes that live in this home."""
        mark, found = f"STEPMARK_HOME={self.home}\0".encode(), []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdecimal() and mark in (folder / "environ").read_bytes() + b"\0":
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
        return [line for line in found if line]

    def wait_until_gone(self) -> None:
        until(lambda: not self.left(), what=lambda: f"no process is left; there are {self.left()}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    os.chmod(tmp_path, 0o755)
    running = Server(tmp_path / "a home", free_port())
    yield running
    with contextlib.suppress(ProcessLookupError):
        running.process.kill()
    running.process.wait()
    if running.process.stdout:
        running.process.stdout.close()
    running.wait_until_gone()


Browser = urllib.request.OpenerDirector


def browser() -> Browser:
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def fetch(visitor: Browser, address: str, form: dict[str, str] | None = None) -> tuple[str, str]:
    """Fetch a page, or send it a form; return where the visitor is then and what stands there."""
    with visitor.open(address, urllib.parse.urlencode(form).encode() if form else None, timeout=PATIENCE) as page:
        return page.url, page.read().decode()


def test_one_command_serves_signs_in_runs_a_round_and_one_ctrl_c_ends_it(server: Server) -> None:
    link = server.wait_for(r"ann +labels solutions +(http\S+)")[1]
    assert fetch(browser(), link)[0] == f"http://localhost:{server.port}/"
    with contextlib.suppress(urllib.error.HTTPError):
        assert "Word problems" not in fetch(browser(), link)[1], "a one-time link signed in twice"

    olga = browser()
    assert "Word problems" in fetch(olga, server.wait_for(r"olga +owns the project +(http\S+)")[1])[1]
    server.wait_for(r"The project demonstration is ready")
    overview = f"http://localhost:{server.port}/p/demonstration/"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', fetch(olga, overview)[1])
    assert token
    beats = until(lambda: beat_processes(server), what="beat has started")
    for beat in beats:  # its sweeper would find the round too; the worker must hear of it at once
        os.kill(beat, signal.SIGSTOP)
    fetch(olga, f"{overview}rounds/start/", {"csrfmiddlewaretoken": token[1], "strategy": "uniform", "size": "5"})
    rounds = ""

    def is_published() -> bool:
        nonlocal rounds
        rounds = fetch(olga, f"{overview}rounds/")[1]
        return '<td class="number">5</td>' in rounds and rounds.count(">Published<") == 2 and ">alive<" in rounds

    until(is_published, what=lambda: f"the round of 5 is published and its worker alive: {rounds}")
    for beat in beats:
        os.kill(beat, signal.SIGCONT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):  # an impatient person
        server.process.send_signal(number)
    server.wait_for(r"Stopped\.")
    assert server.process.wait(timeout=PATIENCE) == 0
    server.wait_until_gone()


def test_kill_9_leaves_no_process_behind(server: Server) -> None:
    server.wait_for(r"Each link works once")
    until(lambda: len(beat_processes(server)) > 0 and len(server.left()) > 5, what=lambda: f"all have started: {server.left()}")
    server.process.kill()
    server.wait_until_gone()


def test_kill_9_in_the_moment_of_a_start_leaves_no_process_behind(tmp_path: Path) -> None:
    mark = f"marked by {tmp_path}"
    program = f"""
import os, signal, subprocess, sys
from labelapp.supervisor import Supervisor

class KilledAfterStart(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

site = Supervisor()
subprocess.Popen = KilledAfterStart
site.start("beat", [sys.executable, "-c", "import signal; signal.pause()", {mark!r}])
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGKILL
    until(lambda: not processes_with(mark), what=lambda: f"no process is left; there are {processes_with(mark)}")


def processes_with(argument: str) -> list[str]:
    """The command lines of all processes that have an argument."""
    lines = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and argument in (folder / "cmdline").read_text().split("\0"):
                lines.append((folder / "cmdline").read_text().replace("\0", " "))
    return lines


def test_a_process_that_dies_stops_the_rest_and_is_named(server: Server) -> None:
    server.wait_for(r"Each link works once")
    [beat, *_] = until(lambda: beat_processes(server), what="beat has started")
    os.kill(beat, signal.SIGKILL)
    server.wait_for(r"beat ended unexpectedly")
    assert server.process.wait(timeout=PATIENCE) == 2
    server.wait_until_gone()


def beat_processes(server: Server) -> list[int]:
    mark, found = f"STEPMARK_HOME={server.home}\0".encode(), []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and b"\0beat\0" in (folder / "cmdline").read_bytes() and mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def test_a_port_in_use_is_a_plain_sentence_and_starts_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            ["script/server", "--port", str(port)],
            cwd=ROOT,
            env=environment(tmp_path / "home"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"Port {port} is in use") and "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()
