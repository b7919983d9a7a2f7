"""What all addresses of the API share: who asks, what they can do, the query, pages, ETags, limits and errors."""

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix
from django.utils.cache import get_conditional_response, patch_vary_headers
from drf_spectacular.generators import SchemaGenerator
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from annotation import people, retries
from annotation.api.bodies import json_of
from annotation.api.problems import ApiRefused, Fault, answer

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SAFE = ("GET", "HEAD")
EVERYBODY = people.LABELERS | people.RESEARCHERS
PAGE, LARGEST_PAGE = 50, 200
CURSOR = re.compile(r"[A-Za-z0-9_-]{1,80}").fullmatch
KEY_TEXT = re.compile(r"[!-~]{1,200}").fullmatch


class TokenAuthentication(BaseAuthentication):
    """The header `Authorization: Bearer TOKEN`. A request with a wrong token is refused, also when a browser is signed in."""

    def authenticate(self, request: Request) -> "tuple[Any, people.TokenGrant] | None":
        """Return the person and the token, or None without the header. Raises ApiRefused."""
        scheme, *parts = get_authorization_header(request).split() or [b""]
        if not scheme:
            return None
        if scheme.lower() != b"bearer" or len(parts) != 1:
            raise ApiRefused("token_malformed", "Write the header as “Authorization: Bearer TOKEN”, with one token.", headers=BEARER)
        try:
            grant = people.redeem_token(parts[0].decode("latin-1"))
        except people.BadToken as bad:
            raise ApiRefused(bad.code, str(bad), headers=BEARER) from None
        return grant.person, grant

    def authenticate_header(self, request: Request) -> str:
        """Return what a request without a token is asked for."""
        return BEARER["WWW-Authenticate"]


BEARER = {"WWW-Authenticate": 'Bearer realm="Stepmark"'}


class PageQuery(serializers.Serializer):
    """The query of every list."""

    cursor = serializers.CharField(required=False, help_text="`next` of the page before. Without it, the list begins.")
    limit = serializers.IntegerField(
        required=False, default=PAGE, min_value=1, max_value=LARGEST_PAGE, help_text="How many items a page has at most."
    )


class ApiRequest(Request):
    """A request to the API: `access` says what the person can do in the project of the address."""

    access: people.Access


class ApiView(APIView):
    """An address of the API. A subclass reads the request, calls one stage function, and answers.

    `roles` can read. `write_roles` can also change something; the others of `roles` learn that their role is too low.
    """

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated]  # `initial` checks more, and says more; the description needs to know
    parser_classes = [JSONParser]  # `read_body` reads it; the description would name forms too
    http_method_names = ["get", "head", "post"]
    roles: ClassVar[Collection[str]] = people.RESEARCHERS
    write_roles: ClassVar[Collection[str]] = people.MANAGERS
    body_bytes: ClassVar[int] = 1_000_000  # the most of a JSON body
    only_reads: ClassVar[bool] = False  # its POST changes nothing: the body says what is shown
    request: ApiRequest
    format_kwarg = None
    count: people.RequestCount | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check token, limit, scope, project and role, in this order. Then the project of the address stands in `request.access`."""
        self.perform_authentication(request)
        if not request.user or not request.user.is_authenticated:
            raise ApiRefused("not_signed_in", "Send a token in the header “Authorization: Bearer TOKEN”.", headers=BEARER)
        self.perform_content_negotiation(request)
        is_write = request.method not in SAFE and not self.only_reads
        self.count = people.count_request(request.user, is_write=is_write)
        if self.count.is_over:
            words = f"At most {self.count.limit:,} requests a minute that {'change' if is_write else 'read'} something."
            headers = {"Retry-After": str(self.count.seconds_left)}
            raise ApiRefused("too_many_requests", f"{words} Wait {self.count.seconds_left} s.", headers=headers)
        token = cast("people.TokenGrant | None", request.auth)  # None: a browser is signed in
        slug = kwargs.get("slug")
        if slug is not None and token is not None and token.project not in (None, slug):
            raise ApiRefused("other_project", f"This token is for the project {token.project} only.")
        if slug is not None:
            request.access = people.access_to(slug, person=request.user, roles=self.roles)  # type: ignore[attr-defined]
        if (request.method or "").lower() not in self.http_method_names or getattr(self, (request.method or "").lower(), None) is None:
            return  # the answer is 405
        if is_write and token is not None and token.scope != "write":
            raise ApiRefused("scope_missing", "This token only reads. Make one that reads and writes on the page of your account.")
        if is_write and slug is not None and request.access.role not in self.write_roles:  # type: ignore[attr-defined]
            can = " or ".join(sorted(self.write_roles))
            raise ApiRefused("role_too_low", f"You are {request.access.role} here. Only a {can} can do this.")  # type: ignore[attr-defined]

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]  # an answer needs no renderer
        """Return the problem document of an error that a caller can do something about. All others go on to be a 500."""
        return answer(refusal_of(exc, allowed=self.allowed_methods))

    def finalize_response(  # type: ignore[override]
        self, request: HttpRequest, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Add the headers of every answer."""
        patch_vary_headers(cast(HttpResponse, response), ("Authorization", "Cookie"))
        if self.count is not None:
            response["RateLimit-Limit"] = str(self.count.limit)
            response["RateLimit-Remaining"] = str(max(0, self.count.limit - self.count.count))
            response["RateLimit-Reset"] = str(self.count.seconds_left)
        return response

    @property
    def person(self) -> "User":
        """Who asks."""
        return cast("User", self.request.user)

    # --- what subclasses call -------------------------------------------------------------------------------------------------

    def read_query(self, expected: type[serializers.Serializer] | None = None) -> dict[str, Any]:
        """Return the values of the query. Raises ApiRefused, which names every unknown, repeated and wrong parameter."""
        shape = (expected or serializers.Serializer)(data={name: value for name, value in self.request.query_params.items()})
        faults = []
        for name, values in self.request.query_params.lists():
            if name not in shape.fields:
                known = ", ".join(shape.fields) or "none"
                faults.append(Fault("query", name, "unknown", f"There is no filter “{name}” here. Known: {known}."))
            elif len(values) > 1:
                faults.append(Fault("query", name, "repeated", f"“{name}” stands {len(values)} times in the address. Write it once."))
        if not shape.is_valid():
            faults += faults_of(shape.errors, place="query")
        if faults:
            raise ApiRefused("bad_query", " ".join(fault.detail for fault in faults[:3]), faults=faults)
        return dict(shape.validated_data)

    def read_body(self, expected: type[serializers.Serializer]) -> dict[str, Any]:
        """Return the values of a JSON body. Raises ApiRefused, which names every unknown, missing and wrong field."""
        if (self.request.content_type or "").partition(";")[0].strip().lower() != "application/json":
            raise ApiRefused("unsupported_media_type", "Send JSON with the header “Content-Type: application/json”.")
        data = json_of(self.request._request, at_most=self.body_bytes)
        shape = expected(data=data)
        faults = list(unknown_fields(shape, data))
        if not shape.is_valid():
            faults += faults_of(shape.errors, place="body")
        if faults:
            raise ApiRefused("bad_body", " ".join(fault.detail for fault in faults[:3]), faults=faults)
        return dict(shape.validated_data)

    def answer(self, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Answer with JSON. An answer to GET has an ETag, and is 304 without a body if the caller has the same already."""
        body = orjson.dumps(data)
        response = HttpResponse(body, status=status, content_type="application/json")
        response["Cache-Control"] = "private, no-cache" if self.request.method in SAFE else "no-store"
        for name, value in (headers or {}).items():
            response[name] = value
        if self.request.method not in SAFE:
            return response
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        response["ETag"] = etag
        conditional = cast(HttpResponse, get_conditional_response(self.request._request, etag=etag, response=response))
        if conditional.status_code == 412:
            raise changed()
        return conditional

    def answer_once(self, wanted: Mapping[str, Any], act: Callable[[], tuple[int, Any]]) -> HttpResponse:
        """Do an act, and answer with its status and body. With an Idempotency-Key, the same request again gets the same answer."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            status, body = act()
            return self.answer(body, status=status)
        if not KEY_TEXT(key):
            detail = "The Idempotency-Key must be 1 to 200 letters, digits and signs of ASCII, without a space."
            raise ApiRefused("bad_body", detail, faults=[Fault("header", "Idempotency-Key", "invalid", detail)])
        asked = [self.request.method, self.request.path, dict(sorted(wanted.items()))]
        try:
            stored = retries.once(self.person, key, content=orjson.dumps(asked), act=act)
        except retries.KeyInUse as running:
            raise ApiRefused("key_in_use", str(running), headers={"Retry-After": "5"}) from None
        except retries.KeyReused as other:
            raise ApiRefused("key_reused", str(other)) from None
        return self.answer(stored.body, status=stored.status, headers={"Idempotency-Replayed": "true"} if stored.is_repeated else {})

    def answer_page(self, shape: type[serializers.Serializer], items: Sequence[Any], after: Sequence[int] | None) -> HttpResponse:
        """Answer with a page of a list. `after`: the keys after which the next page begins; None: the list is at its end."""
        following = cursor_of(after) if after is not None else None
        query = self.request.query_params.copy()
        headers = {}
        if following:
            query["cursor"] = following
            headers["Link"] = f'<{self.request.build_absolute_uri(f"{self.request.path}?{query.urlencode()}")}>; rel="next"'
        return self.answer({"items": shape(items, many=True).data, "next": following}, headers=headers)

    def place(self, query: dict[str, Any], *, keys: int = 1, first: int = 1) -> tuple[int, ...]:
        """Take the cursor out of a query, and return the keys after which the page begins, and how many items it has at most.

        `first` is the lowest key that there can be.
        """
        limit, cursor = query.pop("limit"), query.pop("cursor", None)
        return (*(keys_of(cursor, keys) if cursor else (first - 1,) * keys), limit)


def changed() -> ApiRefused:
    """Return the refusal of a request whose condition does not hold."""
    return ApiRefused(
        "precondition_failed", "What is at this address is not what If-Match or If-Unmodified-Since names. Leave the header out."
    )


def cursor_of(keys: Iterable[int]) -> str:
    """Return the cursor of a place in a list."""
    return base64.urlsafe_b64encode("-".join(map(str, keys)).encode()).decode().rstrip("=")


def keys_of(cursor: str, count: int) -> tuple[int, ...]:
    """Return the keys of a cursor. Raises ApiRefused for a text that no list gave."""
    try:
        if not CURSOR(cursor):
            raise ValueError
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        keys = tuple(int(part) for part in text.split("-") if part.isdecimal())
        if len(keys) != count or cursor_of(keys) != cursor or any(key >= 2**63 for key in keys):
            raise ValueError
    except ValueError:
        detail = "This cursor is of another list, or a part of it is missing. Use `next` of the page before, or begin without a cursor."
        raise ApiRefused("bad_query", detail, faults=[Fault("query", "cursor", "invalid", detail)]) from None
    return keys


def unknown_fields(shape: Any, data: Any, name: str = "") -> Iterator[Fault]:
    """Yield a fault for each field of a body that its serializer does not have, also in its objects and lists of objects."""
    if isinstance(shape, serializers.ListSerializer) and isinstance(data, list):
        for number, inner in enumerate(data):
            yield from unknown_fields(shape.child, inner, f"{name}{number}.")
    elif isinstance(shape, serializers.Serializer) and isinstance(data, dict):
        for key, inner in data.items():
            if key in shape.fields:
                yield from unknown_fields(shape.fields[key], inner, f"{name}{key}.")
            else:
                known = ", ".join(shape.fields)
                yield Fault("body", f"{name}{key}", "unknown", f"There is no field “{name}{key}” here. Known: {known}.")


def faults_of(errors: Any, *, place: str, name: str = "") -> list[Fault]:
    """Return the errors of a serializer as faults, each with the path of its field."""
    if isinstance(errors, Mapping):
        return [
            fault for key, inner in errors.items() for fault in faults_of(inner, place=place, name=f"{name}.{key}" if name else str(key))
        ]
    found = []
    for number, error in enumerate(errors):
        if isinstance(error, Mapping | list):
            found += faults_of(error, place=place, name=f"{name}.{number}")
        else:
            found.append(Fault(place, name, getattr(error, "code", "invalid"), f"{name}: {error}"))
    return found


def refusal_of(error: Exception, *, allowed: Sequence[str]) -> ApiRefused:
    """Return what an error of the framework or of a stage means for the caller. An error of the program is raised again."""
    match error:
        case ApiRefused():
            return error
        case Http404() | exceptions.NotFound():
            return ApiRefused("not_found", str(error) or "There is nothing at this address.")
        case exceptions.MethodNotAllowed():
            known = ", ".join(method for method in allowed if method != "OPTIONS")
            return ApiRefused("method_not_allowed", f"This address knows {known}.", headers={"Allow": known})
        case exceptions.NotAcceptable():
            return ApiRefused("not_acceptable", "This API answers with JSON. Send “Accept: application/json”, or leave the header out.")
        case exceptions.PermissionDenied():
            return ApiRefused(
                "csrf_failed", "A browser must send its CSRF token with a request that changes something. Programs send a token."
            )
    raise error


class OpenApiView(ApiView):
    """The description of the API (OpenAPI 3.1), for everybody."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let everybody read it: it tells nothing of this site."""
        self.perform_content_negotiation(request)

    def get(self, request: Request) -> HttpResponse:
        """Answer with the description."""
        self.read_query()
        return self.answer(openapi_document() | {"servers": [{"url": get_script_prefix().rstrip("/") or "/"}]})


@cache
def openapi_document() -> dict[str, Any]:
    """Return the description of the API, as docs/api.yaml has it. Making it takes longer than any answer, so a process makes it once."""
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return document


class NowhereView(ApiView):
    """All addresses of the API that do not exist. The answer is the same for everybody."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse the request, whatever it is."""
        hint = " Leave out the slash at the end." if request.path.endswith("/") else ""
        raise ApiRefused("not_found", f"There is no address {request.path} in this API.{hint}")
