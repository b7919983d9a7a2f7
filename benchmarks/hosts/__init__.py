"""People who label at a site with several web hosts while these come and go. As the page does, they send a request until it is answered."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.labeling import Failed, Labeler, Tally

AGAIN_SECONDS = 0.25
PASSING = {502, 503, 504}  # an outage, or a proxy that reaches no host


@dataclass
class Ledger:
    """What all people sent and what they were told."""

    sent: set[str] = field(default_factory=set)  # submission ids
    acknowledged: set[str] = field(default_factory=set)
    passing: Counter[str] = field(default_factory=Counter)  # requests that were sent again, by answer or error
    wrong: list[str] = field(default_factory=list)  # answers that nobody should get
    over: threading.Event = field(default_factory=threading.Event)


class InsistentLabeler(Labeler):
    """A signed-in person at `page` of a site, who sends each request until it is answered."""

    def __init__(self, client: httpx.Client, page: str, *, seed: int, ledger: Ledger) -> None:
        super().__init__(str(client.base_url), project="", seed=seed)
        self.client.close()
        self.client, self.page, self.ledger = client, page, ledger

    def insist(self, what: str, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send a request until it gets another answer than an outage. Raises Failed for all answers but 200."""
        while True:
            try:
                answer = send()
            except httpx.TransportError as error:
                self.ledger.passing[type(error).__name__] += 1
            else:
                if answer.status_code == 200:
                    return answer
                if answer.status_code not in PASSING:
                    self.ledger.wrong.append(f"{what} answered {answer.status_code}: {answer.text[:200]}")
                    raise Failed(self.ledger.wrong[-1])
                self.ledger.passing[str(answer.status_code)] += 1
            time.sleep(AGAIN_SECONDS)

    def open(self, tally: Tally) -> None:
        """Open the page."""
        self.insist("page", lambda: self.client.get(self.page))
        super().open(tally)

    def post(self, kind: str, url: str, body: dict[str, Any], tally: Tally) -> httpx.Response:
        """Send a request of the page, and note which submits were acknowledged."""
        if kind == "submit":
            self.ledger.sent.add(body["submission_id"])
        started = time.perf_counter()
        answer = self.insist(kind, lambda: self.client.post(url, json=body))
        tally.seconds[kind].append(time.perf_counter() - started)
        if kind == "submit":
            self.ledger.acknowledged.add(body["submission_id"])
        return answer

    def work_until_over(self, *, think: float) -> None:
        """Label until it is over, and end with an answered submit."""
        tally = Tally()
        while not self.ledger.over.is_set():
            try:
                self.ahead = None
                self.open(tally)
                while self.work and not self.ledger.over.is_set():
                    self.label(tally, think=think)
            except (Failed, httpx.TransportError):
                time.sleep(AGAIN_SECONDS)  # as a page that is loaded again
            except Exception as error:
                self.ledger.wrong.append(repr(error))
                raise


def within(seconds: float) -> Iterator[float]:
    """Yield the seconds that are over, again and again, until the time is over."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < seconds:
        yield spent


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until a condition holds; return whether it did in that time."""
    for _ in within(seconds):
        if condition():
            return True
        time.sleep(AGAIN_SECONDS)
    return condition()
