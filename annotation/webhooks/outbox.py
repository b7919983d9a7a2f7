"""Stage: webhooks, the outbox. What happened is written down in the transaction in which it happens, and sent by workers afterwards.

Writes WebhookEvent, WebhookDelivery and WebhookTry. A kill loses nothing: a delivery that nobody ends is due again.
"""

import logging
import random
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.urls import get_script_prefix, reverse
from django.utils import timezone

from annotation import notifications
from annotation.models import (
    DeliveryState,
    Event,
    NotificationKind,
    Project,
    Role,
    SiteCount,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookEventKind,
    WebhookTry,
)
from annotation.webhooks.signing import OtherSecretKey, headers_of

if TYPE_CHECKING:
    from annotation.webhooks.sending import Sent

log = logging.getLogger(__name__)

FIRST_DELAY = timedelta(minutes=1)
GROWTH = 4  # 1, 4, 16 and 64 minutes, 4.3 and 17 hours: seven tries within a day
RETRIES = 6
LONGEST_DELAY = FIRST_DELAY * GROWTH ** (RETRIES - 1)  # also for a receiver that asks for more
JITTER = 0.1  # of a delay, more or less: receivers that were away together are not all asked in one moment
CLAIMED = timedelta(minutes=2)  # a worker that has not ended its try by then was lost
AT_ONCE = 8  # webhooks to which one worker sends at the same time
RUN_SECONDS = 40.0  # after which a worker leaves the rest to the next run
KEPT = timedelta(days=30)  # of what was sent

# Takes what is due: of each webhook the oldest, so that one that does not answer holds up no other. A second worker waits for the row,
# sees that it is not due any more, and leaves it. The failure is counted before the try, so that one whose worker is killed counts.
CLAIM = """
WITH due AS MATERIALIZED (
  SELECT DISTINCT ON (d.webhook_id) d.id
    FROM annotation_webhookdelivery d JOIN annotation_webhook w ON w.id = d.webhook_id
   WHERE d.state = 'waiting' AND d.next_at <= statement_timestamp() AND w.is_on AND w.id <> ALL (%(without)s::bigint[])
   ORDER BY d.webhook_id, d.next_at, d.id LIMIT %(limit)s),
claimed AS (
  UPDATE annotation_webhookdelivery d
     SET attempt = attempt + 1, failures = failures + 1, next_at = statement_timestamp() + %(claimed)s::interval
    FROM due WHERE d.id = due.id AND d.state = 'waiting' AND d.next_at <= statement_timestamp()
  RETURNING d.id, d.attempt),
tried AS (INSERT INTO annotation_webhooktry (delivery_id, number) SELECT id, attempt FROM claimed)
SELECT id, attempt FROM claimed
"""
# The batches that are done or closed, and of which nothing was written down. Each probe reads one row of an index, or the few rows that
# people hold. Asking here costs a submit nothing, and nothing can be lost: what is asked is the state itself.
DONE_BATCHES = """
SELECT b.id, b.generation, CASE b.state WHEN 'closed' THEN 'closed' ELSE 'done' END, b.project_id
  FROM annotation_batch b
 WHERE b.project_id = ANY (%(projects)s) AND b.kind = 'selected' AND b.state IN ('open', 'paused', 'closed')
   AND NOT EXISTS (SELECT 1 FROM annotation_webhookevent e WHERE e.project_id = b.project_id AND e.occasion = 'batch ' || b.id)
   AND (b.state = 'closed' OR EXISTS (SELECT 1 FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state = 'done')
        AND NOT EXISTS (SELECT 1 FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state = 'open' AND s.slot IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM annotation_assignment s WHERE s.batch_id = b.id AND s.state IN ('leased', 'reserved')))
 ORDER BY b.id
"""


# --- what happens -----------------------------------------------------------------------------------------------------------


def tell(
    project: Project, kind: WebhookEventKind, *, occasion: str, state: str, page: str, at: Mapping[str, Any], more: Mapping[str, Any]
) -> bool:
    """Write down for the webhooks of a project that something happened, in the caller's transaction. False: none wants to know.

    `page` is the name of an address of the API and `at` its arguments. `more` stands in the message beside project, state and address: no
    names of people, and no texts. Nothing is told twice of one occasion.
    """
    webhooks = list(Webhook.objects.filter(project=project, is_on=True, kinds__contains=[kind]).values_list("pk", flat=True))
    if not webhooks:
        return False
    path = reverse(page, kwargs={"slug": project.slug, **at}).removeprefix(get_script_prefix().rstrip("/"))
    body = {"project": project.slug, **more, "state": state, "address": f"{_site()}{path}"}
    return write_event(project, kind, occasion=occasion, data=body, webhooks=webhooks)


def tell_batches(projects: Collection[int] | None = None) -> int:
    """Write down which batches are done, once of each. `projects`: also where no webhook wants to know; None: where one does."""
    wanting = Webhook.objects.filter(is_on=True, kinds__contains=[WebhookEventKind.BATCH_DONE])
    asked = list(wanting.order_by("project").values_list("project", flat=True).distinct()) if projects is None else list(projects)
    if not asked:
        return 0
    with connection.cursor() as cursor:
        rows = cursor.execute(DONE_BATCHES, {"projects": asked}).fetchall()
    by_key = Project.objects.in_bulk({row[-1] for row in rows})
    for batch, generation, state, project_id in rows:
        told: dict[str, Any] = {"occasion": f"batch {batch}", "state": state, "page": "api-batch", "at": {"batch_id": batch}}
        project, kind = by_key[project_id], WebhookEventKind.BATCH_DONE
        with transaction.atomic():
            if not tell(project, kind, **told, more={"batch": batch, "generation": generation}) and projects is not None:
                write_event(project, kind, occasion=told["occasion"], data={}, webhooks=[])
    return len(rows)


def write_event(project: Project, kind: WebhookEventKind, *, occasion: str, data: Mapping[str, Any], webhooks: Collection[int]) -> bool:
    """Store an event with a delivery to each of these webhooks. False: this occasion was stored before."""
    event = WebhookEvent(id=uuid4(), project=project, kind=kind, occasion=occasion)
    message = {"type": kind, "timestamp": timezone.now().isoformat(timespec="milliseconds"), "data": data}
    event.body = orjson.dumps(message).decode()
    with transaction.atomic():
        WebhookEvent.objects.bulk_create([event], ignore_conflicts=True)
        if not WebhookEvent.objects.filter(pk=event.pk).exists():
            return False
        WebhookDelivery.objects.bulk_create([WebhookDelivery(webhook_id=key, event=event) for key in webhooks])
        if webhooks:
            transaction.on_commit(ask_worker)
    return True


def ask_worker() -> None:
    """Ask a worker to send what is due. If the message is lost, the run of the next minute sends it."""
    from celery import current_app  # here, because a command waits for it
    from kombu.exceptions import OperationalError as BrokerUnreachable

    try:
        current_app.send_task("annotation.tasks.send_webhooks", ignore_result=True, expires=60)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked to send webhooks (%s). The next run of the minute sends them.", error)


# --- what a worker does -------------------------------------------------------------------------------------------------------


class _Claim(NamedTuple):
    """One try that this worker has taken."""

    delivery: WebhookDelivery
    attempt: int


def send_due() -> int:
    """Send what is due, to several webhooks at the same time, and return how many messages were taken.

    A webhook that does not take one is not asked again in this run. Only the requests themselves run in threads.
    """
    until, failed, n_delivered = monotonic() + RUN_SECONDS, set[int](), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while monotonic() < until and (claims := _claim(failed)):
            for claim, sent in zip(claims, pool.map(_send, [_request(claim) for claim in claims]), strict=True):
                _record(claim, sent)
                n_delivered += not sent.failure
                if sent.failure:
                    failed.add(claim.delivery.webhook_id)
    return n_delivered


def forget_old() -> int:
    """Delete deliveries that ended long ago, and those that nobody will take up; return how many rows.

    What was written down of batches stays: it says that they were told.
    """
    old = Now() - KEPT
    deliveries = WebhookDelivery.objects.filter(Q(ended_at__lt=old) | Q(ended_at=None, webhook__is_on=False, began_at__lt=old))
    events = WebhookEvent.objects.exclude(kind=WebhookEventKind.BATCH_DONE).filter(created_at__lt=old)
    needed = WebhookDelivery.objects.filter(event=OuterRef("pk"))
    return deliveries.delete()[0] + events.exclude(Exists(needed)).delete()[0]


def _claim(without: Collection[int]) -> list[_Claim]:
    with connection.cursor() as cursor:
        attempts = dict(cursor.execute(CLAIM, {"without": list(without), "limit": AT_ONCE, "claimed": f"{CLAIMED.seconds} s"}).fetchall())
    rows = WebhookDelivery.objects.select_related("webhook__project", "event").filter(pk__in=attempts)
    return [_Claim(row, attempts[row.pk]) for row in rows]


def _request(claim: _Claim) -> tuple[str, dict[str, str] | None, str]:
    """Return the address, the headers and the body of a try. Without headers, the body is the reason why it cannot be signed."""
    webhook, event = claim.delivery.webhook, claim.delivery.event
    try:
        headers = headers_of(webhook, message=event.pk, body=event.body, now=timezone.now())
    except OtherSecretKey as other:
        return webhook.address, None, str(other)
    return webhook.address, headers, event.body


def _send(request: tuple[str, dict[str, str] | None, str]) -> "Sent":
    from annotation.webhooks.sending import Sent, send  # here, because a command waits for it

    address, headers, body = request
    return Sent(None, "", body, 0) if headers is None else send(address, headers=headers, body=body.encode())


def _record(claim: _Claim, sent: "Sent") -> None:
    """Store how a try went, and what follows: the end of the delivery, its next try, or the end of the webhook."""
    from annotation.webhooks.sending import GONE

    delivery = claim.delivery
    held = WebhookDelivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING, attempt=claim.attempt)
    with transaction.atomic():
        result = {"status": sent.status, "duration_ms": sent.duration_ms, "answer": sent.answer, "failure": sent.failure}
        WebhookTry.objects.filter(delivery=delivery, number=claim.attempt).update(**result)
        if not sent.failure:
            held.update(state=DeliveryState.DELIVERED, failures=0, ended_at=Now())
        elif delivery.event.kind == WebhookEventKind.PING:
            held.update(state=DeliveryState.FAILED, ended_at=Now())  # somebody waits for the result
        elif sent.status == GONE:
            if held.update(state=DeliveryState.FAILED, ended_at=Now()):
                switch_off(delivery.webhook, "It answered 410: the receiver wants no more messages.")
        elif delivery.failures > RETRIES:
            if held.update(state=DeliveryState.FAILED, ended_at=Now()) and not _has_taken(delivery.webhook_id, since=delivery.began_at):
                switch_off(delivery.webhook, f"It took no message for a day. The last failure: {sent.failure}")
        else:
            held.update(next_at=Now() + delay_after(delivery.failures, wanted=sent.wait))
        SiteCount.objects.add({"webhook_failed" if sent.failure else "webhook_taken": 1})


def delay_after(failures: int, *, wanted: float = 0.0) -> timedelta:
    """Return how long a delivery waits after this many failed tries. `wanted`: seconds for which the receiver asked, if it did."""
    own = FIRST_DELAY * GROWTH ** (failures - 1) * random.uniform(1 - JITTER, 1 + JITTER)
    return max(own, min(timedelta(seconds=wanted), LONGEST_DELAY))


def _has_taken(webhook_id: int, *, since: datetime) -> bool:
    taken = WebhookDelivery.objects.filter(webhook=webhook_id, state=DeliveryState.DELIVERED, ended_at__gte=since)
    return taken.exists()


def switch_off(webhook: Webhook, why: str) -> None:
    """Switch a webhook off that cannot go on, and notify the managers. What waits is sent when somebody switches it on again."""
    if not Webhook.objects.filter(pk=webhook.pk, is_on=True).update(is_on=False, why_off=why):
        return
    project = webhook.project
    event = Event.objects.create(actor=None, project=project, verb="switch off webhook", subject=str(webhook), details={"because": why})
    notifications.notify(
        notifications.members(project, [Role.MANAGER, Role.OWNER]),
        NotificationKind.WEBHOOK,
        f"A webhook of {project} was switched off. {why}",
        occasion=f"webhook {webhook.pk} off {event.pk}",
        project=project,
        page="webhook",
        at={"slug": project.slug, "webhook_number": webhook.pk},
    )


def _site() -> str:
    return f"{settings.SITE_ADDRESS.rstrip('/')}{settings.PATH_PREFIX}"
