"""The heartbeat of long work: a thread of its own writes how far the work is, because the thread of the work can be in a transaction."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from annotation.stopping import StopRequest

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2


class Heart:
    """Writes `progress` and `heartbeat_at` of the row that a worker holds, as long as the row is this worker's.

    `mine` is the row under the token of this worker. `lost` is what `advance` raises once the row is another worker's or was cancelled.
    """

    def __init__(self, mine: "QuerySet[Any]", stop: "StopRequest", *, lost: type[Exception]) -> None:
        self.mine, self.stop, self.lost = mine, stop, lost
        self.progress, self.is_lost, self.ended = dict[str, Any](), False, threading.Event()
        self.began: tuple[str, float, int] | None = None  # the stage, when it began, and what was done by then
        self.thread = threading.Thread(target=self._beat, daemon=True, name="heart")

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Note how far the work is. Raises `lost`, and Stopped if the process was asked to stop."""
        self.stop.check()
        if self.is_lost:
            raise self.lost
        if self.began is None or self.began[0] != stage:
            self.began = (stage, time.monotonic(), done)
        _, at, first = self.began
        self.progress = {"stage": stage, "done": done, "total": total}
        if total and done > first:
            self.progress["seconds_left"] = round((time.monotonic() - at) / (done - first) * (total - done))

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat as long as the block runs."""
        self.thread.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Beat no more: the last write is the work's own, and must not wait for this one."""
        self.ended.set()
        self.thread.join()

    def _beat(self) -> None:
        while not self.ended.wait(HEARTBEAT_SECONDS):
            try:
                self.is_lost = not self.mine.update(progress=self.progress, heartbeat_at=Now())
            except (DatabaseError, InterfaceError) as error:
                log.warning("The progress of %s could not be written: %s", self.mine.model._meta.verbose_name, error)
                connection.close()
        connection.close()
