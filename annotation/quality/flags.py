"""What managers see of flags, and what they decide: dismiss, pause, or pause and quarantine. A quarantine can be lifted again.

Reads and writes Flag and Membership. Labels of a person in quarantine count nowhere (annotation/eligibility.py). They stay as they are, so
they count again when the quarantine is lifted. Of two managers who decide at once, the second one reads what the first one did.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models.functions import Now

from annotation import people, queue
from annotation.eligibility import Use, sql
from annotation.models import AssignmentState, Event, Flag, FlagDecision, Membership, Project, Watch
from annotation.quality.gold import newest
from annotation.quality.members import MemberChanged, MemberRefused, clean_reason, locked, pause_locked
from annotation.quality.members import note as note_membership
from annotation.quality.team import seen_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

OPEN, DECIDED = 50, 30  # flags on the page
WORK = 6  # the newest solutions of a flagged person that the page shows
FLAG_DECISIONS = FlagDecision.choices

_NEWEST_WORK = f"""
SELECT p.person, a.id FROM unnest(%(persons)s::int[]) AS p(person) CROSS JOIN LATERAL (
  SELECT a.id FROM annotation_annotation a
    JOIN annotation_assignment s ON s.id = a.assignment_id JOIN annotation_batch b ON b.id = s.batch_id
   WHERE a.labeler_id = p.person AND b.project_id = %(project)s AND {sql(Use.WORK)}
   ORDER BY a.id DESC LIMIT %(limit)s) a
"""


class NoSuchFlag(LookupError):
    """This project has no such flag."""


class FlagDecided(MemberChanged):
    """Somebody else has decided a flag after the form was shown."""


@dataclass(frozen=True)
class FlagRow:
    """A flag on the page."""

    flag: Flag
    member: Membership | None  # None: the membership was removed in the administration
    sentences: list[str]
    source: str  # the name of the person whose verdicts are copied
    seen: str  # what a form sends back
    work: list[Any]  # the newest annotations, each with `first_mistake`


@dataclass(frozen=True)
class QuarantineRow:
    """A person in quarantine on the page."""

    member: Membership
    seen: str


@dataclass(frozen=True)
class FlagsPage:
    """What managers see of the watch over a project."""

    undecided: list[FlagRow]
    more: int  # undecided flags that the page does not show
    decided: list[FlagRow]
    quarantined: list[QuarantineRow]
    remarks: list[str]
    looked_at: datetime | None


def flags_page(project: Project) -> FlagsPage:
    """Return the flags of a project, those that wait for a decision first, and the people in quarantine."""
    flags = Flag.objects.filter(project=project).select_related("person", "decided_by")
    waiting = flags.filter(decided_at=None)
    undecided = list(waiting.order_by("pk")[:OPEN])
    decided = list(flags.filter(decided_at__isnull=False).order_by("-decided_at")[:DECIDED])
    concerned = {flag.person_id for flag in (*undecided, *decided)}
    sources = {flag.evidence.get("figures", {}).get("source") for flag in (*undecided, *decided)} - {None}
    members = {
        row.user_id: row
        for row in Membership.objects.filter(project=project, user__in=concerned | sources).select_related("user", "project")
    }
    work = _newest_work(project, {flag.person_id for flag in undecided})

    def row_of(flag: Flag) -> FlagRow:
        member, source = members.get(flag.person_id), members.get(flag.evidence.get("figures", {}).get("source"))
        seen = seen_of(member) if member else ""
        return FlagRow(flag, member, flag.evidence.get("sentences", []), str(source.user) if source else "", seen, work[flag.person_id])

    quarantined = Membership.objects.filter(project=project, quarantined_at__isnull=False).select_related("user").order_by("quarantined_at")
    watch = Watch.objects.filter(project=project).first()
    return FlagsPage(
        undecided=[row_of(flag) for flag in undecided],
        more=waiting.count() - len(undecided) if len(undecided) == OPEN else 0,
        decided=[row_of(flag) for flag in decided],
        quarantined=[QuarantineRow(row, seen_of(row)) for row in quarantined],
        remarks=watch.remarks if watch else [],
        looked_at=watch.looked_at if watch else None,
    )


def n_undecided_flags(project: Project) -> int:
    """Count the flags that wait for a decision."""
    return Flag.objects.filter(project=project, decided_at=None).count()


def decide_flag(project: Project, number: int, *, actor: "User", decision: str, note: str, seen: str) -> str:
    """Decide a flag, and say what follows. A pause or a quarantine decides all undecided flags of the person.

    `note` is the reason of a pause, which the person reads, or a note for the other managers. Raises NoSuchFlag, MemberRefused, and
    MemberChanged or FlagDecided if somebody else was faster.
    """
    if decision not in FlagDecision.values:
        raise MemberRefused("Choose what to do about this flag.")
    is_dismissal = decision == FlagDecision.DISMISSED
    flag = Flag.objects.filter(project=project, pk=number).first()
    member = Membership.objects.filter(project=project, user=flag.person_id).first() if flag else None
    if flag is None or member is None:
        raise NoSuchFlag(f"{project} has no flag {number}.")
    _refuse_decided(flag)
    _refuse_own(member, actor)
    about_note = {"what": "note", "readers": "other managers read it"} if is_dismissal else {}
    note = clean_reason(note, **about_note)
    with locked(project, member.pk, actor=actor, seen=seen) as (row, _):
        waiting = list(Flag.objects.select_for_update().filter(project=project, person=row.user, decided_at=None).order_by("pk"))
        if number not in {one.pk for one in waiting}:
            _refuse_decided(Flag.objects.select_related("decided_by").get(pk=number))
        if not is_dismissal:
            _stop(row, actor=actor, reason=note, is_quarantine=decision == FlagDecision.QUARANTINED)
        for one in waiting:
            if not is_dismissal or one.pk == number:
                values = {"decision": decision, "decided_by": actor, "decided_at": Now(), "note": note}
                Flag.objects.filter(pk=one.pk).update(**values)
                details = {"decision": decision, "test": one.kind, "member": row.pk}
                Event.objects.create(actor=actor, project=project, verb="decide flag", subject=f"flag {one.pk}", details=details)
    if is_dismissal:
        return f"The flag of {row.user} is dismissed. It can come again only from later work."
    if decision == FlagDecision.PAUSED:
        return f"{row.user} is paused and reads the reason on their home page. The labels still count."
    return f"{row.user} is paused, and the labels of {row.user} count nowhere until the quarantine is lifted."


def lift_quarantine(project: Project, number: int, *, actor: "User", seen: str) -> str:
    """Let the labels of a member count again, all of them. A pause stays. Raises MemberRefused, MemberChanged, NoSuchMember."""
    with locked(project, number, actor=actor, seen=seen) as (row, _):
        _refuse_own(row, actor)
        if not row.quarantined_at:
            raise MemberRefused(f"{row.user} is not in quarantine.")
        Membership.objects.filter(pk=row.pk).update(quarantined_at=None)
        note_membership(actor, "lift quarantine", row, {"since": row.quarantined_at.isoformat()})
    still = f" {row.user} is still paused: end the pause on the page of {row.user}." if row.suspended_at else ""
    return f"All labels of {row.user} count again.{still}"


def _stop(row: Membership, *, actor: "User", reason: str, is_quarantine: bool) -> None:
    """Pause a locked member, unless that was done before, and put the labels into quarantine."""
    if not is_quarantine and row.suspended_at:
        raise MemberRefused(f"{row.user} is paused already. Dismiss the flag, or put the labels into quarantine.")
    if row.suspended_at:
        Membership.objects.filter(pk=row.pk).update(reason=reason)
    elif row.role in people.LABELERS or not is_quarantine:
        pause_locked(row, actor=actor, reason=reason)
    if is_quarantine:
        if row.quarantined_at:
            raise MemberRefused(f"The labels of {row.user} are in quarantine already. Dismiss the flag.")
        Membership.objects.filter(pk=row.pk).update(quarantined_at=Now())
        # What the person holds would end with a label that counts nowhere. Their drafts stay.
        queue.give_back(row.user, project=row.project, states=[AssignmentState.LEASED, AssignmentState.RESERVED])
        note_membership(actor, "quarantine labels", row, {"reason": reason})


def _refuse_own(row: Membership, actor: "User") -> None:
    if row.user_id == actor.pk:
        raise MemberRefused("This is about your own work, so another manager or an owner decides it. Nothing was stored.")


def _refuse_decided(flag: Flag) -> None:
    if flag.decided_at:
        raise FlagDecided(f"{flag.decided_by} has decided this flag already: {flag.get_decision_display()}. Nothing was stored.")


def _newest_work(project: Project, persons: Collection[int]) -> dict[int, list[Any]]:
    """Return the newest annotations of each person, with the problem and the first mistake."""
    work: dict[int, list[Any]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_WORK, {"persons": sorted(persons), "project": project.pk, "limit": WORK})
        person_of = {annotation: person for person, annotation in cursor.fetchall()}
    for row in newest(pk__in=list(person_of)).select_related("solution__problem").order_by("-pk"):
        work[person_of[row.pk]].append(row)
    return work
