"""Sentry: optional, and without anything that people wrote."""

import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError

from labelapp.monitoring import error_reports

SECRET = "Janet's ducks lay 16 eggs"


def event_of(error: Exception) -> Any:
    """Return an event of this error as Sentry makes it, after it was cleaned."""
    event = {
        "request": {
            "method": "POST",
            "url": "https://x.org/p/?sesame=abc",
            "data": SECRET,
            "cookies": {"s": "1"},
            "query_string": "sesame=abc",
        },
        "user": {"id": 7, "ip_address": "10.0.0.7"},
        "extra": {"text": SECRET},
        "breadcrumbs": {"values": [{"message": SECRET}]},
        "logentry": {"message": "failed: %s", "params": [SECRET], "formatted": f"failed: {SECRET}"},
        "exception": {"values": [{"type": type(error).__name__, "value": str(error)}]},
    }
    return error_reports.cleaned(event, {"exc_info": (type(error), error, None)})


@pytest.mark.parametrize("error", [ValueError(SECRET), IntegrityError(f"a rule\nDETAIL: ({SECRET})")], ids=["value", "row"])
def test_a_report_holds_no_text_no_person_and_no_token(error: Exception) -> None:
    event = event_of(error)
    assert SECRET not in repr(event) and "abc" not in repr(event) and "10.0.0.7" not in repr(event)
    assert event["request"] == {"method": "POST", "url": "https://x.org/p/?…"}
    assert event["exception"]["values"][0]["type"] == type(error).__name__


def test_a_report_keeps_the_message_of_a_rule() -> None:
    assert event_of(IntegrityError("duplicate key\nDETAIL: x"))["exception"]["values"][0]["value"] == "duplicate key"


def test_an_outage_is_not_reported() -> None:
    assert event_of(OperationalError("connection refused")) is None


def test_a_missing_package_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(ImproperlyConfigured, match="sentry-sdk is not installed. Run `pip install sentry-sdk`"):
        error_reports.start("https://key@sentry.example.org/1")
