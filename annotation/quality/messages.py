"""Messages from managers and reviewers to labelers. Reads memberships; writes Message."""

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from annotation import ingest, notifications, people
from annotation.models import Annotation, Membership, Message, NotificationKind, Project

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LONGEST = 2_000  # characters
SHOWN = 50


class BadMessage(ValueError):
    """A message that cannot be sent. The sentence says why and what to do."""


def send_message(project: Project, *, sender: "User", recipient: str, text: str) -> Message:
    """Send a message to a labeler of the project (`recipient`, a user name), who sees it on their home page. Raises BadMessage."""
    text = checked_text(text)
    if not (member := recipients(project).filter(user__username=recipient).first()):
        raise BadMessage(f"{recipient or 'Nobody'} does not label in {project}. Choose a labeler of this project.")
    with transaction.atomic():
        return deliver(Message(project=project, sender=sender, recipient=member.user, text=text))


def deliver(message: Message) -> Message:
    """Store a message and notify its recipient, in the caller's transaction."""
    message.save(force_insert=True)
    kind, sentence = NotificationKind.MESSAGE, f"You have a new message in {message.project}."
    if message.annotation_id:
        kind, sentence = NotificationKind.SENT_BACK, f"A solution in {message.project} was sent back to you."
    occasion = _occasion(message.pk)
    notifications.notify([message.recipient], kind, sentence, occasion=occasion, project=message.project, page="home")
    return message


def checked_text(text: str) -> str:
    """Return the text of a message as it is stored. Raises BadMessage."""
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise BadMessage("The message is empty. Write a few words.")
    if len(text) > LONGEST:
        raise BadMessage(f"The message has {len(text):,} characters. Send at most {LONGEST:,}.")
    try:
        return ingest.clean_text(text)
    except ingest.BadText as bad:
        raise BadMessage(f"The message contains {bad}. Remove that character.") from None


def recipients(project: Project) -> "QuerySet[Membership]":
    """Return who can get a message: everybody who can label in the project and whose account is active."""
    labelers = Membership.objects.filter(project=project, role__in=people.LABELERS, user__is_active=True)
    return labelers.select_related("user").order_by("user__username")


def messages_to(person: "User") -> "QuerySet[Message]":
    """Return the messages to a person: the unread ones first, then the read ones, each from the newest.

    `waits`: it sends work back that the person has not looked at again.
    """
    answered = Exists(Annotation.objects.filter(supersedes=OuterRef("annotation")))
    waits = ExpressionWrapper(Q(annotation__isnull=False) & ~answered, output_field=BooleanField())
    received = Message.objects.filter(recipient=person).annotate(waits=waits).select_related("project", "sender")
    return received.order_by(F("read_at").desc(nulls_first=True), "-created_at", "-pk")[:SHOWN]


def messages_of(project: Project) -> "QuerySet[Message]":
    """Return the last messages sent in a project, from the newest."""
    return (
        Message.objects.filter(project=project).select_related("recipient", "sender", "annotation").order_by("-created_at", "-pk")[:SHOWN]
    )


def mark_read(message_id: int, *, recipient: "User") -> bool:
    """Mark a message as read by its recipient. Return False if there is no such message or it was already read."""
    with transaction.atomic():
        changed = Message.objects.filter(pk=message_id, recipient=recipient, read_at__isnull=True).update(read_at=Now())
        if changed:
            notifications.mark_occasion_read(recipient, _occasion(message_id))
    return changed == 1


def _occasion(message_id: int) -> str:
    return f"message {message_id}"
