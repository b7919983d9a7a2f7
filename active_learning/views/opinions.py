"""The page of redundancy: when one more person is asked for an opinion, and what that would have cost in the past month."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from active_learning import opinions
from annotation import people, projects, quality
from annotation.redundancy import Thresholds
from annotation.views import SignedInRequest, for_roles
from annotation.views.forms.projects import RedundancyForm

if TYPE_CHECKING:
    from annotation.models import Project


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.RESEARCHERS)
def redundancy(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the thresholds with what they would have asked for. A manager's POST shows that of others, and the next one stores them."""
    if request.method == "POST":
        request.access.require(people.MANAGERS)
    stored = quality.thresholds_of(project)
    form = RedundancyForm(request.POST if request.method == "POST" else None, values=projects.values_of(project))
    page: dict[str, Any] = {"project": project, "form": form, "version": projects.version_of(project), "stored": stored}
    status = 200
    if form.is_valid():
        version = request.POST.get("version", "")
        try:
            if "seen" in request.POST:
                plan = projects.change_settings(project, form.cleaned_data, version=version, actor=request.user)
                messages.success(request, f"The thresholds are saved. {' '.join(map(str, plan.changes))}")
                return redirect("redundancy", slug=project.slug)
            plan = projects.look_at_change(project, form.cleaned_data, version=version)
            if not plan.changes:
                messages.info(request, "Nothing changes: these are the thresholds that are stored.")
                return redirect("redundancy", slug=project.slug)
            typed = [(name, value) for name, value in request.POST.items() if name in form.fields]
            page |= {"plan": plan, "typed": typed, "foreseen": opinions.previewed(project, Thresholds(*form.cleaned_data.values()))}
        except projects.SettingsChangedMeanwhile as changed:
            page["meanwhile"], status = str(changed), 409
    page |= {"preview": opinions.previewed(project, stored), "nobody_left": quality.nobody_left(project)}
    return render(request, "active_learning/redundancy.html", page, status=400 if form.errors else status)
