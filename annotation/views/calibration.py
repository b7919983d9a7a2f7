"""The pages of calibration: the sets, one set with all verdicts and remarks, and composing one."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation import people, quality
from annotation.views import KEY, SignedInRequest, for_roles, read_key
from annotation.views.forms.batches import CalibrationForm

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@never_cache
@for_roles(people.LABELERS | people.RESEARCHERS)
def calibration(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the calibration sets of a project, with how far this person is in each."""
    page = {"project": project, "rows": quality.calibration_sets(project, person=request.user)}
    return render(request, "annotation/calibration/list.html", page)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.LABELERS | people.RESEARCHERS)
def calibration_set(request: SignedInRequest, project: "Project", set_id: int) -> HttpResponse:
    """Show the verdicts of a set, as far as this person can see them. A POST writes a remark on one of its solutions."""
    number, sees_all = set_id if set_id in KEY else 0, request.access.reads
    error = ""
    try:
        if request.method == "POST":
            task, text = read_key(request.POST.get("task", "")) or 0, request.POST.get("text", "")
            try:
                quality.write_remark(project, number, task=task, text=text, author=request.user, sees_all=sees_all)
            except quality.BadCalibration as refused:
                error = str(refused)
            else:
                messages.success(request, "Your remark is stored. Everybody who has answered this solution can read it.")
                place = reverse("calibration-set", kwargs={"slug": project.slug, "set_id": number})
                return redirect(f"{place}#task-{task}")  # not to the top: ten solutions are a long page
        shown = quality.calibration_page(project, number, person=request.user, sees_all=sees_all, by_name=request.access.manages)
    except quality.NoSuchSet as unknown:
        raise Http404(str(unknown)) from None
    page: dict[str, Any] = {"project": project, "shown": shown, "error": error}
    if error:
        page |= {"typed_task": read_key(request.POST.get("task", "")), "typed": request.POST.get("text", "")}
    return render(request, "annotation/calibration/set.html", page, status=400 if error else 200)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def compose_calibration(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Compose a calibration set: the form draws solutions, a person leaves some out, and a POST publishes the others."""
    data = request.POST if request.method == "POST" else request.GET if "size" in request.GET else None
    form, drawn = CalibrationForm(data, size=quality.CALIBRATION_SIZE), []
    if form.is_valid():
        try:
            if request.method == "POST":
                kept = [key for text in request.POST.getlist("keep") if (key := read_key(text)) is not None]
                is_draft = "draft" in request.POST
                batch = quality.publish_calibration(project, solutions=kept, is_draft=is_draft, actor=request.user)
                if is_draft:
                    messages.success(request, "The calibration set is kept as a draft. Nobody gets it before you publish it.")
                    return redirect("batch", slug=project.slug, batch_id=batch.pk)
                messages.success(request, "The calibration set is published. Everybody who labels here gets it before other work.")
                return redirect("calibration-set", slug=project.slug, set_id=batch.pk)
            drawn = quality.drawn_for_calibration(project, size=form.cleaned_data["size"], seed=form.cleaned_data["seed"] or 0)
        except quality.BadCalibration as refused:
            form.add_error(None, str(refused))
    page: dict[str, Any] = {"project": project, "form": form, "drawn": drawn}
    if drawn:
        page["next_seed"] = (form.cleaned_data["seed"] or 0) + 1
    return render(request, "annotation/calibration/compose.html", page, status=400 if form.errors else 200)
