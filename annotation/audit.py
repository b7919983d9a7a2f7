"""Stage: audit. Who did what to which object, and when: the events of one project or of the whole site. Reads Event only.

Reasons, messages and other texts that people write to people are never shown, and neither are labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from annotation.models import Event, Project

PAGE = 50
CHUNK = 2_000  # events read at a time for a download
CUT = 80  # characters of a value
# Keys of details that hold a text for people, and those that only the program reads.
HIDDEN = frozenset({"reason", "text", "note", "message", "comment", "version"})
BACKED_UP = "back up site"  # the verb of a finished backup: the overviews look how old the newest one is
NOBODY = "the site"  # or somebody at its command line
# The kinds of all events. A DISTINCT would read every event; this reads one entry of the index for each kind.
VERBS = """
WITH RECURSIVE verbs AS (
  (SELECT verb FROM annotation_event ORDER BY verb LIMIT 1)
  UNION ALL
  SELECT (SELECT e.verb FROM annotation_event e WHERE e.verb > verbs.verb ORDER BY e.verb LIMIT 1) FROM verbs WHERE verbs.verb IS NOT NULL)
SELECT verb FROM verbs WHERE verb IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are wanted. Empty fields ask for nothing. `thing` is an object as the list names it, such as `solution 12`."""

    person: str = ""
    verb: str = ""
    day: date | None = None  # UTC
    thing: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One event as people read it."""

    number: int
    at: datetime
    who: str
    verb: str
    thing: str
    project: str  # its slug; empty: the whole site
    details: str


def events_of(project: Project | None, wanted: AuditFilter, *, before: int | None = None) -> tuple[list[AuditRow], int | None]:
    """Return a page of the events of a project, or of the site, from the newest; and from which number the next page goes on."""
    rows = _read(_matching(project, wanted), before=before, limit=PAGE + 1)
    return rows[:PAGE], rows[PAGE - 1].number if len(rows) > PAGE else None


def all_events(project: Project | None, wanted: AuditFilter) -> Iterator[AuditRow]:
    """Yield all events that match, from the newest, a chunk at a time."""
    before = None
    while rows := _read(_matching(project, wanted), before=before, limit=CHUNK):
        yield from rows
        before = rows[-1].number


def verbs() -> list[str]:
    """Return the kinds of events that ever happened on this site."""
    with connection.cursor() as cursor:
        return [verb for (verb,) in cursor.execute(VERBS).fetchall()]


def _matching(project: Project | None, wanted: AuditFilter) -> QuerySet[Event]:
    events = Event.objects.all() if project is None else Event.objects.filter(project=project)
    if wanted.person == NOBODY:
        events = events.filter(actor=None)
    elif wanted.person:
        events = events.filter(actor__username=wanted.person)
    if wanted.verb:
        events = events.filter(verb=wanted.verb)
    if wanted.thing:
        events = events.filter(Q(subject=wanted.thing) | Q(subject__startswith=f"{wanted.thing}: "))
    if wanted.day:
        start = datetime.combine(wanted.day, time(), tzinfo=UTC)
        events = events.filter(at__gte=start, at__lt=start + timedelta(days=1))
    return events


def _read(events: QuerySet[Event], *, before: int | None, limit: int) -> list[AuditRow]:
    if before is not None:
        events = events.filter(pk__lt=before)
    return [_row(event) for event in events.select_related("actor", "project").order_by("-pk")[:limit]]


def _row(event: Event) -> AuditRow:
    slug = event.project.slug if event.project else f"deleted project {event.project_id}" if event.project_id else ""
    who = event.actor.username if event.actor else NOBODY
    # What follows the name of the object can be a text that somebody wrote, such as the reason of an old skip.
    return AuditRow(event.pk, event.at, who, event.verb, event.subject.partition(": ")[0], slug, _in_words(event.details))


def _in_words(details: dict[str, Any]) -> str:
    """Write the details of an event in one line: what changed from which value to which, then the other figures."""
    old, new = details.get("old"), details.get("new")
    parts = []
    if isinstance(old, dict) and isinstance(new, dict):
        names = [name for name in (*new, *(old.keys() - new.keys())) if name not in HIDDEN]
        parts = [f"{_plain(name)}: {_cut(old.get(name))} becomes {_cut(new.get(name))}" for name in names]
    elif "old" in details or "new" in details:
        parts = [f"{_cut(old)} becomes {_cut(new)}"]
    parts += [f"{_plain(name)}: {_cut(value)}" for name, value in details.items() if name not in HIDDEN | {"old", "new"}]
    return "; ".join(parts)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _cut(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{_plain(str(name))} {_cut(inner)}" for name, inner in value.items() if name not in HIDDEN) or "nothing"
    if isinstance(value, list):
        value = ", ".join(map(_cut, value[:10])) + (", …" if len(value) > 10 else "") or "nothing"
    line = " ".join(str(value).split())
    return line if len(line) <= CUT else f"{line[:CUT]}…"
