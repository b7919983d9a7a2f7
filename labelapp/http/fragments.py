"""Pages and the fragments of them that htmx fetches have one address. This middleware keeps a browser's cache from confusing the two."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails


class FragmentMiddleware:
    """Give each request the details that htmx sends, and say that the answer depends on them.

    Without the header Vary, the browser's Back button shows the fragment that was fetched last instead of the page.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.htmx = HtmxDetails(request)  # type: ignore[attr-defined]
        response = self.get_response(request)
        if request.method in ("GET", "HEAD"):
            patch_vary_headers(response, ("HX-Request",))
        return response
