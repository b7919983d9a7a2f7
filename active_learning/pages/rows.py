"""What every page shows of a round: what it was asked to do, how long it took, whether it is under way."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from active_learning import rounds
from active_learning.models import UNFINISHED, Round
from active_learning.rounds import Findings, RoundPlan
from annotation.models import Project


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round as the pages show it. parts: the strategies of its recipe, with their weights."""

    round: Round
    plan: RoundPlan
    findings: Findings
    is_unfinished: bool
    lasted: str

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        return self.plan.recipe.parts if self.plan.recipe else ()


def row_of(round_: Round) -> RoundRow:
    """Return what the pages show of a round."""
    is_unfinished = round_.state in UNFINISHED
    ended_at = round_.finished_at or (timezone.now() if is_unfinished else None)
    return RoundRow(round_, rounds.plan_of(round_), rounds.findings_of(round_), is_unfinished, lasted(round_.created_at, ended_at))


def unfinished(project: Project) -> Round | None:
    """Return the round that is under way or waits for a person."""
    return Round.objects.filter(project=project, state__in=UNFINISHED).first()


def lasted(begun: datetime, ended: datetime | None) -> str:
    """Return in words how long something took."""
    if ended is None:
        return "–"
    seconds = max(0, round((ended - begun) / timedelta(seconds=1)))
    minutes, hours = seconds // 60, seconds // 3600
    words = f"{seconds} s" if seconds < 60 else f"{minutes} min {seconds % 60} s" if hours < 1 else f"{hours} h {minutes % 60} min"
    return words.replace(" ", "\N{NO-BREAK SPACE}")
