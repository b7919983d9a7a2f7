"""The peer of benchmarks/labeling.py: a Django view that answers with as many bytes as requested, and does nothing else.

No middleware, session, template or database. The same gunicorn runs it with the same options. What it costs is what any page made with
these two costs.
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["127.0.0.1", "localhost"], ROOT_URLCONF=__name__, SECRET_KEY="no secret: it signs nothing", MIDDLEWARE=[])
TEXT = b"x" * 2_000_000


def answer(request: HttpRequest, size: int = 0) -> HttpResponse:
    """Read the body and answer with `size` bytes."""
    assert isinstance(request.body, bytes)
    return HttpResponse(TEXT[:size])


urlpatterns = [path("bare/<int:size>/", answer), path("sign-in/", answer)]
application = get_wsgi_application()
