"""Stage: surprises. Where a model version and people name different first mistakes, and how little the version expected it.

People's verdict is what settling stored of a solution: its consensus, one person's verdict, or an adjudication. A surprise is the step at
which the two part. Reads SolutionConsensus, scores and labels; writes Surprise and SurpriseLook, all rows of a version in one transaction.
A worker does it for a large project, and a page shows what it found last.
"""

import heapq
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import orjson
from celery import current_app
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import registry, rounds
from active_learning.models import LearnedFrom, ModelKind, ModelVersion, Round, Selection, Surprise, SurpriseKind, SurpriseLook
from annotation import eligibility
from annotation.eligibility import Use
from annotation.models import Annotation, FinishReason, Project, SnapshotItem, SolutionConsensus, StepLabel
from trainer.evaluate import first_weak_step

log = logging.getLogger(__name__)

KEPT = 5_000  # of each kind and each origin, the most surprising: what a page can list
LARGE = 500  # settled solutions: of fewer, each view looks anew
FRESH, FRESH_IF_LARGE = timedelta(seconds=5), timedelta(minutes=10)
ASK_AGAIN = timedelta(minutes=1)
CHUNK = 5_000  # settled solutions that are read at a time
MOST_BITS = 40.0
ONE_AT_A_TIME = 740_311  # the first number of an advisory lock; the second is the version
NAMED = 50  # subjects that the page suggests

# Along the index of the settled solutions of a project, whatever the statistics know.
_PAIRS = """
SELECT c.solution_id, p.id, p.subject, c.first_mistake, s.solution_id IS NOT NULL, s.first_weak_step, s.score, t.probabilities,
       CASE WHEN t.id IS NOT NULL THEN {length} END
  FROM (SELECT solution_id, first_mistake FROM annotation_solutionconsensus
         WHERE project_id = %(project)s AND solution_id > %(after)s ORDER BY project_id, solution_id LIMIT %(limit)s) c
  JOIN annotation_solution o ON o.id = c.solution_id
  JOIN annotation_problem p ON p.id = o.problem_id
  LEFT JOIN active_learning_score s ON s.model_version_id = %(version)s AND s.solution_id = c.solution_id
  LEFT JOIN active_learning_stepscores t ON t.model_version_id = %(version)s AND t.solution_id = c.solution_id
 ORDER BY c.solution_id
"""


class Pair(NamedTuple):
    """What people and a version say of one solution. right: the version's p(correct) of the steps it read, if they are known."""

    solution: int
    problem: int
    subject: str
    people: int | None
    model: int | None
    score: float | None
    right: Sequence[float] | None
    n_steps: int | None

    @property
    def step(self) -> int:
        """The step at which the two part: the earlier of the two first mistakes."""
        return min(place for place in (self.people, self.model) if place is not None)

    @property
    def kind(self) -> SurpriseKind:
        return SurpriseKind.MISSED if self.step == self.people else SurpriseKind.ALARM


class Expected(NamedTuple):
    """How surprised a version is, in bits; is_exact: the figure is no lower bound. right: p(correct) of the step at which they part."""

    bits: float
    is_exact: bool
    right: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """When a version was compared with people, and the counts. None as time: a worker has not done it yet."""

    counted_at: Any
    is_counting: bool
    values: Mapping[str, Any]


def look_of(version: ModelVersion) -> Look:
    """Return how the stored surprises of a PRM stand. In a small project they are found anew; else a worker is asked if they are old."""
    look, _ = SurpriseLook.objects.get_or_create(model_version=version)
    if _is_large(version.project):
        if look.counted_at is None or timezone.now() - look.counted_at > FRESH_IF_LARGE:
            _ask_worker(version)
    elif look.counted_at is None or timezone.now() - look.counted_at > FRESH:
        find_again(version.pk)
    look.refresh_from_db()
    return Look(look.counted_at, look.counted_at is None, look.values)


def find_again(version_id: int) -> None:
    """Compare a version with people, and store its surprises. Does nothing while another process does it, and for an ORM."""
    version = ModelVersion.objects.select_related("project", "snapshot").filter(pk=version_id, kind=ModelKind.PRM).first()
    if version is None:
        return
    SurpriseLook.objects.get_or_create(model_version=version)
    with transaction.atomic():
        if not _is_alone(version):
            return
        kept, values = _compared(version)
        Surprise.objects.filter(model_version=version).delete()
        Surprise.objects.bulk_create(kept, batch_size=2_000)
        SurpriseLook.objects.filter(model_version=version).update(counted_at=Now(), values=values)


def _is_alone(version: ModelVersion) -> bool:
    """Say whether no other process compares this version, until the end of the transaction. No lock of a row: a page would wait for it."""
    with connection.cursor() as cursor:
        return bool(cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [ONE_AT_A_TIME, version.pk]).fetchone()[0])


def surprise(people: int | None, *, score: float | None, right: Sequence[float] | None, n_steps: int | None, step: int) -> Expected | None:
    """Return how surprised a version is of what people say, in bits: -log2 of the probability that it gave to their first mistake.

    With the probabilities of the steps that is the product of p(correct) before the first mistake and of 1 - p(correct) there; without a
    mistake it is the product of all. Of steps that the version could not read nothing is known, so what it gave to those before them is an
    upper bound, and the bits are a lower one. So they are with the score alone, where it is 1 - score. None: nothing is known.
    """
    if right is not None:
        probability, at_step = float(np.prod(right[:people])), right[step] if step < len(right) else None
        if people is not None and people < len(right):
            return Expected(_bits(probability * (1 - right[people])), True, at_step)
        return Expected(_bits(probability), people is None and len(right) == n_steps, at_step)
    if score is None:
        return None
    return Expected(_bits(score if people is None else 1 - score), people is None, None)


def _bits(probability: float) -> float:
    return round(min(MOST_BITS, -math.log2(probability)), 4) + 0.0 if probability > 0 else MOST_BITS


def _compared(version: ModelVersion) -> tuple[list[Surprise], dict[str, Any]]:
    """Return the most surprising solutions of each kind and origin, and the counts of all."""
    origin_of = _Origins(version)
    chosen_in = _rounds_of(version)
    tops: dict[tuple[str, str], list[tuple[float, int, Surprise]]] = defaultdict(list)
    counts: Counter[tuple[str, str]] = Counter()
    subjects: Counter[str] = Counter()
    n_compared = n_settled = 0
    for n_read, pairs in _pairs(version):
        n_settled += n_read
        n_compared += len(pairs)
        differing = _with_chosen([pair for pair in pairs if pair.people != pair.model], chosen_in)
        learned, labels = origin_of.learned_among([pair.solution for pair in differing]), _labels(version.project, differing)
        for pair in differing:
            expected = surprise(pair.people, score=pair.score, right=pair.right, n_steps=pair.n_steps, step=pair.step)
            assert expected is not None  # _pairs leaves out what the version says nothing of
            origin = origin_of(pair, is_learned=pair.solution in learned)
            counts[pair.kind, origin] += 1
            subjects[pair.subject] += 1
            annotation, finish_reason, batch, generation = labels.get(pair.solution, (None, "", None, None))
            row = Surprise(
                model_version=version, solution_id=pair.solution, step=pair.step, kind=pair.kind, learned_from=origin, bits=expected.bits,
                is_exact=expected.is_exact, right=expected.right, people=pair.people, model=pair.model, annotation_id=annotation,
                finish_reason=finish_reason, batch_id=batch, generation=generation, subject=pair.subject,
            )  # fmt: skip
            top = tops[pair.kind, origin]
            (heapq.heappush if len(top) < KEPT else heapq.heappushpop)(top, (expected.bits, pair.solution, row))
    values = {
        "settled": n_settled,
        "compared": n_compared,
        "counts": [[kind, origin, n] for (kind, origin), n in sorted(counts.items())],
        "subjects": sorted(subject for subject, _ in subjects.most_common(NAMED) if subject),
    }
    return [row for top in tops.values() for *_, row in top], values


def _pairs(version: ModelVersion) -> Iterator[tuple[int, list[Pair]]]:
    """Yield the settled solutions of a project in pieces: how many were read, and those of which the version says something."""
    threshold = version.metrics.get("threshold")
    statement = _PAIRS.format(length="jsonb_array_length(o.steps)")
    after, limit = 0, CHUNK
    while True:
        with connection.cursor() as cursor:
            values = {"project": version.project_id, "version": version.pk, "after": after, "limit": limit}
            rows = cursor.execute(statement, values).fetchall()
        pairs = []
        for solution, problem, subject, people, is_scored, weak, score, stored, n_steps in rows:
            probabilities = _loaded(stored)
            right = [1 - row[0] for row in probabilities] if probabilities else None
            if probabilities and threshold is not None:
                weak = first_weak_step(np.array(probabilities), threshold=threshold)
            elif not is_scored:
                continue
            pairs.append(Pair(solution, problem, subject, people, weak, score, right, n_steps))
        if rows:
            yield len(rows), pairs
        if len(rows) < limit:
            return
        after = rows[-1][0]


def _loaded(stored: Any) -> list[list[float]] | None:
    """Return the probabilities of a row: Django lets a cursor give JSON as text."""
    return orjson.loads(stored) if isinstance(stored, str | bytes) else stored


def _with_chosen(pairs: list[Pair], chosen_in: Collection[int]) -> list[Pair]:
    """Add p(correct) of the steps that was stored when a round chose a solution by this version."""
    without = [pair.solution for pair in pairs if pair.right is None]
    if not without or not chosen_in:
        return pairs
    chosen = Selection.objects.filter(round__in=chosen_in, solution__in=without).exclude(step_scores=[]).order_by("pk")
    right: dict[int, list[float]] = dict(chosen.values_list("solution", "step_scores"))
    return [pair._replace(right=right[pair.solution]) if pair.solution in right else pair for pair in pairs]


def _rounds_of(version: ModelVersion) -> list[int]:
    """Return the rounds that chose by this version."""
    own = Round.objects.filter(project=version.project_id, model_version__isnull=False).select_related("model_version")
    return [
        one.pk for one in own if one.model_version and (rounds.findings_of(one).chosen_with or one.model_version.number) == version.number
    ]


def _labels(project: Project, pairs: Sequence[Pair]) -> dict[int, tuple[int, str, int, int | None]]:
    """Return for each solution the newest label that says what people say together, or else the newest: key, end, batch, generation."""
    people = {pair.solution: pair.people for pair in pairs}
    mistake = StepLabel.objects.filter(annotation=OuterRef("pk"), rating=-1, position=0).order_by("step_index").values("step_index")[:1]
    counted = eligibility.does_count(Use.TRAINING, project=project.pk)
    ends = [FinishReason.SOLUTION, FinishReason.FOUND_ERROR]
    rows = Annotation.objects.filter(counted, solution__in=list(people), finish_reason__in=ends).annotate(mistake=Subquery(mistake))
    found: dict[int, tuple[bool, int, tuple[int, str, int, int | None]]] = {}
    columns = ("pk", "solution", "finish_reason", "assignment__batch", "assignment__batch__generation", "mistake")
    for key, solution, end, batch, generation, marked in rows.values_list(*columns):
        candidate = (marked == people[solution], key, (key, end, batch, generation))
        found[solution] = max(found.get(solution, candidate), candidate, key=lambda one: one[:2])
    return {solution: label for solution, (_, _, label) in found.items()}


class _Origins:
    """Says whether a version learned from the labels of a solution, from others of its problem, or from none."""

    def __init__(self, version: ModelVersion) -> None:
        self.snapshot = version.snapshot_id
        try:
            self.trained, self.held_out = registry.problems_of(version)
            self.is_known = True
        except registry.ModelUnusable:
            self.trained, self.held_out, self.is_known = frozenset(), frozenset(), False

    def learned_among(self, solutions: Sequence[int]) -> set[int]:
        """Return which of these have a label in the snapshot that the version learned from."""
        if self.snapshot is None:
            return set()
        items = SnapshotItem.objects.filter(snapshot=self.snapshot, annotation=OuterRef("pk"))
        labels = Annotation.objects.filter(Exists(items), solution__in=list(solutions))
        return set(labels.values_list("solution", flat=True))

    def __call__(self, pair: Pair, *, is_learned: bool) -> LearnedFrom:
        if not self.is_known:
            return LearnedFrom.UNKNOWN
        problem = str(pair.problem)
        if problem in self.held_out:
            return LearnedFrom.HELD_OUT
        if problem not in self.trained:
            return LearnedFrom.NEW
        return LearnedFrom.LABELS if is_learned else LearnedFrom.PROBLEM


def _is_large(project: Project) -> bool:
    rows = SolutionConsensus.objects.filter(project=project).order_by("solution")
    return rows.values_list("pk", flat=True)[LARGE : LARGE + 1].exists()


def _ask_worker(version: ModelVersion) -> None:
    """Ask a worker, at most once a minute."""
    rows = SurpriseLook.objects.filter(Q(asked_at=None) | Q(asked_at__lt=Now() - ASK_AGAIN), model_version=version)
    if not rows.update(asked_at=Now()):
        return
    try:
        current_app.send_task("active_learning.tasks.find_surprises", [version.pk], ignore_result=True, expires=60)
    except (BrokerUnreachable, OSError) as error:
        log.warning("No worker can be asked to compare model %s with people (%s).", version.number, error)
