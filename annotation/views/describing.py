"""The page that describes the API."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from annotation.api.describing import described_api
from annotation.views import SignedInRequest


@require_GET
@login_required
def api_description(request: SignedInRequest) -> HttpResponse:
    """Show every address of the API with what it takes and what it answers."""
    return render(request, "account/api.html", {"groups": described_api()})
