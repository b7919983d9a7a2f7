"""The page of surprises: the steps at which a model version and people part, the most surprising first, page by page.

Each statement goes along the index of a version's surprises, of which there are only so many (surprises.KEPT).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Q, QuerySet

from active_learning import registry, scoring, surprises
from active_learning.models import LearnedFrom, ModelKind, ModelState, ModelVersion, Surprise, SurpriseKind
from active_learning.pages.models import Verdict, first_verdicts
from annotation import quality
from annotation.models import Project, StepSource

PAGE = 25  # steps listed at a time
VERDICTS = 5  # people listed of each
CURSOR = re.compile(r"(\d{1,3}(?:\.\d+)?)-(\d{1,18})")  # bits and solution of the last row of the page before
FILE_HEADER = (
    "solution", "problem", "subject", "step", "kind", "first_mistake_of_people", "first_mistake_of_model", "bits", "bits_are_exact",
    "p_correct", "learned_from", "finish_reason", "generation", "batch", "label",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SurpriseFilter:
    """What a person looks for. Empty values look for nothing. The fields stand in the address under these names."""

    kind: str = ""
    learned: str = ""
    finish: str = ""
    subject: str = ""
    generation: int | None = None
    batch: int | None = None

    @property
    def address(self) -> dict[str, str]:
        """What a link carries, so that it stays in this found set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) for name, value in values.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class SurprisingStep:
    """A row of the page. number and text: of the step at which the two part."""

    surprise: Surprise
    number: int
    text: str
    verdicts: Sequence[Verdict]
    has_more: bool  # people who are not listed


@dataclass(frozen=True, slots=True)
class CountRow:
    """How often a version and people disagree, of one origin: the model calls it good, the model calls it a mistake."""

    learned: LearnedFrom
    missed: int
    alarms: int


def surprise_filter(values: Mapping[str, Any]) -> SurpriseFilter:
    """Return the filter of the values that a form has read."""
    return SurpriseFilter(**{field.name: values[field.name] for field in fields(SurpriseFilter) if values.get(field.name) is not None})


def surprising_steps(project: Project, number: int, filter: SurpriseFilter, *, after: str = "") -> dict[str, Any]:
    """Return a page of the steps at which a version and people part. `after` is the cursor of the page before.

    Raises registry.NoSuchVersion.
    """
    version = registry.find(project, number)
    page: dict[str, Any] = {"version": version, "why_not": _why_not(version), "notes": []}
    if page["why_not"]:
        return page
    look = surprises.look_of(version)
    ordered = _ordered(version, filter, after=after)
    columns = ("solution__steps", "solution__source", "solution__outcome", "solution__problem__statement", "batch__kind")
    found = list(ordered.select_related("solution__problem", "batch").only(*_COLUMNS, *columns, "batch__generation")[: PAGE + 1])
    shown = found[:PAGE]
    verdicts, more = first_verdicts(project.pk, [row.solution_id for row in shown], each=VERDICTS, by="")
    last = shown[-1] if len(found) > PAGE else None
    return page | {
        "rows": [
            SurprisingStep(row, row.step + 1, _text(row), verdicts.get(row.solution_id, []), row.solution_id in more) for row in shown
        ],
        "after": f"{last.bits!r}-{last.solution_id}" if last else "",
        "page_size": PAGE,
        "look": look,
        "counts": _counts(look.values),
        "n_differing": sum(n for *_, n in look.values.get("counts", ())),
        "is_cut": any(n > surprises.KEPT for *_, n in look.values.get("counts", ())),
        "kept": surprises.KEPT,
        "subjects": look.values.get("subjects", ()),
        "notes": _notes(version),
    }


def surprise_lines(project: Project, number: int, filter: SurpriseFilter) -> Iterator[Sequence[str]]:
    """Yield all surprises that a filter finds as the lines of a file, the header first. Raises registry.NoSuchVersion at once."""
    version = registry.find(project, number)
    if not _why_not(version):
        surprises.look_of(version)
    return _lines(version, filter)


def _lines(version: ModelVersion, filter: SurpriseFilter) -> Iterator[Sequence[str]]:
    yield FILE_HEADER
    rows = _ordered(version, filter).select_related("solution__problem").only(*_COLUMNS, "solution__problem__external_id")
    for row in rows.iterator(chunk_size=1_000):
        values = (
            row.solution_id, row.solution.problem.external_id, row.subject, row.step + 1, row.kind, _first(row.people), _first(row.model),
            row.bits, row.is_exact, row.right, row.learned_from, row.finish_reason, row.generation, row.batch_id, row.annotation_id,
        )  # fmt: skip
        yield ["" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in values]


_COLUMNS = (
    "model_version", "solution", "step", "kind", "learned_from", "bits", "is_exact", "right", "people", "model", "annotation",
    "finish_reason", "batch", "generation", "subject",
)  # fmt: skip


def _first(place: int | None) -> str:
    return "none" if place is None else str(place + 1)


def _text(row: Surprise) -> str:
    steps = row.solution.steps
    return steps[row.step] if row.step < len(steps) else ""


def _ordered(version: ModelVersion, filter: SurpriseFilter, *, after: str = "") -> QuerySet[Surprise]:
    rows = Surprise.objects.filter(model_version=version).order_by("-bits", "-solution")
    wanted = {
        "kind": filter.kind, "learned_from": filter.learned, "finish_reason": filter.finish, "subject": filter.subject,
        "generation": filter.generation, "batch": filter.batch,
    }  # fmt: skip
    rows = rows.filter(**{name: value for name, value in wanted.items() if value not in ("", None)})
    if place := CURSOR.fullmatch(after):
        bits, solution = float(place[1]), int(place[2])
        rows = rows.filter(Q(bits__lte=bits) & (Q(bits__lt=bits) | Q(solution__lt=solution)))  # the first condition begins the index
    return rows


def _counts(values: Mapping[str, Any]) -> list[CountRow]:
    found = {(kind, learned): n for kind, learned, n in values.get("counts", ())}
    rows = [
        CountRow(learned, found.get((SurpriseKind.MISSED, learned), 0), found.get((SurpriseKind.ALARM, learned), 0))
        for learned in LearnedFrom
    ]
    return [row for row in rows if row.missed or row.alarms]


def _why_not(version: ModelVersion) -> str:
    """Say why a version cannot be compared with people step by step. Empty: it can."""
    if version.kind != ModelKind.PRM:
        return "An outcome reward model judges whole solutions, so it names no step. Choose a process reward model."
    if version.state != ModelState.READY:
        return f"Model {version.number} is {version.get_state_display().lower()}. Only a ready model has scores."
    if version.project.step_source == StepSource.INTERACTIVE:
        return "In an interactive project people choose other texts than the model scored, so their verdicts are not compared."
    return ""


def _notes(version: ModelVersion) -> list[str]:
    """Say in sentences what limits the comparison."""
    notes = []
    if version.scores_file and not scoring.is_attached(version):
        notes.append(
            f"The scores of model {version.number} are in a file, so only the solutions whose steps it scored are compared. To compare all "
            f"again, load the scores: manage.py scores --project {version.project.slug} --restore {version.number}"
        )
    elif not scoring.is_attached(version):
        notes.append(f"Model {version.number} has not scored all solutions, so only those whose steps it scored are compared.")
    if (prior := quality.prior_of(version.project)) is not None:
        notes.append(f"The scores of model {prior} were the prior of the consensus. So the consensus leans towards what that model says.")
    return notes
