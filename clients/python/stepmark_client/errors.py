"""Errors that callers can tell apart. What the site refuses carries its problem document."""

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from stepmark_client.uploads import Uploaded

SHOWN_FAULTS = 10


class StepmarkError(Exception):
    """Any error of this package."""


class Unreachable(StepmarkError):
    """The site did not answer."""


class PandasMissing(StepmarkError, ImportError):
    """A table is wanted, and pandas is not installed."""


class WorkEnded(StepmarkError):
    """A round or a job that was waited for failed or was cancelled."""


class DownloadBroken(StepmarkError):
    """A file that was downloaded is not the one that the site has."""


class RequestRefused(StepmarkError):
    """The site refused a request. `code` never changes, `detail` is for people, and `errors` names each thing that is wrong.

    `document` is the whole problem document (RFC 9457), empty if something before the site answered, such as a proxy. `request_id` finds
    the request in the log of the site.
    """

    def __init__(self, status: int, document: dict[str, Any], *, text: str = "", request_id: str = "") -> None:
        self.status, self.document, self.request_id = status, document, request_id
        self.code: str = document.get("code", "")
        self.detail: str = document.get("detail") or text or f"The answer was {status}."
        self.errors: list[dict[str, Any]] = document.get("errors", [])
        self.n_errors: int = document.get("n_errors", len(self.errors))
        super().__init__(status, document)

    def __str__(self) -> str:
        lines = [f"{self.detail} ({self.status}{f' {self.code}' if self.code else ''})"]
        lines += [f"  {_place(fault)}{fault['detail']}" for fault in self.errors[:SHOWN_FAULTS] if fault["detail"] != self.detail]
        if self.status >= 500 and self.request_id:
            lines.append(f"  X-Request-ID: {self.request_id}")
        if self.n_errors > SHOWN_FAULTS:
            lines.append(f"  and {self.n_errors - SHOWN_FAULTS} more")
        return "\n".join(lines)


def _place(fault: dict[str, Any]) -> str:
    return f"line {fault['line']}: " if "line" in fault else ""


class BadRequest(RequestRefused):
    """A filter, a field or a header is wrong (400, 406, 415, 422)."""


class BadLines(BadRequest):
    """Lines of an upload are wrong. `errors` names them by their lines in the whole file; `uploaded` is what was stored before them."""

    uploaded: "Uploaded | None" = None


class NotSignedIn(RequestRefused):
    """The token is missing, unknown, expired or revoked (401)."""


class NotAllowed(RequestRefused):
    """The token or the role does not allow this (403)."""


class NotFound(RequestRefused):
    """There is no such thing, or you cannot see it (404)."""


class Conflict(RequestRefused):
    """The state of a thing does not allow this now (409)."""


class TooLarge(RequestRefused):
    """A body is above the limit (413)."""


class TooManyRequests(RequestRefused):
    """The limit of requests a minute is reached, also after waiting (429)."""


class SiteFault(RequestRefused):
    """A fault of the site (500 and up)."""


class Outage(SiteFault):
    """A part of the site is missing for now, also after waiting (502, 503, 504)."""


KINDS: dict[int, type[RequestRefused]] = {
    401: NotSignedIn, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: TooLarge, 429: TooManyRequests,
    502: Outage, 503: Outage, 504: Outage,
}  # fmt: skip


def refusal(answer: httpx.Response) -> RequestRefused:
    """Return the error that an answer stands for. Its body has been read."""
    document, text, request_id = _document(answer), "", answer.headers.get("x-request-id", "")
    if answer.is_redirect:
        text = f"The site sends this request on to {answer.headers.get('location', '')}. Use the address that the site really has."
    elif not document:
        text = f"The answer was {answer.status_code} {answer.reason_phrase}, and not by the API. Is the address that of a Stepmark site?"
    kind = KINDS.get(answer.status_code, SiteFault if answer.status_code >= 500 else BadRequest)
    if document.get("code") == "bad_lines":
        kind = BadLines
    return kind(answer.status_code, document, text=text, request_id=request_id)


def _document(answer: httpx.Response) -> dict[str, Any]:
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return {}
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
