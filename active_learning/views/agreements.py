"""The page of agreement: how far the people of a project agree, and its figures as comma-separated values."""

from typing import TYPE_CHECKING

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from active_learning import pages
from annotation import people, quality
from annotation.views import SignedInRequest, for_roles
from annotation.views.csv_files import csv_answer

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@for_roles(people.RESEARCHERS)
def agreement(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show agreement by batch, people, time, difficulty, review and version of the guidelines. Managers see names, others pseudonyms."""
    page = {"project": project, "shown": pages.agreement_page(project, by_name=request.access.manages), "most_pairs": quality.MOST_PAIRS}
    return render(request, "active_learning/agreement.html", page)


@require_GET
@for_roles(people.RESEARCHERS)
def agreement_file(request: SignedInRequest, project: "Project", name: str) -> HttpResponse:
    """Send the figures of one table or chart of the page."""
    try:
        lines = pages.agreement_file(project, name, by_name=request.access.manages)
    except pages.NoSuchChart as error:
        raise Http404(str(error)) from None
    return csv_answer(lines, name=f"{project.slug}-agreement-{name}.csv")
