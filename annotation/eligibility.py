"""Stage: eligibility. Whose labels count, for each use of labels. Every module that uses labels asks here, and writes no such condition.

One table (RULES) says it. `counting` gives it to the ORM, `sql` to raw statements, and `docs/quality.md` shows it to people.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

from django.db import connection
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Value, When

from annotation.models import Annotation, AnnotationQuerySet, Assignment, AssignmentState, BatchKind, FinishReason, Membership, Project

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations


class Use(StrEnum):
    """What labels are used for."""

    TRAINING = "training"  # a reward model learns from them, or is compared with them
    CONSENSUS = "consensus"  # votes on the first mistake
    AGREEMENT = "agreement"  # how far people agree
    WORK = "work"  # what people did: counts, times, pace
    DATASET = "dataset"  # an export for researchers


class LeftOut(StrEnum):
    """Why an annotation does not count for every use."""

    PRACTICE = "practice"
    NEWCOMER = "not admitted"
    QUARANTINE = "in quarantine"
    CORRECTED = "corrected later"
    ADJUDICATION = "adjudication"
    ADJUDICATED = "adjudicated"


EFFECTS: dict[str, str] = {
    LeftOut.PRACTICE: "Practice counts nowhere.",
    LeftOut.NEWCOMER: "A screening answer of a person who is not admitted counts in exports only.",
    LeftOut.QUARANTINE: "Labels of a person in quarantine count as work only.",
    LeftOut.CORRECTED: "A revision that was corrected later counts nowhere. The newer one does.",
    LeftOut.ADJUDICATION: "An adjudication is what models learn. It is no opinion among others, and no work.",
    LeftOut.ADJUDICATED: "Models learn the adjudication of this solution instead.",
}


class WithMark(TypedDict):
    """What `marked` adds to an annotation."""

    mark: str


class Adjudications(StrEnum):
    """How the adjudication of a solution stands to the other labels of it."""

    WITHOUT = "without"  # it is no opinion among others
    BESIDE = "beside"  # one label among all
    INSTEAD = "instead"  # the newest adjudication of a solution, and no other label of that solution


@dataclass(frozen=True)
class Rule:
    """Whose labels one use takes. Practice is in none. Withdrawn solutions, calibration, gold and labels from files are in all."""

    newest: bool = True  # of several revisions the newest alone
    newcomers: bool = False  # the screening answers of people who are not admitted
    quarantined: bool = False  # the labels of people in quarantine
    adjudications: Adjudications = Adjudications.WITHOUT


RULES = {
    Use.TRAINING: Rule(adjudications=Adjudications.INSTEAD),
    Use.CONSENSUS: Rule(),
    Use.AGREEMENT: Rule(),
    # The hours of people in quarantine were worked. Of several revisions, the user chooses the first (when) or the newest (what).
    Use.WORK: Rule(newest=False, quarantined=True),
    Use.DATASET: Rule(newcomers=True, adjudications=Adjudications.BESIDE),
}


def rule_of(use: Use, *, newcomers: bool | None = None, adjudications: Adjudications | None = None) -> Rule:
    """Return the rule of a use, with the options of a dataset. Raises ValueError for options of another use."""
    rule = RULES[use]
    if use != Use.DATASET and (newcomers, adjudications) != (None, None):
        raise ValueError(f"Whose labels count for {use} is fixed. Only a dataset has options.")
    newcomers = rule.newcomers if newcomers is None else newcomers
    return replace(rule, newcomers=newcomers, adjudications=adjudications or rule.adjudications)


def counting(use: Use, *, newcomers: bool | None = None, adjudications: Adjudications | None = None) -> AnnotationQuerySet:
    """Return the annotations that count for a use. `newcomers` and `adjudications` are the options of a dataset."""
    rule = rule_of(use, newcomers=newcomers, adjudications=adjudications)
    without = [BatchKind.PRACTICE, *([BatchKind.REVIEW] if rule.adjudications == Adjudications.WITHOUT else [])]
    annotations = Annotation.objects.exclude(assignment__batch__kind__in=without)
    if rule.newest:
        annotations = annotations.newest()
    if not rule.newcomers:
        annotations = annotations.filter(~Q(assignment__batch__kind=BatchKind.SCREENING) | Exists(_members(qualified_at__isnull=False)))
    if not rule.quarantined:
        annotations = annotations.filter(~Exists(_members(quarantined_at__isnull=False)))
    if rule.adjudications == Adjudications.INSTEAD:
        # An adjudication gives way to later ones only, every other label to all. As one NOT EXISTS the planner can hash it.
        is_review = Q(assignment__batch__kind=BatchKind.REVIEW)
        gives_way_after = Case(When(is_review, then=F("pk")), default=Value(0))
        instead = adjudications_that_count().filter(solution=OuterRef("solution"), pk__gt=OuterRef("gives_way_after"))
        annotations = annotations.exclude(is_review & Q(finish_reason=FinishReason.GIVE_UP))
        annotations = annotations.alias(gives_way_after=gives_way_after).filter(~Exists(instead))
    return annotations


def adjudications_that_count() -> AnnotationQuerySet:
    """Return the adjudications that fix the truth: the newest revisions, by people who are not in quarantine, with a verdict."""
    reviewed = Annotation.objects.newest().filter(assignment__batch__kind=BatchKind.REVIEW, assignment__state=AssignmentState.DONE)
    return reviewed.exclude(finish_reason=FinishReason.GIVE_UP).filter(~Exists(_members(quarantined_at__isnull=False)))


def marked(annotations: AnnotationQuerySet) -> "QuerySet[WithAnnotations[Annotation, WithMark]]":
    """Add to each annotation its `mark`, which says why it does not count for every use (EFFECTS). Empty: it counts."""
    fixed = adjudications_that_count().filter(solution=OuterRef("solution"))
    fixed_later = fixed.filter(pk__gt=OuterRef("pk"))
    kind, review = "assignment__batch__kind", Q(assignment__batch__kind=BatchKind.REVIEW)
    reasons = (
        (Q(**{kind: BatchKind.PRACTICE}), LeftOut.PRACTICE),
        (Q(Exists(Annotation.objects.filter(supersedes=OuterRef("pk")))), LeftOut.CORRECTED),
        (Q(**{kind: BatchKind.SCREENING}) & ~Q(Exists(_members(qualified_at__isnull=False))), LeftOut.NEWCOMER),
        (Q(Exists(_members(quarantined_at__isnull=False))), LeftOut.QUARANTINE),
        (review & Q(Exists(fixed_later)), LeftOut.ADJUDICATED),
        (review, LeftOut.ADJUDICATION),
        (Q(Exists(fixed)), LeftOut.ADJUDICATED),
    )
    first = Case(*(When(condition, then=Value(mark)) for condition, mark in reasons), default=Value(""), output_field=CharField())
    return annotations.annotate(mark=first)


def assignments_without_work(labeler_id: int | None) -> QuerySet[Assignment]:
    """Return a person's assignments whose labels are no work. Who asks about one person leaves these out, and joins no others."""
    admitted = Membership.objects.filter(project=OuterRef("batch__project"), user=labeler_id, qualified_at__isnull=False)
    no_work = Q(batch__kind__in=[BatchKind.PRACTICE, BatchKind.REVIEW]) | Q(~Exists(admitted), batch__kind=BatchKind.SCREENING)
    return Assignment.objects.filter(no_work, labeler=labeler_id)


def people_left_out(project: Project) -> list[int]:
    """Return the accounts whose labels do not count for training: people in quarantine, and those who answer a screening. In order."""
    with connection.cursor() as cursor:
        return [person for (person,) in cursor.execute(_PEOPLE_LEFT_OUT, {"project": project.pk}).fetchall()]


def _members(**where: object) -> QuerySet[Membership]:
    return Membership.objects.filter(project=OuterRef("assignment__batch__project"), user=OuterRef("labeler"), **where)


# In a raw statement each part is an array that is read once, or a probe of an index for each row: OFFSET 0 keeps the planner from
# joining whole tables when its statistics are old (export/snapshots.py).
_PEOPLE = "(ARRAY(SELECT user_id FROM annotation_membership WHERE project_id = {project} AND {column} IS NOT NULL))"
_NEWEST = "NOT EXISTS (SELECT FROM annotation_annotation newer WHERE newer.supersedes_id = {annotation}.id OFFSET 0)"
_ADJUDICATED = """EXISTS (
       SELECT FROM (SELECT id FROM annotation_task
                     WHERE solution_id = {annotation}.solution_id AND batch_id = ANY (
                           ARRAY(SELECT id FROM annotation_batch WHERE project_id = {project} AND kind = 'review')) OFFSET 0) rt
        CROSS JOIN LATERAL (SELECT id FROM annotation_assignment WHERE task_id = rt.id AND state = 'done' OFFSET 0) ra
        CROSS JOIN LATERAL (SELECT * FROM annotation_annotation WHERE assignment_id = ra.id OFFSET 0) rv
        WHERE rv.finish_reason <> 'give_up' AND rv.labeler_id <> ALL {people}
          AND NOT EXISTS (SELECT FROM annotation_annotation later WHERE later.supersedes_id = rv.id OFFSET 0){later} OFFSET 0)"""

_PEOPLE_LEFT_OUT = """
SELECT user_id FROM annotation_membership WHERE project_id = %(project)s AND quarantined_at IS NOT NULL
 UNION
SELECT m.user_id
  FROM (SELECT id FROM annotation_batch WHERE project_id = %(project)s AND kind = 'screening' OFFSET 0) b
 CROSS JOIN LATERAL (SELECT id FROM annotation_task WHERE batch_id = b.id OFFSET 0) t
 CROSS JOIN LATERAL (SELECT labeler_id FROM annotation_assignment WHERE task_id = t.id AND state = 'done' OFFSET 0) s
  JOIN annotation_membership m ON m.project_id = %(project)s AND m.user_id = s.labeler_id AND m.qualified_at IS NULL
 ORDER BY 1
"""


def sql(
    use: Use,
    *,
    annotation: str = "a",
    kind: str = "b.kind",
    project: str = "%(project)s",
    newcomers: bool | None = None,
    adjudications: Adjudications | None = None,
) -> str:
    """Return `counting` as a condition for a raw statement about one project.

    `annotation` is the alias of the annotation's row, `kind` the column with its batch's kind, `project` the project's key or its
    placeholder.
    """
    rule = rule_of(use, newcomers=newcomers, adjudications=adjudications)
    quarantined = _PEOPLE.format(project=project, column="quarantined_at")
    parts = [f"{kind} <> 'practice'"]
    if rule.newest:
        parts.append(_NEWEST.format(annotation=annotation))
    if not rule.newcomers:
        admitted = _PEOPLE.format(project=project, column="qualified_at")
        parts.append(f"({kind} <> 'screening' OR {annotation}.labeler_id = ANY {admitted})")
    if not rule.quarantined:
        parts.append(f"{annotation}.labeler_id <> ALL {quarantined}")
    if rule.adjudications == Adjudications.WITHOUT:
        parts.append(f"{kind} <> 'review'")
    if rule.adjudications == Adjudications.INSTEAD:
        later = f" AND ({kind} <> 'review' OR rv.id > {annotation}.id)"
        adjudicated = _ADJUDICATED.format(annotation=annotation, project=project, people=quarantined, later=later)
        parts.append(f"({kind} <> 'review' OR {annotation}.finish_reason <> 'give_up')")
        parts.append(f"NOT {adjudicated}")
    return "\n   AND ".join(parts)
