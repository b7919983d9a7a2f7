"""Sentry, if SENTRY_DSN is set: errors without accounts, bodies, cookies, queries, local variables and texts of errors."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from labelapp.http import outages
from labelapp.monitoring.logs import brief, scrub
from trainer import __version__

KEPT_OF_REQUEST = ("method", "url")


def start(dsn: str) -> None:
    """Send errors to Sentry. Raises ImproperlyConfigured if sentry-sdk is missing or the address is wrong."""
    try:
        import sentry_sdk
        from sentry_sdk.utils import BadDsn
    except ImportError:
        raise ImproperlyConfigured(
            "SENTRY_DSN is set, but sentry-sdk is not installed. Run `pip install sentry-sdk`, or remove SENTRY_DSN from the environment."
        ) from None
    try:
        sentry_sdk.init(
            dsn,
            release=__version__,
            send_default_pii=False,
            max_request_body_size="never",
            include_local_variables=False,
            max_breadcrumbs=0,  # they hold statements and lines of the log
            before_send=cleaned,
        )
    except BadDsn as error:
        raise ImproperlyConfigured(f"SENTRY_DSN is no address of a Sentry project ({error}). Copy it from its settings.") from None


def cleaned(event: Any, hint: dict[str, Any]) -> Any:
    """Return an event without what people wrote, or None for an outage: every request would send it."""
    error = hint["exc_info"][1] if hint.get("exc_info") else None
    if error is not None and outages.outage_of(error):
        return None
    kept = {name: scrub(str(value)) for name, value in event.get("request", {}).items() if name in KEPT_OF_REQUEST}
    event["request"] = kept
    for name in ("user", "extra", "breadcrumbs", "server_name"):
        event.pop(name, None)
    chain, seen = [], error
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    texts = {type(cause).__name__: brief(cause).removeprefix(f"{type(cause).__name__}").lstrip(": ") for cause in chain}
    for value in event.get("exception", {}).get("values", []):
        value["value"] = texts.get(value.get("type"), "")
    if "logentry" in event:  # its parameters are what a line was filled with
        event["logentry"] = {"message": scrub(str(event["logentry"].get("message", "")))}
    if "message" in event:
        event["message"] = scrub(str(event["message"]))
    return event
