"""Outages: which errors mean that a part of the site is missing for now, and how they are answered.

Each of them is answered with 503, `Retry-After` and a code. A background request gets JSON {code, message}, as it does for other refusals.
A page gets a page that asks for nothing of the database and loads again by itself. All other errors stay 500.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import kombu.exceptions
import psycopg
from django import db
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers

from annotation.api import problems
from labelapp import embedded_postgres
from trainer.files import is_disk_full

log = logging.getLogger(__name__)

CODE_HEADER = "X-Stepmark-Code"
DATABASE_ERRORS = (db.OperationalError, db.InterfaceError, db.InternalError, psycopg.OperationalError, psycopg.InterfaceError)
# By the first characters of the SQLSTATE (PostgreSQL, appendix A). Errors of these classes that are not named here are faults of a
# statement, such as 54001, a statement that is too complex.
BUSY_STATES = (
    "40",
    "55P03",
    "57014",
    "25P03",
    "25P04",
)  # deadlock, serialization, a wait for a lock, a statement or transaction over its time
GONE_STATES = ("08", "28", "3D000", "53", "57", "58", "25006")  # 25006: the server only reads, as during a change of servers


@dataclass(frozen=True)
class Outage:
    """What is missing: a code for programs, sentences for people, and when to try again."""

    code: str
    title: str
    what: str
    message: str  # for background requests
    retry_seconds: int = 5


BUSY = Outage(
    "busy",
    "Back in a moment",
    "The server is busy.",
    "The server is busy. This page tries again by itself. Nothing is lost.",
)
DATABASE_UNAVAILABLE = Outage(
    "database_unavailable",
    "Back in a moment",
    "The database does not answer at the moment.",
    "The database does not answer at the moment. This page tries again by itself. Nothing is lost.",
)
BROKER_UNAVAILABLE = Outage(
    "broker_unavailable",
    "Back in a moment",
    "The server cannot reach its workers at the moment.",
    "The server cannot reach its workers at the moment. Try again in a moment. Nothing is lost.",
)
DISK_FULL = Outage(
    "disk_full",
    "The disk is full",
    "The disk is full on the server, so it cannot store anything. Please tell the people who run this site.",
    "The disk is full on the server. Please tell the people who run this site. Your ratings stay in this browser, and this page tries "
    "again by itself. Nothing is lost.",
    30,
)


def outage_of(error: BaseException) -> Outage | None:
    """Return the outage that an error means, or None for a fault of the program. An error that was raised from another counts as that."""
    causes = list(_causes(error))
    if is_disk_full(error):
        return DISK_FULL
    if any(isinstance(cause, kombu.exceptions.OperationalError) for cause in causes):
        return BROKER_UNAVAILABLE
    if not any(isinstance(cause, DATABASE_ERRORS) for cause in causes):
        return None
    states = [state for cause in causes if (state := getattr(cause, "sqlstate", None))]
    if any(state.startswith(BUSY_STATES) for state in states):
        return BUSY
    if any(state.startswith(GONE_STATES) for state in states):
        return DATABASE_UNAVAILABLE
    # Without a state the connection itself failed: refused, too many clients, broken off. InternalErrors always have one.
    return None if states or any(isinstance(cause, db.InternalError) for cause in causes) else DATABASE_UNAVAILABLE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def answer(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """Return the answer to an error that means an outage, else None. The connection is dropped, so the next request connects anew."""
    outage = outage_of(error)
    if outage is None:
        return None
    if outage is DATABASE_UNAVAILABLE:
        drop_connections()
        if embedded_postgres.has_no_space():
            outage = DISK_FULL
    level = logging.ERROR if outage is DISK_FULL else logging.WARNING
    log.log(level, "%s: %s %s answered 503 %s: %s", outage.what.partition(".")[0], request.method, request.path, outage.code, error)
    response = _told(request, outage)
    response["Retry-After"] = str(outage.retry_seconds)
    response[CODE_HEADER] = outage.code
    add_never_cache_headers(response)
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log a traceback for each request
    return response


def _told(request: HttpRequest, outage: Outage) -> HttpResponse:
    if problems.is_api(request):
        return problems.document(outage.code, f"{outage.what} Send the request again.", status=503, title=outage.title)
    if _wants_json(request):
        return JsonResponse({"code": outage.code, "message": outage.message, "what": outage.what}, status=503)
    page = {"outage": outage, "is_form": request.method not in ("GET", "HEAD")}
    return HttpResponse(render_to_string("503.html", page), status=503)


def _wants_json(request: HttpRequest) -> bool:
    accepted = request.headers.get("Accept", "")
    return request.content_type == "application/json" or "application/json" in accepted or "HX-Request" in request.headers


def drop_connections() -> None:
    """Close this thread's connections that failed. Django checks a connection only at the end of a request, which a stream outlives."""
    for connection in db.connections.all(initialized_only=True):
        if connection.in_atomic_block:
            continue
        try:
            connection.close()
        except db.Error:
            connection.connection = None


def guard_stream(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Read the first piece of a stream before its status is sent, so that an outage there is a 503, too.

    A later outage breaks the answer off: the browser sees that the file is incomplete.
    """
    if not response.streaming or getattr(response, "file_to_stream", None) is not None or getattr(response, "is_async", False):
        return response
    pieces = iter(response.streaming_content)  # type: ignore[attr-defined]
    try:
        first = next(pieces, None)
    except Exception as error:
        refusal = answer(request, error)
        if refusal is None:
            raise
        response.close()
        return refusal
    if first is not None:
        response.streaming_content = _joined(first, pieces)  # type: ignore[attr-defined]
    return response


def _joined(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces
