"""The pages of the models: researchers see them, managers decide. Reads the request, calls one stage function, renders."""

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from active_learning import pages, registry
from annotation import people
from annotation.views import SignedInRequest, View, for_roles, read_key

if TYPE_CHECKING:
    from annotation.models import Project


def of_models(view: View) -> View:
    """Decorate a view of the models: it is open to researchers, and a missing version gets 404."""

    @for_roles(people.RESEARCHERS)
    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", **more: Any) -> HttpResponseBase:
        try:
            return view(request, project, **more)
        except registry.NoSuchVersion as error:
            raise Http404(str(error)) from None

    return guarded


@require_GET
@of_models
def models(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the versions of each kind, and draw what they learned. The page asks for the fragment with the list every few seconds."""
    page = {"project": project, "kinds": pages.all_versions(project)}
    if request.htmx:
        return render(request, "active_learning/_versions.html", page)
    return render(request, "active_learning/models.html", page | {"learning": pages.learning_of(project, by=request.GET.get("by", ""))})


@require_GET
@of_models
def model(request: SignedInRequest, project: "Project", number: int) -> HttpResponse:
    """Show one version. While it is in training, the page asks for the fragment with progress and losses every few seconds."""
    page = {"project": project, **pages.one_version(project, number)}
    if request.htmx and page["version"].state != "running":
        return HttpResponseClientRefresh()  # the training ended, and the whole page has changed
    return render(request, "active_learning/_training.html" if request.htmx else "active_learning/model.html", page)


@require_GET
@of_models
def compare_models(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show two versions compared."""
    first, second = (read_key(request.GET.get(name, "")) for name in ("a", "b"))
    if first is None or second is None:
        messages.error(request, "Choose two models by their numbers to compare them.")
        return redirect("models", slug=project.slug)
    return render(request, "active_learning/compare.html", {"project": project, **pages.compared_versions(project, first, second)})


@require_POST
@of_models
def promote(request: SignedInRequest, project: "Project", number: int) -> HttpResponse:
    request.access.require(people.MANAGERS)
    try:
        registry.promote(project, number, actor=request.user)
        messages.success(request, f"Model {number} serves now.")
    except registry.VersionRefused as refused:
        messages.error(request, str(refused))
    return redirect("model", slug=project.slug, number=number)


@require_POST
@of_models
def roll_back(request: SignedInRequest, project: "Project") -> HttpResponse:
    request.access.require(people.MANAGERS)
    try:
        before = registry.roll_back(project, request.POST.get("kind", ""), actor=request.user)
    except registry.VersionRefused as refused:
        messages.error(request, str(refused))
        return redirect("models", slug=project.slug)
    messages.success(request, f"Model {before.number} serves again.")
    return redirect("model", slug=project.slug, number=before.number)


@require_GET
@of_models
def download_model(request: SignedInRequest, project: "Project", number: int) -> HttpResponseBase:
    """Send a version as a zip file, in pieces."""
    version = registry.find(project, number)
    try:
        packed = registry.archive(version)
    except registry.VersionRefused as refused:
        messages.error(request, str(refused))
        return redirect("model", slug=project.slug, number=number)
    name = f"{project.slug}-{version.kind}-{number}.zip"
    return StreamingHttpResponse(packed, content_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{name}"'})
