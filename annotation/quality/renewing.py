"""Gold kept fresh: each open batch of work gets gold from what is known, before somebody has met all of it. A worker calls it.

Reads gold, decisions, and who labels. Writes gold tasks, through the queue. Nobody gets a solution twice, so gold wears out: what a person
has met, as gold or otherwise, is no gold for this person any more.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from annotation import queue
from annotation.eligibility import Probe
from annotation.models import (
    Assignment,
    Batch,
    BatchKind,
    BatchState,
    GoldAnswer,
    Project,
    Split,
    StepSource,
    Task,
    TaskKind,
)
from annotation.quality.gold import BadScreening, batch_for_gold
from annotation.quality.known_answers import contradicted_gold

LEAST, MOST = 10, 20  # gold solutions that a person has not met yet, as in the paper: "10-20 per generation"
ACTIVE_DAYS = 14  # people who took a solution in this time are provided for
OFFERED = 2_000  # gold solutions that are looked at in one run
VERB = "add gold"


@dataclass(frozen=True)
class GoldSupply:
    """How much gold the people who label can still get in the open batches."""

    fewest: int  # of one person
    n_spare: int  # known solutions that no open batch has yet
    n_contradicted: int  # gold that a decision contradicts: left out until somebody changes one of the two

    @property
    def is_low(self) -> bool:
        """Whether somebody soon gets no gold any more."""
        return self.fewest < LEAST and not self.n_spare


def gold_supply(project: Project) -> GoldSupply:
    """Return how much gold there is for the people who label now."""
    contradicted = contradicted_gold([project])
    fewest = _fewest_left(_open_gold(project) - contradicted, _active(project))
    return GoldSupply(fewest, len(_spare(project, None, contradicted)), len(contradicted))


def renew_gold(project: Project) -> int:
    """Mix gold into the newest open batch of work until everybody who labels has 20 solutions of it left to meet. Return how many.

    It does so when somebody has less than 10 left. Those that the fewest of these people have met come first; among equals, the order is
    drawn, so that nobody can predict it. It changes nothing in a project without gold turns, or without an open batch.
    """
    if not project.gold_percent or project.archived_at or project.step_source == StepSource.INTERACTIVE:
        return 0
    try:
        batch = batch_for_gold(project)
    except BadScreening:
        return 0
    active, contradicted = _active(project), contradicted_gold([project])
    fewest = _fewest_left(_open_gold(project) - contradicted, active)
    spare = _spare(project, batch, contradicted)
    if fewest >= LEAST or not spare:
        return 0
    met = Counter(
        Assignment.objects.filter(labeler__in=active, task__solution__in=spare).values_list("task__solution", flat=True).distinct()
        if active
        else ()
    )
    Random().shuffle(spare)
    chosen = sorted(spare, key=lambda solution: met[solution])[: MOST - fewest]
    try:
        queue.add_gold(batch, chosen, actor=None)
    except queue.BadBatch:  # another worker did it, or the batch was closed meanwhile
        return 0
    return len(chosen)


def renew_all_gold() -> dict[str, int]:
    """Mix fresh gold into the open batches of all projects with gold turns. Return how many solutions, by project."""
    working = Batch.objects.filter(project=OuterRef("pk"), kind=BatchKind.SELECTED, state=BatchState.OPEN)
    projects = Project.objects.filter(Exists(working), gold_percent__gt=0, archived_at=None)
    added = {project.slug: renew_gold(project) for project in projects}
    return {slug: count for slug, count in added.items() if count}


def _open_gold(project: Project) -> set[int]:
    tasks = Task.objects.filter(
        kind=TaskKind.GOLD,
        batch__project=project,
        batch__kind=BatchKind.SELECTED,
        batch__state=BatchState.OPEN,
        solution__withdrawn_at=None,
    )
    return set(tasks.values_list("solution", flat=True))


def _active(project: Project) -> list[int]:
    """Return who labels here: people who can, and who took a solution of the project in the last two weeks."""
    recent = Assignment.objects.filter(labeler=OuterRef("user"), batch__project=project, leased_at__gt=Now() - timedelta(days=ACTIVE_DAYS))
    return list(queue.able_members(project).filter(Probe(recent)).values_list("user", flat=True))


def _fewest_left(gold: Collection[int], active: Collection[int]) -> int:
    """Return how many of these gold solutions that one of these people can still get who has the fewest left."""
    had = Assignment.objects.filter(task__solution__in=gold, labeler__in=active).values_list("labeler", "task__solution").distinct()
    met = Counter(person for person, _ in had)
    return len(gold) - max((met[person] for person in active), default=0)


def _spare(project: Project, batch: Batch | None, contradicted: set[int]) -> list[int]:
    """Return gold that can be mixed into a batch: of the train split, not withdrawn, and neither in practice, screening nor this batch.

    Gold that another open batch has is left out too.
    """
    shown = [BatchKind.PRACTICE, BatchKind.SCREENING]
    elsewhere = Task.objects.filter(batch__project=project, batch__kind__in=shown, solution=OuterRef("pk"))
    mixed = Task.objects.filter(batch__project=project, batch__kind=BatchKind.SELECTED, solution=OuterRef("pk"))
    here = mixed.filter(Q(kind=TaskKind.GOLD) & ~Q(batch__state=BatchState.CLOSED) | Q(batch=batch))
    gold = GoldAnswer.objects.filter(solution__problem__project=project, solution__problem__split=Split.TRAIN, solution__withdrawn_at=None)
    spare = gold.filter(~Exists(elsewhere), ~Exists(here)).exclude(pk__in=contradicted).order_by("-pk")
    return list(spare.values_list("pk", flat=True)[:OFFERED])
