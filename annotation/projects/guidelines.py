"""Stage: projects, guidelines. Their versions, what changed between two of them, and who opened which.

A trigger keeps each text as a version when a project's row gets it (migration 0028). Here are its author, a note why it came, and readers.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F
from django.db.models.functions import Now

from annotation import notifications
from annotation.ingest import BadText, clean_text
from annotation.models import Event, GuidelinesReader, GuidelinesVersion, Membership, NotificationKind, Project
from annotation.people import FILE_PREFIX, LABELERS

LISTED = 50  # versions on a page
SETTLED = timedelta(minutes=5)  # how long a text must stay before people are notified of it: a second change often follows the first
READERS = 500  # people on a page
LONGEST_NOTE = 500
SHOWN_LINES = 3_000  # lines of a comparison on a page
COMPARED = 2_000  # lines that differ: above that, comparing line by line takes seconds


class NoSuchGuidelines(LookupError):
    """The guidelines have no version of this number."""


class BadNote(ValueError):
    """A note that cannot be stored. The message says why."""


@dataclass(frozen=True)
class DiffLine:
    """One line of a comparison. kind: "added", "removed", "same", or "gap" for equal lines that are left out."""

    kind: str
    text: str


@dataclass(frozen=True)
class MemberReading:
    """A person who labels, and the newest version of the guidelines that this person opened (0: none that was noted)."""

    name: str
    number: int
    read_at: datetime | None
    is_newest: bool


def guidelines_versions(project: Project) -> list[GuidelinesVersion]:
    """Return the newest versions of a project's guidelines, newest first, each with the number of its readers (`n_readers`)."""
    versions = GuidelinesVersion.objects.filter(project=project).select_related("author")
    return list(versions.annotate(n_readers=Count("readers")).order_by("-number")[:LISTED])


def find_version(project: Project, number: int) -> GuidelinesVersion:
    """Return one version of the guidelines. Raises NoSuchGuidelines."""
    version = GuidelinesVersion.objects.filter(project=project, number=number).select_related("author").first()
    if version is None:
        raise NoSuchGuidelines(f"The guidelines of {project} have no version {number}.")
    return version


def sign_version(project: Project, *, actor: User | None) -> None:
    """Note who wrote the newest version, in the transaction that stored its text."""
    number = Project.objects.values_list("guidelines_version", flat=True).get(pk=project.pk)
    GuidelinesVersion.objects.filter(project=project, number=number).update(author=actor)


def note_version(project: Project, number: int, note: str, *, actor: User) -> None:
    """Write why a version of the guidelines came. Raises NoSuchGuidelines, BadNote."""
    try:
        note = " ".join(clean_text(note).split())
    except BadText as bad:
        raise BadNote(f"The note cannot be stored: {bad}") from None
    if len(note) > LONGEST_NOTE:
        raise BadNote(f"The note has {len(note):,} characters. Write at most {LONGEST_NOTE}.")
    with transaction.atomic():
        version = GuidelinesVersion.objects.select_for_update().filter(project=project, number=number).first()
        if version is None:
            raise NoSuchGuidelines(f"The guidelines of {project} have no version {number}.")
        GuidelinesVersion.objects.filter(pk=version.pk).update(note=note)
        details = {"version": number, "old": version.note, "new": note}
        Event.objects.create(actor=actor, project=project, verb="note guidelines", subject=f"project {project.slug}", details=details)


def read_guidelines(project: Project, *, reader: User) -> None:
    """Note that a person opened the newest version of the guidelines. The first time counts."""
    version = GuidelinesVersion.objects.filter(project=project, number=project.guidelines_version).first()
    if version is None:
        return
    with transaction.atomic():
        GuidelinesReader.objects.bulk_create([GuidelinesReader(version=version, person=reader)], ignore_conflicts=True)
        Membership.objects.filter(project=project, user=reader, guidelines_read__lt=version.number).update(guidelines_read=version.number)
        notifications.mark_kind_read(NotificationKind.GUIDELINES, project=project, person=reader)


def notify_of_versions() -> int:
    """Notify those who label of guidelines that changed and that they have not opened, and return how many people.

    A worker does it once for each version that has stayed for SETTLED. So nobody who saves a text waits for it, a text that changes again
    meanwhile is no news, and it does not matter who wrote the project's row. It takes the place of unread news about older versions.
    """
    newest = GuidelinesVersion.objects.filter(number__gt=1, number=F("project__guidelines_version"), project__archived_at=None)
    count = 0
    for version in newest.filter(notified_at=None, created_at__lte=Now() - SETTLED).select_related("project").order_by("pk"):
        project = version.project
        with transaction.atomic():
            if not GuidelinesVersion.objects.filter(pk=version.pk, notified_at=None).update(notified_at=Now()):
                continue  # another worker was faster
            members = Membership.objects.filter(project=project, role__in=LABELERS, suspended_at=None, refused_at=None)
            missing = members.filter(guidelines_read__lt=version.number).exclude(user__username__startswith=FILE_PREFIX)
            notifications.mark_kind_read(NotificationKind.GUIDELINES, project=project)
            count += notifications.notify(
                missing.values_list("user", flat=True),
                NotificationKind.GUIDELINES,
                f"The guidelines of {project} changed. {version.note}".strip(),
                occasion=f"guidelines {project.pk} {version.number}",
                project=project,
                page="guidelines",
                at={"slug": project.slug},
            )
    return count


def readers_of(project: Project) -> list[MemberReading]:
    """Return the people who label in a project, with the newest version that each opened: who is furthest behind first."""
    members = Membership.objects.filter(project=project, role__in=LABELERS, user__is_active=True).select_related("user")
    listed = list(members.order_by("guidelines_read", "user__username")[:READERS])
    rows = GuidelinesReader.objects.filter(version__project=project, person__in=[member.user_id for member in listed])
    times = {(person, number): at for person, number, at in rows.values_list("person", "version__number", "read_at")}
    return [
        MemberReading(
            name=member.user.get_full_name() or member.user.username,
            number=member.guidelines_read,
            read_at=times.get((member.user_id, member.guidelines_read)),
            is_newest=member.guidelines_read == project.guidelines_version,
        )
        for member in listed
    ]


def compare_texts(old: str, new: str, *, around: int = 2) -> list[DiffLine]:
    """Compare two texts line by line. Of equal lines, only `around` before and after each change are returned.

    Texts that differ in very many lines are returned as one text removed and one added.
    """
    before, after = old.splitlines(), new.splitlines()
    start = next((place for place, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    rest = min(len(before), len(after)) - start
    end = next((n for n in range(rest) if before[-1 - n] != after[-1 - n]), rest)
    removed, added = before[start : len(before) - end], after[start : len(after) - end]
    lines = [DiffLine("same", line) for line in before[:start]]
    if len(removed) + len(added) > COMPARED:
        lines += [DiffLine("removed", line) for line in removed] + [DiffLine("added", line) for line in added]
    else:
        matcher = difflib.SequenceMatcher(None, removed, added, autojunk=False)
        for kind, from_old, to_old, from_new, to_new in matcher.get_opcodes():
            if kind == "equal":
                lines += [DiffLine("same", line) for line in removed[from_old:to_old]]
            else:
                lines += [DiffLine("removed", line) for line in removed[from_old:to_old]]
                lines += [DiffLine("added", line) for line in added[from_new:to_new]]
    lines += [DiffLine("same", line) for line in after[len(after) - end :]] if end else []
    return list(_without_equal(lines, around))


def _without_equal(lines: list[DiffLine], around: int) -> Iterator[DiffLine]:
    changed = [place for place, line in enumerate(lines) if line.kind != "same"]
    kept = {near for place in changed for near in range(place - around, place + around + 1)}
    skipped = 0
    for place, line in enumerate(lines):
        if place not in kept:
            skipped += 1
            continue
        if skipped:
            yield DiffLine("gap", f"{skipped:,} equal line{'' if skipped == 1 else 's'}")
            skipped = 0
        yield line
    if skipped and changed:
        yield DiffLine("gap", f"{skipped:,} equal line{'' if skipped == 1 else 's'}")
