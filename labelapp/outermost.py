"""What surrounds every request: its id and the answer to an outage.

This middleware stands first. An error inside another middleware never reaches it, because Django turns it into a 500 on the way. So the
handler of such errors, `server_error`, looks at the error first.
"""

import os
import re
import sys
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from labelapp import logs, outages

WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}").fullmatch  # no line breaks and no JSON: ids go into the log


class OutermostMiddleware:
    """Give each request an id, and answer outages that a view or a stream meets."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if given and WELL_FORMED(given) else os.urandom(8).hex()
        logs.request_id.set(name)  # each request sets its own: the next one in this thread replaces it
        response = self.get_response(request)
        if response.streaming:
            response = outages.guard_stream(request, response)
        response.headers["X-Request-ID"] = name
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer an outage that a view or its template met."""
        return outages.answer(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error that nothing caught: an outage with 503, and a fault of the program with the page for 500."""
    error = sys.exception()
    if error is not None and (response := outages.answer(request, error)) is not None:
        return response
    return HttpResponse(render_to_string("500.html"), status=500)
