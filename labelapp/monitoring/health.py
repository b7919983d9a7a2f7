"""What load balancers and monitoring ask: whether this process lives, and whether the site is ready, part by part.

Both answer before any other middleware, so neither needs a session, a host name from ALLOWED_HOSTS or https. They name no texts, accounts
or passwords.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import redis
from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse

from active_learning import rounds
from labelapp.http import outages
from trainer import __version__

DISK_FREE_BYTES = 200_000_000  # PostgreSQL needs some room for its log of changes
BROKER_SECONDS = 2
REMEMBERED_SECONDS = 1.0  # anybody can ask, so the parts are looked at once a second


@dataclass(frozen=True)
class Part:
    """One part of the site. Without a `needed` one the pages cannot serve; without another one, something waits."""

    ok: bool
    why: str = ""
    needed: bool = False


def live(request: HttpRequest) -> HttpResponse:
    """Say that this process answers. Asks for nothing."""
    return JsonResponse({"live": True, "version": __version__})


def ready(request: HttpRequest) -> HttpResponse:
    """Name each part with ok and why. 503 if the pages cannot serve; with `?all` also if any other part is missing."""
    parts = look()
    is_ready = all(part.ok for part in parts.values() if part.needed or "all" in request.GET)
    answer = JsonResponse(
        {"ready": is_ready, "parts": {name: asdict(part) for name, part in parts.items()}}, status=200 if is_ready else 503
    )
    if not is_ready:
        answer["Retry-After"] = "5"
        answer._has_been_logged = True  # type: ignore[attr-defined]  # each question would be a line in the log
    return answer


_lock = threading.Lock()
_remembered: tuple[float, dict[str, Part]] = (0.0, {})


def look() -> dict[str, Part]:
    """Look at every part, or return what was seen less than a second ago."""
    global _remembered
    with _lock:
        seen_at, parts = _remembered
        if not parts or time.monotonic() - seen_at > REMEMBERED_SECONDS:
            parts = _parts()
            _remembered = (time.monotonic(), parts)
        return parts


def _parts() -> dict[str, Part]:
    database = _tried(_database, needed=True)
    if not database.ok:
        outages.drop_connections()
        unknown = "It cannot be seen without the database."
        signs = {name: Part(False, unknown) for name in ("beat", "worker", "trainer")}
        return {"database": database, "migrations": Part(False, unknown, True), "broker": _tried(_broker), **signs, "disk": _disk()}
    return {"database": database, "migrations": _tried(_migrations, needed=True), "broker": _tried(_broker), **_signs(), "disk": _disk()}


def _tried(look_at: Callable[[], str], *, needed: bool = False) -> Part:
    """Return a part from a function that returns what is wrong, or fails."""
    try:
        why = look_at()
    except Exception as error:  # the kind alone: messages of drivers name hosts, and some name passwords
        why = f"It does not answer ({type(error).__name__})."
    return Part(not why, why, needed)


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        return "It only reads: it follows another server." if cursor.fetchone()[0] else ""


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


def _migrations() -> str:
    missing = sorted(_known_migrations() - MigrationRecorder(connection).applied_migrations().keys())
    if not missing:
        return ""
    first = ".".join(missing[0])
    return f"{len(missing)} not applied, first {first}. Run `python manage.py migrate`."


def _broker() -> str:
    address = str(current_app.conf.broker_url or "")
    if address.startswith("filesystem:"):
        folder = Path(settings.STEPMARK_HOME) / "broker" / "messages"
        return "" if os.access(folder, os.W_OK) else "Its folder cannot be written."
    if address.startswith(("redis:", "rediss:", "unix:")):
        with redis.Redis.from_url(address, socket_timeout=BROKER_SECONDS, socket_connect_timeout=BROKER_SECONDS) as client:
            client.ping()
        return ""
    with current_app.connection_for_write(connect_timeout=BROKER_SECONDS) as broker:
        broker.ensure_connection(max_retries=1)
    return ""


def _signs() -> dict[str, Part]:
    """Return beat and the workers of both queues by their last life signs."""
    try:
        signs = rounds.life_signs()
    except Exception as error:
        return {name: Part(False, f"It cannot be seen ({type(error).__name__}).") for name in ("beat", "worker", "trainer")}
    queues = (("beat", rounds.BEAT), ("worker", "default"), ("trainer", "gpu"))
    return {name: Part(not (why := rounds.why_silent(signs, queue)), why) for name, queue in queues}


def _disk() -> Part:
    try:
        usage = shutil.disk_usage(settings.STEPMARK_HOME)
    except OSError as error:
        return Part(False, f"STEPMARK_HOME cannot be read ({error.strerror}).", True)
    free = f"{usage.free / 1e9:,.1f} of {usage.total / 1e9:,.1f} GB are free under STEPMARK_HOME."
    return Part(usage.free >= DISK_FREE_BYTES, free, True)
