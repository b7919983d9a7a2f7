"""Stage: people, the second factor: six digits from an app (TOTP, RFC 6238), or a recovery code. Reads and writes the tables of django-otp.

Owners, managers and staff need it in production. Everybody else can have it. A person who has it is asked for it at every sign-in, also
after a one-time link. Wrong codes are slowed down by django-otp: 1 s after the first, then 2, 4, 8.
"""

import math
import secrets
from base64 import b32encode
from enum import StrEnum
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation.models import Event
from annotation.people.memberships import may_administrate

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CODES = 10  # recovery codes at a time
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look like others
NAME = "authenticator app"


class BadCode(ValueError):
    """A code that was not accepted. The message says what to do."""


class NextStep(StrEnum):
    """What a person still has to do after the password or the link, before they are signed in."""

    NOTHING = "nothing"
    CODE = "code"
    SET_UP = "set up"


def next_step(person: "User") -> NextStep:
    """Return what stands between this person and being signed in."""
    if has_second_factor(person):
        return NextStep.CODE
    return NextStep.SET_UP if is_required(person) else NextStep.NOTHING


def is_required(person: "User") -> bool:
    """Return whether this person cannot do without a second factor."""
    return settings.SECOND_FACTOR_REQUIRED and may_administrate(person)


def has_second_factor(person: "User") -> bool:
    """Return whether this person has set up a second factor."""
    return TOTPDevice.objects.filter(user=person, confirmed=True).exists()


def new_app(person: "User") -> TOTPDevice:
    """Return the app that the person is about to set up, with the same secret each time until `confirm_app` takes it."""
    return TOTPDevice.objects.filter(user=person, confirmed=False).first() or TOTPDevice.objects.create(
        user=person, confirmed=False, name=NAME
    )


def secret_of(app: TOTPDevice) -> str:
    """Return the secret of an app as people type it: letters and digits in groups of four."""
    text = b32encode(app.bin_key).decode()
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


def confirm_app(person: "User", code: str) -> list[str]:
    """Take the new app as the person's second factor, and return the first recovery codes. Raises BadCode."""
    with transaction.atomic():
        app = TOTPDevice.objects.select_for_update().filter(user=person, confirmed=False).first()
        if app is None:
            raise BadCode("This page is too old. Open it again, and scan the picture again.")
        is_right = app.verify_token(_digits(code))
        if is_right:
            TOTPDevice.objects.filter(user=person).exclude(pk=app.pk).delete()
            TOTPDevice.objects.filter(pk=app.pk).update(confirmed=True)
            Event.objects.create(actor=person, verb="set up second factor", subject=f"person {person.pk}")
            return make_recovery_codes(person)
    raise BadCode(_refusal(app))  # after the transaction: the wrong code counts


def check_code(person: "User", code: str) -> None:
    """Accept a code from the app, or a recovery code, which is used up. Raises BadCode: wrong, used before, or too soon."""
    digits = _digits(code)
    device_class = TOTPDevice if digits.isdecimal() and len(digits) == 6 else StaticDevice
    with transaction.atomic():
        device = device_class.objects.select_for_update().filter(user=person, confirmed=True).first()
        is_right = device is not None and device.verify_token(digits if device_class is TOTPDevice else _hashed(code))
    if not is_right:
        raise BadCode(_refusal(device))


def make_recovery_codes(person: "User") -> list[str]:
    """Replace the recovery codes of a person and return the new ones. They are stored only as hashes, so nobody can read them again."""
    codes = ["-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(2)) for _ in range(CODES)]
    with transaction.atomic():
        StaticDevice.objects.filter(user=person).delete()
        device = StaticDevice.objects.create(user=person, name="recovery codes")
        StaticToken.objects.bulk_create(StaticToken(device=device, token=_hashed(code)) for code in codes)
    return codes


def remove_second_factor(person: "User", *, actor: "User | None") -> bool:
    """Remove the app and the recovery codes of a person. False: there were none."""
    with transaction.atomic():
        n_apps = TOTPDevice.objects.filter(user=person, confirmed=True).count()
        TOTPDevice.objects.filter(user=person).delete()
        StaticDevice.objects.filter(user=person).delete()
        if n_apps:
            Event.objects.create(actor=actor, verb="remove second factor", subject=f"person {person.pk}")
    return n_apps > 0


def _digits(code: str) -> str:
    return "".join(code.split())


def _hashed(code: str) -> str:
    """Return what is stored of a recovery code: 64 bits of an HMAC, as much as the column of django-otp takes."""
    letters = "".join(letter for letter in code.lower() if letter.isalnum())
    return salted_hmac("annotation.people.recovery", letters, algorithm="sha256").hexdigest()[:16]


def _refusal(device: "TOTPDevice | StaticDevice | None") -> str:
    if device is not None:
        device.refresh_from_db()
        is_allowed, reason = device.verify_is_allowed()
        if not is_allowed:
            seconds = max(1, math.ceil((reason["locked_until"] - timezone.now()).total_seconds()))
            wait = f"{seconds} seconds" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
            return f"This code is not right, or it was used before. Wait {wait}, then give the code that the app shows then."
    return "This code is not right, or it was used before. Give the six digits that the app shows now, or a recovery code."
