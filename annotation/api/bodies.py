"""The bodies of requests: read up to a limit, and only if all of them came."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
from django.http import HttpRequest

from annotation.api.problems import ApiRefused

CHUNK = 1 << 20


def pieces_of(request: HttpRequest, *, at_most: int, too_large: str) -> Iterator[bytes]:
    """Yield a body piece by piece. Raises ApiRefused if it is sent in chunks, has more than `at_most` bytes, or breaks off.

    A web server gives a body that broke off as one that has ended, and one without a length as an empty one. Taken for what was meant, a
    part would be stored, or all that the body says would be left out.
    """
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise ApiRefused("length_required", "Send the body with its length, in the header Content-Length, and not in chunks.")
    said = request.META.get("CONTENT_LENGTH") or ""
    length, n_read = int(said) if said.isdecimal() else 0, 0
    while piece := _read(request):
        n_read += len(piece)
        if n_read > at_most:
            raise ApiRefused("body_too_large", too_large)
        yield piece
    if n_read < length:
        raise ApiRefused(
            "bad_body", f"The body broke off after {n_read:,} of {length:,} bytes, so nothing was done. Send the request again."
        )


def _read(request: HttpRequest) -> bytes:
    try:
        return request.read(CHUNK)
    except OSError:  # the connection is lost: what is missing is seen by the length
        return b""


def json_of(request: HttpRequest, *, at_most: int) -> dict[str, Any]:
    """Return the JSON object that is the body; without a body, an empty one. Raises ApiRefused."""
    too_large = f"The body has more than {at_most:,} bytes. Send less in one request."
    body = b"".join(pieces_of(request, at_most=at_most, too_large=too_large))
    try:
        data = orjson.loads(body or b"{}")
        if b"{" in body:
            json.loads(body, object_pairs_hook=_once)
    except orjson.JSONDecodeError as error:
        raise ApiRefused("bad_body", f"The body is not valid JSON ({error}).") from None
    except RecursionError:
        raise ApiRefused("bad_body", "The body has too many lists and objects in each other.") from None
    if not isinstance(data, dict):
        raise ApiRefused("bad_body", "The body must be a JSON object.")
    return data


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object that has a field twice: orjson would take the last one, and say nothing."""
    if len({name for name, _ in pairs}) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ApiRefused("bad_body", f"The field “{twice}” stands twice in one object. Write it once.")
