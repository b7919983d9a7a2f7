"""Agreement: how far the people of a project agree, by batch, pair, time, difficulty, review and version of the guidelines.

Reads annotations that count for agreement (eligibility), adjudications, gold and the guidelines' versions. Writes ProjectAgreement. A
count reads the labels of at most SAMPLE solutions, drawn by a hash of their numbers: the same ones until others come. A small project is
counted when its page is opened and its figures are older than a minute. Of a larger one a worker, or `manage.py agreement`, counts.
"""

import hashlib
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from celery import current_app
from django.db.models import Count, Max
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerUnreachable

from annotation import eligibility
from annotation.agreement import Agreement, Draws, Measured, Reading, agreement, chance, same_as
from annotation.eligibility import Use
from annotation.models import (
    Annotation,
    Assignment,
    AssignmentState,
    Batch,
    BatchKind,
    FinishReason,
    Membership,
    Project,
    ProjectAgreement,
    Solution,
    StepLabel,
    StepSource,
    Task,
)
from annotation.quality.gold import FIRST_MISTAKE, GOLD, is_within_gold, newest

log = logging.getLogger(__name__)

SAMPLE = 5_000  # solutions that a count reads
SMALL = 500  # labels: a project with fewer is counted while its page waits
FRESH = timedelta(minutes=1)
MOST_PAIRS = 100  # pairs of people, those with the most solutions in common
MOST_VERSIONS = 12  # of the guidelines, the newest
WEEKS = 26  # over a longer time, agreement is counted by month
VERDICTS = (FinishReason.SOLUTION, FinishReason.FOUND_ERROR)
FIFTHS = 5


@dataclass(frozen=True)
class AgreementRow:
    """Agreement within one part. `key` names it: a batch, two accounts, a day, a level."""

    key: str
    figures: Agreement


@dataclass(frozen=True)
class ReviewEffect:
    """Labelers on the solutions that were adjudicated: as they first submitted, and after their corrections."""

    solutions: int
    before: Agreement
    after: Agreement
    right_before: Measured  # the share of verdicts that marks the first mistake of the adjudication
    right_after: Measured


@dataclass(frozen=True)
class VersionEffect:
    """The labels made under one version of the guidelines. Shares are (k, n)."""

    number: int
    labels: int
    figures: Agreement  # of pairs of readings that were both made under it
    found: tuple[int, int]  # verdicts that name a mistake
    within: tuple[int, int]  # answers to gold that are within it
    minutes: Measured  # the median of the active time of a solution


@dataclass(frozen=True)
class AgreementFigures:
    """What the page of agreement and `manage.py agreement` show."""

    shared: int = 0  # solutions that at least two people labeled
    sampled: int = 0  # those of them that were read
    people: int = 0  # who labeled them
    total: Agreement = field(default_factory=lambda: agreement([]))
    explained: list[tuple[str, float]] = field(default_factory=list)  # what is known, and the share of pairs that agrees by it
    batches: list[AgreementRow] = field(default_factory=list)
    pairs: list[AgreementRow] = field(default_factory=list)
    periods: list[AgreementRow] = field(default_factory=list)
    levels: list[AgreementRow] = field(default_factory=list)
    subjects: list[AgreementRow] = field(default_factory=list)
    scores: list[AgreementRow] = field(default_factory=list)
    review: ReviewEffect | None = None
    versions: list[VersionEffect] = field(default_factory=list)


@dataclass(frozen=True)
class NamedPair:
    """Two people who labeled the same solutions, by name or by pseudonym."""

    first: str
    second: str
    figures: Agreement


def is_comparable(project: Project) -> bool:
    """Tell whether verdicts of two people can be compared: in an interactive project, everybody takes another path."""
    return project.step_source != StepSource.INTERACTIVE


def agreement_of(project: Project) -> tuple[AgreementFigures | None, datetime | None]:
    """Return the figures of agreement and when they were counted. None: the project is large, and a worker has to count them first."""
    stored = ProjectAgreement.objects.filter(project=project).first()
    figures = _read(stored.values) if stored else None
    if stored and figures and timezone.now() - stored.counted_at <= FRESH:
        return figures, stored.counted_at
    if _is_small(project):
        return count_agreement(project)
    try:
        current_app.send_task("annotation.tasks.count_agreement", [project.pk], ignore_result=True, expires=60)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked to count the agreement of %s (%s).", project.slug, error)
    return (figures, stored.counted_at) if stored and figures else (None, None)


def count_agreement_again(project_id: int) -> bool:
    """Count agreement, unless somebody else has done so within the last minute. Return whether it was counted."""
    project = Project.objects.filter(pk=project_id).first()
    recent = ProjectAgreement.objects.filter(project=project_id, counted_at__gt=timezone.now() - FRESH)
    if project is None or recent.exists():
        return False
    count_agreement(project)
    return True


def count_agreement(project: Project) -> tuple[AgreementFigures, datetime]:
    """Count agreement now, and store it."""
    now = timezone.now()
    figures = _count(project) if is_comparable(project) else AgreementFigures()
    ProjectAgreement.objects.update_or_create(project=project, defaults={"counted_at": now, "values": asdict(figures)})
    return figures, now


def named_pairs(project: Project, figures: AgreementFigures, *, by_name: bool) -> list[NamedPair]:
    """Return the pairs of people by name, or by the pseudonyms that exports show."""
    keys = {int(key) for row in figures.pairs for key in row.key.split(",")}
    names = {
        user: (username if by_name else str(pseudonym)[:8])
        for user, username, pseudonym in Membership.objects.filter(project=project, user__in=keys).values_list(
            "user", "user__username", "export_uuid"
        )
    }
    pairs = []
    for row in figures.pairs:
        first, second = sorted(names.get(int(key), "–") for key in row.key.split(","))
        pairs.append(NamedPair(first, second, row.figures))
    return pairs


def batch_names(figures: AgreementFigures) -> dict[str, str]:
    """Return the name of each batch with agreement, by the key of its row."""
    keys = [int(row.key) for row in figures.batches]
    return {str(batch.pk): str(batch) for batch in Batch.objects.filter(pk__in=keys)}


# --- counting -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """One annotation with its reading."""

    batch: int
    created_at: datetime
    version: int | None
    reading: Reading


@dataclass(frozen=True)
class _Subject:
    """What is known of a solution beside its labels."""

    problem: int
    n_steps: int
    level: str
    subject: str
    score: float | None


def _is_small(project: Project) -> bool:
    done = Assignment.objects.filter(batch__in=Batch.objects.filter(project=project), state=AssignmentState.DONE)
    return done[:SMALL].count() < SMALL


def _count(project: Project) -> AgreementFigures:
    labels = eligibility.counting(Use.AGREEMENT).filter(assignment__batch__project=project)
    several = labels.values("solution").order_by().annotate(n=Count("labeler", distinct=True)).filter(n__gt=1)
    shared = list(several.values_list("solution", flat=True))
    solutions = sorted(shared, key=lambda solution: hashlib.sha256(str(solution).encode()).digest())[:SAMPLE]
    about = _subjects(project, solutions)
    rows = _rows(labels.filter(solution__in=solutions), about)
    readings = [row.reading for row in rows]
    draws = Draws(solutions, _problems(about))
    own = {solution: (subject.level, subject.subject) for solution, subject in about.items()}
    levels = {solution: level for solution, (level, _) in own.items() if level}
    subjects = {solution: subject for solution, (_, subject) in own.items() if subject}
    scores = _fifths({solution: subject.score for solution, subject in about.items() if subject.score is not None})
    known: list[tuple[str, Mapping[int, Hashable] | None]] = [("length of the solution", None)]
    known += [(f"length and {name}", groups) for name, groups in _difficulties(levels, subjects, scores) if len(set(groups.values())) > 1]
    shares = [(words, chance(readings, group_of=groups)) for words, groups in known]
    return AgreementFigures(
        shared=len(shared),
        sampled=len(solutions),
        people=len({reading.person for reading in readings}),
        total=agreement(readings, draws=draws),
        explained=[(words, share) for words, share in shares if share is not None],
        batches=_parts(rows, lambda row: row.batch, draws, newest_first=True),
        pairs=_pairs(readings, draws),
        periods=_periods(rows, draws),
        levels=_groups(rows, levels, draws),
        subjects=_groups(rows, subjects, draws),
        scores=_groups(rows, scores, draws),
        review=_review(project, about),
        versions=_versions(project, rows, draws),
    )


def _difficulties(
    levels: Mapping[int, str], subjects: Mapping[int, str], scores: Mapping[int, str]
) -> Iterable[tuple[str, Mapping[int, Hashable]]]:
    yield "level of the problem", levels
    yield "subject of the problem", subjects
    yield "score by which it was chosen", scores


def _subjects(project: Project, solutions: Sequence[int]) -> dict[int, _Subject]:
    scores = dict(
        Task.objects.filter(solution__in=solutions, batch__project=project, verifier_score__isnull=False)
        .values_list("solution")
        .annotate(score=Max("verifier_score"))
    )
    rows = Solution.objects.filter(pk__in=solutions).values_list("pk", "problem", "steps", "problem__level", "problem__subject")
    return {pk: _Subject(problem, len(steps), level, subject, scores.get(pk)) for pk, problem, steps, level, subject in rows}


def _problems(about: Mapping[int, _Subject]) -> dict[int, int]:
    return {solution: subject.problem for solution, subject in about.items()}


def _rows(labels: Any, about: Mapping[int, _Subject]) -> list[_Row]:
    """Read annotations with the ratings of their steps, in the order in which they were stored."""
    found = list(
        labels.order_by("pk").values_list(
            "pk", "solution", "labeler", "assignment__batch", "finish_reason", "created_at", "guidelines_version"
        )
    )
    ratings: dict[int, dict[int, int | None]] = defaultdict(dict)
    keys = [row[0] for row in found]
    for start in range(0, len(keys), 5_000):
        steps = StepLabel.objects.filter(annotation__in=keys[start : start + 5_000], position=0)
        for annotation, step, rating in steps.values_list("annotation", "step_index", "rating"):
            ratings[annotation][step] = rating
    rows = []
    for pk, solution, labeler, batch, finish_reason, created_at, version in found:
        own = ratings[pk]
        rated = tuple(own.get(step) for step in range(max(own, default=-1) + 1))
        reading = Reading(solution, labeler, rated, about[solution].n_steps, finish_reason in VERDICTS)
        rows.append(_Row(batch, created_at, version, reading))
    return rows


def _parts(rows: Iterable[_Row], key_of: Callable[[_Row], Hashable], draws: Draws, *, newest_first: bool = False) -> list[AgreementRow]:
    """Count the agreement within each part of the readings, and leave out parts without a solution that two people read."""
    parts: dict[Any, list[Reading]] = defaultdict(list)
    for row in rows:
        if (key := key_of(row)) is not None:
            parts[key].append(row.reading)
    counted = [AgreementRow(str(key), agreement(parts[key], draws=draws)) for key in sorted(parts, reverse=newest_first)]
    return [row for row in counted if row.figures.n]


def _groups(rows: Iterable[_Row], groups: Mapping[int, str], draws: Draws) -> list[AgreementRow]:
    return _parts(rows, lambda row: groups.get(row.reading.solution), draws)


def _fifths(scores: Mapping[int, float]) -> dict[int, str]:
    """Sort solutions into five groups of the same size by their score; fewer where many have the same one."""
    ordered = sorted(scores.values())
    if not ordered:
        return {}
    ends = sorted({ordered[min(len(ordered) - 1, (place * len(ordered)) // FIFTHS)] for place in range(1, FIFTHS)})
    names = [f"{low:.2f} to {high:.2f}" for low, high in zip([ordered[0], *ends], [*ends, ordered[-1]], strict=True)]
    return {solution: names[sum(score >= end for end in ends)] for solution, score in scores.items()}


def _pairs(readings: Iterable[Reading], draws: Draws) -> list[AgreementRow]:
    by_solution: dict[int, dict[int, Reading]] = defaultdict(dict)
    for reading in readings:
        by_solution[reading.solution][reading.person] = reading
    pairs: dict[tuple[int, int], list[Reading]] = defaultdict(list)
    for people in by_solution.values():
        persons = sorted(people)
        for place, first in enumerate(persons):
            for second in persons[place + 1 :]:
                pairs[first, second] += [people[first], people[second]]
    most = sorted(pairs, key=lambda pair: (-len(pairs[pair]), pair))[:MOST_PAIRS]
    return [AgreementRow(f"{first},{second}", agreement(pairs[first, second], draws=draws)) for first, second in most]


def _periods(rows: Sequence[_Row], draws: Draws) -> list[AgreementRow]:
    """Count agreement by week or month (UTC): a solution belongs to the one in which its newest label was stored."""
    last: dict[int, date] = {}
    for row in rows:
        day = row.created_at.date()
        last[row.reading.solution] = max(day, last.get(row.reading.solution, day))
    is_by_week = not last or max(last.values()) - min(last.values()) <= timedelta(weeks=WEEKS)
    begins = {
        solution: (day - timedelta(days=day.weekday()) if is_by_week else day.replace(day=1)).isoformat() for solution, day in last.items()
    }
    return _groups(rows, begins, draws)


def _review(project: Project, about: Mapping[int, _Subject]) -> ReviewEffect | None:
    """Compare labelers with the adjudications of their solutions, before and after their own corrections."""
    # In steps: as one statement the planner can read all annotations again for each adjudication, where its statistics are old.
    batches = list(Batch.objects.filter(project=project, kind=BatchKind.REVIEW).values_list("pk", flat=True))
    fixed = eligibility.adjudications_that_count().filter(assignment__batch__in=batches, finish_reason__in=VERDICTS)
    decided = list(fixed.order_by("-pk").values_list("pk", flat=True)[:SAMPLE])
    truth = dict(newest(pk__in=decided).order_by("pk").values_list("solution", "first_mistake"))
    if not truth:
        return None
    known = dict(about) | _subjects(project, [solution for solution in truth if solution not in about])
    labels = eligibility.counting(Use.AGREEMENT).filter(assignment__batch__project=project, solution__in=truth)
    after = [row.reading for row in _rows(labels, known)]
    first = Annotation.objects.filter(revision=1, assignment__in=labels.values("assignment"))
    before = [row.reading for row in _rows(first, known)]
    draws = Draws(truth, _problems(known))
    return ReviewEffect(
        solutions=len(truth),
        before=agreement(before, draws=draws),
        after=agreement(after, draws=draws),
        right_before=same_as(truth, before, draws=draws),
        right_after=same_as(truth, after, draws=draws),
    )


def _versions(project: Project, rows: Sequence[_Row], draws: Draws) -> list[VersionEffect]:
    """Count what labels look like under each version of the guidelines."""
    numbers = range(max(1, project.guidelines_version - MOST_VERSIONS + 1), project.guidelines_version + 1)
    under: dict[int, list[Reading]] = defaultdict(list)
    for row in rows:
        if row.version is not None:
            under[row.version].append(row.reading)
    labels = eligibility.counting(Use.AGREEMENT).filter(assignment__batch__project=project, guidelines_version__in=numbers)
    ends = labels.order_by().values_list("guidelines_version", "finish_reason").annotate(n=Count("pk"))
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for number, finish_reason, n in ends:
        counts[number][finish_reason] = n
    gold: dict[int, list[bool]] = defaultdict(list)
    checked = labels.filter(solution__goldanswer__isnull=False).annotate(first_mistake=FIRST_MISTAKE)
    for number, *verdict in checked.values_list("guidelines_version", "finish_reason", "first_mistake", GOLD):
        gold[number].append(is_within_gold(*verdict))
    times: dict[int, list[int]] = defaultdict(list)
    timed = labels.filter(active_ms__isnull=False, supersedes=None).order_by("guidelines_version", "active_ms")
    for number, ms in timed.values_list("guidelines_version", "active_ms"):
        if number is not None and ms is not None:
            times[number].append(ms)
    return [
        VersionEffect(
            number=number,
            labels=sum(counts[number].values()),
            figures=agreement(under[number], draws=draws),
            found=(counts[number].get(FinishReason.FOUND_ERROR, 0), sum(counts[number].get(end, 0) for end in VERDICTS)),
            within=(sum(gold[number]), len(gold[number])),
            minutes=median_of([ms / 60_000 for ms in times[number]]),
        )
        for number in numbers
        if counts[number]
    ]


def median_of(ordered: Sequence[float]) -> Measured:
    """Return the median of values in order, with the 95 % interval that order statistics give; none of fewer than ten values."""
    n = len(ordered)
    if not n:
        return Measured()
    value = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    half = 0.98 * math.sqrt(n)
    low, high = math.floor((n - 1) / 2 - half), math.ceil((n - 1) / 2 + half)
    return Measured(value, (ordered[low], ordered[high]) if n >= 10 else None, n, is_few=n < 10)


# --- stored figures -----------------------------------------------------------------------------------------------------------


def _read(values: Mapping[str, Any]) -> AgreementFigures | None:
    """Return stored figures. None: an older version stored them in another form."""
    try:
        return AgreementFigures(
            shared=values["shared"],
            sampled=values["sampled"],
            people=values["people"],
            total=_agreement(values["total"]),
            explained=[(words, share) for words, share in values["explained"]],
            batches=_part(values["batches"]),
            pairs=_part(values["pairs"]),
            periods=_part(values["periods"]),
            levels=_part(values["levels"]),
            subjects=_part(values["subjects"]),
            scores=_part(values["scores"]),
            review=_effect_of_review(values["review"]) if values["review"] else None,
            versions=[
                VersionEffect(
                    number=row["number"],
                    labels=row["labels"],
                    figures=_agreement(row["figures"]),
                    found=_two(row["found"]),
                    within=_two(row["within"]),
                    minutes=_figure(row["minutes"]),
                )
                for row in values["versions"]
            ],
        )
    except (KeyError, TypeError, ValueError):
        return None


def _figure(stored: Mapping[str, Any]) -> Measured:
    return Measured(stored["value"], _two(stored["interval"]) if stored["interval"] else None, stored["n"], stored["is_few"])


def _two(values: Sequence[Any]) -> tuple[Any, Any]:
    first, second = values
    return first, second


def _part(rows: Sequence[Mapping[str, Any]]) -> list[AgreementRow]:
    return [AgreementRow(row["key"], _agreement(row["figures"])) for row in rows]


def _effect_of_review(stored: Mapping[str, Any]) -> ReviewEffect:
    return ReviewEffect(
        solutions=stored["solutions"],
        before=_agreement(stored["before"]),
        after=_agreement(stored["after"]),
        right_before=_figure(stored["right_before"]),
        right_after=_figure(stored["right_after"]),
    )


def _agreement(stored: Mapping[str, Any]) -> Agreement:
    return Agreement(
        alpha=_figure(stored["alpha"]),
        exact=_figure(stored["exact"]),
        on_mistakes=_figure(stored["on_mistakes"]),
        n=stored["n"],
        pairs=stored["pairs"],
    )
