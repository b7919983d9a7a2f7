"""Rounds of a project: start one, wait for it, cancel it."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from stepmark_client.errors import RoundEnded
from stepmark_client.generated.api.rounds import rounds_cancel, rounds_list, rounds_show, rounds_start
from stepmark_client.generated.models.new_round import NewRound
from stepmark_client.generated.models.round_ import Round as RoundData
from stepmark_client.lists import Listing

Progress = Callable[[str, int, int | None], object]  # the stage, how much is done, how much there is if that is known
AT_REST = ("published", "proposed")  # a proposal waits for a person
ENDED = ("failed", "cancelled")


class Round:
    """A round. `data` is what the site said of it last."""

    def __init__(self, api: httpx.Client, slug: str, data: RoundData) -> None:
        self._api, self._slug, self.data = api, slug, data

    def __repr__(self) -> str:
        return f"<Round {self.number} of {self._slug}: {self.state}>"

    @property
    def number(self) -> int:
        """Its number in the project. The first round has the number 0."""
        return self.data.number

    @property
    def state(self) -> str:
        """Its state, such as training, proposed or published."""
        return self.data.state

    def refresh(self) -> "Round":
        """Ask the site again, and return this round."""
        self.data = rounds_show.call(self._slug, self.number, client=self._api).parsed
        return self

    def cancel(self) -> "Round":
        """End it, or discard its proposal. Raises Conflict if it has ended."""
        self.data = rounds_cancel.call(self._slug, self.number, client=self._api).parsed
        return self

    def wait(self, *, progress: Progress | None = None, every: float = 5.0, timeout: float | None = None) -> "Round":
        """Wait until it is published or proposed, and return it. The site is asked once in `every` seconds.

        `progress` is called with the stage, how much is done, and how much there is, whenever they change. Raises RoundEnded if it
        failed or was cancelled, and TimeoutError after `timeout` seconds: it goes on then, and can be waited for again.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        told: tuple[str, int, int | None] | None = None
        while True:
            now = self._progress()
            if progress is not None and now != told:
                progress(*now)
                told = now
            if self.state in AT_REST:
                return self
            if self.state in ENDED:
                raise RoundEnded(
                    f"Round {self.number} {'failed' if self.state == 'failed' else 'was cancelled'}. {self.data.failure}".strip()
                )
            seconds = every if deadline is None else min(every, deadline - time.monotonic())
            if seconds <= 0:
                raise TimeoutError(
                    f"Round {self.number} is still {self.state} after {timeout:g} s. It goes on, and you can wait for it again."
                )
            time.sleep(seconds)
            self.refresh()

    def _progress(self) -> tuple[str, int, int | None]:
        said: dict[str, Any] = self.data.progress.to_dict()
        return said.get("stage") or self.state, int(said.get("done") or 0), said.get("total")


class Rounds:
    """The rounds of a project."""

    def __init__(self, api: httpx.Client, slug: str) -> None:
        self._api, self._slug = api, slug
        self.listing: Listing[RoundData] = Listing(api, rounds_list.call, slug)

    def start(self, **plan: Any) -> Round:
        """Start a round, and return it. What is left out is as the project has it.

        Fields: strategy, size, per_problem, is_diverse, is_stratified, train, review, labels. Raises Conflict if it cannot start now.
        """
        wanted = NewRound(**plan)
        key = f"round-{uuid.uuid4()}"  # a lost answer does not start two rounds
        return Round(self._api, self._slug, rounds_start.call(self._slug, client=self._api, body=wanted, idempotency_key=key).parsed)

    def get(self, number: int) -> Round:
        """Return a round by its number. Raises NotFound."""
        return Round(self._api, self._slug, rounds_show.call(self._slug, number, client=self._api).parsed)

    def iterate(self, **filters: Any) -> Iterator[Round]:
        """Return all rounds, the first one first. Filter: `state`."""
        for data in self.listing.iterate(**filters):
            yield Round(self._api, self._slug, data)

    def __iter__(self) -> Iterator[Round]:
        return self.iterate()
