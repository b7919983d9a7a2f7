"""One person who labels, act by act, as the labeling page does. A page is read by what its script reads.

A request that gets a 503 or no answer is sent again with the same body, as the page sends it. All other answers are compared with what
the act can get. The connection is given: HTTP here, Django's test client in the tests of planted faults.
"""

import html
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from annotation.views.shown_numbers import real_number
from benchmarks.labeling import CSRF, FIELD, WORK
from benchmarks.traffic.journal import Journal, Submission

REOPENABLE = re.compile(r'href="([^"]*/reopen/\d+/)"')
LOST = {(409, "lease_lost"), (409, "withdrawn")}
FINE = {(200, "")}
# What each act can get, besides 503. A correction conflicts if a newer one is stored.
EXPECTED = {
    "page": FINE,
    "next": FINE,
    "draft": FINE | LOST,
    "submit": FINE | LOST,
    "submit again": FINE,
    "other ratings": {(409, "submission_conflict")},
    "skip": FINE | LOST,
    "extend": FINE | LOST,
    "give back": FINE,
    "recent": FINE,
    "reopen": {(200, ""), (302, "")},
    "correct": {(200, ""), (409, "submission_conflict")},
}
ODD_TIMES = (-5, 0, 2**31 - 1, 2**40)  # milliseconds: of clocks that were put back, or years ahead
ODD_DATES = ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 23:59:59 GMT", "yesterday")
AGAIN_SECONDS = 0.25  # until a request is sent again


class Stuck(Exception):
    """A request got no definite answer for too long."""


@dataclass(frozen=True)
class Reply:
    """An answer of the site. `headers` have names in lower case."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def is_page(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/html")

    @property
    def code(self) -> str:
        """The code of a refusal; empty if there is none."""
        if self.status < 400:
            return ""
        try:
            return str(json.loads(self.text)["code"])
        except (ValueError, KeyError, TypeError):
            return self.headers.get("x-stepmark-code", "")


class Connection(Protocol):
    """How a person reaches the site. `ask` raises OSError (or the `broken` kinds) if no answer comes."""

    broken: tuple[type[BaseException], ...]

    def ask(self, path: str, *, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send a GET, or a POST with content, and return the answer."""

    def hang_up(self, path: str, *, content: bytes, headers: Mapping[str, str]) -> None:
        """Send a POST and close the connection before the answer."""


@dataclass
class Work:
    """What the page shows: an assignment, or a submission that is reopened (`corrects`)."""

    person: str
    assignment: int  # as the database has it; `fields` has it as the page shows it
    token: int | None  # also as the database has it
    fields: dict[str, str]
    n_steps: int
    revision: int  # of the newest draft
    corrects: int | None = None

    @property
    def claim(self) -> tuple[str, int, int]:
        assert self.token is not None
        return self.person, self.assignment, self.token

    def as_claim(self) -> dict[str, int]:
        """Return the field by which a request names this claim, as the page shows it."""
        return {"token": int(self.fields["token"])}

    def as_ahead(self) -> dict[str, int]:
        """Return the fields by which a submit names this prepared solution, as the page shows them."""
        return {"ahead": int(self.fields["assignment"]), "ahead_token": int(self.fields["token"])}


def read_work(text: str, *, person: str) -> Work | None:
    """Return the work that a page or a fragment shows, or None."""
    found = WORK.search(text)
    if not found:
        return None
    fields = {name: html.unescape(value) for name, value in FIELD.findall(found[0])}
    draft = json.loads(fields["draft"]) if fields.get("draft") else {"revision": 0}
    corrects = re.search(r"/annotations/(\d+)/revise/", fields["submit-url"])
    assignment = real_number(int(fields["assignment"]))
    token = None if corrects else real_number(int(fields["token"]), place=assignment)
    key = int(corrects[1]) if corrects else None
    return Work(person, assignment, token, fields, text.count('data-step="'), draft["revision"], key)


@dataclass
class Person:
    """A labeler. `name` is the account. `patience`: seconds until a request without a definite answer counts as stuck."""

    name: str
    project: str
    connection: Connection
    journal: Journal
    rng: random.Random = field(default_factory=random.Random)
    patience: float = 90
    work: Work | None = None
    ahead: Work | None = None
    csrf: str = ""

    # --- requests ---------------------------------------------------------------------------------------------------------------

    def ask(self, act: str, path: str, body: dict[str, Any] | None = None, *, odd: bool = False) -> Reply:
        """Send a request until it gets a definite answer, and compare that with what the act can get. Raises Stuck."""
        content, headers = self._request(body, odd=odd)
        until = time.monotonic() + self.patience
        while True:
            started = time.perf_counter()
            try:
                reply = self.connection.ask(path, content=content, headers=headers)
            except self.connection.broken as error:
                self.journal.broke_off(error)
            else:
                self.journal.answered(act, reply.status, reply.code, time.perf_counter() - started)
                if reply.status != 503:
                    break
                if not (reply.headers.get("retry-after") and reply.headers.get("x-stepmark-code")):
                    self.journal.wrong.append(f"{act} of {self.name}: 503 without Retry-After and a code: {reply.text[:200]}")
            if time.monotonic() > until:
                self.journal.wrong.append(f"{act} of {self.name} got no definite answer for {self.patience:g} s.")
                raise Stuck(act)
            time.sleep(AGAIN_SECONDS)
        if (reply.status, reply.code) not in EXPECTED[act]:
            self.journal.wrong.append(f"{act} of {self.name} at {path}: {reply.status} {reply.code}: {reply.text[:200]!r}")
        return reply

    def _request(self, body: dict[str, Any] | None, *, odd: bool) -> tuple[bytes | None, dict[str, str]]:
        headers = {"X-CSRFToken": self.csrf} if body is not None else {}
        if odd:
            headers["Date"] = self.rng.choice(ODD_DATES)
        return None if body is None else json.dumps(body).encode(), headers

    # --- acts -------------------------------------------------------------------------------------------------------------------

    def open(self) -> Work | None:
        """Open the labeling page, and show what it shows."""
        self.ahead = None
        reply = self.ask("page", f"/p/{self.project}/label/")
        if csrf := CSRF.search(reply.text):
            self.csrf = csrf[1]
        return self._show(reply.text)

    def _show(self, text: str) -> Work | None:
        self.work = self._read(text)
        return self.work

    def _read(self, text: str) -> Work | None:
        work = read_work(text, person=self.name)
        if work and work.token is not None:
            self.journal.shown.add(work.claim)
        return work

    def prepare(self) -> None:
        """Request the solution after this one, to show it at once later."""
        assert self.work
        if "ahead-url" in self.work.fields and not self.ahead:
            reply = self.ask("next", self.work.fields["ahead-url"], {})
            self.ahead = self._read(reply.text) if reply.is_page else None

    def give_back(self) -> None:
        """Give the prepared solution back."""
        if self.ahead:
            self.ask("give back", self.ahead.fields["release-url"], self.ahead.as_claim())
            self.ahead = None

    def draft(self, ratings: list[dict[str, Any]], *, revision: int | None = None) -> Reply:
        """Save the ratings so far; `revision` is given if an older request arrives late."""
        assert self.work
        if revision is None:
            self.work.revision += 1
            revision = self.work.revision
        reply = self.ask("draft", self.work.fields["draft-url"], {**self.work.as_claim(), "revision": revision, "ratings": ratings})
        if reply.status == 200 and json.loads(reply.text)["revision"] == revision:
            self.journal.kept_draft(self.work.claim, revision, ratings)
        return reply

    def rate(self) -> list[dict[str, Any]]:
        """Return ratings as the page sends them: half of the solutions have a mistake."""
        assert self.work
        end = self.rng.randrange(self.work.n_steps) if self.rng.random() < 0.5 else None
        last = self.work.n_steps if end is None else end + 1
        ratings = [{"step": step, "position": 0, "rating": self.rng.choice((0, 1)), "flagged": False, "ms": 900} for step in range(last)]
        if end is not None:
            ratings[end]["rating"] = -1
        return ratings

    def body_of(self, ratings: list[dict[str, Any]], *, odd: bool = False) -> dict[str, Any]:
        """Return the body of a submit. `odd`: with the times of a wrong clock."""
        times = [self.rng.choice(ODD_TIMES) for _ in range(2)] if odd else [900 * len(ratings), 900 * len(ratings) + 500]
        ratings = [one | {"ms": self.rng.choice(ODD_TIMES)} for one in ratings] if odd else ratings
        return {
            "submission_id": str(uuid.UUID(int=self.rng.getrandbits(128), version=4)),
            "ratings": ratings,
            "finish_reason": "found_error" if ratings[-1]["rating"] == -1 else "solution",
            "reason": "",
            "active_ms": times[0],
            "total_ms": times[1],
        }

    def submit(self, body: dict[str, Any], *, cut: bool = False, again: bool = False, other: bool = False, odd: bool = False) -> bool:
        """Submit the work, and go on with what the answer shows. Return whether it was acknowledged.

        cut: it is sent before on a connection that is closed before the answer, so both can be at work at once. again: it is sent again
        after its answer. other: then it is sent with other ratings, too, which must be refused.
        """
        work, prepared = self.work, self.ahead
        assert work
        sent = Submission(self.name, work.assignment, work.token, body, corrects=work.corrects)
        self.journal.submissions[body["submission_id"]] = sent
        more = {} if work.corrects else work.as_claim()
        if prepared and not work.corrects:
            more |= prepared.as_ahead()
        path, act = work.fields["submit-url"], "correct" if work.corrects else "submit"
        if cut:
            content, headers = self._request(body | more, odd=odd)
            assert content is not None
            try:
                self.connection.hang_up(path, content=content, headers=headers)
            except self.connection.broken as error:
                self.journal.broke_off(error)
            self.journal.did("answers cut")
        reply = self.ask(act, path, body | more, odd=odd)
        sent.is_acknowledged, sent.refusal = reply.status == 200, "" if reply.status == 200 else reply.code or str(reply.status)
        if not sent.is_acknowledged:
            self.journal.did("refused")
            self.work = self.ahead = None
            return False
        if again:
            self.journal.did("sent again")
            reply = self.ask("correct" if work.corrects else "submit again", path, body | more)
            if reply.status != 200:
                sent.refusal = reply.code or str(reply.status)
        if other and not work.corrects:
            changed = [one | {"rating": 1 - abs(one["rating"])} if one["rating"] != -1 else one for one in body["ratings"]]
            changed[-1] = changed[-1] | {"flagged": not changed[-1]["flagged"]}
            self.ask("other ratings", path, body | more | {"ratings": changed})
        self._go_on(reply)
        return True

    def _go_on(self, reply: Reply) -> None:
        if reply.is_page:
            self.ahead = None
            self._show(reply.text)
        elif self.work and self.work.corrects:
            self.work = self.ahead = None
        else:
            following = json.loads(reply.text).get("ahead")
            self.work, self.ahead = self.ahead, self._read(following) if following else None

    def skip(self) -> None:
        """Pass the work to another person."""
        work, prepared = self.work, self.ahead
        assert work
        more = prepared.as_ahead() if prepared else {}
        reply = self.ask("skip", work.fields["skip-url"], {**work.as_claim(), "reason": "too long for me", **more})
        if reply.status == 200:
            self.journal.skipped[work.assignment] = self.name
            self._go_on(reply)
        else:
            self.work = self.ahead = None

    def extend(self) -> None:
        """Say that the work goes on."""
        assert self.work
        self.ask("extend", self.work.fields["extend-url"], self.work.as_claim())

    def reopen(self) -> Work | None:
        """Open the last submission for a correction. None: there is none that can be corrected."""
        links = REOPENABLE.findall(self.ask("recent", f"/p/{self.project}/recent/").text)
        if not links:
            return None
        self.work, self.ahead = read_work(self.ask("reopen", links[0]).text, person=self.name), None
        return self.work


# --- the walk -------------------------------------------------------------------------------------------------------------------

ACTS = {
    "submit": 46,
    "submit, answer cut": 12,
    "submit again": 8,
    "submit, other ratings": 4,
    "submit with a wrong clock": 5,
    "lease runs out": 7,
    "skip": 4,
    "give back": 4,
    "older draft": 4,
    "extend": 2,
    "correct": 4,
}  # per cent


class Office(Protocol):
    """What happens to people without their doing."""

    def run_out(self, assignment: int) -> None:
        """Let the lease of an assignment run out, and offer it to others."""


def walk(person: Person, office: Office, *, think: float, is_over: Callable[[], bool], pause: threading.Event) -> None:
    """Label at random until it is over, without leaving an act half done. `think`: seconds about each solution.

    Each kind of act comes up at random, by ACTS. `pause` is set to end the waits.
    """
    while not is_over():
        if person.work is None and person.open() is None:
            pause.wait(max(think, 0.2))  # suspended, or nothing is left
            continue
        step(person, office, person.rng.choices(list(ACTS), weights=list(ACTS.values()))[0], think=think, pause=pause)


def step(person: Person, office: Office, act: str, *, think: float, pause: threading.Event) -> None:
    """Work on one solution, and end with an act."""
    person.journal.did(act)
    seconds = think * person.rng.uniform(0.5, 1.5)
    if act == "correct" and person.reopen():
        pause.wait(seconds / 2)
        person.submit(person.body_of(person.rate()), cut=person.rng.random() < 0.3, again=person.rng.random() < 0.3)
        return
    if person.work is None:  # nothing can be corrected
        return
    if person.rng.random() < 0.8:
        person.prepare()
    ratings = person.rate()
    pause.wait(seconds / 2)
    person.draft(ratings[: (len(ratings) + 1) // 2])
    if act == "older draft":
        person.draft(ratings)
        person.draft(ratings[:1], revision=person.work.revision - 1)  # an older request that arrives late
    pause.wait(seconds / 2)
    if act == "skip":
        person.skip()
        return
    if act == "extend":
        person.extend()
    elif act == "give back":
        person.give_back()
    elif act == "lease runs out":
        office.run_out(person.work.assignment)
        pause.wait(seconds)
    odd = act == "submit with a wrong clock"
    again = act == "submit again"
    person.submit(
        person.body_of(ratings, odd=odd), cut=act == "submit, answer cut", again=again, other=act == "submit, other ratings", odd=odd
    )
