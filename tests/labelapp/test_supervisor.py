"""script/server: one command starts everything, one Ctrl-C ends it, nothing outlives it, and nothing that dies takes the rest with it."""

import contextlib
import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.temporary_site import free_port, template
from labelapp.environment import site_mark
from tests.labelapp.test_embedded_postgres import ROOT, environment
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for what is left in /proc")


class Server:
    """script/server in a home of its own."""

    def __init__(self, home: Path, port: int, *options: str) -> None:
        self.home, self.port, self.output = home, port, ""
        command = ["script/server", "--port", str(port), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)  # a full pipe would stop the server
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.output += line.decode()

    def wait_for(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Wait until the output matches the pattern, from a place on."""

        def match() -> re.Match[str] | None:
            ended = not self.reader.is_alive()
            found = re.search(pattern, self.output[after:])
            assert found or not ended, f"it ended, and its output never matched {pattern}:\n{self.output}"
            return found

        match_ = until(match, what=lambda: f"the output matches {pattern}:\n{self.output}")
        assert match_
        return match_

    def left(self) -> list[str]:
        """The command lines of all processes that live in this home."""
        mark, found = f"STEPMARK_HOME={self.home}\0".encode(), []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdecimal() and mark in (folder / "environ").read_bytes() + b"\0":
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
        return [line for line in found if line]

    def parts(self) -> dict[str, int]:
        """The processes that the supervisor has started, by name, and those of the database."""
        started, processes = dict[str, int](), self.processes()
        marks = {"gunicorn": "web", "default": "worker", "gpu": "trainer", "beat": "beat"}
        # Asked of its file: a process that it has just forked still has its words.
        with contextlib.suppress(OSError, IndexError):
            postmaster = int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split(maxsplit=1)[0])
            started |= {"postmaster": postmaster} if postmaster in processes else {}
        for pid, (parent, words) in processes.items():
            if parent in processes and words == processes[parent][1]:
                continue  # just forked, too
            if "labelapp.embedded_postgres" in words:
                started["runner"] = pid
            elif parent == self.pid and words[0] != "/bin/sh":
                started |= {name: pid for mark, name in marks.items() if mark in words}
        return started

    @property
    def pid(self) -> int:
        """The number of the supervisor: script/server becomes it."""
        return self.process.pid

    def processes(self) -> dict[int, tuple[int, list[str]]]:
        """Parent and words of each process of this home."""
        mark, found = f"STEPMARK_HOME={self.home}\0".encode(), {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdecimal() and mark in (folder / "environ").read_bytes() + b"\0":
                    words = (folder / "cmdline").read_text().split("\0")
                    found[int(folder.name)] = (int((folder / "stat").read_text().rpartition(")")[2].split()[1]), words)
        return found

    def wait_until_gone(self) -> None:
        until(lambda: not self.left(), what=lambda: f"no process is left; there are {self.left()}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    os.chmod(tmp_path, 0o755)
    home = tmp_path / "a home"
    template.fill(home)  # test_an_empty_home_prints_one_set_up_link_and_it_opens begins with nothing
    running = Server(home, free_port(), "--demonstration")
    yield running
    with contextlib.suppress(ProcessLookupError):
        running.process.kill()
    running.process.wait()
    running.wait_until_gone()
    running.reader.join(PATIENCE)


Browser = urllib.request.OpenerDirector


def browser() -> Browser:
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def fetch(visitor: Browser, address: str, form: dict[str, str] | None = None) -> tuple[str, str]:
    """Fetch a page, or send it a form; return where the visitor is then and what stands there."""
    with visitor.open(address, urllib.parse.urlencode(form).encode() if form else None, timeout=PATIENCE) as page:
        return page.url, page.read().decode()


def open_link(visitor: Browser, link: str) -> tuple[str, str]:
    """Open a sign-in link and press its button."""
    address, page = fetch(visitor, link)
    return fetch(visitor, address.partition("?")[0], dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)))


def test_one_command_serves_signs_in_runs_a_round_and_one_ctrl_c_ends_it(server: Server) -> None:
    link = server.wait_for(r"ann +labels solutions +(http\S+)")[1]
    assert open_link(browser(), link)[0] == f"http://localhost:{server.port}/"
    assert "/set-up/" not in server.output  # olga runs this site
    with pytest.raises(urllib.error.HTTPError, match="410"):
        fetch(browser(), link)  # a one-time link signed in twice

    olga = browser()
    assert "Word problems" in open_link(olga, server.wait_for(r"olga +owns the project +(http\S+)")[1])[1]
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


# --- one site for what follows ------------------------------------------------------------------------------------------------

ALL = {"web", "worker", "trainer", "beat", "runner", "postmaster"}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    home = tmp_path_factory.mktemp("site")
    os.chmod(home, 0o755)
    os.chmod(home.parent, 0o755)
    started = [Server(home, free_port())]
    yield started
    for server in started:  # all first: they share their home, and those that a test has killed left it to the next
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)
    for server in started:
        server.wait_until_gone()
        server.reader.join(PATIENCE)


@pytest.fixture
def site(sites: list[Server]) -> Server:
    """A site with all its parts, started if there is none."""
    if sites[-1].process.poll() is not None:
        sites.append(Server(sites[-1].home, free_port()))
    sites[-1].wait_for(r"Each sign-in link works once")
    until(lambda: sites[-1].parts().keys() >= ALL, what=lambda: f"all parts run: {sites[-1].parts()}")
    return sites[-1]


def status_of_a_page(site: Server) -> int:
    """Ask for a page that reads a session from the database. Return its status; 0 if nothing answers."""
    name = f"stepmark_{site_mark((site.home / 'secret_key').read_text())}"
    request = urllib.request.Request(f"http://127.0.0.1:{site.port}/", headers={"Cookie": f"{name}={'a' * 32}"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as page:
            return page.status
    except urllib.error.HTTPError as error:
        assert error.code != 503 or (error.headers["Retry-After"] and error.headers["X-Stepmark-Code"] == "database_unavailable")
        return error.code
    except OSError:
        return 0


def asks_the_database(site: Server) -> bool:
    return status_of_a_page(site) == 200


def test_an_empty_home_prints_one_set_up_link_and_it_opens(site: Server) -> None:
    links = re.findall(r"http\S+", site.output[: site.output.index("Each sign-in link")])
    assert len(links) == 2 and links[0] == f"http://localhost:{site.port}"  # the site, and the set-up link
    assert "Set up this site" in fetch(browser(), links[1])[1]


@pytest.mark.parametrize("name", ["web", "worker", "trainer", "beat"])
def test_a_process_that_is_killed_comes_back_alone(site: Server, name: str) -> None:
    before, logged = site.parts(), len(site.output)
    os.kill(before[name], signal.SIGKILL)
    site.wait_for(rf"{name} .* ended by signal 9. It starts again", after=logged)
    until(lambda: site.parts().get(name, before[name]) != before[name], what=lambda: f"{name} runs again: {site.parts()}")
    assert asks_the_database(site)
    assert {other: pid for other, pid in site.parts().items() if other != name} == {o: pid for o, pid in before.items() if o != name}
    orphans = [words for parent, words in site.processes().values() if parent == 1 and "labelapp.embedded_postgres" not in words]
    assert orphans == []


@pytest.mark.parametrize("name", ["postmaster", "runner"])
def test_the_database_comes_back_when_it_is_killed(site: Server, name: str) -> None:
    before = site.parts()
    os.kill(before[name], signal.SIGKILL)
    statuses = [status_of_a_page(site)]
    until(lambda: statuses.append(status_of_a_page(site)) or statuses[-1] == 200, what="a page that needs the database answers")
    assert set(statuses) <= {200, 503}
    until(lambda: site.parts().get("postmaster", before["postmaster"]) != before["postmaster"], what="the database runs again")
    assert {site.parts()[name] == before[name] for name in ("web", "worker", "trainer", "beat")} == {True}


def test_a_second_server_of_the_same_home_is_refused_with_the_first_ones_address(site: Server) -> None:
    command = ["script/server", "--port", str(free_port())]
    second = subprocess.run(command, cwd=ROOT, env=environment(site.home), capture_output=True, text=True, check=False)
    assert second.returncode == 2 and "Traceback" not in second.stderr
    assert f"already runs with the folder {site.home} at http://localhost:{site.port}" in second.stderr


def test_a_message_that_is_none_ends_no_worker_and_is_shown_by_name(site: Server) -> None:
    before = site.parts()
    poison = site.home / "broker" / "messages" / "1_00000000-0000-4000-8000-000000000000.gpu.msg"
    poison.touch()
    site.wait_for(rf"trainer .* ERROR .* labelapp.broker: {poison.name} is no message: it is empty")
    assert (site.home / "broker" / "aside" / poison.name).exists() and site.parts() == before


@pytest.mark.parametrize("place", ["wait_for_page", "announce"])
def test_a_stop_that_comes_in_a_destructor_is_not_lost(place: str, tmp_path: Path) -> None:
    """Python prints an exception that is raised in a destructor, and drops it."""
    program = f"""
import os, signal, sys
from labelapp import supervisor

class Stops:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

supervisor.commands = lambda bind: {{name: [sys.executable, "-c", "import signal; signal.pause()"] for name in ("web", "beat")}}
supervisor.site_address.what_is_wrong = lambda **_: None
supervisor.announce = lambda **_: None
before = supervisor.{place}
supervisor.{place} = lambda *given, **options: (Stops(), before(*given, **options))[1]
os.environ["DATABASE_URL"] = "nobody asks this database"
supervisor.run(supervisor.listen("127.0.0.1", 0), None, fresh=False)
"""
    command = [sys.executable, "-c", program, mark := f"marked by {tmp_path}"]
    stopped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "Stopped.\n", "")
    assert not processes_with(mark)


def test_kill_9_leaves_no_process_behind(site: Server) -> None:
    site.process.kill()
    site.wait_until_gone()


def test_kill_9_in_the_moment_of_a_start_leaves_no_process_behind(tmp_path: Path) -> None:
    mark = f"marked by {tmp_path}"
    program = f"""
import os, signal, subprocess, sys
from labelapp.processes import ChildProcesses

class KilledAfterStart(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

site = ChildProcesses()
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
