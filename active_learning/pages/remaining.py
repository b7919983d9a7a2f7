"""How long a round that is under way still takes: the rest of its present stage, and the later ones as long as they took before."""

from collections.abc import Collection
from datetime import datetime, timedelta
from statistics import median

from django.utils import timezone

from active_learning.models import Round, RoundStage, StageName
from annotation.models import Project

ROWS, NEWEST = 100, 5  # stages looked at, and those of one kind that count
SHORT = (StageName.SELECT, StageName.PUBLISH)  # they take seconds, so they count as nothing where nothing is known
ORDER = list(StageName)


def time_left(round_: Round, stage: StageName, *, began_at: datetime | None, planned: Collection[StageName]) -> str:
    """Say how long the whole round still takes, in minutes. Empty if nobody knows.

    If a later stage has never run in this project, only the present one can be estimated, and the words say so.
    """
    usual = usual_seconds(round_.project)
    known = [left] if (left := round_.progress.get("seconds_left")) is not None else []
    if began_at and stage in usual:
        known.append(usual[stage] - (timezone.now() - began_at) / timedelta(seconds=1))
    if not known:
        return ""
    later = [name for name in ORDER[ORDER.index(stage) + 1 :] if name in planned]
    # The trainer counts the seconds of a phase, and a training can have several.
    whole = (stage != StageName.TRAIN or stage in usual) and all(name in usual or name in SHORT for name in later)
    seconds = max(0.0, *known) + (sum(usual.get(name, 0.0) for name in later) if whole else 0.0)
    return in_minutes(seconds) + (" left" if whole else " left in this part")


def usual_seconds(project: Project) -> dict[StageName, float]:
    """Return for each stage how long it took: the median of the newest that ended well in this project."""
    rows = RoundStage.objects.filter(round__project=project, ended_at__isnull=False, failure="").order_by("-pk")
    took: dict[StageName, list[float]] = {}
    for name, began_at, ended_at in rows.values_list("name", "began_at", "ended_at")[:ROWS]:
        assert ended_at is not None  # as filtered
        took.setdefault(StageName(name), []).append((ended_at - began_at) / timedelta(seconds=1))
    return {name: median(seconds[:NEWEST]) for name, seconds in took.items()}


def in_minutes(seconds: float) -> str:
    """Return a duration in whole minutes, and from 90 of them on in hours and minutes."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than 1 min"
    return f"about {minutes} min" if minutes < 90 else f"about {minutes // 60} h {minutes % 60} min"
