"""Rounds of a project: start one, wait for it, cancel it."""

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

from stepmark_client.generated.api.rounds import rounds_cancel, rounds_list, rounds_show, rounds_start
from stepmark_client.generated.models.new_round import NewRound
from stepmark_client.generated.models.round_ import Round as RoundData
from stepmark_client.lists import Listing
from stepmark_client.transport import PatientClient
from stepmark_client.work import Work


class Round(Work[RoundData]):
    """A round. Waiting for it ends when it is published, or proposed: a proposal waits for a person."""

    at_rest = ("published", "proposed")

    @property
    def number(self) -> int:
        """Its number in the project. The first round has the number 0."""
        return self.data.number


class Rounds:
    """The rounds of a project."""

    def __init__(self, api: PatientClient, slug: str) -> None:
        self._api, self._slug = api, slug
        self.listing: Listing[RoundData] = Listing(api, rounds_list.call, slug)

    def start(self, **plan: Any) -> Round:
        """Start a round, and return it. What is left out is as the project has it.

        Fields: strategy, size, per_problem, is_diverse, is_stratified, train, review, labels. Raises Conflict if it cannot start now.
        """
        key = f"round-{uuid.uuid4()}"  # a lost answer does not start two rounds
        return self._round(rounds_start.call(self._slug, client=self._api, body=NewRound(**plan), idempotency_key=key).parsed)

    def get(self, number: int) -> Round:
        """Return a round by its number. Raises NotFound."""
        return self._round(rounds_show.call(self._slug, number, client=self._api).parsed)

    def iterate(self, **filters: Any) -> Iterator[Round]:
        """Return all rounds, the first one first. Filter: `state`."""
        return map(self._round, self.listing.iterate(**filters))

    def __iter__(self) -> Iterator[Round]:
        return self.iterate()

    def _round(self, data: RoundData) -> Round:
        show, end = (partial(act, self._slug, data.number, client=self._api) for act in (rounds_show.call, rounds_cancel.call))
        return Round(data, name=f"Round {data.number} of {self._slug}", show=show, end=end)
