"""Rounds begin: by hand, by a command or by a schedule; they are cancelled, and rung for again when nobody runs them."""

import logging

from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import Max
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import registry
from active_learning.models import ATTEMPTS, UNFINISHED, Round, RoundState
from active_learning.rounds.plan import Findings, RoundPlan
from active_learning.rounds.states import RUNNABLE, RoundRefused, end, stale
from annotation.models import Batch, BatchKind, Project, broken_rule

log = logging.getLogger(__name__)


def start(project: Project, plan: RoundPlan, *, ring: bool = True) -> Round:
    """Queue a round, and ring the worker's bell once the row is committed.

    Raises RoundRefused if the project cannot follow the plan now, or has another unfinished round.
    """
    plan = plan.checked(project)
    findings = Findings(resumed=_resumable(project, kind=plan.kind)) if plan.resume else Findings()
    try:
        with transaction.atomic():
            newest = Batch.objects.filter(project=project, kind=BatchKind.SELECTED).aggregate(newest=Max("generation"))["newest"]
            made = Round.objects.create(
                project=project,
                generation=0 if newest is None else newest + 1,
                strategy=plan.strategy,
                plan=plan.as_dict(),
                findings=findings.as_dict(),
            )
            if ring:
                transaction.on_commit(lambda: ring_bell(made.pk))
            return made
    except IntegrityError as error:
        if broken_rule(error) != "round_one_unfinished":
            raise
        other = Round.objects.get(project=project, state__in=UNFINISHED)
        raise RoundRefused(_occupied(other)) from None


def _occupied(other: Round) -> str:
    if other.state == RoundState.PROPOSED:
        return f"Round {other.generation} of {other.project.slug} waits to be looked through. Publish or discard it first."
    return f"Round {other.generation} of {other.project.slug} is still {other.state}. Wait until it has published its batch, or cancel it."


def _resumable(project: Project, *, kind: str) -> int:
    if version := registry.resumable(project, kind=kind):
        return version.number
    raise RoundRefused(f"{project.slug} has no {kind.upper()} training that broke off with a checkpoint. Start one without resuming.")


def preview(project: Project, plan: RoundPlan) -> list[str]:
    """Return in lines what a round by this plan would train on now. Changes nothing. Raises RoundRefused."""
    try:
        lines = registry.preview_training(project, config=plan.config(project), kind=plan.kind)
    except registry.ModelUnusable as error:
        raise RoundRefused(str(error)) from error
    champion = registry.serving_version(project, plan.kind)
    return [*lines, f"in service: model {champion.number}" if champion else "in service: none, so the new one would be"]


def ring_bell(round_id: int) -> None:
    """Tell a worker that a round waits. A lost bell loses nothing: `sweep` rings again."""
    try:
        current_app.send_task("active_learning.tasks.run_round", [round_id], ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("The broker cannot be reached (%s); round %s waits for the sweeper.", error, round_id)


def cancel(project: Project, generation: int) -> None:
    """End an unfinished round; its worker notices at its next heartbeat. Raises RoundRefused if it has already ended."""
    cancelled = Round.objects.filter(project=project, generation=generation, state__in=UNFINISHED).first()
    if not cancelled or not end(cancelled, RoundState.CANCELLED, "It was cancelled."):
        raise RoundRefused(f"Round {generation} has already ended.")


def sweep() -> list[int]:
    """Ring again for rounds nobody runs, and end those that were tried three times. Returns the rounds rung for."""
    waiting = Round.objects.filter(stale(), state__in=RUNNABLE)
    for lost in waiting.filter(attempt__gte=ATTEMPTS):
        end(lost, RoundState.FAILED, f"Its worker was lost {ATTEMPTS} times; the worker's log says why. Then start a new round.")
    rung = list(waiting.filter(attempt__lt=ATTEMPTS).values_list("pk", flat=True))
    for round_id in rung:
        ring_bell(round_id)
    return rung
