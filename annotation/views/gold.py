"""The page of the gold of a solution, for the managers of its project."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotation import people, quality
from annotation.views import KEY, SignedInRequest, for_roles
from annotation.views.forms import GoldForm

if TYPE_CHECKING:
    from annotation.models import Project


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def gold(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Show which steps may be called the first mistake, and the note. A POST changes them."""
    number, status = solution_id if solution_id in KEY else 0, 200
    try:
        shown = quality.find_gold(project, number)
        form = GoldForm(request.POST if request.method == "POST" else None, answer=shown.answer)
        if form.is_valid():
            typed = form.cleaned_data
            try:
                quality.change_gold(project, number, **typed, seen=request.POST.get("seen", ""), actor=request.user)
            except quality.GoldChanged as changed:
                form, status = GoldForm(None, answer=quality.find_gold(project, number).answer, note=typed["note"]), 409
                form.error = str(changed)
                shown = quality.find_gold(project, number)
            except quality.GoldRefused as refused:
                form.error, status = str(refused), 400
            else:
                messages.success(request, "The gold is changed. Answers are judged by it from now on.")
                return redirect("gold", slug=project.slug, solution_id=number)
    except quality.NoGold as error:
        raise Http404(str(error)) from None
    page = {"project": project, "gold": shown.answer, "seen": shown.seen, "form": form}
    return render(request, "annotation/gold.html", page, status=400 if form.errors else status)
