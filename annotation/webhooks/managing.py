"""Stage: webhooks, what managers do with them: add, switch off and on, change the secret, test, read the log, send again, delete.

Reads and writes Webhook, reads what the outbox writes. Every change is an event of the audit, which names the host and never the address:
the rest of an address can hold a password.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q
from django.db.models.functions import Now

from annotation.models import DeliveryState, Event, Project, Webhook, WebhookDelivery, WebhookEventKind, broken_rule
from annotation.webhooks.hosts import BadAddress, place_of
from annotation.webhooks.outbox import ask_worker, tell_batches, write_event
from annotation.webhooks.signing import name_of, new_nonce, secret_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KINDS = [(kind.value, kind.label) for kind in WebhookEventKind if kind != WebhookEventKind.PING]
MOST_WEBHOOKS = 10  # of one project
OLD_SECRET = timedelta(days=1)  # for which the secret before signs too
SHOWN = 20  # deliveries on a page of the log
SHOWN_TRIES = 10  # of one delivery, the newest


class WebhookRefused(ValueError):
    """Something that cannot be done with a webhook. `field` names what is wrong, and the message says what to do."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NoSuchWebhook(LookupError):
    """This project has no such webhook, or no such delivery."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as people and programs see it."""

    number: int
    address: str
    kinds: list[str]
    is_on: bool
    why_off: str
    created_at: datetime
    old_secret_until: datetime | None  # the secret before signs too until then
    n_waiting: int
    delivered_at: datetime | None  # the newest message that was taken

    @property
    def words(self) -> str:
        """What it reports, in words."""
        return "; ".join(label for kind, label in KINDS if kind in self.kinds)


@dataclass(frozen=True, slots=True)
class TryRow:
    """One try to deliver. duration_ms: None while a worker is at it, or after it was lost."""

    number: int
    at: datetime
    status: int | None
    duration_ms: int | None
    answer: str
    failure: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One message to one webhook, with its newest tries."""

    number: int
    message: str
    kind: str
    words: str
    state: str
    created_at: datetime
    next_at: datetime | None
    body: str
    n_tries: int
    tries: list[TryRow]


def allowed_hosts() -> list[str]:
    """Return the hosts to which this site sends, as the administrator wrote them, with scheme and port where these are not the usual."""
    shown = []
    for host in settings.WEBHOOK_HOSTS:
        name = f"[{host.name}]" if ":" in host.name else f"*{host.name}" if host.name.startswith(".") else host.name
        usual = 443 if host.scheme == "https" else 80
        shown.append(f"{'http://' if host.scheme == 'http' else ''}{name}{'' if host.port == usual else f':{host.port}'}")
    return shown


def webhooks_of(project: Project) -> list[WebhookRow]:
    """Return the webhooks of a project, oldest first."""
    return [_row(webhook) for webhook in _counted(project).order_by("pk")]


def webhook_page(project: Project, *, after: int, limit: int) -> tuple[list[WebhookRow], int | None]:
    """Return the webhooks of a project after a number, and the number after which the next page begins. None: there is no next one."""
    rows = [_row(webhook) for webhook in _counted(project).filter(pk__gt=after).order_by("pk")[: limit + 1]]
    return rows[:limit], rows[limit - 1].number if len(rows) > limit else None


def find_webhook(project: Project, number: int) -> WebhookRow:
    """Return one webhook. Raises NoSuchWebhook."""
    webhook = _counted(project).filter(pk=number).first()
    if webhook is None:
        raise NoSuchWebhook(f"{project} has no webhook {number}.")
    return _row(webhook)


def add_webhook(project: Project, *, address: str, kinds: Collection[str], actor: "User | None") -> tuple[WebhookRow, str]:
    """Add a webhook, and return it and its secret. What was done before is not reported. Raises WebhookRefused."""
    try:
        place_of(address)
    except BadAddress as bad:
        raise WebhookRefused(str(bad), field="address") from None
    chosen = [kind for kind, _ in KINDS if kind in kinds]
    if not chosen or len(chosen) < len(set(kinds)):
        raise WebhookRefused(f"Choose what is reported, one or more of: {', '.join(kind for kind, _ in KINDS)}.", field="kinds")
    nonce, mark = new_nonce()
    try:
        with transaction.atomic():
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # one after the other, so that the count is right
            if Webhook.objects.filter(project=project).count() >= MOST_WEBHOOKS:
                raise WebhookRefused(f"This project has {MOST_WEBHOOKS} webhooks, the most there can be. Delete one that is not needed.")
            tell_batches([project.pk])  # what is done by now is no news for the new one
            webhook = Webhook.objects.create(project=project, address=address, kinds=chosen, nonce=nonce, mark=mark)
            _note(webhook, "add webhook", actor, events=chosen)
    except IntegrityError as error:
        if broken_rule(error) != "webhook_address_once":
            raise
        raise WebhookRefused("This project has a webhook with this address. Delete that one first.", field="address") from None
    return find_webhook(project, webhook.pk), secret_of(webhook)


def change_secret(project: Project, number: int, *, actor: "User | None") -> str:
    """Give a webhook a new secret, and return it. The one before signs too for a day. Raises NoSuchWebhook."""
    with transaction.atomic():
        webhook = _find(project, number, lock=True)
        webhook.old_nonce, webhook.old_until = webhook.nonce, Now() + OLD_SECRET
        webhook.nonce, webhook.mark = new_nonce()
        webhook.save(update_fields=["nonce", "mark", "old_nonce", "old_until"])
        _note(webhook, "change secret of webhook", actor)
    return secret_of(webhook)


def switch(project: Project, number: int, *, is_on: bool, actor: "User | None") -> bool:
    """Switch a webhook on or off, and return whether that changed something. Raises NoSuchWebhook.

    Nothing is written down for one that is off. What waited before is sent when it is on again.
    """
    with transaction.atomic():
        webhook = _find(project, number, lock=True)
        if webhook.is_on == is_on:
            return False
        if is_on:
            tell_batches([project.pk])
            waiting = WebhookDelivery.objects.filter(webhook=webhook, state=DeliveryState.WAITING)
            waiting.update(failures=0, began_at=Now(), next_at=Now())
            transaction.on_commit(ask_worker)
        Webhook.objects.filter(pk=webhook.pk).update(is_on=is_on, why_off="")
        _note(webhook, f"switch {'on' if is_on else 'off'} webhook", actor)
    return True


def delete_webhook(project: Project, number: int, *, actor: "User | None") -> None:
    """Delete a webhook with its log. Raises NoSuchWebhook."""
    with transaction.atomic():
        webhook = _find(project, number, lock=True)
        _note(webhook, "delete webhook", actor)
        webhook.delete()


def ping(project: Project, number: int, *, actor: "User | None") -> None:
    """Send a message that reports nothing, once. Raises NoSuchWebhook, and WebhookRefused for one that is off."""
    with transaction.atomic():
        webhook = _find(project, number)
        if not webhook.is_on:
            raise WebhookRefused("This webhook is off. Switch it on first.")
        event = _note(webhook, "test webhook", actor)
        data = {"project": project.slug, "state": "test"}
        write_event(project, WebhookEventKind.PING, occasion=f"ping {event.pk}", data=data, webhooks=[webhook.pk])


def send_again(project: Project, number: int, delivery_number: int, *, actor: "User | None") -> None:
    """Send a message once more, under the id that it had. Raises NoSuchWebhook, and WebhookRefused for one that is off."""
    with transaction.atomic():
        webhook = _find(project, number)
        if not webhook.is_on:
            raise WebhookRefused("This webhook is off. Switch it on first.")
        delivery = WebhookDelivery.objects.filter(webhook=webhook, pk=delivery_number)
        again = {"state": DeliveryState.WAITING, "failures": 0, "began_at": Now(), "next_at": Now(), "ended_at": None}
        if not delivery.update(**again):
            raise NoSuchWebhook(f"Webhook {number} has no delivery {delivery_number}.")
        _note(webhook, "send webhook again", actor, delivery=delivery_number)
        transaction.on_commit(ask_worker)


def deliveries_of(project: Project, number: int, *, before: int | None = None, limit: int = SHOWN) -> list[DeliveryRow]:
    """Return the newest deliveries of a webhook, or those before a number. Raises NoSuchWebhook."""
    rows = WebhookDelivery.objects.filter(webhook=_find(project, number)).select_related("event").prefetch_related("tries")
    return [_delivery(row) for row in (rows.filter(pk__lt=before) if before else rows).order_by("-pk")[:limit]]


def delivery_page(project: Project, number: int, *, after: int, limit: int) -> tuple[list[DeliveryRow], int | None]:
    """Return the deliveries of a webhook after a number, the oldest first, and where the next page begins. Raises NoSuchWebhook."""
    deliveries = WebhookDelivery.objects.filter(webhook=_find(project, number), pk__gt=after)
    found = deliveries.select_related("event").prefetch_related("tries").order_by("pk")[: limit + 1]
    rows = [_delivery(row) for row in found]
    return rows[:limit], rows[limit - 1].number if len(rows) > limit else None


def _find(project: Project, number: int, *, lock: bool = False) -> Webhook:
    webhooks = Webhook.objects.filter(project=project, pk=number)
    webhook = (webhooks.select_for_update() if lock else webhooks).first()
    if webhook is None:
        raise NoSuchWebhook(f"{project} has no webhook {number}.")
    return webhook


def _note(webhook: Webhook, verb: str, actor: "User | None", **details: Any) -> Event:
    try:
        host = place_of(webhook.address).name
    except BadAddress:  # not allowed any more
        host = webhook.address.split("/")[2]
    details = {"host": host, **details}
    return Event.objects.create(actor=actor, project_id=webhook.project_id, verb=verb, subject=str(webhook), details=details)


def _counted(project: Project) -> "Any":
    waiting, taken = Q(webhookdelivery__state=DeliveryState.WAITING), Q(webhookdelivery__state=DeliveryState.DELIVERED)
    counts = {"n_waiting": Count("webhookdelivery", filter=waiting), "delivered_at": Max("webhookdelivery__ended_at", filter=taken)}
    return Webhook.objects.filter(project=project).annotate(**counts)


def _row(webhook: Any) -> WebhookRow:
    return WebhookRow(
        number=webhook.pk,
        address=webhook.address,
        kinds=webhook.kinds,
        is_on=webhook.is_on,
        why_off=webhook.why_off,
        created_at=webhook.created_at,
        old_secret_until=webhook.old_until,
        n_waiting=webhook.n_waiting,
        delivered_at=webhook.delivered_at,
    )


def _delivery(row: WebhookDelivery) -> DeliveryRow:
    tries: Sequence[Any] = sorted(row.tries.all(), key=lambda one: -one.number)
    return DeliveryRow(
        number=row.pk,
        message=name_of(row.event.pk),
        kind=row.event.kind,
        words=WebhookEventKind(row.event.kind).label,
        state=row.state,
        created_at=row.event.created_at,
        next_at=row.next_at if row.state == DeliveryState.WAITING else None,
        body=row.event.body,
        n_tries=row.attempt,
        tries=[TryRow(one.number, one.at, one.status, one.duration_ms, one.answer, one.failure) for one in tries[:SHOWN_TRIES]],
    )
