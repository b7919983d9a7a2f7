"""Words from those who look at the work to those who do it. Reads memberships; writes Message."""

from typing import TYPE_CHECKING

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from annotation import ingest, people
from annotation.models import Membership, Message, Project, Role

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WRITERS = people.MANAGERS | {Role.REVIEWER}
LONGEST = 2_000  # characters
SHOWN = 50


class BadMessage(ValueError):
    """A message that cannot be sent; the sentence says why and what to do."""


def send_message(project: Project, *, sender: "User", recipient: str, text: str) -> Message:
    """Write to somebody who labels in the project (`recipient`, a user name); they find it on their home. Raises BadMessage."""
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise BadMessage("The message is empty. Write a few words.")
    if len(text) > LONGEST:
        raise BadMessage(f"The message has {len(text):,} characters. Send at most {LONGEST:,}.")
    try:
        ingest.clean_text(text)
    except ingest.BadText as bad:
        raise BadMessage(f"The message holds {bad}. Remove that character.") from None
    if not (member := recipients(project).filter(user__username=recipient).first()):
        raise BadMessage(f"{recipient or 'Nobody'} is not one of those who label in {project}. Choose one of them.")
    return Message.objects.create(project=project, sender=sender, recipient=member.user, text=text)


def recipients(project: Project) -> "QuerySet[Membership]":
    """Return whom a message may go to: everybody who may label in the project and whose account is open."""
    may_label = Membership.objects.filter(project=project, role__in=people.LABELERS, user__is_active=True)
    return may_label.select_related("user").order_by("user__username")


def messages_to(person: "User") -> "QuerySet[Message]":
    """Return what was written to a person, the unread first, each kind from the newest on."""
    mine = Message.objects.filter(recipient=person).select_related("project", "sender")
    return mine.order_by(F("read_at").desc(nulls_first=True), "-created_at", "-pk")[:SHOWN]


def messages_of(project: Project) -> "QuerySet[Message]":
    """Return the last messages written in a project, by anybody, from the newest on."""
    return Message.objects.filter(project=project).select_related("recipient", "sender").order_by("-created_at", "-pk")[:SHOWN]


def mark_read(message_id: int, *, recipient: "User") -> bool:
    """Note that a person has read a message to them; False: there is no such one, or it was read before."""
    return Message.objects.filter(pk=message_id, recipient=recipient, read_at__isnull=True).update(read_at=Now()) == 1
