"""The states of a round, its errors, and how it ends: what the other modules of this package share."""

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from active_learning.models import UNFINISHED, ModelState, ModelVersion, Round, RoundStage, RoundState
from annotation import notifications, people, webhooks
from annotation.holders import STALE
from annotation.models import NotificationKind, Project

RUNNABLE = [state for state in UNFINISHED if state != RoundState.PROPOSED]  # a proposal waits for a person, not for a worker
CANCELLED = "It was cancelled."
CANCELLED_AT_TERMINAL = "It was cancelled with Ctrl-C."
STOPPED = "Its worker was stopped. The round goes on when a worker runs again."


class RoundRefused(ValueError):
    """A round that cannot start, be published or end. The message says why and what to do."""


class NoSuchRound(LookupError):
    """This project has no such round."""


class RoundFailed(Exception):
    """A round that ends without a batch for a reason that a person can remove. The message names it."""


class RunLost(Exception):
    """Another worker runs this round now, or it was cancelled. Stop, and write nothing."""


def find(project: Project, number: int) -> Round:
    """Return a round by its number in the project. Raises NoSuchRound."""
    round_ = Round.objects.select_related("project", "model_version", "batch").filter(project=project, number=number).first()
    if round_ is None:
        raise NoSuchRound(f"{project} has no round {number}.")
    return round_


def number_of(project: Project, round_id: int) -> int:
    """Return the number of a round by its key in the database, which older addresses had. Raises NoSuchRound."""
    number = Round.objects.filter(project=project, pk=round_id).values_list("number", flat=True).first()
    if number is None:
        raise NoSuchRound(f"{project} has no round with the key {round_id}.")
    return number


def stale() -> Q:
    """Return the condition of a round that no worker runs: it has no heartbeat, or an old one."""
    return Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=Now() - STALE)


def how_ended(failure: str) -> str:
    """Return how an attempt at a stage ended, by the reason it was stored with: done, cancelled, stopped or failed."""
    if not failure:
        return "done"
    return "cancelled" if failure in (CANCELLED, CANCELLED_AT_TERMINAL) else "stopped" if failure == STOPPED else "failed"


def give_back(round_: Round) -> bool:
    """Leave a round that a stop of its worker interrupted to the next worker, at once and without counting the attempt.

    False: another worker has it, or it has ended. Its model stays as it is: the next worker continues from the checkpoint.
    """
    mine = Round.objects.filter(pk=round_.pk, token=round_.token, state__in=UNFINISHED)
    given = mine.update(heartbeat_at=None, attempt=Greatest(F("attempt") - 1, 0))
    if given:
        RoundStage.objects.filter(round=round_, ended_at__isnull=True).update(ended_at=Now(), failure=STOPPED)
    return bool(given)


def end(round_: Round, state: RoundState, reason: str) -> bool:
    """End an unfinished round, if it still has the token it was read with, and its unfinished model. False: somebody was faster."""
    with transaction.atomic():
        changed = Round.objects.filter(pk=round_.pk, token=round_.token, state__in=UNFINISHED).update(
            state=state, failure=reason, token=F("token") + 1, finished_at=Now(), progress={}
        )
        if changed:
            RoundStage.objects.filter(round=round_, ended_at__isnull=True).update(ended_at=Now(), failure=reason)
            ModelVersion.objects.filter(round=round_.pk, state=ModelState.RUNNING).update(
                state=ModelState.FAILED, failure=reason, token=F("token") + 1, progress={}
            )
            if state == RoundState.FAILED:
                notify_managers(round_, NotificationKind.ROUND, f"Round {round_.number} of {round_.project} failed: {reason}")
            tell_webhooks(round_, state)
    return bool(changed)


def notify_managers(round_: Round, kind: NotificationKind, sentence: str) -> None:
    """Notify the managers and owners of a round's project, once for each kind of notification."""
    project = round_.project
    notifications.notify(
        notifications.members(project, people.MANAGERS),
        kind,
        sentence,
        occasion=f"round {round_.pk} {kind}",
        project=project,
        page="round",
        at={"slug": project.slug, "round_number": round_.number},
    )


def tell_webhooks(round_: Round, state: RoundState) -> None:
    """Write down for the webhooks of a round's project that the round has ended in this state, in the transaction that ends it."""
    number, kind = round_.number, webhooks.WebhookEventKind.ROUND_DONE
    at, more = {"round_number": number}, {"number": number}
    webhooks.tell(round_.project, kind, occasion=f"round {round_.pk}", state=state, page="api-round", at=at, more=more)
