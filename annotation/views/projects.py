"""The pages of projects: a new one, its settings, its end."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import ingest, projects
from annotation.views import SignedInRequest, render_fragment
from annotation.views.forms.projects import NewProjectForm
from annotation.views.markdown import render_guidelines

if TYPE_CHECKING:
    pass


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def new_project(request: SignedInRequest) -> HttpResponse:
    """Make a project, which the person then owns."""
    if not projects.can_create(request.user):
        raise Http404("There is no such page, or you cannot open it.")
    form = NewProjectForm(request.POST if request.method == "POST" else None, is_taken=projects.is_taken)
    if form.is_valid():
        try:
            project = projects.create_project(**form.cleaned_data, owners=[request.user.get_username()], actor=request.user)
        except ingest.BadProject as refused:  # somebody else has just taken the address
            form.add_error("slug", str(refused))
        else:
            messages.success(request, f"The project {project} is made, and you own it. Now load problems and solutions.")
            return redirect("overview", slug=project.slug)
    return render(request, "annotation/projects/new.html", {"form": form}, status=400 if form.errors else 200)


@require_POST
@login_required
def preview_guidelines(request: SignedInRequest) -> HttpResponse:
    """Show guidelines that are being written as labelers see them."""
    part = {"guidelines": render_guidelines(request.POST.get("guidelines", ""))}
    return render_fragment(request, "annotation/_guidelines.html", part, title="Guidelines")
