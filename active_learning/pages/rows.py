"""What every page shows of a round: what it was asked to do, how long it took, whether it is under way."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from active_learning import rounds
from active_learning.models import UNFINISHED, Round, RoundStage, RoundState, StageName
from active_learning.pages.remaining import time_left
from active_learning.rounds import Findings, RoundPlan
from active_learning.selection import STRATEGIES, Recipe
from annotation.models import Project

AT = {  # the stage of a round that has no records of its stages
    RoundState.TRAINING: StageName.TRAIN, RoundState.SAMPLING: StageName.SAMPLE, RoundState.SCORING: StageName.SCORE,
    RoundState.SELECTING: StageName.SELECT, RoundState.PROPOSED: StageName.PUBLISH,
}  # fmt: skip
UNDER_WAY = {
    StageName.TRAIN: "Training", StageName.JUDGE: "Judging", StageName.SAMPLE: "Sampling", StageName.SCORE: "Scoring",
    StageName.SELECT: "Selecting", StageName.PUBLISH: "Publishing",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round as the pages show it."""

    round: Round
    plan: RoundPlan
    findings: Findings
    is_unfinished: bool
    lasted: str
    words: str  # its state; while it is under way, the stage that the drawing marks
    left: str  # in words, how long it still takes; empty: nobody knows

    @property
    def parts(self) -> list[tuple[str, float]]:
        """The strategies of its recipe in words, with their weights."""
        return [(label_of(name), weight) for name, weight in self.recipe.parts] if self.recipe else []

    @property
    def recipe(self) -> Recipe | None:
        """The recipe by which it chose, which is not the plan's if no model served."""
        return rounds.recipe_followed(self.plan, self.findings)


def row_of(round_: Round) -> RoundRow:
    """Return what the pages show of a round."""
    is_unfinished = round_.state in UNFINISHED
    ended_at = round_.finished_at or (timezone.now() if is_unfinished else None)
    plan, words, left = rounds.plan_of(round_), round_.get_state_display(), ""
    if is_unfinished and round_.state not in (RoundState.PROPOSED, RoundState.QUEUED):
        newest = RoundStage.objects.filter(round=round_).order_by("-pk").first()
        if newest and newest.ended_at:
            words = "Between two stages" if round_.heartbeat_at else "Waiting for a worker"
        else:
            name = StageName(newest.name) if newest else AT[RoundState(round_.state)]
            words = UNDER_WAY[name]
            left = time_left(round_, name, began_at=newest.began_at if newest else None, planned=planned(plan))
    return RoundRow(round_, plan, rounds.findings_of(round_), is_unfinished, lasted(round_.created_at, ended_at), words, left)


def planned(plan: RoundPlan) -> set[StageName]:
    """Name the stages a round goes through when nothing stands in its way."""
    names = {StageName.TRAIN, StageName.JUDGE} if plan.train else set()
    names |= {StageName.SAMPLE} if plan.sample else set()
    names |= {StageName.SCORE} if plan.scores else set()
    return names | ({StageName.SELECT, StageName.PUBLISH} if plan.recipe else set())


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
