"""Stage: webhooks, signatures. The secrets of a webhook, and the headers by which a receiver knows that a message is from this site.

The scheme is that of Standard Webhooks (https://www.standardwebhooks.com). The database holds a nonce instead of a secret: the secret is
made of the nonce and of SECRET_KEY, so neither a copy of the database nor a backup can sign.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from standardwebhooks import Webhook as Signer

if TYPE_CHECKING:
    from annotation.models import Webhook

_CONTEXT = b"stepmark.webhooks."


class OtherSecretKey(Exception):
    """The secret was made with another SECRET_KEY. The message says what to do."""


def new_nonce() -> tuple[bytes, bytes]:
    """Return a nonce for a new secret, and the mark by which it is seen later that SECRET_KEY is still the same."""
    nonce = secrets.token_bytes(32)
    return nonce, _mark(_key(nonce))


def secret_of(webhook: "Webhook") -> str:
    """Return the secret as its receiver gets it: whsec_ and base64."""
    return f"whsec_{base64.b64encode(_key(bytes(webhook.nonce))).decode()}"


def headers_of(webhook: "Webhook", *, message: UUID, body: str, now: datetime) -> dict[str, str]:
    """Return the headers of one try. After a change of the secret the one before signs too, for a day. Raises OtherSecretKey."""
    keys = [_key(bytes(webhook.nonce))]
    if not hmac.compare_digest(_mark(keys[0]), bytes(webhook.mark)):
        raise OtherSecretKey("The secret of this webhook was made with another SECRET_KEY of the site. Make a new secret.")
    if webhook.old_nonce is not None and webhook.old_until is not None and now < webhook.old_until:
        keys.append(_key(bytes(webhook.old_nonce)))
    name = name_of(message)
    signatures = [Signer(key).sign(name, now, body) for key in keys]
    return {
        "content-type": "application/json",
        "user-agent": "Stepmark-Webhooks",
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def name_of(message: UUID) -> str:
    """Return the id of a message as receivers see it."""
    return f"msg_{message.hex}"


def _key(nonce: bytes) -> bytes:
    return hmac.new(settings.SECRET_KEY.encode(), _CONTEXT + nonce, hashlib.sha256).digest()


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(_CONTEXT + key).digest()[:8]
