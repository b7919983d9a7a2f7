"""Stage: people, passwords. How long somebody waits after wrong passwords. django-axes counts them by user name and address together.

Never by user name alone: then anybody could keep another person out.
"""

import math

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.db.models import Max
from django.utils import timezone

from annotation.models import Event
from annotation.people.sessions import end_all
from annotation.people.tokens import revoke_tokens


def seconds_to_wait(name: str, *, address: str | None) -> int:
    """Return after how many seconds this name can be tried again from this address."""
    last = AccessAttempt.objects.filter(username=name, ip_address=address).aggregate(last=Max("attempt_time"))["last"]
    cool_off = get_cool_off()
    if last is None or cool_off is None:
        return 0
    return max(0, math.ceil((last + cool_off - timezone.now()).total_seconds()))


def unlock(name: str) -> int:
    """Forget the wrong passwords given for a name. Return how many counts there were: one for each address and browser."""
    return AxesProxyHandler.reset_attempts(username=name)


def has_password(person: User) -> bool:
    """Return whether a person can sign in with a password."""
    return bool(person.password) and person.has_usable_password()


def set_password(person: User, password: str) -> None:
    """Store a new password of a person. The caller keeps the current session and ends the others."""
    person.set_password(password)
    person.save(update_fields=["password"])
    Event.objects.create(actor=person, verb="set password", subject=f"person {person.pk}")


def forget_password(person: User, *, actor: User | None) -> None:
    """Remove a password that its owner has forgotten, end all sessions and revoke all tokens.

    The person signs in by a link and can then set a new one.
    """
    person.set_unusable_password()
    person.save(update_fields=["password"])
    end_all(person)
    revoke_tokens(person, actor=actor)
    Event.objects.create(actor=actor, verb="remove password", subject=f"person {person.pk}")
