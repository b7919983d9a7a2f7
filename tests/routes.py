"""Requests held back in a browser under test."""

from collections.abc import Callable

from playwright.sync_api import Page, Route


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
    for _ in range(200):
        where.evaluate("fetch('/is-it-held-back/').catch(() => {})")
        if seen:
            return context.unroute("**/is-it-held-back/")
        where.wait_for_timeout(20)
    raise AssertionError("The browser holds no request back.")
