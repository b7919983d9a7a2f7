"""How far a run is: what `train`, `score` and `sample` pass to their caller. Imports nothing heavy, so any process can use it."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """`done` of `total` units of a phase are done; None where a number is unknown. `loss` is the recent training loss."""

    phase: str
    done: int
    total: int | None
    seconds_left: float | None = None
    loss: float | None = None


Progress = Callable[[ProgressUpdate], None]  # called at most twice a second; an exception it raises ends the run


class Stopped(BaseException):
    """Raised by a progress callback to end a run that will go on later: a training writes a checkpoint first. `number`: the signal.

    It is no Exception, so that nothing on its way takes it for a failure.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return "It was stopped, and goes on later."


class Clock:
    """Turn counts of done units into updates: at most two a second, and always the last one."""

    def __init__(self, phase: str, total: int | None, progress: Progress | None) -> None:
        self.phase, self.total, self.progress = phase, total, progress
        self.started = time.monotonic()
        self.updated = self.started - 1.0
        self.first: int | None = None  # a resumed phase does not begin at 0

    def tick(self, done: int, *, loss: float | None = None) -> None:
        """Pass on that `done` units are done."""
        now = time.monotonic()
        if self.first is None:
            self.first, self.started = max(0, done - 1), min(self.started, now)
        if self.progress is None or (now - self.updated < 0.5 and done != self.total):
            return
        self.updated = now
        left = None if self.total is None else (now - self.started) / max(1, done - self.first) * (self.total - done)
        self.progress(ProgressUpdate(self.phase, done, self.total, left, loss))
