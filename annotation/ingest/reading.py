"""Stage: ingest, reading. The problems and solutions of a project, page by page, in the order of their keys.

Each statement reads a bounded number of rows of this project, however many the site has. A page of a filter that few rows fit can be short
or empty although the list goes on: then the last row that was looked at is where the next page begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from annotation.models import Problem, Project, Solution

SCANNED = 2_000  # problems that a page looks at, at most
LAST = 2**63 - 1  # no key comes after it
FIRST_SCANNED = 64  # at first; then twice as many each time, until the page is full
# The first statement reads an index of two columns from a place onwards: in this form no other index can serve it. The second one takes
# each problem's solutions by one probe of an index: of the problem, with the source, with the outcome, or of what was withdrawn. OFFSET 0
# keeps the planner from other ways when its statistics are old.
_PROBLEMS = """
SELECT id, split FROM annotation_problem
 WHERE (project_id, id) >= (%(project)s::bigint, %(first)s::bigint) AND (project_id, id) < (%(project)s::bigint + 1, 0)
 ORDER BY project_id, id LIMIT %(limit)s
"""
_SOLUTIONS = """
SELECT p.id, s.id
  FROM unnest(%(problems)s::bigint[]) p(id)
 CROSS JOIN LATERAL (SELECT id FROM annotation_solution WHERE problem_id = p.id AND {condition} OFFSET 0) s
 WHERE p.id > %(problem)s OR s.id > %(solution)s
 ORDER BY p.id, s.id LIMIT %(limit)s
"""
_SOLUTION_FILTERS = ("source", "outcome")


class ProblemMissing(LookupError):
    """This project has no such problem."""


class SolutionMissing(LookupError):
    """This project has no such solution."""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A problem with its reference answer."""

    id: int
    external_id: str
    statement: str
    answer: str | None
    reference_solution: str | None
    subject: str
    level: str
    split: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SolutionRow:
    """A solution with its outcome."""

    id: int
    problem: int
    problem_external_id: str
    steps: list[str]
    final_answer: str | None
    outcome: str
    outcome_reason: str
    source: str
    withdrawn_at: datetime | None
    created_at: datetime


def problems_of(
    project: Project, *, after: int, limit: int, external_id: str | None = None, **filters: str
) -> tuple[list[ProblemRow], int | None]:
    """Return a page of problems after a key, and the key after which the next page begins (None at the end).

    Filters: external_id, split, subject, level.
    """
    problems = Problem.objects.filter(project=project)
    if external_id is not None:
        found = [_problem(row) for row in problems.filter(external_id=external_id, pk__gt=after)]
        return ([row for row in found if all(getattr(row, name) == value for name, value in filters.items())], None)
    if not filters:
        keys = [key for key, _ in _keys(project, first=after + 1, limit=limit + 1)]
        following = keys[limit - 1] if len(keys) > limit else None
        keys = keys[:limit]
    else:
        scanned = [key for key, _ in _keys(project, first=after + 1, limit=SCANNED + 1)]
        fitting = problems.filter(pk__in=scanned[:SCANNED], **filters).order_by("pk").values_list("pk", flat=True)
        keys = list(fitting[: limit + 1])
        following = keys[limit - 1] if len(keys) > limit else scanned[SCANNED - 1] if len(scanned) > SCANNED else None
        keys = keys[:limit]
    return [_problem(row) for row in Problem.objects.filter(pk__in=keys).order_by("pk")], following


def find_problem(project: Project, number: int) -> ProblemRow:
    """Return a problem of a project. Raises ProblemMissing."""
    problem = Problem.objects.filter(pk=number).first()
    if problem is None or problem.project_id != project.pk:
        raise ProblemMissing(f"{project} has no problem {number}.")
    return _problem(problem)


def solutions_of(
    project: Project, *, after: tuple[int, int], limit: int, problem: int | None = None, split: str = "", withdrawn: bool | None = None,
    **filters: str,
) -> tuple[list[SolutionRow], tuple[int, int] | None]:  # fmt: skip
    """Return a page of solutions in the order of problem and key, and both keys after which the next page begins (None at the end).

    Filters: problem (its key), split, withdrawn, source, outcome.
    """
    conditions = [f"{name} = %({name})s" for name in _SOLUTION_FILTERS if name in filters]
    if withdrawn is not None:
        conditions.append(f"withdrawn_at IS {'NOT ' if withdrawn else ''}NULL")
    values: dict[str, Any] = {"problem": after[0], "solution": after[1], **filters}
    found: list[tuple[int, int]] = []
    first, size, n_scanned, following = max(after[0], problem or 0), FIRST_SCANNED, 0, None
    while len(found) <= limit:
        rows = _keys(project, first=first, limit=size)
        wanted = [key for key, its_split in rows if split in ("", its_split) and problem in (None, key)]
        if wanted:
            statement = _SOLUTIONS.format(condition=" AND ".join(conditions) or "true")
            with connection.cursor() as cursor:
                cursor.execute(statement, {**values, "problems": wanted, "limit": limit + 1 - len(found)})
                found += cursor.fetchall()
        if problem is not None or len(rows) < size:
            break
        n_scanned, first, size = n_scanned + size, rows[-1][0] + 1, min(2 * size, SCANNED)
        if n_scanned >= SCANNED:
            following = (rows[-1][0], LAST)
            break
    if len(found) > limit:
        following = found[limit - 1]
    return _solutions([key for _, key in found[:limit]]), following


def find_solution_row(project: Project, number: int) -> SolutionRow:
    """Return a solution of a project. Raises SolutionMissing."""
    solution = Solution.objects.filter(pk=number).select_related("problem").first()
    if solution is None or solution.problem.project_id != project.pk:
        raise SolutionMissing(f"{project} has no solution {number}.")
    return _solution(solution)


def _keys(project: Project, *, first: int, limit: int) -> list[tuple[int, str]]:
    if first > LAST:
        return []
    with connection.cursor() as cursor:
        rows: list[tuple[int, str]] = cursor.execute(_PROBLEMS, {"project": project.pk, "first": first, "limit": limit}).fetchall()
    return rows


def _problem(row: Problem) -> ProblemRow:
    return ProblemRow(
        id=row.pk, external_id=row.external_id, statement=row.statement, answer=row.answer, reference_solution=row.reference_solution,
        subject=row.subject, level=row.level, split=row.split, created_at=row.created_at,
    )  # fmt: skip


def _solutions(keys: Sequence[int]) -> list[SolutionRow]:
    return [_solution(row) for row in Solution.objects.filter(pk__in=keys).select_related("problem").order_by("problem", "pk")]


def _solution(row: Solution) -> SolutionRow:
    return SolutionRow(
        id=row.pk, problem=row.problem_id, problem_external_id=row.problem.external_id, steps=row.steps,
        final_answer=row.final_answer, outcome=row.outcome, outcome_reason=row.outcome_reason, source=row.source,
        withdrawn_at=row.withdrawn_at, created_at=row.created_at,
    )  # fmt: skip
