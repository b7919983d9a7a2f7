"""What a round may be and how it ends: the words the other modules of this package share."""

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from active_learning.models import STALE, UNFINISHED, ModelState, ModelVersion, Round, RoundStage, RoundState
from annotation.models import Project

RUNNABLE = [state for state in UNFINISHED if state != RoundState.PROPOSED]  # a proposal waits for a person, not for a worker


class RoundRefused(ValueError):
    """A round that cannot start, be published or end; the message says why and what to do."""


class NoSuchRound(LookupError):
    """This project has no such round."""


class RoundFailed(Exception):
    """A round that ended without a batch for a reason a person can mend; the message says which."""


class RunLost(Exception):
    """Somebody else runs this round by now, or it was cancelled: stop, write nothing."""


def find(project: Project, round_id: int) -> Round:
    """Return a round by its key. Raises NoSuchRound."""
    found = Round.objects.select_related("project", "model_version", "batch").filter(project=project, pk=round_id).first()
    if found is None:
        raise NoSuchRound(f"{project} has no round {round_id}.")
    return found


def stale() -> Q:
    return Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=Now() - STALE)


def end(ended: Round, state: RoundState, reason: str) -> bool:
    """End an unfinished round under the token it was read with, and its half-trained model. False: somebody was quicker."""
    with transaction.atomic():
        changed = Round.objects.filter(pk=ended.pk, token=ended.token, state__in=UNFINISHED).update(
            state=state, failure=reason, token=F("token") + 1, finished_at=Now(), progress={}
        )
        if changed:
            RoundStage.objects.filter(round=ended, ended_at__isnull=True).update(ended_at=Now(), failure=reason)
            ModelVersion.objects.filter(round=ended.pk, state=ModelState.RUNNING).update(
                state=ModelState.FAILED, failure=reason, token=F("token") + 1, progress={}
            )
    return bool(changed)
