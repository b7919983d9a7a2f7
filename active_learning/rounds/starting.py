"""Rounds start: by hand, by a command or by a schedule. They are cancelled, and offered again when no worker runs them."""

import logging

from celery import current_app
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import registry, scoring
from active_learning.models import UNFINISHED, Round, RoundState
from active_learning.rounds.plan import Findings, RoundPlan
from active_learning.rounds.states import CANCELLED, RUNNABLE, RoundRefused, end, stale
from active_learning.selection import STRATEGIES
from annotation import holders
from annotation.holders import ATTEMPTS
from annotation.models import Batch, BatchKind, Event, Project, broken_rule

log = logging.getLogger(__name__)


def start(project: Project, plan: RoundPlan, *, notify: bool = True, actor: User | None = None) -> Round:
    """Queue a round, and tell a worker once the row is committed. Of a person, `actor`, it is noted.

    Raises RoundRefused if the project cannot follow the plan now, has too few labels for a training, or has another unfinished round.
    """
    if project.archived_at:
        raise RoundRefused(f"{project.slug} is archived, so no round starts there. Open it again in the administration first.")
    plan = plan.checked(project)
    if other := Round.objects.filter(project=project, state__in=UNFINISHED).first():
        raise RoundRefused(_occupied(other))
    if plan.train and not plan.resume:
        _check_learnable(project, plan)
    findings = Findings(resumed=_resumable(project, kind=plan.kind)) if plan.resume else Findings()
    try:
        with transaction.atomic():
            round_ = Round.objects.create(
                project=project,
                generation=next_generation(project),
                strategy=plan.strategy,
                plan=plan.as_dict(),
                findings=findings.as_dict(),
            )
            if actor:
                recipe = {STRATEGIES[name].label: f"{weight:.0%}" for name, weight in plan.recipe.parts} if plan.recipe else {}
                details = {"solutions": plan.size, "recipe": recipe, "trains": plan.train, "review": plan.review}
                Event.objects.create(actor=actor, project=project, verb="start round", subject=f"round {round_.number}", details=details)
            if notify:
                transaction.on_commit(lambda: notify_worker(round_.pk))
            return round_
    except IntegrityError as error:
        if broken_rule(error) not in ("round_one_unfinished", "round_number"):
            raise
        other = Round.objects.get(project=project, state__in=UNFINISHED)
        raise RoundRefused(_occupied(other)) from None


def next_generation(project: Project) -> int:
    """Return the generation of the batch that a round would publish now."""
    newest = Batch.objects.filter(project=project, kind=BatchKind.SELECTED).aggregate(newest=Max("generation"))["newest"]
    return 0 if newest is None else newest + 1


def _check_learnable(project: Project, plan: RoundPlan) -> None:
    """Raise RoundRefused for a training that would fail for want of labels, before it leaves a failed round and a failed version."""
    try:
        registry.check_learnable(project, config=plan.config(project), kind=plan.kind, labels=plan.labels)
    except registry.ModelUnusable as error:
        raise RoundRefused(str(error)) from error


def _occupied(other: Round) -> str:
    if other.state == RoundState.PROPOSED:
        return f"Round {other.number} of {other.project.slug} waits for a review. Publish or discard it first."
    return f"Round {other.number} of {other.project.slug} is still {other.state}. Wait until it has published its batch, or cancel it."


def _resumable(project: Project, *, kind: str) -> int:
    if version := registry.resumable(project, kind=kind):
        return version.number
    raise RoundRefused(f"{project.slug} has no {kind.upper()} training that broke off with a checkpoint. Start one without resuming.")


def preview(project: Project, plan: RoundPlan) -> list[str]:
    """Return in lines what a round by this plan would train on now. Changes nothing. Raises RoundRefused."""
    try:
        lines = registry.preview_training(project, config=plan.config(project), kind=plan.kind, labels=plan.labels)
    except registry.ModelUnusable as error:
        raise RoundRefused(str(error)) from error
    champion = registry.serving_version(project, plan.kind)
    return [
        *lines,
        f"serves: model {champion.number}" if champion else "serves: none, so the new one would serve if it is better than the base rate",
    ]


def notify_worker(round_id: int) -> None:
    """Tell a worker that a round waits. If the message is lost, `sweep` sends it again."""
    try:
        current_app.send_task("active_learning.tasks.run_round", [round_id], ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be told (%s). Round %s waits until the sweeper offers it again.", error, round_id)


def cancel(project: Project, number: int, *, actor: User | None = None) -> None:
    """End an unfinished round; of a person, `actor`, that is noted. Its worker notices at its next heartbeat. Raises RoundRefused."""
    with transaction.atomic():
        round_ = Round.objects.filter(project=project, number=number, state__in=UNFINISHED).first()
        if not round_ or not end(round_, RoundState.CANCELLED, CANCELLED):
            raise RoundRefused(f"Round {number} has already ended.")
        if actor:
            verb = "discard proposal" if round_.state == RoundState.PROPOSED else "cancel round"
            Event.objects.create(actor=actor, project=project, verb=verb, subject=f"round {number}")


def offer_abandoned() -> list[int]:
    """Offer again, at once, what processes of this machine held that have ended. Return the rounds offered. The attempt counts.

    Asks the kernel, not a clock: a slow process keeps its round. Processes of other machines count as silent after three minutes.
    """
    held = (
        Round.objects.filter(state__in=RUNNABLE, heartbeat_at__isnull=False, holder__startswith=holders.machine())
        .exclude(holder="")
        .select_related("project")
    )
    n_left = scoring.release_abandoned()
    for round_ in held:
        if holders.has_ended(round_.holder):
            log.warning("The worker of %s has ended without giving it back. It is offered again.", round_)
            n_left += Round.objects.filter(pk=round_.pk, token=round_.token, state__in=RUNNABLE).update(heartbeat_at=None)
    return sweep() if n_left else []


def sweep() -> list[int]:
    """Offer the rounds that no worker runs to the workers again, and end those that were tried three times. Returns those offered."""
    waiting = Round.objects.filter(stale(), state__in=RUNNABLE)
    for lost in waiting.filter(attempt__gte=ATTEMPTS):
        end(
            lost,
            RoundState.FAILED,
            f"Its worker was lost {ATTEMPTS} times. Read the worker's log, remove the cause, and start a new round.",
        )
    offered = list(waiting.filter(attempt__lt=ATTEMPTS).values_list("pk", flat=True))
    for round_id in offered:
        notify_worker(round_id)
    return offered
