"""Stage: corrections, regrading in the background: a worker grades and shows on the settings what would change; a person asks for it.

A regrade is a row. A worker raises the row's token, and its later writes name that token. What it finds is written in one transaction, and
a second run finds nothing left to write. So a regrade whose worker died begins again from the start. Beat offers lost ones again.
"""

import logging
import time
from typing import Any

from celery import current_app
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerUnreachable

from annotation.corrections.plans import CorrectionRefused, prepared_again
from annotation.holders import ATTEMPTS, STALE
from annotation.models import Event, Project, Regrade, RegradeState, broken_rule
from annotation.stopping import stop_request
from trainer.answers import GraderUnavailable
from trainer.progress import Stopped

log = logging.getLogger(__name__)

UNFINISHED = (RegradeState.WAITING, RegradeState.RUNNING)
PROGRESS_SECONDS = 2  # between two writes of the progress
WHY_LOST = "It broke off three times, because its worker ended. Nothing was changed. Look at the server’s log, and start it again."


class RegradeUnderWay(ValueError):
    """This project is graded again already."""


class _RegradeLost(Exception):
    """Another worker has this regrade now."""


def look_at_regrade(project: Project, *, actor: User | None) -> Regrade:
    """Ask what would change if all solutions that were graded by other rules were graded again. Raises RegradeUnderWay."""
    return _request(Regrade(project=project, created_by=actor, applies=False))


def request_regrade(project: Project, *, seen: str, actor: User | None) -> Regrade:
    """Ask for the changes that a look showed; `seen` is its fingerprint. Raises RegradeUnderWay.

    If something else would change by then, nothing is written, and the regrade becomes a look.
    """
    return _request(Regrade(project=project, created_by=actor, fingerprint=seen))


def _request(regrade: Regrade) -> Regrade:
    project, actor = regrade.project, regrade.created_by
    try:
        with transaction.atomic():
            regrade.save()
            if regrade.applies:
                Event.objects.create(actor=actor, project=project, verb="start regrade", subject=f"project {project.slug}")
            transaction.on_commit(lambda: _notify_worker(regrade.pk))
    except IntegrityError as error:
        if broken_rule(error) != "regrade_one_unfinished":
            raise
        raise RegradeUnderWay("The solutions are being graded again already. Wait until that ends.") from error
    return regrade


def last_regrade(project: Project) -> Regrade | None:
    """Return the newest regrade of a project."""
    return Regrade.objects.filter(project=project).order_by("-pk").first()


def run_regrade(regrade_id: int) -> None:
    """Grade again what a regrade asks for, and note what changed or would change. Does nothing if another worker has it or it has ended."""
    claim = {"state": RegradeState.RUNNING, "token": F("token") + 1, "attempt": F("attempt") + 1, "heartbeat_at": Now()}
    with stop_request() as stop:  # before the claim: a stop between the two would leave a regrade that nobody gives back
        if not _waiting().filter(pk=regrade_id, attempt__lt=ATTEMPTS).update(**claim):
            return
        regrade = Regrade.objects.select_related("project", "created_by").get(pk=regrade_id)
        mine = Regrade.objects.filter(pk=regrade_id, token=regrade.token, state=RegradeState.RUNNING)
        last = 0.0

        def advance(stage: str, done: int, total: int | None) -> None:
            nonlocal last
            stop.check()
            if time.monotonic() - last >= PROGRESS_SECONDS:
                last = time.monotonic()
                if not mine.update(progress={"stage": stage, "done": done, "total": total}, heartbeat_at=Now()):
                    raise _RegradeLost

        try:
            with prepared_again(regrade.project, progress=advance) as plan:
                report = plan.sentences() if not plan.is_empty else ["Nothing changes."]
                found = "" if plan.is_empty else plan.fingerprint
                applies = regrade.applies and regrade.fingerprint in ("", found)  # without one it was asked for before a look came first
                if applies and not plan.is_empty:
                    plan.apply(actor=regrade.created_by)
                elif regrade.applies and not applies:
                    report = ["Something changed since you looked, so nothing was written.", *report]
            _end(mine, RegradeState.DONE, report=report, applies=applies, fingerprint=found)
        except Stopped:  # in order: it begins again when a worker runs, and this was no failed attempt
            if not connection.in_atomic_block:
                connection.close()  # the stop may have come in the middle of a statement
            mine.update(state=RegradeState.WAITING, attempt=F("attempt") - 1, heartbeat_at=None, progress={})
            raise
        except (CorrectionRefused, GraderUnavailable) as refused:
            _end(mine, RegradeState.FAILED, report=[str(refused)])
        except _RegradeLost:
            log.warning("Regrade %s belongs to another worker now.", regrade_id)


def sweep_regrades() -> list[int]:
    """Offer the regrades that no worker has again, and end those that were tried three times. Return those offered."""
    _end(_waiting().filter(attempt__gte=ATTEMPTS), RegradeState.FAILED, report=[WHY_LOST])
    offered = list(_waiting().values_list("pk", flat=True))
    for regrade_id in offered:
        _notify_worker(regrade_id)
    return offered


def _waiting() -> QuerySet[Regrade]:
    """Return the regrades that a worker should have, and none has."""
    is_lost = Q(state=RegradeState.RUNNING) & (Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=Now() - STALE))
    return Regrade.objects.filter(Q(state=RegradeState.WAITING) | is_lost)


def _end(regrades: QuerySet[Regrade], state: str, *, report: list[str], **more: Any) -> None:
    values: dict[str, Any] = {"state": state, "report": report, "finished_at": Now(), "progress": {}, **more}
    regrades.update(**values)


def _notify_worker(regrade_id: int) -> None:
    try:
        current_app.send_task("annotation.tasks.run_regrade", [regrade_id], ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be told (%s). Regrade %s waits until the sweeper offers it again.", error, regrade_id)
