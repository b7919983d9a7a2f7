"""Stage: notifications. What happened, in a sentence to each person whom it concerns: in the app, and by e-mail for those who want it.

Writes Notification. The stage in which something happens calls `notify` in its own transaction: either both are stored, or neither. Nobody
is notified twice of one occasion.
"""

import logging
from collections.abc import Collection, Iterable
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core import mail
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import get_script_prefix, reverse

from annotation.models import Membership, Notification, NotificationKind, Preferences, Project, Role

log = logging.getLogger(__name__)

KINDS = NotificationKind.choices
SHOWN = 50
KEPT = timedelta(days=90)
MAIL_AGE = timedelta(hours=24)  # a mail server that is away so long gets the letter no more: the page has it
MOST_COUNTED = 100  # the bell shows 99+ from here
LETTERS = 200  # notifications that one run of the worker sends
# In the statement that reads a session, where `u` is the person. The index holds the unread ones only, and the limit bounds the count.
COUNT_UNREAD = f"""(SELECT count(*) FROM (
  SELECT 1 FROM annotation_notification n WHERE n.person_id = u.id AND n.read_at IS NULL LIMIT {MOST_COUNTED}) unread)"""
_CACHED = "unread_notifications"


# --- what happens -----------------------------------------------------------------------------------------------------------


def notify(
    persons: Iterable[User | int],
    kind: NotificationKind,
    sentence: str,
    *,
    occasion: str,
    project: Project | None = None,
    page: str = "",
    at: dict[str, Any] | None = None,
    query: str = "",
    about: User | None = None,
) -> int:
    """Notify persons (accounts or their keys) of an occasion, in the caller's transaction, and return how many are new.

    `page` is the name of an address, `at` its arguments, `query` what follows the question mark. `about` is the person whom the sentence
    names. Closed accounts get nothing.
    """
    keys = {person if isinstance(person, int) else person.pk for person in persons}
    path = reverse(page, kwargs=at).removeprefix(get_script_prefix().rstrip("/")) if page else ""
    path += f"?{query}" if query else ""
    wanting = _wanting(keys, kind) if settings.EMAIL_HOST else set()
    shared: dict[str, Any] = {"kind": kind, "sentence": sentence, "project": project, "path": path, "occasion": occasion, "about": about}
    with transaction.atomic():
        known = set(Notification.objects.filter(person__in=keys, occasion=occasion).values_list("person", flat=True))
        active = set(User.objects.filter(pk__in=keys - known, is_active=True).values_list("pk", flat=True))
        rows = [Notification(person_id=key, is_to_mail=key in wanting, **shared) for key in sorted(active)]
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
        if wanting & active:
            transaction.on_commit(_ask_worker)
    return len(rows)


def members(project: Project, roles: Collection[str]) -> list[int]:
    """Return the accounts of the members who have one of the roles."""
    return list(Membership.objects.filter(project=project, role__in=roles).exclude(role=Role.FORMER).values_list("user", flat=True))


def _wanting(persons: Collection[int], kind: NotificationKind) -> set[int]:
    """Return who of these persons wants this kind by e-mail, and has an address."""
    chosen = Preferences.objects.filter(person__in=persons, mailed__contains=[kind]).exclude(person__email="")
    return set(chosen.values_list("person", flat=True))


# --- what a person reads ----------------------------------------------------------------------------------------------------


def unread_of(person: Any) -> int:
    """Return how many notifications a person has not read, at most MOST_COUNTED. It costs a query only if no session was read."""
    if not isinstance(person, User) or not person.pk:
        return 0
    if _CACHED not in person._state.fields_cache:
        rows = Notification.objects.filter(person=person.pk, read_at__isnull=True)[:MOST_COUNTED]
        remember(person, rows.count())
    count: int = person._state.fields_cache[_CACHED]
    return count


def remember(person: User, count: int) -> None:
    """Keep the number of unread notifications that was just read with their person."""
    person._state.fields_cache[_CACHED] = count


def notifications_of(person: User, *, before: int | None = None) -> list[Notification]:
    """Return the newest notifications of a person, or those before a number; at most SHOWN."""
    rows = Notification.objects.filter(person=person).select_related("project").order_by("-pk")
    return list((rows.filter(pk__lt=before) if before else rows)[:SHOWN])


def read(person: User, number: int) -> str | None:
    """Mark a notification of a person as read, and return the path of its page. None: this person has no such notification."""
    Notification.objects.filter(person=person, pk=number, read_at__isnull=True).update(read_at=Now())
    return Notification.objects.filter(person=person, pk=number).values_list("path", flat=True).first()


def mark_all_read(person: User) -> int:
    """Mark all notifications of a person as read, and return how many were unread."""
    return Notification.objects.filter(person=person, read_at__isnull=True).update(read_at=Now())


def mark_kind_read(kind: NotificationKind, *, project: Project, person: User | None = None) -> int:
    """Mark as read what one person, or everybody, was notified of this kind in a project: it is old, or they saw it elsewhere."""
    rows = Notification.objects.filter(project=project, kind=kind, read_at__isnull=True)
    return (rows.filter(person=person) if person else rows).update(read_at=Now())


def mark_occasion_read(person: User, occasion: str) -> int:
    """Mark as read what a person was notified of, because they saw it elsewhere."""
    return Notification.objects.filter(person=person, occasion=occasion, read_at__isnull=True).update(read_at=Now())


# --- e-mail and age -----------------------------------------------------------------------------------------------------------


def send_mail() -> int:
    """Send what is to go by e-mail, one letter a person, and return how many notifications went.

    A letter goes at most once: its notifications are marked before it is sent, and unmarked only if the server did not take it.
    """
    if not settings.EMAIL_HOST:
        return 0
    import smtplib

    waiting = Q(is_to_mail=True, mailed_at__isnull=True, created_at__gte=Now() - MAIL_AGE, person__is_active=True)
    with transaction.atomic():
        rows = Notification.objects.filter(waiting).exclude(person__email="").select_related("person", "project")
        taken = sorted(rows.select_for_update(of=["self"], skip_locked=True).order_by("pk")[:LETTERS], key=lambda row: row.person_id)
        Notification.objects.filter(pk__in=[row.pk for row in taken]).update(mailed_at=Now())
    sent = 0
    groups = [list(group) for _, group in groupby(taken, key=lambda row: row.person_id)]
    while groups:
        group = groups[0]
        try:
            sent += len(group) if _letter(group).send() else 0
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as refused:
            log.warning("The mail server refused the notifications of person %s: %s", group[0].person_id, type(refused).__name__)
        except (smtplib.SMTPException, OSError) as error:
            log.warning("The mail server %s does not take notifications now: %s", settings.EMAIL_HOST, type(error).__name__)
            left = [row.pk for group in groups for row in group]
            Notification.objects.filter(pk__in=left).update(mailed_at=None)  # the next run tries again
            break
        groups.pop(0)
    return sent


def forget_old() -> int:
    """Delete the notifications that are older than KEPT, and return how many."""
    return Notification.objects.filter(created_at__lt=Now() - KEPT).delete()[0]


def _letter(rows: list[Notification]) -> mail.EmailMessage:
    address = f"{settings.SITE_ADDRESS.rstrip('/')}{settings.PATH_PREFIX}"
    lines = [f"{row.sentence}\n{address}{row.path}" if row.path else row.sentence for row in rows]
    subject = rows[0].sentence if len(rows) == 1 else f"{len(rows)} notifications from Stepmark"
    last = f"You choose what comes by e-mail on the page of your account: {address}{_account_path()}"
    return mail.EmailMessage(subject=" ".join(subject.split())[:150], body="\n\n".join([*lines, last]) + "\n", to=[rows[0].person.email])


def _account_path() -> str:
    return reverse("account").removeprefix(get_script_prefix().rstrip("/"))


def _ask_worker() -> None:
    from celery import current_app  # here, because a command waits for it
    from kombu.exceptions import OperationalError as BrokerUnreachable

    try:
        current_app.send_task("annotation.tasks.send_notifications", ignore_result=True, expires=60)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked to send notifications (%s). The next run of the minute sends them.", error)
