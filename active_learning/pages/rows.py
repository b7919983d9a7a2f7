"""What every page says of a round: how long it took, what it was made of, whether it is under way."""

from datetime import datetime, timedelta

from django.utils import timezone

from active_learning.models import UNFINISHED, Round
from annotation.models import Project


def unfinished(project: Project) -> Round | None:
    """Return the round that is under way or waits for a person."""
    return Round.objects.filter(project=project, state__in=UNFINISHED).first()


def told(this: Round) -> Round:
    """Put beside a round what its row on a page says."""
    this.is_unfinished = this.state in UNFINISHED
    this.lasted = lasted(this.created_at, this.finished_at or (timezone.now() if this.is_unfinished else None))
    this.parts = parts(this)
    return this


def parts(this: Round) -> list[tuple[str, float]]:
    """Return the strategies of a round with their weights."""
    recipe = this.params.get("recipe")
    return [(name, weight) for name, weight in recipe["parts"]] if recipe else [(this.strategy, 1.0)] if this.strategy else []


def lasted(begun: datetime, ended: datetime | None) -> str:
    """Say how long something took."""
    if ended is None:
        return "–"
    seconds = max(0, round((ended - begun) / timedelta(seconds=1)))
    minutes, hours = seconds // 60, seconds // 3600
    words = f"{seconds} s" if seconds < 60 else f"{minutes} min {seconds % 60} s" if hours < 1 else f"{hours} h {minutes % 60} min"
    return words.replace(" ", "\N{NO-BREAK SPACE}")
