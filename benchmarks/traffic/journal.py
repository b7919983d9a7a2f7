"""What people sent, and what the site told them. All people of a run share one journal, from as many threads."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

Claim = tuple[str, int, int]  # person, assignment, token: what a page showed


@dataclass
class Submission:
    """One submit or one correction, under one submission_id."""

    person: str
    assignment: int
    token: int | None  # None: a correction
    body: dict[str, Any]
    corrects: int | None = None  # the annotation
    is_acknowledged: bool = False
    refusal: str = ""  # the code, if the last answer refused it


@dataclass
class Journal:
    """Everything that people were told."""

    submissions: dict[str, Submission] = field(default_factory=dict)
    shown: set[Claim] = field(default_factory=set)
    drafts: dict[Claim, tuple[int, list[dict[str, Any]]]] = field(default_factory=dict)  # the newest acknowledged: revision, ratings
    skipped: dict[int, str] = field(default_factory=dict)  # by assignment: who skipped it
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)  # act, status, code
    broken_off: Counter[str] = field(default_factory=Counter)  # requests without an answer, by error
    wrong: list[str] = field(default_factory=list)  # answers that nobody should get
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by act, of answers other than 503
    moments: list[float] = field(default_factory=list)  # when an answer came that needed the database
    acts: Counter[str] = field(default_factory=Counter)  # what people did besides
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, act: str, status: int, code: str, seconds: float) -> None:
        """Note an answer. Only answers other than 503 are timed, and prove that the database answers."""
        with self.lock:
            self.answers[act, status, code] += 1
        if status != 503:
            self.seconds[act].append(seconds)
            self.moments.append(time.monotonic())

    def broke_off(self, error: BaseException) -> None:
        """Note a request that got no answer."""
        with self.lock:
            self.broken_off[type(error).__name__] += 1

    def did(self, act: str) -> None:
        """Count an act."""
        with self.lock:
            self.acts[act] += 1

    def kept_draft(self, claim: Claim, revision: int, ratings: list[dict[str, Any]]) -> None:
        """Note an acknowledged draft, unless a newer one is noted."""
        with self.lock:
            if claim not in self.drafts or self.drafts[claim][0] < revision:
                self.drafts[claim] = revision, ratings

    def as_data(self) -> dict[str, Any]:
        """Return what a check compares with the database, as values of JSON."""
        return {
            "submissions": {key: asdict(sent) for key, sent in self.submissions.items()},
            "shown": sorted(self.shown),
            "drafts": [[claim, draft] for claim, draft in self.drafts.items()],
            "wrong": self.wrong,
        }

    @classmethod
    def of_shown_numbers(cls, data: dict[str, Any], *, real_number: Callable[..., int]) -> "Journal":
        """Return the journal of people who noted numbers as pages show them: with the numbers that the database has."""

        def real(claim: tuple[str, int, int]) -> Claim:
            person, assignment, token = claim
            key = real_number(assignment)
            return person, key, real_number(token, place=key)

        journal = cls(wrong=list(data["wrong"]), shown=set(map(real, data["shown"])))
        for key, fields in data["submissions"].items():
            sent = Submission(**fields)
            assert sent.token is not None
            _, assignment, token = real((sent.person, sent.assignment, sent.token))
            journal.submissions[key] = replace(sent, assignment=assignment, token=token)
        for claim, (revision, ratings) in data["drafts"]:
            journal.drafts[real(claim)] = revision, ratings
        return journal

    def acknowledged(self) -> int:
        """Count the first submissions and corrections that were acknowledged."""
        return sum(sent.is_acknowledged for sent in list(self.submissions.values()))

    def p95_ms(self, *acts: str) -> float | None:
        """Return the 95th percentile of the times of some acts together."""
        return percentile_ms([seconds for act in acts for seconds in self.seconds[act]], percent=95)


def percentile_ms(seconds: list[float], *, percent: int) -> float | None:
    """Return a percentile in milliseconds, or None of no values."""
    ordered = sorted(seconds)
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1) if ordered else None
