"""Stage: eligibility. Whose labels count, for each use of labels. Every module that uses labels asks here, and writes no such condition.

One table (RULES) says it. `counting` gives it to the ORM, `does_count` to the ORM for a few annotations, `sql` to raw statements, and
`docs/quality.md` shows it to people.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

from django.db import connection
from django.db.models import BooleanField, Case, CharField, Exists, F, Func, OuterRef, Q, QuerySet, Value, When

from annotation.models import Annotation, AnnotationQuerySet, Assignment, AssignmentState, BatchKind, FinishReason, Membership, Project

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler
    from django_stubs_ext import WithAnnotations


class Use(StrEnum):
    """What labels are used for."""

    TRAINING = "training"  # a reward model learns from them, or is compared with them
    CONSENSUS = "consensus"  # votes on the first mistake
    AGREEMENT = "agreement"  # how far people agree
    WORK = "work"  # what people did: counts, times, pace
    DATASET = "dataset"  # an export for researchers


ROW = "{row}"  # in a condition of OfAnnotation, stands for the annotation


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


class Probe(Exists):
    """An EXISTS that is answered for each row by itself, by the indexes of its conditions.

    The planner makes a join of any other one, or a list of a whole table: right for a whole project, wrong for the few rows of a page.
    OFFSET 0 changes no answer, and the planner keeps away from it.
    """

    template = "EXISTS(%(subquery)s OFFSET 0)"


class OfAnnotation(Func):
    """A condition of a raw statement on an annotation of the query (`{row}`) and the kind of its batch (`b.kind`), found for each row.

    Most batches are work. The others are one short list, so the row of a batch is read for these alone.
    """

    arity = 1
    output_field = BooleanField()
    template = """EXISTS (
       SELECT FROM (SELECT COALESCE((SELECT kind FROM annotation_batch WHERE id = s.batch_id AND s.batch_id = ANY (
                           ARRAY(SELECT id FROM annotation_batch WHERE project_id = {project} AND kind IN ({kinds})))), '') AS kind
                      FROM annotation_assignment s WHERE s.id = {row}.assignment_id OFFSET 0) b
        WHERE {condition} OFFSET 0)"""

    def __init__(self, annotation: str, *, project: int, condition: str) -> None:
        super().__init__(F(annotation), project=int(project), condition=condition)

    def as_sql(self, compiler: "SQLCompiler", connection: "BaseDatabaseWrapper", **context: object) -> tuple[str, list[object]]:  # type: ignore[override]
        """Write the condition with the name that the table of annotations has in this query."""
        (column,) = self.get_source_expressions()
        row = compiler.quote_name_unless_alias(column.alias)
        kinds = ", ".join(f"'{kind}'" for kind in (BatchKind.PRACTICE, BatchKind.SCREENING, BatchKind.REVIEW))
        condition = self.extra["condition"].replace(ROW, row)
        return self.template.format(row=row, project=self.extra["project"], kinds=kinds, condition=condition), []


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


def rule_of(
    use: Use, *, newcomers: bool | None = None, quarantined: bool | None = None, adjudications: Adjudications | None = None
) -> Rule:
    """Return the rule of a use, with the options of a dataset. Raises ValueError for options of another use."""
    rule = RULES[use]
    if use != Use.DATASET and (newcomers, quarantined, adjudications) != (None, None, None):
        raise ValueError(f"Whose labels count for {use} is fixed. Only a dataset has options.")
    newcomers = rule.newcomers if newcomers is None else newcomers
    quarantined = rule.quarantined if quarantined is None else quarantined
    return replace(rule, newcomers=newcomers, quarantined=quarantined, adjudications=adjudications or rule.adjudications)


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


def does_count(use: Use, *, project: int, annotation: str = "pk", newest: bool | None = None) -> OfAnnotation:
    """Return the condition that an annotation of this project counts for a use. It is right for few rows, and `counting` for many.

    Each row is a look-up by itself, whatever the statistics say. `annotation` is the name of its key in the query. `newest` says
    whether of several revisions the newest alone counts; None: as the rule of the use says.
    """
    return OfAnnotation(annotation, project=project, condition=sql(use, annotation=ROW, project=str(int(project)), newest=newest))


def adjudications_that_count() -> AnnotationQuerySet:
    """Return the adjudications that fix the truth: the newest revisions, by people who are not in quarantine, with a verdict."""
    reviewed = Annotation.objects.newest().filter(assignment__batch__kind=BatchKind.REVIEW, assignment__state=AssignmentState.DONE)
    return reviewed.exclude(finish_reason=FinishReason.GIVE_UP).filter(~Exists(_members(quarantined_at__isnull=False)))


def listed(project: int) -> AnnotationQuerySet:
    """Return the annotations that pages list with their mark (`marked`): newest revisions, without practice and newcomers' answers."""
    kind, admitted = "assignment__batch__kind", _people(project, qualified_at__isnull=False)
    newest = Annotation.objects.filter(~Q(Probe(Annotation.objects.filter(supersedes=OuterRef("pk")))))
    return newest.exclude(**{kind: BatchKind.PRACTICE}).filter(~Q(**{kind: BatchKind.SCREENING}) | Q(labeler__in=admitted))


def marked(annotations: AnnotationQuerySet, *, project: int) -> "QuerySet[WithAnnotations[Annotation, WithMark]]":
    """Add to each annotation of a project its `mark`, which says why it does not count for every use (EFFECTS). Empty: it counts."""
    kind, review = "assignment__batch__kind", Q(assignment__batch__kind=BatchKind.REVIEW)
    reasons = (
        (Q(**{kind: BatchKind.PRACTICE}), LeftOut.PRACTICE),
        (Q(Probe(Annotation.objects.filter(supersedes=OuterRef("pk")))), LeftOut.CORRECTED),
        (Q(**{kind: BatchKind.SCREENING}) & ~Q(labeler__in=_people(project, qualified_at__isnull=False)), LeftOut.NEWCOMER),
        (Q(labeler__in=_people(project, quarantined_at__isnull=False)), LeftOut.QUARANTINE),
        (review & Q(_is_adjudicated(project, later=f" AND rv.id > {ROW}.id")), LeftOut.ADJUDICATED),
        (review, LeftOut.ADJUDICATION),
        (Q(_is_adjudicated(project)), LeftOut.ADJUDICATED),
    )
    first = Case(*(When(condition, then=Value(mark)) for condition, mark in reasons), default=Value(""), output_field=CharField())
    return annotations.annotate(mark=first)


def _is_adjudicated(project: int, *, later: str = "") -> OfAnnotation:
    key = str(int(project))
    people = _PEOPLE.format(project=key, column="quarantined_at")
    condition = _ADJUDICATED.format(annotation=ROW, project=key, people=people, later=later)
    return OfAnnotation("pk", project=project, condition=condition)


def _people(project: int, **where: object) -> "QuerySet[Membership, int]":
    """Return accounts of a project. No column of the outer statement is in it, so the database reads them once."""
    return Membership.objects.filter(project=project, **where).values_list("user", flat=True)


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
    quarantined: bool | None = None,
    adjudications: Adjudications | None = None,
    newest: bool | None = None,
) -> str:
    """Return `counting` as a condition for a raw statement about one project.

    `annotation` is the alias of the annotation's row, `kind` the column with its batch's kind, `project` the project's key or its
    placeholder. `newest` says whether of several revisions the newest alone counts; None: as the rule of the use says.
    """
    rule = rule_of(use, newcomers=newcomers, quarantined=quarantined, adjudications=adjudications)
    in_quarantine = _PEOPLE.format(project=project, column="quarantined_at")
    parts = [f"{kind} <> 'practice'"]
    if rule.newest if newest is None else newest:
        parts.append(_NEWEST.format(annotation=annotation))
    if not rule.newcomers:
        admitted = _PEOPLE.format(project=project, column="qualified_at")
        parts.append(f"({kind} <> 'screening' OR {annotation}.labeler_id = ANY {admitted})")
    if not rule.quarantined:
        parts.append(f"{annotation}.labeler_id <> ALL {in_quarantine}")
    if rule.adjudications == Adjudications.WITHOUT:
        parts.append(f"{kind} <> 'review'")
    if rule.adjudications == Adjudications.INSTEAD:
        later = f" AND ({kind} <> 'review' OR rv.id > {annotation}.id)"
        adjudicated = _ADJUDICATED.format(annotation=annotation, project=project, people=in_quarantine, later=later)
        parts.append(f"({kind} <> 'review' OR {annotation}.finish_reason <> 'give_up')")
        parts.append(f"NOT {adjudicated}")
    return "\n   AND ".join(parts)


def screening_sql(*, kind: str = "b.kind") -> str:
    """Return a condition for a raw statement: the batch is a screening. Records hide its ground truth and call its generation -1."""
    return f"{kind} = 'screening'"


def settling_sql(*, annotation: str = "a", kind: str = "b.kind") -> str:
    """Return a condition for a raw statement: the annotation is an adjudication with a verdict. Giving up settles nothing."""
    return f"({kind} = 'review' AND {annotation}.finish_reason <> 'give_up')"


def adjudicated_sql(*, annotation: str = "a", project: str = "%(project)s") -> str:
    """Return a condition for a raw statement: an adjudication that counts settles the solution of this annotation."""
    people = _PEOPLE.format(project=project, column="quarantined_at")
    return _ADJUDICATED.format(annotation=annotation, project=project, people=people, later="")
