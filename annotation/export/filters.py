"""Stage: export, filters: which annotations of a project a snapshot lists. Every value is checked against the project first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Self
from uuid import UUID

from django.utils.dateparse import parse_date, parse_datetime

from annotation import eligibility
from annotation.eligibility import Adjudications, Use
from annotation.models import Batch, BatchKind, FinishReason, Membership, Project, Solution, Split, StepSource

AGREEMENTS, REVIEWS, LABELS = ("agree", "disagree"), ("reviewed", "not-reviewed"), ("each", "consensus")
_LARGEST = 2**31 - 1


class BadFilter(ValueError):
    """A filter that cannot be applied. The message names the field, its value and what to do. No snapshot was taken.

    field: the name in SnapshotFilter. value: what was given.
    """

    def __init__(self, field: str, value: object, reason: str, remedy: str) -> None:
        super().__init__(f"{field} {_in_words(value)}: {reason}. {remedy}. No snapshot was taken.")
        self.field, self.value, self.reason, self.remedy = field, value, reason, remedy


@dataclass(frozen=True, kw_only=True)
class SnapshotFilter:
    """Which annotations a snapshot lists. An empty tuple, and None, leave nothing out.

    splits: of the problems. generations: of the batches, as records name them. batches: keys of batches. since, until: when the label was
    submitted; until is not included. people: pseudonyms. finish_reasons and without: how a labeler ended. sources: generators of the
    solutions. agreement: `agree` keeps solutions on whose first mistake at least two people agree, `disagree` those on which people
    differ. min_labels: the fewest people who judged the solution to its end. review: `reviewed` keeps solutions that an adjudication
    settles. quarantined: whether labels of people in quarantine are kept. newcomers: whether screening answers of people who are not
    admitted are. adjudications: how the adjudication of a solution stands to other labels. labels: `consensus` keeps one annotation for
    each solution with a consensus: the newest that says what the consensus says.
    """

    splits: tuple[str, ...] = (Split.TRAIN,)
    generations: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    people: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    agreement: str | None = None
    min_labels: int | None = None
    review: str | None = None
    quarantined: bool = False
    newcomers: bool = True
    adjudications: str | None = None
    labels: str = "each"

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Return the filter that JSON values describe: those of `spec`, or of a form or a request. Raises BadFilter."""
        known = {field.name for field in fields(cls)}
        for name in spec:
            if name not in known:
                raise BadFilter(name, spec[name], "there is no such filter", f"Choose from {', '.join(sorted(known))}")
        values: dict[str, Any] = {}
        for name, value in spec.items():
            if name in ("generations", "batches"):
                values[name] = tuple(
                    _number(name, number, least=-32_768 if name == "generations" else 1) for number in _listed(name, value)
                )
            elif name in ("splits", "people", "finish_reasons", "without", "sources"):
                values[name] = tuple(_text(name, text) for text in _listed(name, value))
            elif name in ("since", "until"):
                values[name] = None if value is None else _moment(name, value)
            elif name == "min_labels":
                values[name] = None if value is None else _number(name, value, least=1)
            elif name in ("quarantined", "newcomers"):
                if not isinstance(value, bool):
                    raise BadFilter(name, value, "it must be true or false", "Give one of the two")
                values[name] = value
            else:
                values[name] = None if value is None else _text(name, value)
        chosen = cls(**values)
        chosen.check()
        return chosen

    @property
    def spec(self) -> dict[str, Any]:
        """The filter as JSON values, without what leaves nothing out."""
        values: dict[str, Any] = {"splits": list(self.splits), "without": list(self.without), "newcomers": self.newcomers}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in values and value != field.default:
                values[field.name] = (
                    value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value
                )
        return values

    def check(self) -> None:
        """Raise BadFilter for a value that no project knows."""
        for name, values, allowed in (
            ("splits", self.splits, Split.values),
            ("finish_reasons", self.finish_reasons, FinishReason.values),
            ("without", self.without, FinishReason.values),
            ("agreement", (self.agreement,), (None, *AGREEMENTS)),
            ("review", (self.review,), (None, *REVIEWS)),
            ("labels", (self.labels,), LABELS),
            ("adjudications", (self.adjudications,), (None, *Adjudications)),
        ):
            for value in values:
                if value not in allowed:
                    named = ", ".join(str(choice) for choice in allowed if choice is not None)
                    raise BadFilter(name, value, "there is no such value", f"Choose from {named}")
        if not self.splits:
            raise BadFilter("splits", "", "no split is named, so nothing is left", "Choose from train, test")
        for person in self.people:
            _uuid(person)
        if self.since and self.until and self.since >= self.until:
            raise BadFilter("until", self.until, f"it is not after since {self.since.isoformat()}", "Name a later moment, or leave one out")

    def check_in(self, project: Project) -> None:
        """Raise BadFilter for a value that this project does not have, or that means nothing in it."""
        self.check()
        if self.agreement and project.step_source == StepSource.INTERACTIVE:
            reason = f"in {project.slug} everybody takes another path, so first mistakes of two people cannot be compared"
            raise BadFilter("agreement", self.agreement, reason, "Leave this filter out")
        if self.batches:
            known = set(Batch.objects.filter(project=project, pk__in=self.batches).values_list("pk", flat=True))
            for batch in self.batches:
                if batch not in known:
                    raise BadFilter("batches", batch, f"{project.slug} has no such batch", "The page Batches of the project lists them")
        if self.generations:
            generations = generations_of(project)
            for wanted in self.generations:
                if wanted not in generations:
                    there = ", ".join(map(str, generations)) or "none"
                    raise BadFilter("generations", wanted, f"{project.slug} has no such generation", f"Its generations are: {there}")
        if self.people:
            members = set(Membership.objects.filter(project=project, export_uuid__in=self.people).values_list("export_uuid", flat=True))
            for person in self.people:
                if UUID(person) not in members:
                    remedy = "Use a pseudonym as exports of this project show it in the field labeler"
                    raise BadFilter("people", person, f"{project.slug} has no such person", remedy)
        for source in self.sources:
            if not Solution.objects.filter(source=source, problem__project=project).exists():
                remedy = "The field source of a solution names its generator; check the spelling"
                raise BadFilter("sources", source, f"{project.slug} has no solution of this source", remedy)

    @property
    def narrows(self) -> bool:
        """Whether something is chosen that can leave an empty list though the project has labels."""
        return self != SnapshotFilter(splits=self.splits, newcomers=self.newcomers, adjudications=self.adjudications)

    def sql(self, project: Project, parameters: dict[str, Any]) -> str:
        """Return the conditions of a statement that knows a, b, s and p (datasets.py), and add their parameters."""
        parts = [
            eligibility.sql(
                Use.DATASET,
                newcomers=self.newcomers,
                quarantined=self.quarantined,
                adjudications=Adjudications(self.adjudications or project.adjudications),
            )
        ]
        people = Membership.objects.filter(project=project, export_uuid__in=self.people).values_list("user", flat=True)
        for name, condition, value in (
            ("splits", "p.split = ANY(%(splits)s)", list(self.splits)),
            (
                "generations",
                f"CASE WHEN {eligibility.screening_sql()} THEN -1 ELSE b.generation END = ANY(%(generations)s)",
                list(self.generations),
            ),
            ("batches", "t.batch_id = ANY(%(batches)s)", list(self.batches)),
            ("since", "a.created_at >= %(since)s", self.since),
            ("until", "a.created_at < %(until)s", self.until),
            ("people", "a.labeler_id = ANY(%(people)s)", list(people) if self.people else []),
            ("finish_reasons", "a.finish_reason = ANY(%(finish_reasons)s)", list(self.finish_reasons)),
            ("without", "a.finish_reason <> ALL(%(without)s)", list(self.without)),
            ("sources", "s.source = ANY(%(sources)s)", list(self.sources)),
            ("min_labels", f"({_readings('count(*)')}) >= %(min_labels)s", self.min_labels),
        ):
            if value or (name == "min_labels" and value is not None):
                parts.append(condition)
                parameters[name] = value
        if self.agreement:
            agreeing = "count(*) >= 2 AND count(DISTINCT first) = 1" if self.agreement == "agree" else "count(DISTINCT first) > 1"
            parts.append(f"({_readings(agreeing)})")
        if self.review:
            parts.append(f"{'' if self.review == 'reviewed' else 'NOT '}{eligibility.adjudicated_sql()}")
        if self.labels == "consensus":
            parts.append(_IS_OF_CONSENSUS.format(first=_FIRST.format(annotation="a")))
        return "\n   AND ".join(parts)


def generations_of(project: Project) -> list[int]:
    """Return the generations of a project's batches, as records name them (-1: the screening)."""
    rows = Batch.objects.filter(project=project).values_list("kind", "generation").distinct()
    generations = {-1 if kind == BatchKind.SCREENING else generation for kind, generation in rows}
    return sorted(number for number in generations if number is not None)


# The first mistake of an annotation: a step from 0, or -1.
_FIRST = """coalesce((SELECT l.step_index FROM annotation_steplabel l
             WHERE l.annotation_id = {annotation}.id AND l.rating = -1 AND l.position = 0 ORDER BY l.step_index LIMIT 1), -1)"""
_JUDGED = "finish_reason IN ('solution', 'found_error')"  # to the end: only then two people can be compared
_IS_OF_CONSENSUS = f"""EXISTS (SELECT FROM annotation_solutionconsensus c
                        WHERE c.solution_id = a.solution_id AND a.{_JUDGED}
                          AND coalesce(c.first_mistake, -1) = {{first}} OFFSET 0)"""


def _readings(figure: str) -> str:
    """Return SQL of a figure over the first mistakes (`first`) that people found in the solution of a. The rule is that of agreement."""
    counting = eligibility.sql(Use.AGREEMENT, annotation="other", kind="other_batch.kind")
    return f"""SELECT {figure} FROM (
       SELECT {_FIRST.format(annotation="other")} AS first
         FROM (SELECT * FROM annotation_annotation WHERE solution_id = a.solution_id OFFSET 0) other
        CROSS JOIN LATERAL (SELECT batch_id FROM annotation_assignment WHERE id = other.assignment_id OFFSET 0) other_assignment
        CROSS JOIN LATERAL (SELECT kind FROM annotation_batch WHERE id = other_assignment.batch_id OFFSET 0) other_batch
        WHERE other.{_JUDGED} AND {counting} OFFSET 0) reading"""


# --- values of a specification -----------------------------------------------------------------------------------------------


def _in_words(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _listed(name: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, list | tuple):
        raise BadFilter(name, value, "it must be a list", f"Give the values of {name} as a list")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadFilter(name, value, "it must be text", "Write the value in quotes")
    if "\0" in value or len(value) > 200 or any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise BadFilter(name, value, "it is no text of at most 200 characters", "Check the value")
    return value


def _number(name: str, value: Any, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise BadFilter(name, value, f"it must be a whole number, at least {least}", "Write such a number")
    return value


def _uuid(value: str) -> None:
    try:
        UUID(value)
    except ValueError:
        raise BadFilter("people", value, "it is no pseudonym", "Use a pseudonym as exports show it in the field labeler") from None


def _moment(name: str, value: Any) -> datetime:
    """Return a moment in UTC. A date alone means its first moment. Raises BadFilter."""
    moment: datetime | None = value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str):
            day: date | None = parse_date(value)
            moment = datetime(day.year, day.month, day.day) if day else parse_datetime(value)
        if moment is not None:
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter: a moment of the year 1 that is of the year 0 in UTC
        pass
    raise BadFilter(name, value, "it is no date", "Write a day such as 2026-11-26, or a moment such as 2026-11-26T14:00Z")
