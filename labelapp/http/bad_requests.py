"""Requests that cannot be read: the middleware that refuses them, and the page that says what to do. Each is answered with 400."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest, FieldDoesNotExist, RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render

from annotation.api import problems

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class BadRequestMiddleware:
    """Refuse an address, a query or a form that holds a NUL character. PostgreSQL cannot store it or search for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.path_info:
            raise BadRequest("The address contains a NUL character. Remove it from the address.")
        fields = [("address", request.GET)]
        if request.content_type in FORMS:  # bodies of the labeling page are JSON: its views check them
            fields.append(("form", request.POST))
        for place, values in fields:
            for name, texts in values.lists():
                if any("\0" in text for text in (name, *texts)):
                    field = name.replace("\0", "")
                    raise BadRequest(f"The field “{field}” of the {place} contains a NUL character. Remove it and send it again.")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer the administration's errors about names of fields, which it takes from the address without looking."""
        if isinstance(exception, FieldDoesNotExist) and request.resolver_match and request.resolver_match.app_name == "admin":
            return bad_request(request, BadRequest("The address names a field that does not exist. Go back and try again."))
        return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show the page of a request that could not be read, with the reason where it is known."""
    if isinstance(exception, RequestDataTooBig):
        reason = f"The form has more than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes. Go back, shorten its texts and send it again."
    elif isinstance(exception, TooManyFieldsSent):
        limit = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        reason = f"The form or the address has more than {limit:,} fields. Go back and send fewer of them at once."
    elif isinstance(exception, MultiPartParserError):
        reason = "The form arrived incomplete. Go back and send it again."
    else:
        reason = str(exception) if isinstance(exception, BadRequest) else ""
    if problems.is_api(request) and isinstance(exception, RequestDataTooBig):
        return problems.answer(problems.ApiRefused("body_too_large", "The body of the request is too large."))
    if problems.is_api(request):
        return problems.answer(
            problems.ApiRefused("bad_request", reason or "The request cannot be read. Look at its headers and its address.")
        )
    return render(request, "400.html", {"reason": reason}, status=400)
