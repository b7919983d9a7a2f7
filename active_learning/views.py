"""What a manager sees and does of the loop. Reads the request, calls one function of `rounds`, renders."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from active_learning import rounds
from annotation import people


@require_GET
def loop(request: HttpRequest, slug: str) -> HttpResponse:
    """The fragment the overview asks for every few seconds: rounds, model versions, workers."""
    project = people.require_role(request.user, slug, people.RESEARCHERS)
    may_start = people.has_role(request.user, project, people.MANAGERS)
    return render(request, "active_learning/_loop.html", {"project": project, "may_start": may_start, **rounds.loop(project)})


@require_POST
def start_round(request: HttpRequest, slug: str) -> HttpResponse:
    project = people.require_role(request.user, slug, people.MANAGERS)
    size = request.POST.get("size", "")
    try:
        if size and not size.isdecimal():
            raise rounds.RoundRefused(f"The size is a whole number of solutions, not “{size}”.")
        started = rounds.start(project, strategy=request.POST.get("strategy", rounds.CONVINCING), size=int(size) if size else None)
        messages.success(request, f"Round {started.generation} is queued.")
    except rounds.RoundRefused as refused:
        messages.error(request, str(refused))
    return redirect("overview", slug=slug)


@require_POST
def cancel_round(request: HttpRequest, slug: str, generation: int) -> HttpResponse:
    project = people.require_role(request.user, slug, people.MANAGERS)
    try:
        rounds.cancel(project, generation)
        messages.success(request, f"Round {generation} is cancelled.")
    except rounds.RoundRefused as refused:
        messages.error(request, str(refused))
    return redirect("overview", slug=slug)
