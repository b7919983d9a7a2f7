"""How far a run is: what `train` and `score` tell whoever waits. Nothing heavy is imported, so any process may hold a Progress."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a stage; None where it cannot be known. `loss` is the recent training loss."""

    stage: str
    done: int
    total: int | None
    seconds_left: float | None = None
    loss: float | None = None


class Clock:
    """Turns counts into Progress at most twice a second and passes it on; an exception from the listener ends the run."""

    def __init__(self, stage: str, total: int | None, listener: Callable[[Progress], None] | None) -> None:
        self.stage, self.total, self.listener = stage, total, listener
        self.started = time.monotonic()
        self.told = self.started - 1.0
        self.first: int | None = None  # a resumed stage does not begin at 0

    def tick(self, done: int, *, loss: float | None = None) -> None:
        """Report `done` units; the last one is always told."""
        now = time.monotonic()
        if self.first is None:
            self.first, self.started = max(0, done - 1), min(self.started, now)
        if self.listener is None or (now - self.told < 0.5 and done != self.total):
            return
        self.told = now
        left = None if self.total is None else (now - self.started) / max(1, done - self.first) * (self.total - done)
        self.listener(Progress(self.stage, done, self.total, left, loss))
