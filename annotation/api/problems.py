"""Errors of the API: problem documents (RFC 9457) with a stable code for programs and sentences for people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

PREFIX = "/api/"
MEDIA_TYPE = "application/problem+json"
# code: status and title. Programs rely on the codes: a new one can come, but none changes or goes.
PROBLEMS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be read"),
    "bad_query": (400, "The query of the address is wrong"),
    "bad_body": (400, "The body of the request is wrong"),
    "not_signed_in": (401, "The request has no token"),
    "token_malformed": (401, "The header Authorization is wrong"),
    "token_unknown": (401, "The token is not known"),
    "token_expired": (401, "The token has expired"),
    "token_revoked": (401, "The token was revoked"),
    "account_closed": (401, "The account is closed"),
    "second_factor_missing": (401, "The account needs a second factor"),
    "csrf_failed": (403, "The request of a browser has no CSRF token"),
    "scope_missing": (403, "The token only reads"),
    "other_project": (403, "The token is for another project"),
    "role_too_low": (403, "Your role does not allow this"),
    "not_found": (404, "There is nothing at this address"),
    "method_not_allowed": (405, "The address does not know this method"),
    "not_acceptable": (406, "The answer would be JSON"),
    "round_refused": (409, "The round cannot do this"),
    "scores_stored_away": (409, "The scores are not in the database"),
    "order_refused": (409, "The order cannot do this"),
    "snapshot_without_content": (409, "The snapshot keeps no content"),
    "too_many_labels": (409, "The labels are too many to be counted in one request"),
    "no_serving_model": (409, "No model serves"),
    "score_job_refused": (409, "The score job cannot do this"),
    "webhook_refused": (409, "The webhook cannot do this"),
    "load_running": (409, "Another load of the project is running"),
    "key_in_use": (409, "A request with this key is running"),
    "file_gone": (410, "The file was deleted"),
    "length_required": (411, "The body has no length"),
    "precondition_failed": (412, "The condition of the request does not hold"),
    "body_too_large": (413, "The body of the request is too large"),
    "unsupported_media_type": (415, "The body of the request is of another kind"),
    "no_such_range": (416, "The file has no such bytes"),
    "bad_lines": (422, "Some lines are wrong"),
    "key_reused": (422, "The key belongs to another request"),
    "too_many_requests": (429, "Too many requests"),
    "server_error": (500, "A fault of the site"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a request. place: query, body, header or line; name: of the parameter, the field or the header."""

    place: str
    name: str
    code: str
    detail: str
    line: int | None = None  # of the body, from 1

    def as_dict(self) -> dict[str, str | int]:
        """Return the fault for JSON."""
        return {"in": self.place, "name": self.name, "code": self.code, "detail": self.detail} | (
            {} if self.line is None else {"line": self.line}
        )


class ApiRefused(Exception):
    """A request that the API refuses, with a code of PROBLEMS."""

    def __init__(
        self, code: str, detail: str, *, faults: Iterable[Fault] = (), headers: Mapping[str, str] | None = None, n_faults: int | None = None
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.faults, self.headers = code, detail, list(faults), dict(headers or {})
        self.n_faults = len(self.faults) if n_faults is None else n_faults  # all of them; the list can be shorter


def is_api(request: HttpRequest) -> bool:
    """Tell whether a request is for the API, so that its errors are problem documents."""
    return request.path_info.startswith(PREFIX)


def answer(refused: ApiRefused) -> HttpResponse:
    """Return the answer to a refused request."""
    status, title = PROBLEMS[refused.code]
    more = {"errors": [fault.as_dict() for fault in refused.faults], "n_errors": refused.n_faults} if refused.faults else {}
    return document(refused.code, refused.detail, status=status, title=title, more=more, headers=refused.headers)


def document(
    code: str,
    detail: str,
    *,
    status: int,
    title: str,
    more: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Return a problem document as an answer. The members are those of RFC 9457, `code`, and `more`."""
    body = {"type": f"urn:stepmark:problem:{code}", "title": title, "status": status, "detail": detail, "code": code, **(more or {})}
    response = HttpResponse(orjson.dumps(body), status=status, content_type=MEDIA_TYPE, reason=HTTPStatus(status).phrase)
    add_never_cache_headers(response)
    for name, value in (headers or {}).items():
        response[name] = value
    return response
