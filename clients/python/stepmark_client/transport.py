"""How requests are sent: again after an outage, a limit or a lost connection, where sending them twice is safe."""

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from stepmark_client.errors import Unreachable, refusal

AGAIN = (429, 502, 503, 504)
FIRST_SECONDS, LONGEST_SECONDS = 0.5, 120.0
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class PatientClient(httpx.Client):
    """Sends a request up to `retries` more times, after the seconds that the site asks for, or after longer and longer ones.

    A request that reads, or that names an Idempotency-Key, can be sent again whatever happened. Another one is only sent again if the
    site certainly did nothing: it counted too many requests, or was never reached.
    """

    def __init__(self, *, retries: int, **options: Any) -> None:
        super().__init__(**options)
        self.retries = retries

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request and return the answer. Raises RequestRefused and Unreachable."""
        is_safe = request.method in ("GET", "HEAD") or "Idempotency-Key" in request.headers
        n_before = 0
        while True:
            is_last, seconds = n_before == self.retries, backoff(n_before)
            n_before += 1
            try:
                answer = super().send(request, **options)
                if answer.status_code < 300:
                    return answer
                answer.read()
            except httpx.TransportError as lost:
                if is_last or not (is_safe or isinstance(lost, NEVER_SENT)):
                    raise unreachable(request, lost, is_safe=is_safe) from lost
                time.sleep(seconds)
                continue
            wanted = _retry_after(answer)
            can_repeat = answer.status_code == 429 or (is_safe and (answer.status_code in AGAIN or _is_early(answer)))
            if is_last or not can_repeat or (wanted or 0) > LONGEST_SECONDS:
                raise refusal(answer)
            time.sleep(seconds if wanted is None else wanted)


def backoff(n_before: int) -> float:
    """Return the seconds before another attempt: twice as long each time, and never the same for all clients of a site."""
    longest: float = min(FIRST_SECONDS * 2**n_before, 30.0)
    return longest * random.uniform(0.5, 1.0)


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that an answer asks to wait for: a number, or a date."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0) if said else None
    except (ValueError, TypeError):
        return None


def _is_early(answer: httpx.Response) -> bool:
    """Say whether the first request with the same key, sent before a lost connection, or another load of the project is still running."""
    return answer.status_code == 409 and refusal(answer).code in ("key_in_use", "load_running")


def unreachable(request: httpx.Request, lost: httpx.TransportError, *, is_safe: bool = True) -> Unreachable:
    """Return the error for a request that got no answer. is_safe: it changes nothing, however often it is sent."""
    place = f"{request.url.scheme}://{request.url.netloc.decode()}"
    words = f"No answer from {place}: {str(lost) or type(lost).__name__}."
    if not is_safe and not isinstance(lost, NEVER_SENT):
        return Unreachable(f"{words} The site may have done what was asked. Look before you send it again.")
    return Unreachable(f"{words} Is the site running, and is the address right?")


def http_client(
    url: str, token: str, *, agent: str, retries: int, timeout: float, transport: httpx.BaseTransport | None = None
) -> PatientClient:
    """Return the client that all requests go through."""
    return PatientClient(
        base_url=url, timeout=timeout, transport=transport, retries=retries,
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json, application/problem+json", "User-Agent": agent},
    )  # fmt: skip
