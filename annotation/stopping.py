"""A stop of the process is not the end of its work: signals become `Stopped`, at a place where the run can be continued.

Imports no Django. A stage that works for long asks `check` at each report of its progress.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trainer.progress import Stopped

# Until a run that does not come to its next report is interrupted where it is. Two of them fit into the supervisor's ten seconds.
STOP_SECONDS = 4
# Tells a process of a worker to give its work back and then to end the task as usual. If it died of the signal, Celery would search for it
# for 10 to 30 s.
FINISH = signal.SIGHUP
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class StopRequest:
    """Whether this process was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.asked_at = 0.0
        self.is_settled = False  # the run has ended: nothing is interrupted any more
        self.timer: threading.Timer | None = None

    @property
    def by_ctrl_c(self) -> bool:
        return self.number == signal.SIGINT

    def check(self) -> None:
        """Raise Stopped if a stop was asked for."""
        if self.number is not None:
            raise Stopped(self.number)

    def settle(self) -> None:
        """Let no further signal interrupt what is written at the end."""
        self.is_settled = True
        if self.timer:
            self.timer.cancel()

    def handle(self, number: int, _: FrameType | None) -> None:
        """Note the first signal. Celery sends several; only one that comes after STOP_SECONDS, or a second Ctrl-C, interrupts at once."""
        if self.number is None:
            self.number, self.asked_at = number, time.monotonic()
            self.timer = threading.Timer(STOP_SECONDS, os.kill, (os.getpid(), number))
            self.timer.daemon = True
            self.timer.start()
        elif not self.is_settled and (number == signal.SIGINT or time.monotonic() - self.asked_at >= STOP_SECONDS):
            self.is_settled = True
            raise Stopped(self.number)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Give a request that the signals of a stop fill in. Ignored signals stay ignored. Outside of the main thread nothing is caught."""
    request = StopRequest()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, request.handle)
    try:
        yield request
    finally:
        request.settle()
        for number, handler in before.items():
            signal.signal(number, handler)


def end_process(stopped: Stopped) -> None:
    """End this process as it was asked to, now that its work is given back. After FINISH only the task ends."""
    if stopped.number != FINISH:
        signal.raise_signal(signal.SIGTERM)
        raise SystemExit(0)
