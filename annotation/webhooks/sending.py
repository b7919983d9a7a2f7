"""Stage: webhooks, sending. One request to one receiver, bounded in time and size. Knows no database, so it can run in a thread."""

import ssl
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NamedTuple

import httpcore2

from annotation.webhooks.hosts import BadAddress, numbers_of, place_of

CONNECT_SECONDS = 5.0
SECONDS = 15.0  # for all: a receiver that sends a byte a second would hold a worker for hours
ANSWER_SECONDS = 2.0  # for the body, once the status is known
ANSWER_BYTES = 500  # of the answer that the log keeps
FAILURE_CHARACTERS = 500  # a receiver that does not speak HTTP can be quoted in it
GONE = 410
BUSY = (429, 503)  # with these, a receiver can say when it will take the message
MOST_SECONDS = 10**9  # of a wait that is asked for: more is no time


class Sent(NamedTuple):
    """How a try went. failure: empty, if the receiver took the message; status: None without an answer; wait: seconds it asks for."""

    status: int | None
    answer: str
    failure: str
    duration_ms: int
    wait: float = 0.0


def send(address: str, *, headers: Mapping[str, str], body: bytes) -> Sent:
    """Send one message. Follows no redirect, reads no proxy from the environment, and raises nothing."""
    began = time.monotonic()
    status, answer, failure, wait = None, "", "", 0.0
    try:
        status, answer, wait = _post(address, headers=headers, body=body)
    except BadAddress as bad:
        failure = str(bad)
    except httpcore2.TimeoutException:
        failure = f"The receiver did not answer within {SECONDS:.0f} seconds."
    except (httpcore2.NetworkError, OSError) as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            failure = f"The certificate of the receiver is not accepted: {error.__cause__.verify_message}."
        else:
            failure = f"The receiver cannot be reached ({str(error) or type(error).__name__})."
    except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol, ValueError) as error:
        failure = f"The receiver does not answer in HTTP ({str(error) or type(error).__name__})."
    if status is not None and 300 <= status < 400:
        failure = f"It answered {status} and named another address. Redirects are not followed. Correct the address of the webhook."
    elif status is not None and not 200 <= status < 300:
        failure = f"It answered {status}."
    return Sent(status, answer, failure.replace("\0", "")[:FAILURE_CHARACTERS], round(1000 * (time.monotonic() - began)), wait)


def _post(address: str, *, headers: Mapping[str, str], body: bytes) -> tuple[int, str, float]:
    place = place_of(address)
    backend = _Backend(is_private=place.is_private)
    url = httpcore2.URL(scheme=place.scheme, host=place.name, port=place.port, target=place.target)
    timeouts = dict.fromkeys(("read", "write", "pool"), SECONDS) | {"connect": CONNECT_SECONDS}
    host = f"[{place.name}]" if ":" in place.name else place.name
    if place.port != (443 if place.scheme == "https" else 80):
        host += f":{place.port}"
    own = {"host": host, "connection": "close", "content-length": str(len(body))}
    sent: list[tuple[bytes | str, bytes | str]] = [*own.items(), *headers.items()]
    with (
        httpcore2.ConnectionPool(ssl_context=_ssl_context(), network_backend=backend) as pool,
        pool.stream("POST", url, headers=sent, content=body, extensions={"timeout": timeouts}) as response,
    ):
        backend.until = min(backend.until, time.monotonic() + ANSWER_SECONDS)
        wait = _wanted_wait(response.headers) if response.status in BUSY else 0.0
        return response.status, _beginning(response.iter_stream()), wait


def _wanted_wait(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """Return the seconds of the header Retry-After, which are a number or a date (RFC 9110). 0: it is missing, over, or neither."""
    said = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
    if said.isascii() and said.isdecimal():
        return float(min(int(said[:20]), MOST_SECONDS))
    try:
        moment = parsedate_to_datetime(said)
        return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _beginning(chunks: Iterable[bytes]) -> str:
    """Return the beginning of a body. One that breaks off or does not end is no failure: the status says whether the message was taken."""
    read = b""
    try:
        for chunk in chunks:
            read += chunk
            if len(read) >= ANSWER_BYTES:
                break
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        pass
    return read[:ANSWER_BYTES].decode(errors="replace").replace("\0", "")


@cache
def _ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Backend(httpcore2.SyncBackend):
    """Connects to the IP address that was checked: looked up a second time, a name can stand for another one."""

    def __init__(self, *, is_private: bool) -> None:
        self.is_private, self.until = is_private, time.monotonic() + SECONDS

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any) -> httpcore2.NetworkStream:
        """Connect to the first address of a host that answers. Raises BadAddress."""
        error: Exception = httpcore2.ConnectError(f"{host} has no address")
        for number in numbers_of(host, port, is_private=self.is_private):
            try:
                return _Stream(super().connect_tcp(number, port, self.left(timeout), *args, **options), self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error

    def left(self, timeout: float | None) -> float:
        """Return how long the next step can take. Raises ReadTimeout if nothing is left."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("The time is over.")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore2.NetworkStream):
    """A connection that ends with the time of its backend, however small the pieces are in which it reads."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: _Backend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there."""
        return self._stream.read(max_bytes, self._backend.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all."""
        self._stream.write(buffer, self._backend.left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Begin to encrypt."""
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._backend.left(timeout)), self._backend)

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)
