"""The peer of benchmarks/labeling.py: Django answering as many bytes as were asked for, and nothing else.

No middleware, no session, no template, no database; run by the same gunicorn with the same options. What it costs is what any page
made with these two costs.
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="no secret: it signs nothing", MIDDLEWARE=[])
TEXT = b"x" * 2_000_000


def answer(request: HttpRequest, size: int = 0) -> HttpResponse:
    """Read the body, answer with `size` bytes."""
    assert isinstance(request.body, bytes)
    return HttpResponse(TEXT[:size])


urlpatterns = [path("bare/<int:size>/", answer), path("sign-in/", answer)]
application = get_wsgi_application()
