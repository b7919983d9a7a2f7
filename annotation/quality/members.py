"""What a manager does about a member: another role, pausing, resuming, removing. Reads and writes Membership.

Nobody changes a person above the own role, or gives a role above it. A form carries what it saw of the membership: if somebody else changed
it meanwhile, nothing is stored.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotation import ingest, people, queue
from annotation.models import Assignment, AssignmentState, Event, Membership, Project, Role
from annotation.quality.team import NoSuchMember, seen_of
from trainer.counting import counted

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LONGEST = 1_000  # characters of a reason
HELD = (AssignmentState.LEASED, AssignmentState.RESERVED)


class MemberRefused(ValueError):
    """An act about a member that is not possible. The message says why and what to do. Nothing was changed."""


class MemberChanged(MemberRefused):
    """Somebody else changed the membership after the form was shown."""


@dataclass(frozen=True)
class Removal:
    """What removing a member would do."""

    labels: int  # annotations, which stay
    in_hand: int  # solutions that go back to the queue


def change_role(project: Project, number: int, *, actor: "User", role: str, seen: str) -> str:
    """Give a member another role, and say what became of the work in hand; a former member becomes a member again.

    Somebody who can no longer label gives back what they hold. The drafts of it stay. Raises MemberRefused, MemberChanged, NoSuchMember.
    """
    with locked(project, number, actor=actor, seen=seen) as (row, own):
        old = row.role
        if role not in people.roles_up_to(own.role):
            raise MemberRefused("You cannot give this role: it is above your own. Choose another one.")
        if role == old:
            raise MemberRefused(f"{row.user} is {row.get_role_display().lower()} already. Choose another role.")
        _keep_an_owner(row, "another role")
        row.role = role
        row.save(update_fields=["role"])  # not update(): a new manager may need a second factor
        given_back = 0 if role in people.LABELERS else queue.give_back(row.user, project=project, states=HELD)
        verb = "take member back" if old == Role.FORMER else "change role"
        note(actor, verb, row, {"old": old, "new": role, "given_back": given_back})
    return f"{row.user} is {row.get_role_display().lower()} now.{_went_back(given_back)}"


def pause(project: Project, number: int, *, actor: "User", reason: str, seen: str) -> Membership:
    """Stop giving work to a member, who reads the reason. Raises MemberRefused, MemberChanged, NoSuchMember.

    The solution that the person has open can still be submitted. The one prepared after it goes back to the queue.
    """
    reason = clean_reason(reason)
    with locked(project, number, actor=actor, seen=seen) as (row, _):
        if row.suspended_at:
            raise MemberRefused(f"{row.user} is paused already.")
        pause_locked(row, actor=actor, reason=reason)
    return row


def clean_reason(reason: str, *, what: str = "reason", readers: str = "the person reads it") -> str:
    """Return a text that a manager wrote about a decision. Raises MemberRefused: it cannot be stored, or is empty."""
    reason = reason.replace("\r\n", "\n").strip()
    if not reason:
        raise MemberRefused(f"The {what} is empty. Write why: {readers}.")
    if len(reason) > LONGEST:
        raise MemberRefused(f"The {what} has {len(reason):,} characters. Write at most {LONGEST:,}.")
    try:
        ingest.clean_text(reason)
    except ingest.BadText as bad:
        raise MemberRefused(f"The {what} contains {bad}. Remove that character.") from None
    return reason


def pause_locked(row: Membership, *, actor: "User", reason: str) -> None:
    """Pause a member whose row is locked. Raises MemberRefused: this person does not label."""
    if row.role not in people.LABELERS:
        raise MemberRefused(f"{row.user} does not label in {row.project}, so there is nothing to pause.")
    Membership.objects.filter(pk=row.pk).update(suspended_at=timezone.now(), reason=reason)
    queue.give_back(row.user, project=row.project, states=[AssignmentState.RESERVED])
    note(actor, "pause member", row, {"reason": reason})


def resume(project: Project, number: int, *, actor: "User", seen: str) -> Membership:
    """Give work to a paused member again. Raises MemberRefused, MemberChanged, NoSuchMember."""
    with locked(project, number, actor=actor, seen=seen) as (row, _):
        if not row.suspended_at:
            raise MemberRefused(f"{row.user} is not paused.")
        Membership.objects.filter(pk=row.pk).update(suspended_at=None, reason="")
        note(actor, "resume member", row, {"reason": row.reason})
    return row


def removal_of(project: Project, row: Membership) -> Removal:
    """Return what removing a member would do."""
    held = Assignment.objects.filter(labeler=row.user, state__in=HELD, batch__project=project)
    return Removal(row.user.annotation_set.filter(assignment__batch__project=project, revision=1).count(), held.count())


def remove(project: Project, number: int, *, actor: "User", seen: str) -> str:
    """Make a member a former member, who opens no page of the project, and say what became of the work in hand.

    Labels and pseudonym stay. What the person holds goes back to the queue; its drafts stay. Raises MemberRefused (the last owner, among
    others), MemberChanged, NoSuchMember.
    """
    with locked(project, number, actor=actor, seen=seen) as (row, _):
        if row.role == Role.FORMER:
            raise MemberRefused(f"{row.user} is a former member already.")
        _keep_an_owner(row, "the end of this membership")
        Membership.objects.filter(pk=row.pk).update(role=Role.FORMER)
        given_back = queue.give_back(row.user, project=project, states=HELD)
        note(actor, "remove member", row, {"old": row.role, "given_back": given_back})
    return f"{row.user} is a former member now. All labels stay.{_went_back(given_back)}"


@contextmanager
def locked(project: Project, number: int, *, actor: "User", seen: str) -> Iterator[tuple[Membership, Membership]]:
    """Lock a membership, the actor's and those of all owners, always in the same order, and check who can do this."""
    with transaction.atomic():
        concerned = Q(pk=number) | Q(user=actor) | Q(role=Role.OWNER)
        rows = Membership.objects.filter(concerned, project=project).select_related("user", "project")
        locked = {row.pk: row for row in rows.select_for_update(of=["self"], no_key=True).order_by("pk")}
        own = next((row for row in locked.values() if row.user_id == actor.pk and row.role in people.MANAGERS), None)
        if own is None or number not in locked:
            raise NoSuchMember(f"{project} has no member {number}.")
        row = locked[number]
        if seen_of(row) != seen:
            last = Event.objects.filter(subject=f"membership {number}").select_related("actor").order_by("-pk").first()
            who = f"{last.actor} did “{last.verb}”" if last and last.actor else "Somebody else changed this person"
            raise MemberChanged(f"{who} after you opened this page. Nothing was stored. The page shows the person as they are now.")
        if row.role != Role.FORMER and row.role not in people.roles_up_to(own.role):
            raise MemberRefused(f"{row.user} is {row.get_role_display().lower()}, which is above your own role. Ask an owner.")
        yield row, own


def _went_back(count: int) -> str:
    return f" {counted(count, 'solution')} went back to the queue, and what was rated is kept as a draft." if count else ""


def _keep_an_owner(row: Membership, change: str) -> None:
    others = Membership.objects.filter(project=row.project, role=Role.OWNER, user__is_active=True).exclude(pk=row.pk)
    if row.role == Role.OWNER and not others.exists():
        raise MemberRefused(f"{row.user} is the last owner, and {change} would leave nobody. Give the project another owner first.")


def note(actor: "User", verb: str, row: Membership, details: Mapping[str, object]) -> Event:
    """Store what a person did about a membership."""
    return Event.objects.create(actor=actor, project=row.project, verb=verb, subject=f"membership {row.pk}", details=dict(details))
