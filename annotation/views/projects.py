"""The pages of projects: a new one, its settings, its end."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import corrections, ingest, people, projects
from annotation.views import SignedInRequest, for_roles, render_fragment
from annotation.views.forms.projects import DeleteForm, NewProjectForm, SettingsForm
from annotation.views.markdown import render_guidelines

if TYPE_CHECKING:
    from annotation.models import Project


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
            messages.success(request, f"The project {project} is made, and you own it. Next, import problems and solutions here.")
            return redirect("data", slug=project.slug)
    return render(request, "annotation/projects/new.html", {"form": form}, status=400 if form.errors else 200)


@require_POST
@login_required
def preview_guidelines(request: SignedInRequest) -> HttpResponse:
    """Show guidelines that are being written as labelers see them."""
    part = {"guidelines": render_guidelines(request.POST.get("guidelines", ""))}
    return render_fragment(request, "annotation/_guidelines.html", part, title="Guidelines")


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def settings(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the settings. A POST shows what others change, and the next one stores them."""
    lock = projects.locked_kind(project)
    form = SettingsForm(request.POST if request.method == "POST" else None, values=projects.values_of(project), lock=lock)
    page: dict[str, Any] = {"project": project, "form": form, "version": projects.version_of(project)}
    page["regrade"] = corrections.last_regrade(project)
    page["owns"] = request.access.role in people.OWNERS
    status = 200
    if form.is_valid():
        version = request.POST.get("version", "")
        try:
            if "seen" in request.POST:
                plan = projects.change_settings(project, form.cleaned_data, version=version, actor=request.user)
                messages.success(request, f"The settings are saved. {' '.join(map(str, plan.changes))}")
                return redirect("settings", slug=project.slug)
            plan = projects.look_at_change(project, form.cleaned_data, version=version)
            if not plan.changes:
                messages.info(request, "Nothing changes: these are the settings that are stored.")
                return redirect("settings", slug=project.slug)
            page |= {"plan": plan, "typed": [(name, value) for name, value in request.POST.items() if name in form.fields]}
        except projects.SettingsChangedMeanwhile as changed:
            page["meanwhile"], status = str(changed), 409
        except projects.SettingsRefused as refused:
            for column, fault in refused.faults.items():
                form.add_error(form.field_of(column), fault)
    return render(request, "annotation/projects/settings.html", page, status=400 if form.errors else status)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def regrade(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show how far the last regrade is. A POST asks what would change, and one that names what was shown asks for that."""
    if request.method == "POST":
        try:
            if seen := request.POST.get("seen", "")[:32]:
                corrections.request_regrade(project, seen=seen, actor=request.user)
                messages.success(request, "The solutions are graded again in the background. This page shows how far that is.")
            else:
                corrections.look_at_regrade(project, actor=request.user)
                messages.success(request, "A worker looks what would change. Nothing is changed yet.")
        except corrections.RegradeUnderWay as refused:
            messages.info(request, str(refused))
        return redirect(f"{reverse('settings', kwargs={'slug': project.slug})}#regrade-title")
    part = {"project": project, "regrade": corrections.last_regrade(project)}
    return render_fragment(request, "annotation/projects/_regrade.html", part, title="Grading again")


@require_POST
@for_roles(people.OWNERS)
def archive_project(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Archive a project, or open it again."""
    if "open" in request.POST:
        projects.open_project_again(project, actor=request.user)
        messages.success(request, f"{project} is open again.")
    else:
        projects.archive_project(project, actor=request.user)
        messages.success(request, f"{project} is archived. Its pages, labels and exports stay.")
    return redirect("settings", slug=project.slug)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.OWNERS)
def delete_project(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Say what a deletion removes, ask for the name, and delete a project without labels."""
    form = DeleteForm(request.POST if request.method == "POST" else None)
    page: dict[str, Any] = {"project": project, "form": form}
    try:
        page["contents"] = projects.contents_of(project)
        if form.is_valid():
            projects.delete_project(project, name=form.cleaned_data["name"], actor=request.user)
            messages.success(request, f"The project {project} is deleted.")
            return redirect("home")
    except projects.WrongName as wrong:
        form.add_error("name", str(wrong))
    except projects.CannotDelete as refused:
        page |= {"refused": str(refused), "contents": None}
        return render(request, "annotation/projects/delete.html", page, status=409)
    return render(request, "annotation/projects/delete.html", page, status=400 if form.errors else 200)
