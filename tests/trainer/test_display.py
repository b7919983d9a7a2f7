"""What a person sees of a long run: a line at least every 30 seconds without a terminal, a bar at one. No test waits: time is made."""

import io
import threading
from collections.abc import Callable

import pytest
from django.core.management.base import CommandError

from annotation.management.progress import drawn_progress
from tests.waiting import until
from trainer import display as stage
from trainer.display import EVERY, Display, duration, shown_progress
from trainer.lines import progress_bar
from trainer.progress import ProgressUpdate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Watched:
    """A display without a terminal, in a made time. Its thread would wait by `wait`, which lets the time pass."""

    def __init__(self, *, ends: float = 0.0, happens: Callable[["Watched"], None] = lambda _: None) -> None:
        self.now, self.ends, self.happens, self.file = 0.0, ends, happens, io.StringIO()
        self.written_at: list[float] = []
        self.display = Display(file=self.file, clock=lambda: self.now, wait=self.wait)

    def wait(self, seconds: float) -> bool:
        self.note()
        self.now += seconds
        self.happens(self)
        return self.now > self.ends

    def note(self) -> None:
        self.written_at += [self.now] * (len(self.lines) - len(self.written_at))

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


def test_a_run_that_tells_nothing_writes_a_line_soon_and_then_every_thirty_seconds() -> None:
    watched = Watched(ends=100.0)
    watched.display.watch()
    assert watched.lines == [f"Working; running for {seconds} s." for seconds in (5, 15, 35, 65, 95)]


@pytest.mark.parametrize("pace", [0.5, 7.0, 29.0, 31.0, 400.0])
def test_between_two_lines_are_never_more_than_thirty_seconds_however_seldom_the_run_tells_something(pace: float) -> None:
    def tells(watched: Watched) -> None:
        if watched.now >= tells.due:
            watched.display.show("scoring", int(watched.now), 1_000)
            tells.due = watched.now + pace

    tells.due = 0.0
    watched = Watched(ends=1_000.0, happens=tells)
    watched.display.watch()
    watched.note()
    gaps = [later - earlier for earlier, later in zip([0.0, *watched.written_at], watched.written_at, strict=False)]
    assert len(gaps) >= 30 and max(gaps) <= EVERY


def test_many_updates_in_a_second_are_one_line() -> None:
    watched = Watched()
    for number in range(10_552):
        watched.now = number / 100
        watched.display.show("sampling", number, 10_552)
    assert len(watched.lines) == 5  # after 5, 15, 35, 65 and 95 s
    assert watched.lines[0] == "sampling: 500 of 10,552 (5%), about 2 min left; running for 5 s."
    assert watched.lines[-1] == "sampling: 9,500 of 10,552 (90%), about 11 s left; running for 95 s."


@pytest.mark.parametrize(
    ("update", "line"),
    [
        (("reward model", 120, 480, 200.0, 0.51234), "reward model: 120 of 480 (25%), about 3 min left, loss 0.512; running for 30 s."),
        (("reading", 3_200_000, 77_000_000), "reading: 3.2 of 77.0 MB (4%); running for 30 s."),
        (("loading", 2_000, None), "loading: 2,000; running for 30 s."),
        (("scoring", 5, 5, 0.0), "scoring: 5 of 5 (100%); running for 30 s."),
        (("scoring", 0, 0), "scoring: 0 of 0; running for 30 s."),
    ],
)
def test_a_line_says_the_stage_how_much_is_done_and_how_long_it_takes(update: tuple[object, ...], line: str) -> None:
    watched = Watched()
    watched.now = 30.0
    watched.display.show(*update)
    assert watched.lines == [line]


def test_a_short_run_writes_nothing() -> None:
    watched = Watched()
    watched.now = 4.9
    watched.display.show("loading", 5, 5)
    watched.display.close()
    assert watched.lines == []


def test_a_terminal_has_one_bar_for_each_stage_and_no_lines() -> None:
    terminal = Terminal()
    display = Display(file=terminal)
    for number in range(100):
        display.show("sampling", number, 100, loss=0.5)
    display.show("loading", 1, None)
    display.close()
    drawn = terminal.getvalue()
    assert "sampling:" in drawn and "loading:" in drawn and "running for" not in drawn and "\n" not in drawn


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5_940, "99 min"), (7_500, "2 h 5 min")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# --- the commands


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "EVERY", 0.0)


def test_the_trainers_commands_write_lines_while_nothing_is_told(hurried: None, capsys: pytest.CaptureFixture[str]) -> None:
    written: list[str] = []
    with progress_bar() as progress:
        progress(ProgressUpdate("scoring", 5, 10, 1.0, None))
        until(
            lambda: bool(written.append(capsys.readouterr().err) or "scoring: 5 of 10 (50%)" in "".join(written)), what="a line is written"
        )
        until(lambda: bool(written.append(capsys.readouterr().err) or "".join(written).count("\n") > 3), what="more lines are written")
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_the_sites_commands_write_the_same_lines(hurried: None, capsys: pytest.CaptureFixture[str]) -> None:
    with drawn_progress() as progress:
        progress("reward model", 5, 10, 1.0, 0.25)
    assert "reward model: 5 of 10 (50%), about 1 s left, loss 0.250; running for 0 s." in capsys.readouterr().err


def test_ctrl_c_says_what_it_leaves_behind() -> None:
    with (
        pytest.raises(CommandError, match=r"^Stopped\. The results so far are kept\.$"),
        drawn_progress(when_stopped="The results so far are kept."),
    ):
        raise KeyboardInterrupt
    with pytest.raises(CommandError, match=r"^Stopped\. Nothing was changed\.$"), drawn_progress():
        raise KeyboardInterrupt


def test_the_thread_ends_with_a_run_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), shown_progress():
        raise ZeroDivisionError
    assert not any(thread.name == "progress" for thread in threading.enumerate())
