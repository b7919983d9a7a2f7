"""What surrounds every request: its id, its time, the answer to an outage, and what monitoring asks.

This middleware stands first. An error inside another middleware never reaches it, because Django turns it into a 500 on the way. So the
handler of such errors, `server_error`, looks at the error first.
"""

import os
import re
import sys
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from annotation.api import problems
from labelapp.http import outages
from labelapp.monitoring import health, logs, metrics

WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}").fullmatch  # no line breaks and no JSON: ids go into the log


TELL = "Tell the people who run this site its X-Request-ID, and try again later."
# Answered before all other middleware: they need no session, and no host name or https that a load balancer would have to imitate.
OPERATIONS = {"/health/live": health.live, "/health/ready": health.ready, "/metrics": metrics.metrics}


class OutermostMiddleware:
    """Give each request an id, and answer outages that a view or a stream meets."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if given and WELL_FORMED(given) else os.urandom(8).hex()
        logs.request_id.set(name)  # each request sets its own: the next one in this thread replaces it
        if (answer := OPERATIONS.get(request.path_info)) and request.method in ("GET", "HEAD"):
            response: HttpResponseBase = answer(request)
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Request-ID"] = name
            return response
        began = time.perf_counter()
        response = self.get_response(request)
        if response.streaming:
            response = outages.guard_stream(request, response)
        response.headers["X-Request-ID"] = name
        metrics.observe(request, response, time.perf_counter() - began)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer an outage that a view or its template met."""
        return outages.answer(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error that nothing caught: an outage with 503, and a fault of the program with the page for 500."""
    error = sys.exception()
    if error is not None and (response := outages.answer(request, error)) is not None:
        return response
    if problems.is_api(request):
        return problems.answer(problems.ApiRefused("server_error", f"This is a fault of the site, not of the request. {TELL}"))
    return HttpResponse(render_to_string("500.html"), status=500)
