"""Stage: people, invitations. A link lets one person into a project, once, within 72 hours. Reads and writes Invitation.

Opening a link uses nothing up: chats and mail programs open links for their previews. The button on its page accepts the invitation.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from enum import StrEnum
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from annotation import ingest
from annotation.models import Event, Invitation, Membership, Project, Role, broken_rule
from annotation.people.erasing import is_reserved
from annotation.people.memberships import MANAGERS, NoSuchAccount, roles_up_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotation.people.memberships import Person

HOURS = 72  # how long a link works
MOST = 100  # links at a time
LONGEST = 200  # characters of a line
SHOWN = 200  # invitations on the page of people
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class BadInvitations(ValueError):
    """Lines from which no invitations were made. `faults` has a sentence for each bad line, by its number. Nothing was made."""

    def __init__(self, faults: Mapping[int, str]) -> None:
        super().__init__(" ".join(f"Line {line}: {sentence}" if line else sentence for line, sentence in faults.items()))
        self.faults = faults


class NoInvitation(ValueError):
    """A link with which nobody gets in. The message says why and what to do."""


class UnknownInvitation(NoInvitation):
    """This site never made such a link."""


class AlreadyMember(NoInvitation):
    """The person is a member of the project already. The invitation stays unused."""

    def __init__(self, person: User, membership: Membership) -> None:
        super().__init__(
            f"You are signed in as {person}, and {person} is a member of {membership.project} already, as "
            f"{membership.get_role_display().lower()}. The invitation stays unused. Give the link to the person it is for."
        )
        self.project = membership.project


class InvitationState(StrEnum):
    OPEN = "open"
    USED = "used"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True)
class NewInvitation:
    """An invitation and its link, which is known only now."""

    number: int
    note: str
    path: str  # of the link, on this site
    expires_at: datetime

    @property
    def address(self) -> str | None:
        """The e-mail address in the note."""
        return address_in(self.note)


@dataclass(frozen=True)
class Invited:
    """What a link that works invites to."""

    project: Project
    role: str  # in words
    note: str
    by: str  # the name of the person who made it
    expires_at: datetime


@dataclass(frozen=True)
class InvitationRow:
    """An invitation as managers see it."""

    number: int
    note: str
    role: str  # in words
    by: str
    created_at: datetime
    expires_at: datetime
    state: str
    ended_at: datetime
    used_by: str


def address_in(note: str) -> str | None:
    """Return the e-mail address of a note such as `Ann <ann@example.org>` or `ann@example.org`. None: it has no valid one."""
    address = parseaddr(note)[1] if "@" in note else ""
    try:
        validate_email(address)
    except ValidationError:
        return None
    return address if address in note else None


def invite(project: Project, *, actor: User, role: str, text: str) -> list[NewInvitation]:
    """Make an invitation for each line of a text: a name or an e-mail address. Empty lines do not count.

    The links work for 72 hours. Raises BadInvitations, which names every bad line: too long, no e-mail address though it has an @, there
    twice, already a member, already invited. Also if the actor cannot give this role.
    """
    own = Membership.objects.filter(project=project, user=actor, role__in=MANAGERS).first()
    if own is None or role not in roles_up_to(own.role):
        raise BadInvitations({0: "You cannot invite to this role: it is above your own. Choose another one."})
    lines = {number: " ".join(line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not lines:
        raise BadInvitations({0: "There are no names. Write one name or one e-mail address in a line."})
    if len(lines) > MOST:
        raise BadInvitations({0: f"There are {len(lines):,} lines. Invite at most {MOST} people at a time."})
    if faults := dict(_faults(project, lines)):
        raise BadInvitations(faults)
    made, expires_at = [], timezone.now() + timedelta(hours=HOURS)
    with transaction.atomic():
        for note in lines.values():
            token = secrets.token_urlsafe(32)
            row = Invitation.objects.create(
                project=project, role=role, note=note, token_hash=_hash(token), created_by=actor, expires_at=expires_at
            )
            # Without the note: it can be a name, and events stay when a person is erased.
            subject = f"invitation {row.pk}"
            Event.objects.create(actor=actor, project=project, verb="invite", subject=subject, details={"role": role})
            made.append(NewInvitation(row.pk, note, reverse("invitation", args=[token]), expires_at))
    return made


def _faults(project: Project, lines: Mapping[int, str]) -> "Iterator[tuple[int, str]]":
    members = Membership.objects.filter(project=project).exclude(role=Role.FORMER).select_related("user")
    known = {word.casefold() for member in members for word in (member.user.username, member.user.email) if word}
    is_open = Q(project=project, used_at=None, withdrawn_at=None, expires_at__gt=Now())
    invited = set(Invitation.objects.filter(is_open).values_list(Lower("note"), flat=True))
    first: dict[str, int] = {}
    for number, line in lines.items():
        shown, same = f"“{line[:60]}{'…' if len(line) > 60 else ''}”", first.setdefault(line.casefold(), number)
        try:
            ingest.clean_text(line)
        except ingest.BadText as bad:
            yield number, f"it contains {bad}. Remove that character."
            continue
        if len(line) > LONGEST:
            yield number, f"{shown} has {len(line):,} characters. Write at most {LONGEST}."
        elif not line.isprintable():
            yield number, f"{ascii(line[:60])} contains a character that cannot be seen. Remove it."
        elif same != number:
            yield number, f"{shown} is already in line {same}. Write each person once."
        elif line.count("@") > 1 or ("@" in line and address_in(line) is None):
            yield number, f"{shown} is not one valid e-mail address. Correct it, and write each address in a line of its own."
        elif known & {line.casefold(), (address_in(line) or line).casefold()}:
            yield number, f"{shown} is a member of {project} already. Remove the line."
        elif line.lower() in invited:
            yield number, f"{shown} is already invited. Withdraw the open invitation first if the link is lost."


def look(token: str, *, person: "Person") -> Invited:
    """Return what a link invites to, and use nothing up.

    Raises UnknownInvitation, AlreadyMember (the person is signed in and is a member), NoInvitation: it was used or withdrawn, it is too
    old, its maker can no longer invite to this role, or the person was removed after it was made.
    """
    signed_in = person if isinstance(person, User) else None
    row = _find(token, person=signed_in)
    if signed_in:
        _refuse_member(row, signed_in)
    by = row.created_by.get_full_name() or row.created_by.username
    return Invited(row.project, row.get_role_display().lower(), row.note, by, row.expires_at)


def accept(token: str, *, person: User) -> Project:
    """Make a signed-in person a member with the role of the invitation, and use the link up. Raises as `look` does.

    Of two requests at the same moment, one wins and the other one is told that the link was used.
    """
    with transaction.atomic():
        row = _find(token, is_locked=True, person=person)
        _refuse_member(row, person)
        _join(row, person)
    return row.project


def accept_as_new_person(token: str, *, name: str, password: str) -> tuple[User, Project]:
    """Make an account, and a member of it, in one transaction. Raises as `accept` does, and NoSuchAccount if the name cannot be used."""
    if is_reserved(name):
        raise NoSuchAccount(f"The name {name} is reserved. Choose another one.")
    with transaction.atomic():
        row = _find(token, is_locked=True)
        try:
            with transaction.atomic():
                person = User.objects.create_user(name, password=password, email=address_in(row.note) or "")
        except IntegrityError as error:
            if broken_rule(error) != "auth_user_username_key":
                raise
            raise NoSuchAccount(f"The name {name} is taken. Choose another one.") from error
        _join(row, person)
    return person, row.project


def withdraw(project: Project, number: int, *, actor: User) -> str:
    """End an open invitation and return its note. Raises NoInvitation: there is none, it ended before, or its role is above the own one."""
    with transaction.atomic():
        row = Invitation.objects.select_for_update(of=["self"]).filter(project=project, pk=number).select_related("used_by").first()
        own = Membership.objects.filter(project=project, user=actor, role__in=MANAGERS).first()
        if row is None or own is None:
            raise UnknownInvitation(f"{project} has no such invitation. Load the page again.")
        if row.role not in roles_up_to(own.role):
            raise NoInvitation(f"This invitation makes somebody {row.role}, which is above your own role. Ask an owner to withdraw it.")
        if row.used_at:
            raise NoInvitation(f"{row.used_by} used this link at {_moment(row.used_at)}. To end the membership, open the person's page.")
        if row.withdrawn_at:
            raise NoInvitation("This invitation is withdrawn already.")
        Invitation.objects.filter(pk=row.pk).update(withdrawn_at=Now())
        subject = f"invitation {row.pk}"
        Event.objects.create(actor=actor, project=project, verb="withdraw invitation", subject=subject, details={"role": row.role})
    return row.note


def invitations_of(project: Project) -> list[InvitationRow]:
    """Return the last invitations of a project: the open ones first, then the ended ones, each from the newest."""
    rows = Invitation.objects.filter(project=project).select_related("created_by", "used_by").order_by("-pk")[:SHOWN]
    now = timezone.now()
    shown = []
    for row in rows:
        state, ended_at = InvitationState.OPEN, row.expires_at
        if row.used_at:
            state, ended_at = InvitationState.USED, row.used_at
        elif row.withdrawn_at:
            state, ended_at = InvitationState.WITHDRAWN, row.withdrawn_at
        elif row.expires_at <= now:
            state = InvitationState.EXPIRED
        used_by = row.used_by.username if row.used_by else ""
        words = row.get_role_display().lower()
        shown.append(
            InvitationRow(row.pk, row.note, words, row.created_by.username, row.created_at, row.expires_at, state, ended_at, used_by)
        )
    return sorted(shown, key=lambda row: row.state != InvitationState.OPEN)


def _find(token: str, *, is_locked: bool = False, person: User | None = None) -> Invitation:
    """Return the open invitation of a token. Raises UnknownInvitation, NoInvitation."""
    rows = Invitation.objects.select_related("project", "created_by", "used_by")
    if is_locked:
        rows = rows.select_for_update(of=["self"])
    row = rows.filter(token_hash=_hash(token)).first() if TOKEN.fullmatch(token) else None
    if row is None:
        raise UnknownInvitation(
            "This site has no such invitation. A part of the link is missing, or the link belongs to another site. "
            "Open the whole link, as you got it."
        )
    if row.used_at:
        if person and row.used_by_id == person.pk:
            raise NoInvitation(f"You used this link already, at {_moment(row.used_at)}. Your projects are on your home page.")
        raise NoInvitation(
            f"This link was used already, at {_moment(row.used_at)}. Each link lets in one person, once. If you used it, sign in with the "
            f"name that you chose then. If you did not, somebody else had your link: tell {row.created_by}, and ask for a new one."
        )
    if row.withdrawn_at:
        raise NoInvitation(f"This invitation was withdrawn at {_moment(row.withdrawn_at)}. Ask {row.created_by} if you need a new link.")
    if row.expires_at <= timezone.now():
        raise NoInvitation(
            f"This link is too old: it worked until {_moment(row.expires_at)}. A link works for {HOURS} hours. "
            f"Ask {row.created_by} for a new one."
        )
    maker = Membership.objects.filter(project=row.project, user=row.created_by_id, user__is_active=True, role__in=MANAGERS).first()
    if maker is None or row.role not in roles_up_to(maker.role):
        raise NoInvitation(
            f"{row.created_by}, who made this link, can no longer invite people to {row.project} in this role. "
            "Ask another manager of the project for a new link."
        )
    return row


def _refuse_member(row: Invitation, person: User) -> None:
    membership = Membership.objects.filter(project=row.project, user=person).select_related("project").first()
    if membership is None:
        return
    if membership.role != Role.FORMER:
        raise AlreadyMember(person, membership)
    # A link from before must not undo the removal.
    removals = Event.objects.filter(at__gte=row.created_at, verb="remove member", subject=f"membership {membership.pk}")
    if removals.exists():
        raise NoInvitation(f"You were removed from {row.project} after this link was made. Ask {row.created_by} for a new one.")


def _join(row: Invitation, person: User) -> None:
    """Make a person who is no member a member, in the transaction that holds the lock of the invitation."""
    try:
        with transaction.atomic():
            membership, is_new = Membership.objects.select_for_update().get_or_create(
                project=row.project, user=person, defaults={"role": row.role}
            )
    except IntegrityError as error:  # another link made the person a member in this moment
        raise AlreadyMember(person, Membership.objects.select_related("project").get(project=row.project, user=person)) from error
    if not is_new:
        if membership.role != Role.FORMER:
            raise AlreadyMember(person, Membership.objects.select_related("project").get(pk=membership.pk))
        membership.role = row.role
        membership.save(update_fields=["role"])  # not update(): a new manager may need a second factor
    Invitation.objects.filter(pk=row.pk).update(used_at=Now(), used_by=person)
    details = {"role": row.role, "membership": membership.pk}
    Event.objects.create(actor=person, project=row.project, verb="accept invitation", subject=f"invitation {row.pk}", details=details)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _moment(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "Y-m-d H:i") + " UTC"
