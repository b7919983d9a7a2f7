"""Requests held back in a browser under test."""

from collections.abc import Callable

from playwright.sync_api import Page, Route

from tests.waiting import until


def intercept(where: Page, address: str, handle: Callable[[Route], object]) -> None:
    """Hold back what the page asks at an address, in all tabs of its browser; return once it is held back.

    Chromium begins some moments after it was told to, and lets through what is asked meanwhile. So requests are made until one is held.
    """
    context = where.context
    context.route(address, handle)
    seen: list[str] = []

    def notice(route: Route) -> None:
        seen.append(route.request.url)
        route.abort()

    context.route("**/is-it-held-back/", notice)

    def is_held_back() -> bool:
        where.evaluate("fetch('/is-it-held-back/').catch(() => {})")
        return bool(seen)

    until(is_held_back, what="the browser holds a request back", page=where)
    context.unroute("**/is-it-held-back/")
