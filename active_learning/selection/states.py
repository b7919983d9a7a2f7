"""States of the solutions that a round may choose from and of those queued before, read with the frozen base of a model.

Reads the cache of states, and with the model what is not kept, up to a limit. Like `scoring` it imports the trainer inside functions: a
web process never gets here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from active_learning.models import ModelVersion
from active_learning.registry import ProgressCallback, load, readable_solutions, trainer_progress, trainer_solution
from active_learning.selection.candidates import Candidates
from active_learning.selection.covering import reduced_states, state_of_solution
from trainer.counting import counted

READ_ANEW = 2_000  # solutions that are not in the cache: some ten minutes of a real base on two cores
QUEUED = 5_000  # of the solutions that were queued before, the newest
CHUNK = 1_000  # solutions whose text is in memory at once

NEWEST_QUEUED = """
SELECT DISTINCT t.solution_id FROM annotation_task t JOIN annotation_batch b ON b.id = t.batch_id
 WHERE b.project_id = %(project)s ORDER BY t.solution_id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class StatesRead:
    """How many of n solutions have known states, how many of them were read anew, and of how many queued before."""

    n: int
    n_known: int
    n_anew: int
    n_queued: int

    def __str__(self) -> str:
        parts = [f"Looked at the states of {self.n_known:,} of {counted(self.n, 'candidate')}"]
        parts.append(f"and of {counted(self.n_queued, 'solution')} queued before")
        anew = f" {self.n_anew:,} of them were not kept and were read anew." if self.n_anew else ""
        unknown = f" The other {self.n - self.n_known:,} were not read and cannot be chosen by states." if self.n_known < self.n else ""
        return f"{' '.join(parts)}.{anew}{unknown}"


def is_frozen(version: ModelVersion | None) -> bool:
    """Return whether a version has a frozen base, whose states are kept."""
    return version is not None and bool(version.config.get("frozen"))


def with_states(candidates: Candidates, reader: ModelVersion, *, progress: ProgressCallback) -> tuple[Candidates, StatesRead]:
    """Return the candidates with their states and those of what was queued before, and how many were read.

    Those queued before are read first, so that a limit leaves out candidates. Raises ModelUnusable.
    """
    queued = _queued(reader)
    keys = [*queued, *candidates.solutions.tolist()]
    found, n_anew = _means(reader, keys, progress=progress)
    width = max((len(own) for own in found.values()), default=0)
    unknown = np.full(width, np.nan, np.float32)
    rows = np.array([found.get(key, unknown) for key in keys], np.float32).reshape(len(keys), width)
    own, before = reduced_states(rows[len(queued) :], rows[: len(queued)])
    is_known = ~np.isnan(before).any(axis=1) if width else np.zeros(len(queued), np.bool_)
    n_known = sum(key in found for key in candidates.solutions.tolist())
    told = StatesRead(len(candidates), n_known, n_anew, int(is_known.sum()))
    return replace(candidates, states=own.astype(np.float16), queued_states=before[is_known].astype(np.float16)), told


def _queued(reader: ModelVersion) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_QUEUED, {"project": reader.project_id, "limit": QUEUED})
        return [solution for (solution,) in cursor.fetchall()]


def _means(reader: ModelVersion, keys: Sequence[int], *, progress: ProgressCallback) -> tuple[dict[int, NDArray[np.float32]], int]:
    """Return what stands for each solution whose states are known, and how many were read anew."""
    from trainer.reading import step_states

    def texts():  # type: ignore[no-untyped-def]
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            rows = readable_solutions(reader.project, pk__in=some).values_list("pk", "problem_id", "problem__statement", "steps")
            by_key = {row[0]: row for row in rows}
            yield from (trainer_solution(by_key[key]) for key in some if key in by_key)

    found, n_anew, callback = dict[int, NDArray[np.float32]](), 0, trainer_progress(progress)
    for key, states, is_anew in step_states(load(reader), texts(), read_anew=READ_ANEW, total=len(keys), progress=callback):
        n_anew += is_anew
        if states is not None:
            found[int(key)] = state_of_solution(states)
    return found, n_anew
