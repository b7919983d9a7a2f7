"""Stage: retries. A request that a program sends twice, because it saw no answer, acts once. Reads and writes StoredAnswer."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.utils import timezone

from annotation.models import StoredAnswer

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEPT = timedelta(days=1)  # as long as an answer is stored
MOST_DELETED = 1_000  # old answers that one request deletes


class KeyInUse(Exception):
    """The first request with this key is still running."""


class KeyReused(ValueError):
    """This key belongs to a request with other content."""


@dataclass(frozen=True, slots=True)
class OnceAnswer:
    """Status and body of an answer. is_repeated: it was stored by an earlier request, and this one did nothing."""

    status: int
    body: Any
    is_repeated: bool


def once(person: "User", key: str, *, content: bytes, act: Callable[[], tuple[int, Any]]) -> OnceAnswer:
    """Do an act, and store its answer under the key of a person in the same transaction. A second request with the key gets that answer.

    `content` is what the request asks for. An act that raises stores nothing, so it can be tried again. Raises KeyInUse and KeyReused.
    """
    fingerprint = hashlib.sha256(content).digest()
    with transaction.atomic():
        with connection.cursor() as cursor:
            lock = int.from_bytes(hashlib.sha256(f"{person.pk} {key}".encode()).digest()[:8], signed=True)
            (is_ours,) = cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock]).fetchone()
        if not is_ours:
            raise KeyInUse("The first request with this Idempotency-Key is still running. Wait, then send it again.")
        old = StoredAnswer.objects.filter(created_at__lt=timezone.now() - KEPT)
        old.filter(person=person, key=key).delete()
        stored = StoredAnswer.objects.filter(person=person, key=key).first()
        if stored is not None:
            if bytes(stored.fingerprint) != fingerprint:
                raise KeyReused("This Idempotency-Key belongs to another request. Use a new key for each request that is not a repetition.")
            return OnceAnswer(stored.status, stored.body, is_repeated=True)
        status, body = act()
        # Last, and none that another request deletes: an act can take minutes, and nobody has to wait for its commit.
        StoredAnswer.objects.filter(
            pk__in=list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:MOST_DELETED])
        ).delete()
        StoredAnswer.objects.create(person=person, key=key, fingerprint=fingerprint, status=status, body=body)
        return OnceAnswer(status, body, is_repeated=False)
