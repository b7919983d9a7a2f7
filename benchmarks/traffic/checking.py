"""The check of the database against a journal: what must never be, each with where it was found."""

from collections import Counter, defaultdict
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from annotation.models import Annotation, Assignment, Draft, StepLabel
from benchmarks.traffic import history
from benchmarks.traffic.journal import Journal, Submission

LARGEST = 2**31 - 1  # a larger time is stored as this one: a wrong clock of a browser refuses no work
FINDINGS = {
    "lost": "an acknowledged submit is not stored",
    "changed": "an acknowledged submit is stored with other content, or a stored one was never sent",
    "twice": "a submit, a person's labels of a solution or an assignment's labels are stored twice",
    "over_overlap": "a task went to more people than its overlap, or has a place twice",
    "under_overlap": "a task has fewer places than its overlap: it can never be finished",
    "stale": "a submit counted although its claim did not, or its assignment is not done",
    "overlapping_leases": "two people held one assignment, or one person held two",
    "shown_but_not_held": "a page showed an assignment that the person did not hold",
    "stored_but_refused": "a stored submit was refused when it was sent again",
    "drafts_lost": "an acknowledged draft is not stored, or an older one replaced it",
    "skips_lost": "an acknowledged skip is not stored",
    "wrong_answers": "an answer that nobody should get, such as a 500",
}


def check(journal: Journal, *, project: str | None = None) -> dict[str, list[str]]:
    """Compare the database with a journal. Return sentences by the names of FINDINGS; empty lists if all is well.

    project: the slug of the only project that is looked at, if there are others with labels that the journal does not know.
    """
    found: dict[str, list[str]] = {name: [] for name in FINDINGS}
    found["wrong_answers"] += journal.wrong
    people = dict(User.objects.values_list("pk", "username"))
    annotations, assignments = Annotation.objects.order_by("pk"), Assignment.objects.order_by("pk")
    if project:
        annotations = annotations.filter(assignment__batch__project__slug=project)
        assignments = assignments.filter(batch__project__slug=project)
    stored, rows = list(annotations), list(assignments)
    _check_submissions(found, journal, stored, people)
    _check_numbers(found, stored)
    _check_assignments(found, journal, rows, people)
    _check_drafts(found, journal, people)
    held = history.changes()
    found["overlapping_leases"] += history.overlaps(held)
    claims = {(people.get(change.labeler or 0, ""), change.assignment, change.token) for change in held if change.state in history.HOLDS}
    for person, assignment, token in sorted(journal.shown - claims):
        found["shown_but_not_held"].append(f"{person} saw assignment {assignment} with token {token}.")
    return found


def counts(found: dict[str, list[str]]) -> dict[str, int]:
    """Return the number of findings of each name."""
    return {name: len(sentences) for name, sentences in found.items()}


def _check_submissions(found: dict[str, list[str]], journal: Journal, stored: list[Annotation], people: dict[int, str]) -> None:
    by_id = {str(annotation.submission_id): annotation for annotation in stored}
    labels: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    rows = StepLabel.objects.order_by("annotation", "step_index", "position")
    for key, *label in rows.values_list("annotation", "step_index", "position", "rating", "flagged", "rated_ms"):
        labels[key].append(tuple(label))
    for submission_id, sent in journal.submissions.items():
        annotation = by_id.get(submission_id)
        where = f"Submission {submission_id} of {sent.person} for assignment {sent.assignment}"
        if annotation is None:
            if sent.is_acknowledged:
                found["lost"].append(f"{where} was acknowledged, but is not stored.")
            continue
        if sent.refusal:
            found["stored_but_refused"].append(f"{where} is stored, but its last answer was {sent.refusal}.")
        if _content(annotation, labels[annotation.pk], people) != _sent(sent):
            found["changed"].append(f"{where} is stored with other content.")
    found["changed"] += [f"Nobody sent submission {unknown}." for unknown in sorted(by_id.keys() - journal.submissions.keys())]


def _content(annotation: Annotation, labels: list[tuple[Any, ...]], people: dict[int, str]) -> tuple[Any, ...]:
    whose = (people.get(annotation.labeler_id), annotation.assignment_id, annotation.supersedes_id)
    return (*whose, annotation.finish_reason, annotation.reason, annotation.active_ms, annotation.total_ms, labels)


def _sent(sent: Submission) -> tuple[Any, ...]:
    ratings = [(one["step"], 0, one["rating"], one["flagged"] or None, _clamped(one["ms"])) for one in sent.body["ratings"]]
    whose = (sent.person, sent.assignment, sent.corrects)
    times = (_clamped(sent.body["active_ms"]), _clamped(sent.body["total_ms"]))
    return (*whose, sent.body["finish_reason"], sent.body["reason"], *times, ratings)


def _clamped(milliseconds: int) -> int:
    return min(max(milliseconds, 0), LARGEST)


def _check_numbers(found: dict[str, list[str]], stored: list[Annotation]) -> None:
    first = [annotation for annotation in stored if annotation.revision == 1]
    counted: dict[str, Counter[Any]] = {
        "submission": Counter(str(annotation.submission_id) for annotation in stored),
        "labeler and solution": Counter((annotation.labeler_id, annotation.solution_id) for annotation in first),
        "assignment and revision": Counter((annotation.assignment_id, annotation.revision) for annotation in stored),
    }
    for what, times in counted.items():
        found["twice"] += [f"{what} {which}: {number} annotations" for which, number in times.items() if number > 1]


def _check_assignments(found: dict[str, list[str]], journal: Journal, rows: list[Assignment], people: dict[int, str]) -> None:
    by_key = {row.pk: row for row in rows}
    for sent in list(journal.submissions.values()):
        if not sent.is_acknowledged or sent.corrects is not None:
            continue
        row = by_key[sent.assignment]
        if (row.state, people.get(row.labeler_id or 0), row.token) != ("done", sent.person, sent.token):
            whose = f"{people.get(row.labeler_id or 0)} with token {row.token}"
            found["stale"].append(
                f"Assignment {row.pk}: {sent.person} was acknowledged with token {sent.token}, but it is {row.state} by {whose}."
            )
    for assignment, person in journal.skipped.items():
        row = by_key[assignment]
        if (row.state, people.get(row.labeler_id or 0)) != ("skipped", person):
            found["skips_lost"].append(f"Assignment {assignment}: {person} skipped it, but it is {row.state}.")
    places = Counter((row.task_id, row.slot) for row in rows if row.slot is not None)
    found["over_overlap"] += [f"Task {task} has place {slot} {number} times." for (task, slot), number in places.items() if number > 1]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.id, t.overlap, count(s.id) FILTER (WHERE s.state <> 'skipped'), "
            "(SELECT count(DISTINCT a.labeler_id) FROM annotation_annotation a JOIN annotation_assignment o ON o.id = a.assignment_id "
            "  WHERE o.task_id = t.id AND o.slot IS NOT NULL) "
            "FROM annotation_task t LEFT JOIN annotation_assignment s ON s.task_id = t.id AND s.slot IS NOT NULL "
            "WHERE t.kind = 'normal' AND t.batch_id = ANY(%s) GROUP BY t.id ORDER BY t.id",
            [sorted({row.batch_id for row in rows})],
        )
        for task, overlap, standing, labeled in cursor.fetchall():
            if max(standing, labeled) > overlap:
                found["over_overlap"].append(f"Task {task}, overlap {overlap}: {standing} places, labeled by {labeled} people.")
            elif standing < overlap:
                found["under_overlap"].append(f"Task {task}, overlap {overlap}: {standing} places.")


def _check_drafts(found: dict[str, list[str]], journal: Journal, people: dict[int, str]) -> None:
    done = {(people.get(labeler or 0), key) for key, labeler in Assignment.objects.filter(state="done").values_list("pk", "labeler")}
    drafts = {(people[draft.labeler_id], draft.assignment_id, draft.token): draft for draft in Draft.objects.all()}
    for claim, (revision, ratings) in journal.drafts.items():
        if claim[:2] in done:
            continue  # the submit deleted it
        draft, where = drafts.get(claim), f"Draft {revision} of {claim[0]} for assignment {claim[1]}, token {claim[2]},"
        if draft is None:
            found["drafts_lost"].append(f"{where} is not stored.")
        elif draft.revision < revision:
            found["drafts_lost"].append(f"{where} was replaced by draft {draft.revision}.")
        elif draft.revision == revision and [one["rating"] for one in draft.ratings] != [one["rating"] for one in ratings]:
            found["drafts_lost"].append(f"{where} is stored with other ratings.")
