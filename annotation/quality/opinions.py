"""What people say of the first mistakes of solutions, and what is known to be true: the input of settling.py.

Reads annotations, adjudications and gold. A reading is what one person marked in one solution that they judged to its end: the newest
annotation of that person there. Giving up and reporting a bad problem are no readings, and where people choose their path step by step,
nothing can be compared. Steps count from 1 here, as in annotation/consensus.py; NONE: no mistake.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.db import connection

from annotation.consensus import NONE, Integers
from annotation.eligibility import Use, adjudications_that_count, sql
from annotation.models import FinishReason, GoldAnswer, Project, Solution, StepLabel, StepSource

_MARK = "(SELECT min(step_index) FROM annotation_steplabel WHERE annotation_id = a.id AND position = 0 AND rating = -1)"
_READINGS = f"""
SELECT DISTINCT ON (a.solution_id, a.labeler_id) a.solution_id, a.labeler_id, a.id, COALESCE({_MARK} + 1, 0)
  FROM (SELECT id, batch_id FROM annotation_task WHERE {{tasks}} OFFSET 0) t
 CROSS JOIN LATERAL (SELECT kind, generation FROM annotation_batch WHERE id = t.batch_id OFFSET 0) b
 CROSS JOIN LATERAL (SELECT id FROM annotation_assignment WHERE task_id = t.id OFFSET 0) assignment
 CROSS JOIN LATERAL (SELECT * FROM annotation_annotation WHERE assignment_id = assignment.id OFFSET 0) a
 WHERE a.finish_reason IN ('solution', 'found_error') AND (a.finish_reason = 'solution') = ({_MARK} IS NULL)
   AND b.generation IS NOT NULL AND (NOT %(is_interactive)s OR b.kind IN ('imported', 'imported_gold'))
   AND {sql(Use.CONSENSUS)}
 ORDER BY a.solution_id, a.labeler_id, a.id DESC
"""
_BATCHES = "batch_id = ANY (ARRAY(SELECT id FROM annotation_batch WHERE project_id = %(project)s))"
_ALL = _READINGS.format(tasks=_BATCHES)
_SOME = _READINGS.format(tasks=f"solution_id = ANY (%(solutions)s) AND {_BATCHES}")
# One text of numbers: a row each would cost more than the counting.
_VOTES = """
SELECT string_agg(concat_ws(' ', place, step_index, neutral, positive, votes), ' ') FROM (
  SELECT r.place, l.step_index, count(*) FILTER (WHERE l.rating = 0) AS neutral, count(*) FILTER (WHERE l.rating = 1) AS positive,
         count(*) AS votes
    FROM unnest(%(annotations)s::bigint[], %(places)s::int[], %(ends)s::int[]) AS r(annotation, place, ends)
   CROSS JOIN LATERAL (SELECT step_index, rating FROM annotation_steplabel
                        WHERE annotation_id = r.annotation AND position = 0 AND rating IS NOT NULL AND step_index < r.ends OFFSET 0) l
   GROUP BY r.place, l.step_index) counted
"""


class Adjudication(NamedTuple):
    """What a reviewer decided of one solution. first_mistake: a step from 1, or NONE."""

    annotation: int
    reviewer: int
    first_mistake: int


@dataclass(frozen=True)
class Opinions:
    """Readings and truths of some solutions. `solutions` and `people` are keys in ascending order; the other arrays point into them."""

    solutions: Integers
    n_steps: Integers
    people: Integers
    solution: Integers  # of each reading
    person: Integers
    marked: Integers
    annotation: Integers
    adjudications: Mapping[int, Adjudication]  # by solution
    gold: Mapping[int, frozenset[int]]  # by solution: what can be called the first mistake; NONE: no mistake

    def truth(self, solution: int) -> frozenset[int] | None:
        """Return what the first mistake of a solution can be. An adjudication goes before gold that contradicts it. None: not known."""
        if (adjudication := self.adjudications.get(solution)) is not None:
            return frozenset({adjudication.first_mistake})
        return self.gold.get(solution)


def opinions_in(project: Project, solutions: Collection[int] | None = None) -> Opinions:
    """Return all readings of a project, or of some of its solutions, with their truths. Steps that gold names and no solution has are
    left out.
    """
    adjudications = _adjudications(project, solutions)
    is_interactive = project.step_source == StepSource.INTERACTIVE
    where: dict[str, Any] = {"project": project.pk, "is_interactive": is_interactive}
    with connection.cursor() as cursor:
        if solutions is None:
            cursor.execute(_ALL, where)
        else:
            cursor.execute(_SOME, where | {"solutions": list(solutions)})
        found = cursor.fetchall()
    # Nobody is judged by their own verdict.
    others = [row for row in found if row[0] not in adjudications or adjudications[row[0]].reviewer != row[1]]
    rows = np.array(others, dtype=np.int64).reshape(-1, 4)
    keys = np.union1d(rows[:, 0], np.array(sorted(adjudications), dtype=np.int64)).astype(np.int64)
    n_steps = _n_steps(keys)
    beyond = rows[:, 3] > n_steps[np.searchsorted(keys, rows[:, 0])]
    if beyond.any():  # a label from a file can name a step that the solution does not have
        rows = rows[~beyond]
        is_read = np.isin(keys, [*rows[:, 0].tolist(), *adjudications])
        keys, n_steps = keys[is_read], n_steps[is_read]
    people, person = np.unique(rows[:, 1], return_inverse=True)
    return Opinions(
        solutions=keys,
        n_steps=n_steps,
        people=people,
        solution=np.searchsorted(keys, rows[:, 0]),
        person=person.astype(np.int64),
        marked=rows[:, 3],
        annotation=rows[:, 2],
        adjudications=adjudications,
        gold=_gold(project, dict(zip(keys.tolist(), n_steps.tolist(), strict=True)), solutions),
    )


def gold_in_project(project: Project) -> dict[int, list[int]]:
    """Return all gold of a project: by solution, the steps (from 0) that can be called the first mistake."""
    answers = GoldAnswer.objects.filter(solution__problem__project=project)
    return {key: sorted(steps) for key, steps in answers.values_list("solution", "acceptable_first_errors")}


def gold_of(solution: Solution) -> list[int] | None:
    """Return the steps (from 0) that can be called the first mistake of a solution. None: it is no gold."""
    return GoldAnswer.objects.filter(pk=solution.pk).values_list("acceptable_first_errors", flat=True).first()


def votes_on(opinions: Opinions) -> Integers:
    """Count the ratings of each step, up to where each reading ended: one row (cell, neutral, positive, all) for each rated step.

    A cell is the place of the step among the cells of all solutions (consensus.Readings.offsets).
    """
    ends = np.where(opinions.marked == NONE, opinions.n_steps[opinions.solution], opinions.marked)
    place_of = {int(key): place for place, key in enumerate(opinions.solutions)}
    more = [
        (row.annotation, place_of[key], row.first_mistake or int(opinions.n_steps[place_of[key]]))
        for key, row in opinions.adjudications.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _VOTES,
            {
                "annotations": [*opinions.annotation.tolist(), *(row[0] for row in more)],
                "places": [*opinions.solution.tolist(), *(row[1] for row in more)],
                "ends": [*ends.tolist(), *(row[2] for row in more)],
            },
        )
        text = cursor.fetchone()[0] or ""
    counted = np.fromstring(text, dtype=np.int64, sep=" ").reshape(-1, 5)
    counted = counted[counted[:, 1] < opinions.n_steps[counted[:, 0]]]
    offsets = np.concatenate([[0], np.cumsum(opinions.n_steps + 1)])
    return np.column_stack([offsets[counted[:, 0]] + counted[:, 1], counted[:, 2:]])


def _n_steps(solutions: Integers) -> Integers:
    with connection.cursor() as cursor:
        cursor.execute("SELECT jsonb_array_length(steps) FROM annotation_solution WHERE id = ANY (%s) ORDER BY id", [solutions.tolist()])
        return np.array(cursor.fetchall(), dtype=np.int64).reshape(-1)


def _adjudications(project: Project, solutions: Collection[int] | None) -> dict[int, Adjudication]:
    """Return the newest adjudication of each solution. One that calls the problem bad names no first mistake."""
    if project.step_source == StepSource.INTERACTIVE:
        return {}
    found = adjudications_that_count().filter(assignment__batch__project=project)
    if solutions is not None:
        found = found.filter(solution__in=solutions)
    rows = list(found.order_by("pk").values_list("solution", "pk", "labeler", "finish_reason"))
    marks = StepLabel.objects.filter(annotation__in=[row[1] for row in rows], position=0, rating=-1).order_by("-step_index")
    mark_of = dict(marks.values_list("annotation", "step_index"))
    newest = {row[0]: row for row in rows}
    return {
        solution: Adjudication(annotation, reviewer, mark_of[annotation] + 1 if annotation in mark_of else NONE)
        for solution, annotation, reviewer, reason in newest.values()
        if reason == FinishReason.SOLUTION or reason == FinishReason.FOUND_ERROR and annotation in mark_of
    }


def _gold(project: Project, n_steps: Mapping[int, int], solutions: Collection[int] | None) -> dict[int, frozenset[int]]:
    answers = GoldAnswer.objects.filter(solution__problem__project=project)
    if solutions is not None:
        answers = answers.filter(solution__in=solutions)
    return possible_by(dict(answers.values_list("solution", "acceptable_first_errors")), n_steps)


def possible_by(gold: Mapping[int, Collection[int]], n_steps: Mapping[int, int]) -> dict[int, frozenset[int]]:
    """Turn gold (steps from 0) into what the first mistakes can be. Steps that a solution does not have are left out."""
    found = {}
    for solution, steps in gold.items():
        possible = frozenset(step + 1 for step in steps if 0 <= step < n_steps.get(solution, 0))
        if possible or not steps:
            found[solution] = possible or frozenset({NONE})
    return found
