"""The private PostgreSQL. All processes that need it share it, and it ends after the last of them, also if that one was killed."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labelapp import embedded_postgres
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., "subprocess.Popen[str]"]
ASK = """
import sys
from labelapp import embedded_postgres
embedded_postgres.join_if_wanted()
import psycopg
with psycopg.connect(embedded_postgres.url()) as connection:
    print(connection.execute('select current_user, pg_postmaster_start_time()').fetchone(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a home with spaces"
    folder.mkdir()
    os.chmod(tmp_path, 0o755)
    yield folder
    until(lambda: not servers(folder), what="the server has ended")


def environment(home: Path) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "DATABASE_URL"}, "STEPMARK_HOME": str(home)}


@pytest.fixture
def ask(home: Path) -> Iterator[Ask]:
    """Start a command that uses the database and then stays until its input ends."""
    with contextlib.ExitStack() as asked:

        def start() -> "subprocess.Popen[str]":
            command, pipe = [sys.executable, "-W", "ignore", "-c", ASK], subprocess.PIPE
            process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stdin=pipe, stdout=pipe, text=True)
            return asked.enter_context(process)

        yield start


def servers(home: Path) -> list[str]:
    listing = subprocess.run(["ps", "-eww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if f"{home}/postgres/data" in line or f"labelapp.embedded_postgres {home}" in line]


def wait_until_gone(home: Path) -> None:
    until(lambda: not servers(home), what=lambda: f"no process is left; there are {servers(home)}")


def test_a_command_owns_the_server_for_its_own_lifetime(home: Path, ask: Ask) -> None:
    assert "stepmark" in ask().communicate(timeout=PATIENCE)[0]
    wait_until_gone(home)


def test_a_second_command_joins_and_the_server_outlives_the_first(home: Path, ask: Ask) -> None:
    first, second = ask(), ask()
    answers = {process.stdout.readline() for process in (first, second)}  # type: ignore[union-attr]
    assert len(answers) == 1
    first.communicate(timeout=PATIENCE)
    third = ask()
    assert third.communicate(timeout=PATIENCE)[0] in answers  # the time the server started: it is the same one
    second.communicate(timeout=PATIENCE)
    wait_until_gone(home)


def test_kill_9_of_the_only_user_leaves_no_process(home: Path, ask: Ask) -> None:
    user = ask()
    assert user.stdout and user.stdout.readline()
    user.send_signal(signal.SIGKILL)
    user.wait()
    wait_until_gone(home)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's death only on Linux")
def test_kill_9_of_the_runner_takes_the_server_with_it_and_the_next_command_starts_again(home: Path, ask: Ask) -> None:
    user = ask()
    assert user.stdout and user.stdout.readline()
    runner = next(line for line in servers(home) if "labelapp.embedded_postgres" in line)
    os.kill(int(runner.split()[0]), signal.SIGKILL)
    user.send_signal(signal.SIGKILL)
    user.wait()
    wait_until_gone(home)
    assert "stepmark" in ask().communicate(timeout=PATIENCE)[0]


def test_data_survive_a_kill_9_of_everything(home: Path) -> None:
    env = environment(home)
    run = [sys.executable, "-W", "ignore", "-c"]
    write = (
        "import os, signal, psycopg; from labelapp import embedded_postgres as e; e.join_if_wanted();"
        "c = psycopg.connect(e.url()); c.execute('create table kept (n int)'); c.execute('insert into kept values (42)'); c.commit();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    read = (
        "import psycopg; from labelapp import embedded_postgres as e; e.join_if_wanted();"
        "print(psycopg.connect(e.url()).execute('select n from kept').fetchone()[0])"
    )
    subprocess.run([*run, write], cwd=ROOT, env=env, check=False)
    for line in servers(home):
        with contextlib.suppress(ProcessLookupError):  # the runner was faster
            os.kill(int(line.split()[0]), signal.SIGKILL)
    done = subprocess.run([*run, read], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "42", done.stderr


def test_a_home_that_cannot_be_written_is_a_plain_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = environment(tmp_path / "file" / "home")
    done = subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "set STEPMARK_HOME to another folder" in done.stderr and "Traceback" not in done.stderr


def test_a_command_says_that_the_database_has_no_tables_yet(home: Path) -> None:
    command = [sys.executable, "manage.py", "make_demonstration"]
    done = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "does not exist. Run `python manage.py migrate`, then this command again." in done.stderr


@pytest.mark.parametrize("file", ["PG_VERSION", "thesis.txt"])
def test_a_folder_of_something_else_is_refused_and_never_deleted(home: Path, file: str) -> None:
    theirs = home / "postgres" / "data"
    theirs.mkdir(parents=True)
    (theirs / file).write_text("years of work")
    command = [sys.executable, "manage.py", "migrate", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "is not a database of Stepmark" in done.stderr and "Traceback" not in done.stderr
    assert [(path.name, path.read_text()) for path in theirs.iterdir()] == [(file, "years of work")]


def test_what_a_killed_initdb_left_is_made_anew(home: Path, ask: Ask) -> None:
    (home / "postgres" / "data.new").mkdir(parents=True)
    (home / "postgres" / "data.new" / "PG_VERSION").write_text("half")
    answer = ask()
    assert answer.stdout and "stepmark" in answer.stdout.readline()
    assert not (home / "postgres" / "data.new").exists()


def test_a_process_that_leaves_its_runner_behind_is_not_warned() -> None:
    warned = []
    for kind in (embedded_postgres.Runner, subprocess.Popen):
        process = kind(["tail", "-f", "/dev/null"])
        pid = process.pid
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del process
            gc.collect()
        warned.append([str(warning.message) for warning in caught if str(pid) in str(warning.message)])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert warned[0] == [] and "still running" in warned[1][0]  # as subprocess warns of its own
