"""What a manager sees of a project: queue, people, labels a day, and the loop as a fragment of the next stage."""

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

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
    page = {"project": project, "seen": seen, "bars": bars, "may_manage": people.has_role(request.user, project, people.MANAGERS)}
    return render(request, "annotation/overview.html", {**page, "may_label": people.has_role(request.user, project, people.LABELERS)})
