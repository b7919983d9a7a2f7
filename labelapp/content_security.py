"""The Content-Security-Policy header, written once: django-csp builds its text anew for every answer, and ours is the same for all."""

from functools import cached_property

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase


class ContentSecurityMiddleware(CSPMiddleware):
    """Send the policy of the settings with every answer, also with those that are no pages. No view of this site asks for another one."""

    @cached_property
    def policy(self) -> str:
        blank = HttpResponse()
        super().process_response(HttpRequest(), blank)
        return blank[HEADER]

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if settings.DEBUG:  # Django's own error pages are exempt there
            return super().process_response(request, response)
        response[HEADER] = self.policy
        return response
