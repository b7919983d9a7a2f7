"""The processes of the supervisor: what ends is started again after a growing pause, and what ends too often is given up alone."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from active_learning import site_state
from active_learning.site_state import GivenUp, HomeInUse, SupervisorFile
from labelapp.processes import ChildProcesses, Restarts
from tests.waiting import until

ENDS = [sys.executable, "-c", "print('I end.')"]
STAYS = [sys.executable, "-c", "import signal; signal.pause()"]


def test_the_pauses_grow_and_a_quiet_minute_forgets() -> None:
    restarts = Restarts()
    assert [restarts.pause(now) for now in (0, 10, 20, 30)] == [0, 1, 2, 4]
    assert restarts.pause(61) == 4, "the first end is more than a minute ago"
    assert restarts.pause(62) is None
    assert restarts.pause(1000) == 0


@pytest.fixture
def told() -> list[list[GivenUp]]:
    return []


@pytest.fixture
def site(told: list[list[GivenUp]], monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildProcesses]:
    monkeypatch.setattr(Restarts, "pause", lambda self, now, ends=[]: self.ends.append(now) or (None if len(self.ends) >= 5 else 0))
    processes = ChildProcesses(lambda parts, restarts: told.append(parts) if parts or told else None)
    yield processes
    processes.stop()


def tended(site: ChildProcesses) -> bool:
    site.pump(0.05)
    site.tend()
    return True


def test_what_ends_too_often_is_given_up_and_everything_else_goes_on(
    site: ChildProcesses, told: list[list[GivenUp]], capfd: pytest.CaptureFixture[str]
) -> None:
    site.start("beat", ENDS)
    site.start("web", STAYS)
    until(lambda: tended(site) and told, what="beat is given up")
    assert [part.name for part in told[-1]] == ["beat"] and told[-1][0].again_seconds is None
    tended(site)
    assert site.children["beat"].process is None and site.children["beat"].due is None
    web = site.children["web"].process
    assert web is not None and web.poll() is None
    lines = capfd.readouterr().out
    assert lines.count("I end.") == 5 and re.search(r"beat     \S+Z INFO \[-\] ended with code 0. It starts again now.", lines)
    assert "it was given up and is not started again" in lines


def test_what_the_site_cannot_do_without_is_tried_again(site: ChildProcesses, told: list[list[GivenUp]]) -> None:
    site.start("web", ENDS, again_seconds=60)
    until(lambda: tended(site) and told, what="web is given up")
    web = site.children["web"]
    assert told[-1][0].again_seconds == 60 and web.due is not None
    web.due, web.command = 0, STAYS  # the minute is over
    until(lambda: tended(site) and web.process, what="web is started again")
    web.started_at -= 60  # and it has lived for one
    until(lambda: tended(site) and told[-1] == [], what="web is no longer given up")


def test_what_an_ended_process_leaves_behind_ends_too(site: ChildProcesses) -> None:
    script = f"import subprocess, sys; print(subprocess.Popen({STAYS!r}).pid, flush=True)"
    lines: list[str] = []
    site.say = lambda name, line, **_: lines.append(line)  # type: ignore[method-assign]
    site.start("web", [sys.executable, "-c", script])
    until(lambda: tended(site) and any("ended" in line for line in lines), what="web has ended, and left a process")
    left = Path("/proc") / lines[0] / "stat"
    if Path("/proc").is_dir():
        until(lambda: not left.exists() or ") Z " in left.read_text(), what=f"process {lines[0]} has ended")


def test_a_log_on_a_full_disk_does_not_end_the_site(site: ChildProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        site.say("web", "A line.")
        monkeypatch.undo()


def test_a_second_supervisor_is_refused_with_the_address_of_the_first(tmp_path: Path) -> None:
    first, second = SupervisorFile(tmp_path / "home"), SupervisorFile(tmp_path / "home")
    second.check()
    first.claim("http://localhost:8000")
    for refused in (second.check, lambda: second.claim("http://localhost:9000")):
        with pytest.raises(HomeInUse) as error:
            refused()
        assert error.value.address == "http://localhost:8000"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"address": "http://localhost:8000", "given_up": [{"name": "web", "at": "2026-01-01"}]}']
)
def test_the_file_of_a_supervisor_that_has_ended_hinders_nobody_and_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "supervisor.json").write_text(content)
    assert site_state.given_up(tmp_path) == []
    SupervisorFile(tmp_path).check()
    SupervisorFile(tmp_path).claim("http://localhost:9000")


def test_the_pages_read_what_was_given_up_while_its_supervisor_lives(tmp_path: Path) -> None:
    part = GivenUp("trainer", "2026-11-26T10:00:00+00:00")
    file = SupervisorFile(tmp_path)
    file.claim("http://localhost:8000")
    assert site_state.given_up(tmp_path) == []
    file.write([part])
    assert site_state.given_up(tmp_path) == [part] and part.since.hour == 10
    file.write([])
    assert site_state.given_up(tmp_path) == []
