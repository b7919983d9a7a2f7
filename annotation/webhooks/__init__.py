"""Stage: webhooks. Other programs are told what happens in a project: a batch or a round is done, a snapshot is ready.

signing: secrets and signatures.  hosts: where this site sends.  sending: one request.  outbox: what is told, and when it is tried again.
managing: what managers do.
"""

from annotation.models import WebhookEventKind
from annotation.webhooks.hosts import LONGEST_ADDRESS, BadAddress
from annotation.webhooks.managing import (
    KINDS,
    MOST_WEBHOOKS,
    SHOWN,
    DeliveryRow,
    NoSuchWebhook,
    WebhookRefused,
    WebhookRow,
    add_webhook,
    allowed_hosts,
    change_secret,
    delete_webhook,
    deliveries_of,
    delivery_page,
    find_webhook,
    ping,
    send_again,
    switch,
    webhook_page,
    webhooks_of,
)
from annotation.webhooks.outbox import forget_old, send_due, tell, tell_batches

__all__ = [
    "KINDS",
    "LONGEST_ADDRESS",
    "MOST_WEBHOOKS",
    "SHOWN",
    "BadAddress",
    "DeliveryRow",
    "NoSuchWebhook",
    "WebhookEventKind",
    "WebhookRefused",
    "WebhookRow",
    "add_webhook",
    "allowed_hosts",
    "change_secret",
    "deliveries_of",
    "delete_webhook",
    "delivery_page",
    "find_webhook",
    "forget_old",
    "ping",
    "send_again",
    "send_due",
    "switch",
    "tell",
    "tell_batches",
    "webhook_page",
    "webhooks_of",
]
