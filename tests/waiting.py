"""The one place where tests wait: for a condition, never for a time, and with one limit."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from playwright.sync_api import Page

# Seconds until a wait gives up: ten times what the slowest wait needs on two quiet cores. A test that passes never waits this long.
# Set it lower while you look at a failing test: STEPMARK_PATIENCE=5 script/test tests/e2e/test_home.py
PATIENCE = float(os.environ.get("STEPMARK_PATIENCE", "240"))
POLL_SECONDS = 0.05

Value = TypeVar("Value")


def until(condition: Callable[[], Value], *, what: str | Callable[[], object], page: Page | None = None) -> Value:
    """Call `condition` until it returns something truthy, and return that.

    `what` is the awaited state, for the failure: a text, or a function that also says what is there instead. With a `page`, its
    browser's events and held-back requests are handled meanwhile. Raises AssertionError after PATIENCE seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not so after {PATIENCE:g} s: {what() if callable(what) else what}")
        if page is None:
            time.sleep(POLL_SECONDS)
        else:
            page.wait_for_timeout(POLL_SECONDS * 1000)
    return value
