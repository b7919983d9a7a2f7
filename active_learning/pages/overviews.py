"""The overview of a project: the chart of times, and its fragment of rounds. All rounds: the list."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from active_learning import charts, registry, rounds, site_state
from active_learning.charts import Chart, Point
from active_learning.models import WORKER_SILENT, ModelVersion, Round, Worker
from active_learning.pages.brought import confirmed_chart
from active_learning.pages.composing import recommendation
from active_learning.pages.rows import row_of, unfinished
from annotation import quality
from annotation.models import Project

LISTED = 50  # rounds of a page


def loop(project: Project) -> dict[str, Any]:
    """Return what the overview shows of the loop: the newest rounds and model versions, the workers, and what is wrong with the site."""
    versions = list(ModelVersion.objects.filter(project=project).order_by("-number")[:10])
    return {
        "rounds": [row_of(round_) for round_ in _rounds(project)[:10]],
        "unfinished": unfinished(project),
        "nothing_new": registry.nothing_new(project),
        "recommended": recommendation(project),
        "has_labels": bool(versions) or registry.has_labels(project),
        "versions": [(version, registry.metrics_line(version.metrics)) for version in versions],
        "workers": list(
            Worker.objects.exclude(queues=rounds.BEAT).annotate(alive=Q(heartbeat_at__gt=Now() - WORKER_SILENT)).order_by("name")
        ),
        "given_up": site_state.given_up(settings.STEPMARK_HOME),
        "n_set_aside": site_state.n_set_aside(settings.STEPMARK_HOME),
        "set_aside_folder": settings.STEPMARK_HOME / site_state.SET_ASIDE,
    }


def times_chart(times: Sequence[quality.DayTimes]) -> Chart | None:
    """Draw the median time of a solution by day, within the band of its quartiles. None without a time."""
    line = [Point(each.day.toordinal(), each.median, each.low, each.high) for each in times]
    named = [("median, with quartiles", line)]
    ends = (line[0].x, line[-1].x) if line else None
    return charts.line_chart(named, x_words="day (UTC)", y_words="minutes for a solution", x_range=ends, name_of=_day)


def _day(place: float) -> str:
    return date.fromordinal(int(place)).isoformat()


def all_rounds(project: Project, *, before: int | None = None) -> dict[str, Any]:
    """Return a page of rounds, the newest first, and over them how many solutions of each part people found a mistake in.

    `before` asks for rounds older than that one; the returned `before` is where the next page begins, None at the end.
    """
    rows = _rounds(project)
    listed = list((rows.filter(pk__lt=before) if before else rows)[: LISTED + 1])
    older, listed = len(listed) > LISTED, listed[:LISTED]
    page = {"rounds": [row_of(round_) for round_ in listed], "confirmed": confirmed_chart(listed), "unfinished": unfinished(project)}
    return page | {"before": listed[-1].pk if older else None}


def _rounds(project: Project) -> QuerySet[Round]:
    return Round.objects.filter(project=project).select_related("model_version", "batch").order_by("-pk")
