"""The Content-Security-Policy header, built once. django-csp builds it for every answer, but ours never changes."""

from functools import cached_property

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase


class ContentSecurityMiddleware(CSPMiddleware):
    """Send the policy of the settings with every answer. No view of this site needs another policy."""

    @cached_property
    def policy(self) -> str:
        """The text of the header."""
        blank = HttpResponse()
        super().process_response(HttpRequest(), blank)
        return blank[HEADER]

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if settings.DEBUG:  # Django's own error pages are exempt there
            return super().process_response(request, response)
        response[HEADER] = self.policy
        return response
