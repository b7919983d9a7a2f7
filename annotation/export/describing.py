"""Stage: export, description: what a snapshot holds, in figures. Read from its content file alone, so the figures never change.

The card of a data set folder (cards.py) and the snapshot's page say them in words.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from annotation.agreement import Agreement, Draws, Reading, agreement, chance
from annotation.export.splits import SplitRule
from annotation.ingest import Progress
from annotation.models import BatchKind, FinishReason, Snapshot
from trainer import contamination
from trainer.contamination import Fingerprint, Match
from trainer.writers import Labeled, from_content

VERDICTS = (FinishReason.SOLUTION, FinishReason.FOUND_ERROR)
COMPARED = 10_000  # solutions with several readings that the agreement is computed from; of more, these are drawn by a hash
COUNTED = ("source", "outcome", "subject", "level", "batch_kind", "finish_reason", "generation", "labeler")


@dataclass
class Description:
    """What a snapshot holds. `counts` has a Counter for each name of COUNTED, and the ratings and first mistakes by step.

    `steps` and `seconds` have one value an annotation. `alternatives`: other texts that somebody rated. `shared` solutions were read by at
    least two people. `problems` is how many were compared with the benchmarks, and `matches` which of them are near or the same.
    """

    annotations: int = 0
    parts: "Counter[str]" = field(default_factory=Counter)
    counts: dict[str, "Counter[Any]"] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    ratings: "Counter[int | None]" = field(default_factory=Counter)
    first_mistakes: "Counter[int]" = field(default_factory=Counter)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    alternatives: int = 0
    settled: int = 0
    adjudicated: int = 0
    alone: int = 0  # solutions with labels of one person
    shared: int = 0
    agreement: Agreement | None = None
    chance: float | None = None
    problems: int = 0
    matches: list[Match] = field(default_factory=list)
    benchmarks: dict[str, int] = field(default_factory=dict)  # problems of each benchmark that was looked for


def describe(
    snapshot: Snapshot, *, rule: SplitRule, benchmarks: Mapping[str, Fingerprint] | None = None, progress: Progress | None = None
) -> Description:
    """Read a snapshot's content and return what it holds. `benchmarks`: those that are looked for beside the shipped ones.

    `progress("describing", done, total)` is called at times. Raises ContentMissing and ContentDamaged.
    """
    looked_for = {**contamination.shipped(), **(benchmarks or {})}
    found = Description(benchmarks={name: len(fingerprint) for name, fingerprint in looked_for.items()})
    found.alone, shared = _people_per_solution(snapshot)
    found.shared, compared = len(shared), _sample(shared)
    readings: list[Reading] = []
    people: dict[str, int] = {}
    problem_of: dict[int, int] = {}
    problems: dict[str, int] = {}
    settled: set[int] = set()
    index = contamination.Finder(looked_for)
    for labeled in _rows(snapshot):
        found.annotations += 1
        if progress and found.annotations % 500 == 0:
            progress("describing", found.annotations, snapshot.count)
        found.parts[rule.part_of(labeled.problem_id, split=labeled.split)] += 1
        for name, counter in found.counts.items():
            counter[getattr(labeled, name)] += 1
        found.ratings.update(labeled.ratings)
        found.steps.append(len(labeled.steps))
        found.alternatives += sum(alternative.rating is not None for alternative in labeled.alternatives)
        if labeled.seconds is not None:
            found.seconds.append(labeled.seconds)
        reading = _reading(labeled, people)
        if reading.is_verdict and (mistake := reading.first_mistake) is not None:
            found.first_mistakes[mistake] += 1
        if labeled.problem_id not in problems:
            problems[labeled.problem_id] = len(problems)
            found.matches += index.matches(labeled.problem_id, labeled.problem)
        if labeled.consensus is not None and labeled.solution not in settled:
            settled.add(labeled.solution)
            found.settled += 1
            found.adjudicated += labeled.consensus.is_adjudicated
        if labeled.solution in compared and _is_compared(labeled):
            problem_of[labeled.solution] = problems[labeled.problem_id]
            readings.append(reading)
    found.problems = len(problems)
    if readings:
        found.agreement = agreement(readings, draws=Draws(problem_of, problem_of))
        found.chance = chance(readings)
    if progress:
        progress("describing", found.annotations, snapshot.count)
    return found


def _rows(snapshot: Snapshot) -> Iterator[Labeled]:
    from annotation.export.content import content_rows

    return map(from_content, content_rows(snapshot))


def _is_compared(labeled: Labeled) -> bool:
    """Tell whether this is one person's own reading of a text that others read too: no decision of a reviewer, no path of one's own."""
    return not labeled.is_interactive and labeled.batch_kind != BatchKind.REVIEW


def _reading(labeled: Labeled, people: dict[str, int]) -> Reading:
    rated = labeled.ratings[: next((place for place, rating in enumerate(labeled.ratings) if rating is None), None)]
    return Reading(
        labeled.solution,
        people.setdefault(labeled.labeler, len(people)),
        rated,
        len(labeled.steps),
        labeled.finish_reason in VERDICTS,
    )


def _people_per_solution(snapshot: Snapshot) -> tuple[int, set[int]]:
    """Return how many solutions have labels of one person, and the solutions whose same text at least two people read (_is_compared)."""
    from annotation.export.content import content_batches

    parts: list[np.ndarray[Any, np.dtype[np.int64]]] = [np.empty((0, 3), np.int64)]
    numbers: dict[str, int] = {}
    for batch in content_batches(snapshot, ("solution", "labeler", "batch_kind", "is_interactive")):
        rows = zip(batch["solution"], batch["labeler"], batch["batch_kind"], batch["is_interactive"], strict=True)
        parts.append(
            np.array(
                [
                    (solution, numbers.setdefault(labeler, len(numbers)), kind != BatchKind.REVIEW and not is_interactive)
                    for solution, labeler, kind, is_interactive in rows
                ],
                np.int64,
            ).reshape(-1, 3)
        )
    table = np.concatenate(parts)
    _, people = _count_people(table)
    read, readers = _count_people(table[table[:, 2] == 1])
    return int((people == 1).sum()), set(read[readers > 1].tolist())


def _count_people(table: "np.ndarray[Any, np.dtype[np.int64]]") -> tuple[Any, Any]:
    """Return the solutions of a table of solution and person, and how many people each of them has."""
    return np.unique(np.unique(table[:, :2], axis=0)[:, 0], return_counts=True)


def _sample(solutions: set[int]) -> set[int]:
    if len(solutions) <= COMPARED:
        return solutions
    return set(sorted(solutions, key=lambda solution: hashlib.sha256(str(solution).encode()).digest())[:COMPARED])
