"""What a manager sees of a project and sends: queue, people, labels a day, messages; the loop comes as a fragment of the next stage."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation import people, quality
from annotation.views import for_roles

if TYPE_CHECKING:
    from annotation.models import Project

CHART_HEIGHT = 120  # of the tallest bar, in the chart's own units
BAR_STRIDE = 40


@require_GET
@for_roles(people.RESEARCHERS)
def overview(request: HttpRequest, project: "Project") -> HttpResponse:
    seen = quality.overview(project)
    most = max(count for _, count in seen.days) or 1
    bars = [
        {"day": day, "count": count, "x": BAR_STRIDE * place, "height": round(CHART_HEIGHT * count / most, 1)}
        for place, (day, count) in enumerate(seen.days)
    ]
    for bar in bars:
        bar["y"] = CHART_HEIGHT - bar["height"]
    may_manage = people.has_role(request.user, project, people.MANAGERS)
    page = {"project": project, "seen": seen, "bars": bars, "may_manage": may_manage, "may_write": may_manage}
    return render(request, "annotation/overview.html", {**page, "may_label": people.has_role(request.user, project, people.LABELERS)})


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(quality.WRITERS)
def write_message(request: HttpRequest, project: "Project") -> HttpResponse:
    """Take a message to somebody who labels here; show the form, and what was written before with whether it was read."""
    written = {"to": request.POST.get("to", request.GET.get("to", "")), "text": request.POST.get("text", "")}
    fault = ""
    if request.method == "POST":
        try:
            sent = quality.send_message(project, sender=request.user, recipient=written["to"], text=written["text"])
        except quality.BadMessage as error:
            fault = str(error)
        else:
            messages.success(request, f"Your message waits for {sent.recipient} on their home page.")
            return redirect("messages", slug=project.slug)
    page = {"project": project, "written": written, "fault": fault, "recipients": quality.recipients(project)}
    page |= {"letters": quality.messages_of(project), "reads": people.has_role(request.user, project, people.RESEARCHERS)}
    return render(request, "annotation/messages.html", page, status=400 if fault else 200)
