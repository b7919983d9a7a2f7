"""People who label at a site with several web hosts while these come and go. As the page does, they send a request until it is answered."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from benchmarks.labeling import Failed, Labeler, Tally
from benchmarks.traffic.journal import Journal, Submission

AGAIN_SECONDS = 0.25
PASSING = {502, 503, 504}  # an outage, or a proxy that reaches no host


class InsistentLabeler(Labeler):
    """A signed-in person at `page` of a site, who sends each request until it is answered. The journal has the numbers of the page."""

    def __init__(self, client: httpx.Client, page: str, *, name: str, seed: int, journal: Journal) -> None:
        super().__init__(str(client.base_url), project="", seed=seed)
        self.client.close()
        self.client, self.page, self.name, self.journal = client, page, name, journal

    def insist(self, what: str, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send a request until it gets another answer than an outage. Raises Failed for all answers but 200."""
        while True:
            started = time.perf_counter()
            try:
                answer = send()
            except httpx.TransportError as error:
                self.journal.broke_off(error)
            else:
                self.journal.answered(what, answer.status_code, "", time.perf_counter() - started)
                if answer.status_code == 200:
                    return answer
                if answer.status_code not in PASSING:
                    self.journal.wrong.append(f"{what} answered {answer.status_code}: {answer.text[:200]}")
                    raise Failed(self.journal.wrong[-1])
            time.sleep(AGAIN_SECONDS)

    def open(self, tally: Tally) -> None:
        """Open the page."""
        self.insist("page", lambda: self.client.get(self.page))
        super().open(tally)

    def read(self, html: str) -> None:
        """Read what a page shows, and note the claim."""
        super().read(html)
        if self.work:
            self.journal.shown.add((self.name, int(self.work["assignment"]), int(self.work["token"])))

    def post(self, kind: str, url: str, body: dict[str, Any], tally: Tally) -> httpx.Response:
        """Send a request of the page, and note what was sent and acknowledged."""
        assignment = int(url.rstrip("/").rsplit("/", 2)[-2])
        if kind == "submit":
            self.journal.submissions[body["submission_id"]] = Submission(self.name, assignment, body["token"], body)
        started = time.perf_counter()
        answer = self.insist(kind, lambda: self.client.post(url, json=body))
        tally.seconds[kind].append(time.perf_counter() - started)
        if kind == "submit":
            self.journal.submissions[body["submission_id"]].is_acknowledged = True
        elif kind == "draft":
            self.journal.kept_draft((self.name, assignment, body["token"]), body["revision"], body["ratings"])
        return answer

    def work_until(self, over: threading.Event, *, think: float) -> None:
        """Label until it is over, and end with an answered submit."""
        tally = Tally()
        while not over.is_set():
            try:
                self.ahead = None
                self.open(tally)
                while self.work and not over.is_set():
                    self.label(tally, think=think)
            except (Failed, httpx.TransportError):
                time.sleep(AGAIN_SECONDS)  # as a page that is loaded again
            except Exception as error:
                self.journal.wrong.append(repr(error))
                raise


def check(data: dict[str, Any], *, project: str) -> dict[str, list[str]]:
    """Compare the database with the data of a journal, in a process that has the site's settings. Return the findings by name."""
    from annotation.views.shown_numbers import real_number
    from benchmarks.traffic import checking

    return checking.check(Journal.of_shown_numbers(data, real_number=real_number), project=project)


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
