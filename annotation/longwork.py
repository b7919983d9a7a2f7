"""Work that a worker does for minutes: a row with a state, a heartbeat, a holder, an attempt and a token (LongWork).

A worker that takes a row raises its token, and every later write names the token. The work itself is one transaction, or a file that gets
its name at the end. So its progress is written by a second thread (hearts.py).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, connection, models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from annotation import holders
from annotation.holders import ATTEMPTS, STALE

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger(__name__)


class ClaimedWork(models.Model):
    """A row that at most one worker has, under a token. Its subclass says in which states it waits for one."""

    heartbeat_at = models.DateTimeField(null=True)  # null: no worker has it
    attempt = models.PositiveSmallIntegerField(default=0)
    token = models.PositiveIntegerField(default=0)  # raised by every claim; each write of the worker names it

    class Meta:
        abstract = True


class LongWork(ClaimedWork):
    """Such a row that says how far the work is, and which process has it, so that its end is known at once."""

    progress = models.JSONField(default=dict)  # stage, done, total, seconds_left
    holder = models.CharField(max_length=100, blank=True)  # the process: holders.own_name

    class Meta:
        abstract = True


class WorkLost(Exception):
    """Another worker has this work now, or it was cancelled. Stop, and store nothing."""


@contextmanager
def alone(lock: int) -> Iterator[bool]:
    """Say whether this is the only work of its kind on this site. `lock`: the number of an advisory lock.

    The lock ends with its connection, however this process ends.
    """
    with connection.cursor() as cursor:
        is_alone = bool(cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])


def waiting(at_work: "QuerySet[Any]") -> "QuerySet[Any]":
    """Return the rows that a worker should have, and none has."""
    return at_work.filter(Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=Now() - STALE))


def claim(at_work: "QuerySet[Any]", key: int, **changes: Any) -> bool:
    """Take a row that waits, and say whether this worker has it now."""
    values = {"token": F("token") + 1, "attempt": F("attempt") + 1, "heartbeat_at": Now(), "holder": holders.own_name(), **changes}
    return bool(waiting(at_work).filter(pk=key, attempt__lt=ATTEMPTS).update(**values))


def give_back(mine: "QuerySet[Any]", *, attempts: int, **changes: Any) -> None:
    """Leave a row to the next worker at once, and give `attempts` of its attempts back. Without a database, the sweep does it later."""
    connection.close()  # it is broken, or the stop came in the middle of a statement
    with suppress(OperationalError, InterfaceError):
        mine.update(heartbeat_at=None, attempt=Greatest(F("attempt") - attempts, 0), **changes)


def release_abandoned(at_work: "QuerySet[Any]") -> int:
    """Take the rows from processes of this machine that have ended. Return how many. The attempt counts."""
    n_left = 0
    for row in at_work.filter(heartbeat_at__isnull=False, holder__startswith=holders.machine()).exclude(holder=""):
        if holders.has_ended(row.holder):
            log.warning("The worker of %s has ended without giving it back. It is offered again.", row)
            n_left += at_work.filter(pk=row.pk, token=row.token).update(heartbeat_at=None)
    return n_left


def tell_worker(task: str, key: int) -> None:
    """Tell a worker that a row waits. If the message is lost, the sweep sends it again."""
    from celery import current_app  # here: the models need this module, and most commands send nothing
    from kombu.exceptions import OperationalError as BrokerUnreachable

    try:
        current_app.send_task(task, [key], ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be told (%s). %s of %s waits until the sweeper offers it again.", error, task, key)
