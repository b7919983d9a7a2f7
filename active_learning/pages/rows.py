"""What every page shows of a round: what it was asked to do, how long it took, whether it is under way."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from active_learning import rounds
from active_learning.models import UNFINISHED, Round
from active_learning.rounds import Findings, RoundPlan
from active_learning.selection import STRATEGIES
from annotation.models import Project


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round as the pages show it."""

    round: Round
    plan: RoundPlan
    findings: Findings
    is_unfinished: bool
    lasted: str

    @property
    def parts(self) -> list[tuple[str, float]]:
        """The strategies of its recipe in words, with their weights."""
        return [(label_of(name), weight) for name, weight in self.plan.recipe.parts] if self.plan.recipe else []


def row_of(round_: Round) -> RoundRow:
    """Return what the pages show of a round."""
    is_unfinished = round_.state in UNFINISHED
    ended_at = round_.finished_at or (timezone.now() if is_unfinished else None)
    return RoundRow(round_, rounds.plan_of(round_), rounds.findings_of(round_), is_unfinished, lasted(round_.created_at, ended_at))


def label_of(strategy: str) -> str:
    """Return the words for a strategy; of one that is no longer known, its name."""
    return STRATEGIES[strategy].label if strategy in STRATEGIES else strategy


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
