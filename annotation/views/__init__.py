"""The views, by the person who uses them: labeling, managing, researching, and the pages of one person.

A view reads the request, calls a stage function, and renders the answer. This module holds what all views share: the decorator that
limits a page to some roles in a project, the fragments that scripts fetch, and the reading of numbers and JSON bodies.
"""

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from annotation import people

if TYPE_CHECKING:
    from django.contrib.auth.models import User

COUNT = range(2**31)  # the range of the columns
KEY = range(2**63)


View = Callable[..., HttpResponseBase]


class SignedInRequest(HttpRequest):
    """The request of a signed-in person, with the details that htmx sends and what the person can do here."""

    user: User
    htmx: HtmxDetails
    access: people.Access  # on pages of a project


class BadBody(ValueError):
    """A JSON body that the view does not accept. The message names the field."""


def for_roles(roles: Collection[str]) -> Callable[[View], View]:
    """Decorate a view of a project: it gets the project instead of the slug. Everybody without one of the roles gets 404.

    `request.access` says what the person can do in the project. Views and templates ask it.
    """

    def decorate(view: View) -> View:
        @login_required
        @wraps(view)
        def guarded(request: SignedInRequest, slug: str, **more: Any) -> HttpResponseBase:
            request.access = people.access_to(slug, person=request.user, roles=roles)
            return view(request, request.access.project, **more)

        return guarded

    return decorate


def render_fragment(
    request: SignedInRequest, template: str, context: Mapping[str, Any], *, title: str, again_seconds: int | None = None
) -> HttpResponse:
    """Answer a script of a page with a part of that page. A person who opens the address gets a whole page with that part.

    The whole page fetches the part again every `again_seconds`.
    """
    if request.htmx:
        return render(request, template, context)
    return render(request, "fragment.html", {**context, "template": template, "title": title, "again_seconds": again_seconds})


def read_key(text: str) -> int | None:
    """Return the number of a row that somebody wrote in a query. None: it is no whole number, or no row can have it."""
    text = text.strip()
    is_short = text.isdecimal() and len(text) < 20  # Python refuses to read a number of 4,301 digits
    return int(text) if is_short and int(text) in KEY else None


def read_body(
    request: HttpRequest, fields: Mapping[str, type | range], *, optional: Mapping[str, type | range] | None = None
) -> dict[str, Any]:
    """Return the fields of a JSON body with their types: all of `fields`, and those of `optional` that are present.

    A range means an integer in that range. Raises BadBody for a missing, unknown or badly typed field.
    """
    optional = optional or {}
    try:
        body = orjson.loads(request.body)
    except RequestDataTooBig:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raise BadBody(f"The request has more than {limit:,} bytes. Shorten the texts that you wrote.") from None
    except RawPostDataException:  # a form, which was read already
        raise BadBody("The request must be JSON, not a form.") from None
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The request is not valid JSON ({error}).") from None
    if not isinstance(body, dict):
        raise BadBody("The request must be a JSON object.")
    if unknown := sorted(body.keys() - fields.keys() - optional.keys()):
        raise BadBody(f"The request has an unknown field: {unknown[0]}.")
    if missing := sorted(fields.keys() - body.keys()):
        raise BadBody(f"The field {missing[0]} is missing from the request.")
    return {name: _typed(name, body[name], kind) for name, kind in {**optional, **fields}.items() if name in body}


def _typed(name: str, value: Any, kind: type | range) -> Any:
    if isinstance(kind, range):
        if type(value) is int and value in kind:
            return value
        raise BadBody(f"The field {name} must be a whole number from {kind.start} to {kind.stop - 1}.")
    if kind is UUID:
        try:
            return UUID(value)
        except (TypeError, ValueError, AttributeError):
            raise BadBody(f"The field {name} must be a UUID.") from None
    if type(value) is not kind:
        raise BadBody(f"The field {name} must be a {kind.__name__}.")
    return value
