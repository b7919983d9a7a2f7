"""Work that a worker of the site does: it is asked for, waited for and cancelled."""

import time
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from stepmark_client.errors import WorkEnded
from stepmark_client.generated.types import Response

Progress = Callable[[str, int, int | None], object]  # the stage, how much is done, how much there is if that is known
Data = TypeVar("Data")


class Work(Generic[Data]):
    """Something that a worker does. `data` is what the site said of it last."""

    at_rest: tuple[str, ...] = ("done",)  # states in which nothing more happens by itself, and nothing went wrong
    ended: tuple[str, ...] = ("failed", "cancelled")

    def __init__(self, data: Data, *, name: str, show: Callable[[], Response[Data]], end: Callable[[], Response[Data]]) -> None:
        self.data, self.name, self._show, self._end = data, name, show, end

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"

    @property
    def state(self) -> str:
        """Its state, such as running or done."""
        said: str = self.data.state  # type: ignore[attr-defined]
        return said

    def refresh(self) -> Self:
        """Ask the site again, and return this."""
        self.data = self._show().parsed
        return self

    def cancel(self) -> Self:
        """End it early. Raises Conflict if it has ended."""
        self.data = self._end().parsed
        return self

    def wait(self, *, progress: Progress | None = None, every: float = 5.0, timeout: float | None = None) -> Self:
        """Wait until it is done, and return it. The site is asked once in `every` seconds.

        `progress` is called with the stage, how much is done, and how much there is, whenever they change. Raises WorkEnded if it
        failed or was cancelled, and TimeoutError after `timeout` seconds: it goes on then, and can be waited for again.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        told: tuple[str, int, int | None] | None = None
        while True:
            now = self.how_far()
            if progress is not None and now != told:
                progress(*now)
                told = now
            if self.state in self.at_rest:
                return self
            if self.state in self.ended:
                what = "failed" if self.state == "failed" else "was cancelled"
                raise WorkEnded(f"{self.name} {what}. {self.data.failure}".strip())  # type: ignore[attr-defined]
            seconds = every if deadline is None else min(every, deadline - time.monotonic())
            if seconds <= 0:
                raise TimeoutError(f"{self.name} is still {self.state} after {timeout:g} s. It goes on, and you can wait for it again.")
            time.sleep(seconds)
            self.refresh()

    def how_far(self) -> tuple[str, int, int | None]:
        """Return the stage, how much of it is done, and how much there is if that is known."""
        said: dict[str, Any] = self.data.progress.to_dict()  # type: ignore[attr-defined]
        return said.get("stage") or self.state, int(said.get("done") or 0), said.get("total")
