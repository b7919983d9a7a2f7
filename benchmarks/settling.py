"""Figure: seconds to settle 100,000 annotations through `quality.settle` and PostgreSQL, and to settle one more.

The world of `script/bench consensus`: 33,333 solutions of 3 to 19 steps, each judged by 3 of 150 people, with a rating for each step up
to where a reading ended. `all` is the first run: it estimates the labelers and writes a row for each solution and step.
`again` is a second run, in which nothing changed. `one_more_ms` is the median of 30 runs, each after one more annotation of one solution;
`sweep_ms` is the same through `quality.settle_new`, which first finds out what is new in all projects. Goals: 10 s and 50 ms. `ratio` is
10 s over `all`. `--smoke`: 300 annotations, and 3 runs after one more.
"""

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import temporary_site
from benchmarks.consensus import LATE, READERS, World, make_world

if TYPE_CHECKING:
    from annotation.models import Project, Solution

GOAL, PEOPLE, MORE = 10.0, 150, 30

PROBLEMS = """
INSERT INTO annotation_problem (project_id, external_id, statement, subject, level, split)
SELECT %(project)s, k, 'How much is ' || k || ' plus one?', '', '', 'train' FROM generate_series(1, %(n)s) k
"""
SOLUTIONS = """
INSERT INTO annotation_solution (problem_id, digest, steps, outcome, outcome_reason, grader, source)
SELECT p.id, sha256(p.external_id::bytea), texts.steps, 'wrong', '', '', 'model'
  FROM annotation_problem p JOIN unnest(%(n_steps)s) WITH ORDINALITY AS w(n, k) ON p.external_id = w.k::text
 CROSS JOIN LATERAL (SELECT jsonb_agg('Step ' || i || ' adds what the problem says: ' || k || ' + ' || i || ' = ' || k + i || '.') AS steps
                       FROM generate_series(1, w.n) i) texts
 WHERE p.project_id = %(project)s ORDER BY w.k
"""
TASKS = """
INSERT INTO annotation_task (batch_id, solution_id, kind, priority, overlap)
SELECT %(batch)s, s.id, 'normal', 0, 9 FROM annotation_solution s JOIN annotation_problem p ON p.id = s.problem_id
 WHERE p.project_id = %(project)s
"""
# The readings come as places in the lists of solutions and people.
READINGS = """
WITH solutions AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM annotation_solution),
     people AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM auth_user),
     readings AS (SELECT s.id AS solution, u.id AS person, t.id AS task, r.marked
                    FROM unnest(%(solutions)s, %(people)s, %(marked)s) AS r(solution, person, marked)
                    JOIN solutions s ON s.place = r.solution JOIN people u ON u.place = r.person
                    JOIN annotation_task t ON t.solution_id = s.id),
     done AS (INSERT INTO annotation_assignment (task_id, batch_id, priority, state, labeler_id, token)
              SELECT task, %(batch)s, 0, 'done', person, 1 FROM readings RETURNING id, task_id, labeler_id)
INSERT INTO annotation_annotation (assignment_id, labeler_id, solution_id, revision, finish_reason, reason, submission_id, body_hash)
SELECT d.id, d.labeler_id, r.solution, 1, CASE WHEN r.marked > 0 THEN 'found_error' ELSE 'solution' END, '', gen_random_uuid(), ''
  FROM done d JOIN readings r ON r.task = d.task_id AND r.person = d.labeler_id
RETURNING id
"""
RATINGS = """
INSERT INTO annotation_steplabel (annotation_id, step_index, position, rating, chosen)
SELECT a.id, i - 1, 0, CASE WHEN i = r.marked THEN -1 WHEN hashint8(a.id * 31 + i) %% 3 = 0 THEN 0 ELSE 1 END, false
  FROM annotation_annotation a
  JOIN (SELECT s.id AS solution, u.id AS person, r.marked
          FROM unnest(%(solutions)s, %(people)s, %(marked)s) AS r(solution, person, marked)
          JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM annotation_solution) s ON s.place = r.solution
          JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM auth_user) u ON u.place = r.person) r
    ON r.solution = a.solution_id AND r.person = a.labeler_id
  JOIN annotation_solution s ON s.id = a.solution_id
 CROSS JOIN LATERAL generate_series(1, CASE WHEN r.marked > 0 THEN r.marked ELSE jsonb_array_length(s.steps) END) i
 WHERE a.id = ANY (%(annotations)s)
"""


def fill(world: World) -> "Project":
    """Put a world into the database, as people would have labeled it."""
    from django.contrib.auth.models import User
    from django.db import connection

    from annotation.models import Batch, BatchKind, BatchState, Membership, Project, Role

    project = Project.objects.create(slug="settling", name="Settling", overlap=READERS)
    people = User.objects.bulk_create(User(username=f"person{number}") for number in range(len(world.sees)))
    Membership.objects.bulk_create(Membership(project=project, user=person, role=Role.LABELER) for person in people)
    batch = Batch.objects.create(project=project, generation=0, kind=BatchKind.SELECTED, state=BatchState.OPEN)
    where = {"project": project.pk, "batch": batch.pk, "n": len(world.n_steps), "n_steps": world.n_steps.tolist()}
    with connection.cursor() as cursor:
        for statement in (PROBLEMS, SOLUTIONS, TASKS):
            cursor.execute(statement, where)
    read(project, world.rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as the server does by itself when it has a minute
    return project


def read(project: "Project", rows: list[tuple[int, int, int]]) -> None:
    """Store readings: (place of the solution, place of the person, step marked or 0)."""
    from django.db import connection

    from annotation.models import Batch

    solutions, people, marked = (list(column) for column in zip(*rows, strict=True))
    values: dict[str, Any] = {"batch": Batch.objects.get(project=project).pk, "solutions": solutions, "people": people, "marked": marked}
    with connection.cursor() as cursor:
        cursor.execute(READINGS, values)
        cursor.execute(RATINGS, values | {"annotations": [row[0] for row in cursor.fetchall()]})


def measure(n_annotations: int, n_more: int) -> dict[str, Any]:
    from django.contrib.auth.models import User

    from annotation import quality
    from annotation.models import Annotation, Solution, SolutionConsensus, StepConsensus, StepLabel

    world = make_world(7, n_solutions=n_annotations // READERS, n_people=min(PEOPLE, n_annotations // 20), late=LATE)
    project = fill(world)
    whole = timed(lambda: quality.settle(project))
    again = timed(lambda: quality.settle(project))
    n_people, solutions = User.objects.count(), list(Solution.objects.order_by("pk"))
    random = np.random.default_rng(7)
    had = {(solution, person) for solution, person, _ in world.rows}
    more: list[float] = []
    swept: list[float] = []
    for place in range(n_more):
        for times, settle in ((more, one_solution), (swept, sweep)):
            person = next(int(one) for one in random.permutation(n_people) if (place, int(one)) not in had)
            had.add((place, person))
            read(project, [(place, person, 1)])
            times.append(timed(lambda settle=settle, place=place: settle(project, solutions[place])))
    return {
        "ratio": round(GOAL / whole, 2),
        "all": round(whole, 2),
        "again": round(again, 2),
        "one_more_ms": round(1000 * statistics.median(more), 1),
        "sweep_ms": round(1000 * statistics.median(swept), 1),
        "n_annotations": Annotation.objects.count(),
        "n_ratings": StepLabel.objects.count(),
        "n_rows": SolutionConsensus.objects.count() + StepConsensus.objects.count(),
    }


def one_solution(project: "Project", solution: "Solution") -> None:
    from annotation import quality

    quality.settle(project, solutions=[solution.pk])


def sweep(project: "Project", solution: "Solution") -> None:
    from annotation import quality

    assert quality.settle_new(lambda project, version: None)


def timed(act: Any) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    n_annotations, n_more = (300, 3) if parser.parse_args().smoke else (100_000, MORE)
    with temporary_site.running_home():
        print(json.dumps(measure(n_annotations, n_more)))


if __name__ == "__main__":
    main()
