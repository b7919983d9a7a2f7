"""The watch over a project: a worker looks for bad work, for people whose answers to gold fell below the line, and for an empty queue.

Reads verdicts, times and what is known of solutions; writes Flag, Watch and Notification. It looks at a project again when there are new
labels, at most once in five minutes, and only at the people who gave them. What a flag means is computed in annotation/watching.py.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from annotation import notifications, people, watching
from annotation.eligibility import Use, sql
from annotation.models import (
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    BatchState,
    Flag,
    FlagKind,
    Membership,
    NotificationKind,
    Outcome,
    Project,
    StepSource,
    Watch,
)
from annotation.quality.committed import committed_until
from annotation.quality.opinions import opinions_in
from annotation.quality.records import LEAST_GOLD
from annotation.quality.team import gold_of

WINDOW = 10_000  # the newest labels of a project that are looked at: a few seconds
SITE_WINDOW = 200_000  # labels of the whole site among which they are looked for
OFTEN = timedelta(minutes=5)
Marks = Callable[[Project, Sequence[int]], Mapping[int, int]]  # what the serving model marks in solutions: a step from 1, or NONE

_TOP = "SELECT COALESCE(max(id), 0) FROM annotation_annotation"
_WHO = """
SELECT b.project_id, array_agg(DISTINCT a.labeler_id) FROM annotation_annotation a
  JOIN annotation_assignment s ON s.id = a.assignment_id JOIN annotation_batch b ON b.id = s.batch_id
  LEFT JOIN annotation_watch w ON w.project_id = b.project_id
 WHERE a.id > %(after)s AND a.id > COALESCE(w.newest, 0) AND b.project_id = ANY (%(projects)s)
 GROUP BY b.project_id
"""
_RECENT = f"""
SELECT a.solution_id FROM annotation_annotation a
  JOIN annotation_assignment s ON s.id = a.assignment_id JOIN annotation_batch b ON b.id = s.batch_id
 WHERE a.id > %(after)s AND b.project_id = %(project)s AND {sql(Use.CONSENSUS)}
 ORDER BY a.id DESC LIMIT {WINDOW}
"""
# When and how long is told by the first revision: a correction takes little time.
_DETAILS = """
SELECT r.id, extract(epoch FROM f.created_at)::float8, f.active_ms, s.outcome, length(p.statement) + (
         SELECT COALESCE(sum(length(t.step)), 0) FROM jsonb_array_elements_text(s.steps) WITH ORDINALITY AS t(step, place)
          WHERE t.place <= r.stop)
  FROM unnest(%(annotations)s::bigint[], %(stops)s::int[]) AS r(id, stop)
  JOIN annotation_annotation a ON a.id = r.id JOIN annotation_annotation f ON f.assignment_id = a.assignment_id AND f.revision = 1
  JOIN annotation_solution s ON s.id = a.solution_id JOIN annotation_problem p ON p.id = s.problem_id
"""


def watch_new(marks_of: Marks | None = None, *, often: timedelta = OFTEN) -> dict[str, int]:
    """Look at the new labels of all projects, and at their queues. Return how many flags each project got that was looked at."""
    note_dry_spells()
    until = committed_until()
    projects = {row.pk: row for row in Project.objects.filter(archived_at=None).exclude(step_source=StepSource.INTERACTIVE)}
    newest = dict(Watch.objects.filter(project__in=projects).values_list("project", "newest"))
    with connection.cursor() as cursor:
        (top,) = cursor.execute(_TOP).fetchone()
        after = max(top - SITE_WINDOW, min((newest.get(key, 0) for key in projects), default=0))
        cursor.execute(_WHO, {"after": after, "projects": list(projects)})
        persons: dict[int, list[int]] = dict(cursor.fetchall())
    raised, waiting = {}, set(persons)
    for key, labelers in persons.items():
        Watch.objects.get_or_create(project_id=key)
        # One worker at a time looks at a project: the one that changes this row.
        due = Watch.objects.filter(Q(looked_at=None) | Q(looked_at__lte=Now() - often), project=key)
        if due.update(looked_at=Now()):
            raised[projects[key].slug] = len(watch_project(projects[key], labelers, marks_of))
            waiting.discard(key)
    if until is not None:
        Watch.objects.filter(project__in=projects.keys() - waiting, newest__lt=until).update(newest=until)
    return raised


def watch_project(project: Project, labelers: Collection[int] | None = None, marks_of: Marks | None = None) -> list[Flag]:
    """Test the work of some labelers of a project, or of all, and raise flags. Their managers are notified. Return the new flags."""
    members = _members(project, labelers)
    since = _decided(project)
    verdicts = _verdicts(project, marks_of)
    watched = watching.watch(verdicts, only=members, since=since)
    Watch.objects.get_or_create(project=project)
    with transaction.atomic():
        watch = Watch.objects.select_for_update().get(project=project)  # of two who look at once, one raises the flag
        decided = _decided(project)
        # A manager can have decided meanwhile: that decision was about the same labels.
        new = [found for found in watched.flags if decided.get((found.person, found.kind)) == since.get((found.person, found.kind))]
        raised = [flag for found in new if (flag := _raise(project, found, members[found.person].user))]
        watch.below, watch.remarks = _note_gold(project, members, watch.below), watched.remarks
        watch.save(update_fields=["below", "remarks"])
    return raised


def note_dry_spells() -> list[str]:
    """Notify the managers of each project in which nothing is left to label, once until there is something again. Return the projects."""
    handed_out = Batch.objects.filter(project=OuterRef("pk"), kind=BatchKind.SELECTED).exclude(state=BatchState.DRAFT)
    waiting = Assignment.objects.filter(
        state=AssignmentState.OPEN,
        slot__isnull=False,
        batch__project=OuterRef("pk"),
        batch__kind=BatchKind.SELECTED,
        batch__state__in=[BatchState.OPEN, BatchState.PAUSED],
    )
    is_dry = Exists(handed_out) & ~Exists(waiting)
    projects = list(Project.objects.filter(archived_at=None).annotate(is_dry=is_dry))
    known = dict(Watch.objects.filter(project__in=projects).values_list("project", "dry_since"))
    named = []
    for project in projects:
        with transaction.atomic():
            if project.pk not in known:  # of a spell that began before the watch, nobody is told
                Watch.objects.get_or_create(project=project, defaults={"dry_since": Now() if project.is_dry else None})
            elif not project.is_dry and known[project.pk]:
                Watch.objects.filter(project=project).update(dry_since=None)
            elif project.is_dry and Watch.objects.filter(project=project, dry_since=None).update(dry_since=Now()):
                since = Watch.objects.get(project=project).dry_since
                _tell_managers(
                    project,
                    NotificationKind.DRY,
                    f"{project} has no more solutions to label. Publish a batch or start a round.",
                    occasion=f"dry {project.pk} {since:%Y-%m-%dT%H:%M:%S.%f}",
                    page="batches",
                )
                named.append(project.slug)
    return named


def _members(project: Project, labelers: Collection[int] | None) -> dict[int, Membership]:
    """Return who labels here, by account, among some or all. Accounts that came with a file, and people in quarantine, are left out."""
    rows = Membership.objects.filter(project=project, role__in=people.LABELERS, quarantined_at=None, user__is_active=True)
    if labelers is not None:
        rows = rows.filter(user__in=labelers)
    named = rows.exclude(user__username__startswith=people.FILE_PREFIX).select_related("user")
    return {row.user_id: row for row in named}


def _verdicts(project: Project, marks_of: Marks | None) -> list[watching.WatchedVerdict]:
    """Return the newest verdicts of a project, with all others on the same solutions."""
    with connection.cursor() as cursor:
        (top,) = cursor.execute(_TOP).fetchone()
        cursor.execute(_RECENT, {"project": project.pk, "after": top - SITE_WINDOW})
        solutions = sorted({row[0] for row in cursor.fetchall()})
    if not solutions:
        return []
    opinions = opinions_in(project, solutions)
    n_steps = opinions.n_steps[opinions.solution]
    stops = [int(mark or n) for mark, n in zip(opinions.marked, n_steps, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_DETAILS, {"annotations": opinions.annotation.tolist(), "stops": stops})
        details = {row[0]: row[1:] for row in cursor.fetchall()}
    marks = marks_of(project, solutions) if marks_of else {}
    verdicts = []
    for place, annotation in enumerate(opinions.annotation.tolist()):
        at, active_ms, outcome, characters = details[annotation]
        solution = int(opinions.solutions[opinions.solution[place]])
        verdicts.append(
            watching.WatchedVerdict(
                solution=solution,
                person=int(opinions.people[opinions.person[place]]),
                at=at,
                marked=int(opinions.marked[place]),
                n_steps=int(n_steps[place]),
                seconds=None if active_ms is None else active_ms / 1000,
                characters=int(characters),
                known=opinions.truth(solution),
                is_wrong={Outcome.WRONG: True, Outcome.CORRECT: False}.get(outcome),
                model=marks.get(solution),
            )
        )
    return verdicts


def _decided(project: Project) -> dict[tuple[int, str], float]:
    """Return when each person's work was last judged, by test: only later work is tested again."""
    rows = Flag.objects.filter(project=project, decided_at__isnull=False).order_by("decided_at")
    return {(person, kind): at.timestamp() for person, kind, at in rows.values_list("person", "kind", "decided_at") if at}


def _raise(project: Project, finding: watching.Finding, person: User) -> Flag | None:
    """Store a flag and notify the managers. None: the person has an undecided flag of this kind."""
    if Flag.objects.filter(project=project, person=person, kind=finding.kind, decided_at=None).exists():
        return None
    sentences = [*watching.describe(finding), watching.bound(finding)]
    evidence = {"sentences": sentences, "solutions": finding.solutions, "figures": dict(finding.figures), "log": finding.log_evidence}
    flag = Flag.objects.create(project=project, person=person, kind=finding.kind, evidence=evidence)
    _tell_managers(
        project,
        NotificationKind.FLAG,
        f"The work of {person} in {project} was flagged: {FlagKind(finding.kind).label}. Look at it and decide.",
        occasion=f"flag {flag.pk}",
        page="flags",
        about=person,
    )
    return flag


def _note_gold(project: Project, members: Mapping[int, Membership], known: Collection[int]) -> list[int]:
    """Notify the managers of each person whose answers to gold fell below the line: the whole 95 % interval lies below it.

    `known` were below it before. Return who is below it now.
    """
    below = set(known)
    for key, share in gold_of(project, members).items():
        bounds = share.bounds
        is_below = share.n >= LEAST_GOLD and bounds is not None and bounds[1] < project.qualify_rate
        if is_below and key not in below:
            _tell_managers(
                project,
                NotificationKind.GOLD,
                f"The answers of {members[key].user} to gold in {project} fell below the line of {project.qualify_rate:.0%}: "
                f"{share.k} of {share.n} are right.",
                occasion=f"gold {project.pk} {key} {share.n}",
                page="member",
                at={"membership_id": members[key].pk},
                about=members[key].user,
            )
        below = below | {key} if is_below else below - {key}
    return sorted(below)


def _tell_managers(
    project: Project,
    kind: NotificationKind,
    sentence: str,
    *,
    occasion: str,
    page: str,
    at: Mapping[str, int] | None = None,
    about: User | None = None,
) -> None:
    managers, place = notifications.members(project, people.MANAGERS), {"slug": project.slug, **(at or {})}
    notifications.notify(managers, kind, sentence, occasion=occasion, project=project, page=page, at=place, about=about)
