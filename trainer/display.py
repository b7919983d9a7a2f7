"""Show a person how far a run is, on standard error: a bar at a terminal, else a line after 5 s and at least every half minute.

Every command shows its progress with this, whatever it runs. Imports nothing heavy.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

FIRST, EVERY = 5.0, 30.0  # seconds until the first line; the most between two lines. Each gap is twice the one before
BYTES = "reading"  # the only stage that counts bytes


class Display:
    """Draw one bar per stage at a terminal; elsewhere write the state as a line, at the latest EVERY seconds after the last one.

    The run can say how much time is left. If it does not, this is computed from what is done.

    `show` tells what is done and can be called as often as wanted. Lines also come while nobody calls it: `watch` writes them, in a thread.
    """

    def __init__(
        self, *, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic, wait: Callable[[float], bool] | None = None
    ) -> None:
        self.file, self.clock = file or sys.stderr, clock
        self.is_terminal = self.file.isatty()
        self.closed, self.lock = threading.Event(), threading.Lock()
        self.wait = wait or self.closed.wait  # for so many seconds; True: the run has ended
        self.began = self.written = self.stage_began = clock()
        self.gap, self.first = FIRST, 0  # first: what was done when the stage began; a run that goes on does not begin at 0
        self.stage, self.state = "", ""
        self.bar: tqdm[Any] | None = None

    def show(self, stage: str, done: int, total: int | None, seconds_left: float | None = None, loss: float | None = None) -> None:
        """Take note that `done` of `total` units of a stage are done, and show it."""
        if self.is_terminal:
            self._draw(stage, done, total, loss)
        else:
            with self.lock:
                now = self.clock()
                if stage != self.stage:
                    self.stage, self.stage_began, self.first = stage, now, done
                if seconds_left is None and total and done > self.first:
                    seconds_left = (now - self.stage_began) / (done - self.first) * (total - done)
                self.state = state_in_words(stage, done, total, seconds_left=seconds_left, loss=loss)
            self.beat()

    def beat(self) -> None:
        """Write a line if it is time for one."""
        with self.lock:
            now = self.clock()
            if now - self.written < min(self.gap, EVERY):
                return
            self.written, self.gap = now, self.gap * 2
            print(f"{self.state or 'Working'}; running for {duration(now - self.began)}.", file=self.file, flush=True)

    def watch(self) -> None:
        """Write lines until the run has ended."""
        while not self.wait(max(0.0, self.written + min(self.gap, EVERY) - self.clock())):
            self.beat()

    def close(self) -> None:
        """End the bar and the lines."""
        self.closed.set()
        if self.bar is not None:
            self.bar.close()

    def _draw(self, stage: str, done: int, total: int | None, loss: float | None) -> None:
        if self.bar is None or stage != self.stage:
            if self.bar is not None:
                self.bar.close()
            counts_bytes, self.stage = stage == BYTES and total is not None, stage
            self.bar = tqdm(desc=stage, total=total, unit="B" if counts_bytes else "", unit_scale=counts_bytes, file=self.file, leave=False)
        if loss is not None:
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.bar.update(done - self.bar.n)


@contextmanager
def shown_progress() -> Iterator[Display]:
    """Give a display for the time of a run."""
    display = Display()
    thread = threading.Thread(target=display.watch, name="progress", daemon=True)
    if not display.is_terminal:
        thread.start()
    try:
        yield display
    finally:
        display.close()
        if thread.ident is not None:
            thread.join()


def state_in_words(stage: str, done: int, total: int | None, *, seconds_left: float | None, loss: float | None) -> str:
    """Return how far a stage is, as the beginning of a sentence."""
    unit = 1e6 if stage == BYTES and total is not None else 1
    counts = [f"{count / unit:,.1f}" if unit > 1 else f"{count:,}" for count in (done, total or 0)]
    words = f"{stage}: {counts[0]}" if total is None else f"{stage}: {' of '.join(counts)}{' MB' if unit > 1 else ''}"
    if total:
        words += f" ({done / total:.0%})"
    if seconds_left is not None and done != total:
        words += f", about {duration(seconds_left)} left"
    return words if loss is None else f"{words}, loss {loss:.3f}"


def duration(seconds: float) -> str:
    """Return a duration in words, rounded to seconds or minutes."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
