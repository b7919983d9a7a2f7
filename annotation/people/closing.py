"""Stage: people, closing an account. Everything stays, nobody can sign in with it, and it can be opened again."""

from django.contrib.auth.models import User
from django.db import transaction

from annotation.models import Event
from annotation.people.erasing import ERASED_PREFIX, owned_alone
from annotation.people.sessions import end_all
from annotation.people.tokens import revoke_tokens


class CannotClose(ValueError):
    """An account that cannot be closed or opened again. The message says why and what to do."""


def close_account(person: User, *, actor: User | None) -> None:
    """Close an account, end its sessions and revoke its tokens. Raises CannotClose: closed before, or the only owner of a project."""
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        if not person.is_active:
            raise CannotClose(f"The account of {person.username} is closed already.")
        if slugs := sorted(owned_alone(person)):
            raise CannotClose(f"{person.username} is the only owner of {', '.join(slugs)}. Give each project another owner first.")
        User.objects.filter(pk=person.pk).update(is_active=False)
        end_all(person)
        revoke_tokens(person, actor=actor)
        Event.objects.create(actor=actor, verb="close account", subject=f"person {person.pk}")


def open_account(person: User, *, actor: User | None) -> None:
    """Open a closed account again, with its password and memberships. Its tokens stay revoked.

    Raises CannotClose: it is open, or the person was erased.
    """
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        if person.username.startswith(ERASED_PREFIX):
            raise CannotClose(f"{person.username} was erased for good. Invite the person again.")
        if person.is_active:
            raise CannotClose(f"The account of {person.username} is open.")
        User.objects.filter(pk=person.pk).update(is_active=True)
        Event.objects.create(actor=actor, verb="open account", subject=f"person {person.pk}")
