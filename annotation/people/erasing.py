"""Stage: people, erasing a person. The name goes; the labels and their pseudonym stay, so every export stays as it is."""

import json
from typing import TYPE_CHECKING

from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, Value
from django.db.models.functions import Replace

from annotation import happenings
from annotation.models import ApiToken, Event, Flag, Invitation, Keys, Membership, Notification, Preferences, Role
from annotation.people.passwords import has_password
from annotation.people.second_factor import remove_second_factor
from annotation.people.sessions import end_all

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE_PREFIX = "file-"  # of the accounts that a load makes for the pseudonyms in a file
ERASED_PREFIX = "erased-"


class CannotErase(ValueError):
    """A person who cannot be erased. The message says why and what to do."""


def erased_name(person: User) -> str:
    """Return the user name of a person after erasure."""
    return f"{ERASED_PREFIX}{person.pk}"


def is_reserved(name: str) -> bool:
    """Return whether nobody can choose this user name: loads and erasures make such names."""
    return name.lower().startswith((FILE_PREFIX, ERASED_PREFIX))


def erase(person: User, *, actor: User | None) -> None:
    """Erase a person: name, e-mail, password, second factor, sessions, tokens and keys. The account is closed, and all memberships end.

    Labels, messages and the pseudonym stay; messages show "erased-N" as the author. The event that is stored holds no name. Raises
    CannotErase: the last owner of a project, or an account that a load made.
    """
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        if person.username.startswith(FILE_PREFIX) and not has_password(person):
            raise CannotErase(f"{person.username} came with a loaded file. It is a pseudonym, and there is no name to erase.")
        if slugs := sorted(owned_alone(person)):
            raise CannotErase(f"{person.username} is the only owner of {', '.join(slugs)}. Give each project another owner first.")
        name, new_name, email = person.username, erased_name(person), person.email
        if name == new_name:
            return
        person.username, person.first_name, person.last_name, person.email = new_name, "", "", ""
        person.is_active = person.is_staff = person.is_superuser = False
        person.set_unusable_password()
        person.save()
        person.groups.clear()
        person.user_permissions.clear()
        Membership.objects.filter(user=person).update(role=Role.FORMER, reason="")
        Keys.objects.filter(person=person.pk).delete()
        Preferences.objects.filter(person=person.pk).delete()
        ApiToken.objects.filter(user=person).delete()
        Notification.objects.filter(Q(person=person) | Q(about=person)).delete()
        Flag.objects.filter(person=person).update(note="")
        about = Q(used_by=person) | (Q(note__icontains=email) if email else Q())
        Invitation.objects.filter(about).update(note="")
        AccessAttempt.objects.filter(username=name).delete()
        _erase_from_log(person, name)
        remove_second_factor(person, actor=actor)
        end_all(person)
        happenings.person_erased.send(User, name=name, new_name=new_name)
        Event.objects.create(actor=actor, verb="erase person", subject=f"person {person.pk}")


def _erase_from_log(person: User, name: str) -> None:
    """Erase a name from the log of the administration. It calls a membership "ann as ..."."""
    of_account = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User), object_id=str(person.pk))
    of_account.update(object_repr=erased_name(person), change_message="")
    for field, before in (("object_repr", ""), ("change_message", '"')):
        words = Value(f"{before}{json.dumps(name)[1:-1] if before else name} as ")
        rows = LogEntry.objects.filter(**{f"{field}__contains": words.value})
        rows.update(**{field: Replace(field, words, Value(f"{before}{erased_name(person)} as "))})


def owned_alone(person: User) -> "Iterable[str]":
    """Return the addresses of the projects that nobody else owns."""
    owners: dict[str, list[int]] = {}
    for slug, owner in Membership.objects.filter(role=Role.OWNER, user__is_active=True).values_list("project__slug", "user"):
        owners.setdefault(slug, []).append(owner)
    return [slug for slug, those in owners.items() if those == [person.pk]]
