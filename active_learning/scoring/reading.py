"""The scores of one model version, page by page in the order of solutions. Reads only."""

from dataclasses import dataclass

from django.db import connection

from active_learning import registry
from active_learning.scoring.partitions import is_attached
from annotation.models import Project

# By the primary key of the version's partition, whatever the statistics know: the two columns together are no order of another index.
_SCORES = """
SELECT solution_id, problem_id, score, first_weak_step, outcome, entropy, confidence, deviation
  FROM active_learning_score
 WHERE model_version_id = %(version)s AND solution_id > %(after)s
 ORDER BY model_version_id, solution_id LIMIT %(limit)s
"""
_SCORE = """
SELECT solution_id, problem_id, score, first_weak_step, outcome, entropy, confidence, deviation
  FROM active_learning_score WHERE model_version_id = %(version)s AND solution_id = %(solution)s
"""


class ScoresStoredAway(ValueError):
    """The scores of this version were moved to a file. The message says how to load them again."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """What a version says of one solution."""

    solution: int
    problem: int
    score: float
    first_weak_step: int | None
    outcome: str
    entropy: float | None
    confidence: float | None
    deviation: float | None


def scores_of(project: Project, number: int, *, after: int, limit: int, solution: int | None = None) -> tuple[list[ScoreRow], int | None]:
    """Return a page of the scores of a version after a solution, and the solution after which the next page begins (None at the end).

    `solution` selects one. A version that has scored nothing yet has an empty list. Raises NoSuchVersion and ScoresStoredAway.
    """
    version = registry.find(project, number)
    if version.scores_file and not is_attached(version):
        words = f"The scores of model {number} are in a file. Load them again with manage.py scores --project {project.slug}"
        raise ScoresStoredAway(f"{words} --restore {number}.")
    values = {"version": version.pk, "after": after, "limit": limit + 1, "solution": solution}
    with connection.cursor() as cursor:
        rows = [ScoreRow(*row) for row in cursor.execute(_SCORES if solution is None else _SCORE, values).fetchall()]
    return rows[:limit], rows[limit - 1].solution if len(rows) > limit else None
