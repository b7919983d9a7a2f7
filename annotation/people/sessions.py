"""Stage: people, sessions. In which browsers a person is signed in, and how to end that. Reads and writes BrowserSession."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation.models import BrowserSession, Membership
from annotation.people.memberships import MANAGERS, may_administrate
from annotation.people.second_factor import has_second_factor, remove_second_factor
from annotation.people.tokens import revoke_tokens

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# What a browser writes about itself contains the names of others, so the first match counts.
BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"),
            ("Chrome", "Chrome"), ("CriOS", "Chrome"), ("Safari", "Safari"))  # fmt: skip
SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
           ("Mac OS X", "macOS"), ("Linux", "Linux"))  # fmt: skip


@dataclass(frozen=True)
class OpenSession:
    """One browser in which a person is signed in. `name` stands for the session in forms: its key would sign in."""

    name: str
    device: str
    began_at: datetime
    seen_at: datetime
    is_current: bool


def sessions_of(person: "User", *, current: str | None) -> list[OpenSession]:
    """Return the open sessions of a person: the current one (its key), then those seen last. `seen_at` is up to five minutes late."""
    sessions = [
        OpenSession(_name(row.session_key), device_of(row.device), row.began_at, row.seen_at, row.session_key == current)
        for row in BrowserSession.objects.filter(person=person, expire_date__gt=Now()).order_by("-seen_at")
    ]
    return sorted(sessions, key=lambda session: not session.is_current)


def end_session(person: "User", name: str) -> bool:
    """End one session of a person. False: it has ended already, or it is somebody else's."""
    keys = [key for key in BrowserSession.objects.filter(person=person).values_list("session_key", flat=True) if _name(key) == name]
    return BrowserSession.objects.filter(session_key__in=keys).delete()[0] > 0


def end_others(person: "User", *, current: str | None) -> int:
    """End all sessions of a person but the current one. Return how many."""
    return BrowserSession.objects.filter(person=person).exclude(session_key=current).delete()[0]


def end_all(person: "User") -> None:
    """End all sessions of a person."""
    BrowserSession.objects.filter(person=person).delete()


def reset_second_factor(person: "User", *, actor: "User | None") -> bool:
    """Remove the second factor of a person who has lost it, end all sessions and revoke all tokens. False: there was none."""
    was_set = remove_second_factor(person, actor=actor)
    if was_set:
        end_all(person)
        revoke_tokens(person, actor=actor)
    return was_set


def end_sessions_without_proof(person: "User") -> None:
    """End the sessions of a person who now needs a second factor and has none. The next sign-in leads them to set it up."""
    if settings.SECOND_FACTOR_REQUIRED and may_administrate(person) and not has_second_factor(person):
        end_all(person)


def end_all_sessions_without_proof() -> int:
    """End the sessions of all people who need a second factor and have none. Return how many sessions there were."""
    if not settings.SECOND_FACTOR_REQUIRED:
        return 0
    managers = Membership.objects.filter(role__in=MANAGERS, user=OuterRef("person"))
    administrate = Q(person__is_staff=True) | Q(person__is_superuser=True) | Exists(managers)
    unproven = BrowserSession.objects.filter(administrate).exclude(person__in=TOTPDevice.objects.filter(confirmed=True).values("user"))
    return unproven.delete()[0]


def device_of(user_agent: str) -> str:
    """Return browser and system in words, such as "Firefox on Windows"."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return " on ".join(filter(None, (browser or "Another program", system)))


def _name(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:16]
