"""States of the solutions that a round may choose from and of those queued before, read with the frozen base of a model.

Reads the cache of states, and with the model what is not kept, up to a limit. Like `scoring` it imports the trainer inside functions: a
web process never gets here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from active_learning.models import ModelVersion
from active_learning.registry import ProgressCallback, load, readable_solutions, trainer_progress, trainer_solution
from active_learning.selection.candidates import Candidates
from active_learning.selection.covering import reduced_states, state_of_solution
from trainer.counting import counted

if TYPE_CHECKING:
    from trainer.score import RewardModel

READ_ANEW = 2_000  # solutions that are not in the cache: some ten minutes of a real base on two cores. Half of them at most were queued
QUEUED = 5_000  # of the solutions that were queued before, the newest
CHUNK = 1_000  # solutions whose text is in memory at once

NEWEST_QUEUED = """
SELECT t.solution_id FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
 WHERE b.project_id = %(project)s GROUP BY t.solution_id ORDER BY max(t.id) DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class StatesRead:
    """Of how many candidates and solutions queued before the states are known, and how many of both were read anew.

    is_limited: more of the candidates would have been read without the limit of a round.
    """

    n: int
    n_known: int
    n_queued: int
    n_queued_known: int
    n_anew: int
    is_limited: bool

    def __str__(self) -> str:
        queued = f"{self.n_queued_known:,} of " if self.n_queued_known < self.n_queued else ""
        sentences = [
            f"The states of {self.n_known:,} of {counted(self.n, 'candidate')} are known, and those of {queued}"
            f"{counted(self.n_queued, 'solution')} queued before."
        ]
        if self.n_anew:
            sentences.append(f"The cache did not hold {self.n_anew:,} of these, so they were read anew.")
        if self.n_known < self.n:
            why = f"a round reads {READ_ANEW:,} solutions anew at most" if self.is_limited else "no step of them lies within the context"
            sentences.append(f"{counted(self.n - self.n_known, 'candidate')} cannot be chosen by states: {why}.")
        return " ".join(sentences)


def is_frozen(version: ModelVersion | None) -> bool:
    """Return whether a version has a frozen base, whose states are kept."""
    return version is not None and bool(version.config.get("frozen"))


def with_states(candidates: Candidates, reader: ModelVersion, *, seed: int, progress: ProgressCallback) -> tuple[Candidates, StatesRead]:
    """Return the candidates with their states and those of what was queued before, and how many were read.

    Where the limit leaves some out, those that are read are a draw by `seed`, and those queued before take half of the limit at most.
    Raises ModelUnusable.
    """
    queued, own_keys = _queued(reader), np.sort(candidates.solutions)
    drawn = np.random.default_rng(seed).permutation(own_keys).tolist()
    model, n_all = load(reader), len(queued) + len(drawn)
    found, n_of_queued = _means(reader, model, queued, limit=READ_ANEW // 2, n_all=n_all, progress=progress)
    limit = READ_ANEW - n_of_queued
    later: ProgressCallback = lambda stage, done, _, *rest: progress(stage, len(queued) + done, n_all, *rest)  # noqa: E731
    own_found, n_of_own = _means(reader, model, drawn, limit=limit, n_all=len(drawn), progress=later)
    found |= own_found
    keys = [*queued, *candidates.solutions.tolist()]
    width = max((len(own) for own in found.values()), default=0)
    unknown = np.full(width, np.nan, np.float32)
    rows = np.array([found.get(key, unknown) for key in keys], np.float32).reshape(len(keys), width)
    own, before = reduced_states(rows[len(queued) :], rows[: len(queued)])
    is_known = ~np.isnan(before).any(axis=1) if width else np.zeros(len(queued), np.bool_)
    n_known = sum(key in found for key in candidates.solutions.tolist())
    told = StatesRead(len(candidates), n_known, len(queued), int(is_known.sum()), n_of_queued + n_of_own, n_of_own == limit)
    return replace(candidates, states=own.astype(np.float16), queued_states=before[is_known].astype(np.float16)), told


def _queued(reader: ModelVersion) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_QUEUED, {"project": reader.project_id, "limit": QUEUED})
        return [solution for (solution,) in cursor.fetchall()]


def _means(
    reader: ModelVersion, model: "RewardModel", keys: Sequence[int], *, limit: int, n_all: int, progress: ProgressCallback
) -> tuple[dict[int, NDArray[np.float32]], int]:
    """Return what stands for each solution whose states are known, and how many were read anew. n_all: for the time left."""
    from trainer.reading import step_states

    def texts():  # type: ignore[no-untyped-def]
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            rows = readable_solutions(reader.project, pk__in=some).values_list("pk", "problem_id", "problem__statement", "steps")
            by_key = {row[0]: row for row in rows}
            yield from (trainer_solution(by_key[key]) for key in some if key in by_key)

    found, n_anew, callback = dict[int, NDArray[np.float32]](), 0, trainer_progress(progress)
    for key, states, is_anew in step_states(model, texts(), read_anew=limit, total=n_all, progress=callback):
        n_anew += is_anew
        if states is not None:
            found[int(key)] = state_of_solution(states)
    return found, n_anew
