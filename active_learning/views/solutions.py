"""The pages of the solutions: the search, and one solution. Researchers look, managers act. A view reads the request, calls one function
of a stage, and renders."""

from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from active_learning import pages, registry
from active_learning.views.searching import SolutionsForm
from annotation import people, queue
from annotation.views import SignedInRequest, View, for_roles, read_key

if TYPE_CHECKING:
    from annotation.models import Project

MISSING = (registry.NoSuchVersion, queue.NoSuchSolution)


def of_solutions(view: View) -> View:
    """Decorate a view of the solutions: it is open to researchers, and a missing version or solution gets 404."""

    @for_roles(people.RESEARCHERS)
    @wraps(view)
    def guarded(request: SignedInRequest, project: "Project", **more: Any) -> HttpResponseBase:
        try:
            return view(request, project, **more)
        except MISSING as error:
            raise Http404(str(error)) from None

    return guarded


@require_GET
@of_solutions
def solutions(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the solutions that the form finds, page by page."""
    choices = pages.search_choices(project)
    form = SolutionsForm(request.GET, people=choices["people"])
    page = {"project": project, "form": form, "sources": choices["sources"]}
    if form.is_valid():
        filter = pages.filter_from(form.cleaned_data)
        after = form.cleaned_data["after"]
        page |= pages.found_solutions(project, filter, after=after)
        page |= {"address": urlencode(filter.address), "is_first": after is None, "advice": form.advice()}
        page["number"] = read_key(filter.words)
    return render(request, "active_learning/solutions.html", page, status=400 if form.errors else 200)


@require_GET
@of_solutions
def find_solution(request: SignedInRequest, project: "Project", number: int) -> HttpResponse:
    """Redirect to the solution with the number that was entered on a model's page."""
    solution_id = read_key(request.GET.get("id", ""))
    if solution_id is None:
        messages.error(request, "Enter the number of a solution, as in the list of held-out solutions.")
        return redirect("model", slug=project.slug, number=number)
    return redirect("solution", slug=project.slug, number=number, solution_id=solution_id)


@require_http_methods(["GET", "POST"])
@of_solutions
def solution(request: SignedInRequest, project: "Project", solution_id: int, number: int | None = None) -> HttpResponse:
    """Show a solution with the scores of a model: the one in the address, or the one that serves. A POST asks a worker to score it."""
    filter = _filter_of(request, project)
    seen = pages.scored_solution(project, number, solution_id, filter=filter)
    address = urlencode(filter.address)
    if request.method == "POST":
        here = f"{request.path}?{address}"
        if seen["version"] is None:
            messages.error(request, "No model serves in this project yet, so none can score. Start a round first.")
            return redirect(here)
        try:
            registry.ask_for_steps(seen["version"], solution_id)
        except registry.VersionRefused as refused:
            messages.error(request, str(refused))
            return redirect(here)
        return redirect(f"{here}&asked" if address else f"{here}asked")
    if request.htmx:  # from the page that waits for a worker
        return HttpResponseClientRefresh() if seen["is_scored"] else HttpResponse(status=204)
    page = {"project": project, "is_asked": "asked" in request.GET, "address": address, **seen}
    return render(request, "active_learning/solution.html", page)


@require_GET
@of_solutions
def models_on_solution(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Show what two versions say of the steps of a solution."""
    asked = [request.GET.get(name, "") for name in ("a", "b")]
    first, second = (read_key(text) for text in asked)
    if any(text and number is None for text, number in zip(asked, (first, second), strict=True)):
        messages.error(request, "Choose two models by their numbers to compare them.")
        return redirect("models-on-solution", slug=project.slug, solution_id=solution_id)
    page = {"project": project, **pages.models_on_solution(project, solution_id, first, second)}
    return render(request, "active_learning/models_on_solution.html", page)


@require_http_methods(["GET", "POST"])
@never_cache
@of_solutions
def withdraw_solution(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Ask whether a solution is withdrawn for good, and say what that does. A POST does it."""
    request.access.require(people.MANAGERS)
    if request.method == "POST":
        if queue.withdraw_one(project, solution_id, actor=request.user):
            messages.success(request, f"Solution {solution_id} is withdrawn. Nobody gets it any more.")
        else:
            messages.info(request, f"Solution {solution_id} was withdrawn before. Nothing was changed now. The history says by whom.")
        return redirect(_page_of(request, project, solution_id))
    found = queue.find_solution(project, solution_id)
    page = {"project": project, "solution": found, "effect": queue.withdrawal_effect(found)}
    return render(request, "active_learning/withdraw_solution.html", page | {"back": _page_of(request, project, solution_id)})


@require_POST
@of_solutions
def prioritise_solution(request: SignedInRequest, project: "Project", solution_id: int) -> HttpResponse:
    """Hand out a solution before the others of its batch."""
    request.access.require(people.MANAGERS)
    try:
        if queue.prioritise_one(project, solution_id, actor=request.user):
            messages.success(request, f"Solution {solution_id} is now before the other solutions of its batch.")
        else:
            messages.error(request, f"Solution {solution_id} has no open place in the queue any more. Nothing was changed.")
    except queue.BadBatch as refused:
        messages.error(request, str(refused))
    return redirect(_page_of(request, project, solution_id))


def _filter_of(request: SignedInRequest, project: "Project") -> pages.SolutionFilter:
    """Return the found set in the address. One that cannot be read is none."""
    if not request.GET:
        return pages.SolutionFilter()
    form = SolutionsForm(request.GET, people=[request.GET.get("by", "")])
    return pages.filter_from(form.cleaned_data) if form.is_valid() else pages.SolutionFilter()


def _page_of(request: SignedInRequest, project: "Project", solution_id: int) -> str:
    """Return the address of a solution's page within the found set that the request names."""
    address = urlencode(_filter_of(request, project).address)
    return reverse("project-solution", kwargs={"slug": project.slug, "solution_id": solution_id}) + (f"?{address}" if address else "")
