"""A selection becomes a batch, at once or after a review; and it can be chosen again, to prove that it is reproducible."""

from collections.abc import Collection
from dataclasses import replace

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from active_learning import selection
from active_learning.models import Round, RoundStage, RoundState, Selection, StageName
from active_learning.rounds.plan import findings_of, plan_of, recipe_followed
from active_learning.rounds.states import RoundFailed, RoundRefused, find, tell_webhooks
from active_learning.selection import Replay
from annotation import queue
from annotation.models import Batch, Event, Project, Task


def open_batch(round_: Round) -> tuple[Batch, int]:
    """Open the batch of the solutions that are still selected; return it and how many were left out.

    Left out, and marked as dropped, are those that were withdrawn or queued since, and those that were chosen for an outcome which was
    corrected since. Needs a transaction.
    """
    Project.objects.select_for_update(no_key=True).get(pk=round_.project_id)  # no answer is corrected until the batch is open
    selected = Selection.objects.filter(round=round_, is_dropped=False)
    unfit = set(selected.filter(Q(solution__withdrawn_at__isnull=False) | Q(solution__task__isnull=False)).values_list("pk", flat=True))
    chosen = []
    for key, solution, score, part, reason, outcome in selected.order_by("rank").values_list(
        "pk", "solution", "score", "part", "reason", "solution__outcome"
    ):
        premise = selection.premise_of(part or round_.strategy, reason)
        if not queue.premise_holds(premise, outcome):
            unfit.add(key)
        elif key not in unfit:
            chosen.append(queue.Chosen(solution, verifier_score=score, premise=premise))
    left_out = Selection.objects.filter(pk__in=unfit).update(is_dropped=True)
    if not chosen:
        raise RoundFailed(
            "Nothing is left to publish. Every chosen solution was left out, or withdrawn, queued or corrected since. Start another round."
        )
    # The queue serves the highest priority first: the order of rank.
    ranked = [replace(solution, priority=len(chosen) - place) for place, solution in enumerate(chosen)]
    return queue.open_batch(round_.project, ranked, generation=round_.generation), left_out


def publish(project: Project, number: int, *, dropped: Collection[int] = (), actor: User) -> Round:
    """Publish a proposal without the solutions a person left out. Raises RoundRefused and NoSuchRound; then nothing has changed."""
    try:
        with transaction.atomic():
            round_ = Round.objects.select_for_update(of=["self"]).select_related("project").get(pk=find(project, number).pk)
            if round_.state != RoundState.PROPOSED:
                raise RoundRefused(f"Round {round_.number} is {round_.state}. Only a proposal can be published.")
            Selection.objects.filter(round=round_, solution__in=dropped).update(is_dropped=True)
            stage = RoundStage.objects.create(round=round_, name=StageName.PUBLISH, attempt=1)
            batch, left_out = open_batch(round_)
            n_tasks = Task.objects.filter(batch=batch).count()
            message = f"{actor.get_username()} published {n_tasks:,} of {plan_of(round_).size:,} solutions."
            stage.log = [[timezone.now().isoformat(timespec="seconds"), message]]
            stage.ended_at = Now()
            stage.save(update_fields=["log", "ended_at"])
            Event.objects.create(actor=actor, project=project, verb="publish", subject=f"round {round_.number}")
            Round.objects.filter(pk=round_.pk, state=RoundState.PROPOSED).update(
                state=RoundState.PUBLISHED, batch=batch, finished_at=Now(), token=F("token") + 1
            )
            tell_webhooks(round_, RoundState.PUBLISHED)
    except (RoundFailed, queue.BadBatch) as refused:
        raise RoundRefused(str(refused)) from refused
    round_.refresh_from_db()
    return round_


def replay(project: Project, number: int) -> Replay:
    """Choose again from the candidates that a round kept, and compare with its selection. Raises NoSuchRound."""
    round_ = find(project, number)
    plan = plan_of(round_)
    return selection.replay(round_, recipe_followed(plan, findings_of(round_)), seed=plan.seed)
