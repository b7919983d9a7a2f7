"""A selection becomes a batch, at once or after a person has looked it through; and is chosen again to prove that it can be."""

from collections.abc import Collection

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from active_learning import selection
from active_learning.models import Round, RoundStage, RoundState, Selection, StageName
from active_learning.rounds.plan import plan_of
from active_learning.rounds.states import RoundFailed, RoundRefused, find
from active_learning.selection import Replay
from annotation import queue
from annotation.models import Batch, Event, Project, Task


def opened(this: Round) -> tuple[Batch, int]:
    """Open the batch of what is still selected; what was withdrawn or queued since is left out, and marked so."""
    selected = Selection.objects.filter(round=this, is_dropped=False)
    unfit = selected.filter(Q(solution__withdrawn_at__isnull=False) | Q(solution__task__isnull=False)).values_list("pk", flat=True)
    left_out = Selection.objects.filter(pk__in=list(unfit)).update(is_dropped=True)
    rows = list(selected.order_by("rank").values_list("solution", "score"))
    if not rows:
        raise RoundFailed("Nothing is left to publish: every solution chosen was left out, withdrawn or queued since. Start another round.")
    # The queue serves the highest priority first: the order of rank.
    chosen = [queue.Chosen(solution, len(rows) - place, score) for place, (solution, score) in enumerate(rows)]
    return queue.open_batch(this.project, chosen, generation=this.generation), left_out


def publish(project: Project, round_id: int, *, dropped: Collection[int] = (), actor: User) -> Round:
    """Publish a proposal without the solutions a person left out. Raises RoundRefused and NoSuchRound; then nothing has changed."""
    try:
        with transaction.atomic():
            this = Round.objects.select_for_update(of=["self"]).select_related("project").get(pk=find(project, round_id).pk)
            if this.state != RoundState.PROPOSED:
                raise RoundRefused(f"Round {this.generation} is {this.state}: only a proposal can be published.")
            Selection.objects.filter(round=this, solution__in=dropped).update(is_dropped=True)
            stage = RoundStage.objects.create(round=this, name=StageName.PUBLISH, attempt=1)
            batch, left_out = opened(this)
            said = f"{actor.get_username()} published {Task.objects.filter(batch=batch).count():,} of {plan_of(this).size:,} solutions."
            stage.log = [[timezone.now().isoformat(timespec="seconds"), said]]
            stage.ended_at = Now()
            stage.save(update_fields=["log", "ended_at"])
            Event.objects.create(actor=actor, verb="publish", subject=f"round {this.pk}")
            Round.objects.filter(pk=this.pk, state=RoundState.PROPOSED).update(
                state=RoundState.PUBLISHED, batch=batch, finished_at=Now(), token=F("token") + 1
            )
    except (RoundFailed, queue.BadBatch) as refused:
        raise RoundRefused(str(refused)) from refused
    this.refresh_from_db()
    return this


def replay(project: Project, round_id: int) -> Replay:
    """Choose again from what a round kept and compare with its selection. Raises NoSuchRound."""
    round_ = find(project, round_id)
    plan = plan_of(round_)
    return selection.replay(round_, plan.recipe, seed=plan.seed)
