"""The overview of a project: what needs a person now, then figures; and its charts as comma-separated values."""

from typing import TYPE_CHECKING

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from active_learning import pages
from annotation import people, quality
from annotation.views import SignedInRequest, for_roles
from annotation.views.bars import bars_of
from annotation.views.csv_files import csv_answer

if TYPE_CHECKING:
    from annotation.models import Project


@require_GET
@for_roles(people.RESEARCHERS)
def overview(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show what needs a person now, the queue and its end, who works now, and the labels of the last days."""
    shown = quality.overview(project)
    page = {
        "project": project,
        "overview": shown,
        "to_do": pages.to_do(project, access=request.access, shown=shown, person=request.user),
        "at_work": quality.at_work(project, shown),
        "bars": bars_of(shown.days),
        "times": pages.times_chart(shown.times),
    }
    return render(request, "active_learning/overview.html", page)


@require_GET
@for_roles(people.RESEARCHERS)
def figures_file(request: SignedInRequest, project: "Project", name: str) -> HttpResponse:
    """Send the numbers of one chart of the overview."""
    shown = quality.overview(project)
    match name:
        case "labels-a-day":
            header, rows = ["day", "solutions"], [[day.isoformat(), str(count)] for day, count in shown.days]
        case "time-per-solution":
            header = ["day", "solutions_with_a_time", "minutes_lower_quartile", "minutes_median", "minutes_upper_quartile"]
            rows = [[each.day.isoformat(), str(each.timed), *map(_written, (each.low, each.median, each.high))] for each in shown.times]
        case _:
            raise Http404("There is no such chart on the overview.")
    return csv_answer([header, *rows], name=f"{project.slug}-{name}.csv")


def _written(minutes: float | None) -> str:
    return "" if minutes is None else f"{minutes:.2f}"
