"""Stage: the pool. What a round may choose from: solutions of training problems, neither withdrawn nor queued before. Reads only."""

from django.db import connection
from django.db.models import Count, Exists, OuterRef

from active_learning.models import ModelVersion
from active_learning.reward_models import readable_solutions
from annotation.models import Outcome, Project, Task

# The most convincing wrong answers of each problem. The LATERAL walks the partial index (problem, score DESC) and stops after k rows a
# problem: 36,000 candidates out of 12M rows in 0.7 s; a window function over the partition takes 5.6 s.
CANDIDATES = """
SELECT c.solution_id, p.id, c.score
  FROM annotation_problem p
 CROSS JOIN LATERAL (
       SELECT s.solution_id, s.score FROM active_learning_score s
        WHERE s.model_version_id = %(version)s AND s.problem_id = p.id AND s.outcome = 'wrong'
          AND NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = s.solution_id)
          AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = s.solution_id AND x.withdrawn_at IS NOT NULL)
        ORDER BY s.score DESC LIMIT %(limit)s) c
 WHERE p.project_id = %(project)s AND p.split = 'train'
 ORDER BY c.score DESC, c.solution_id
"""


def candidates(project: Project, chooser: ModelVersion | None, *, per_problem: int) -> list[tuple[int, int, float | None]]:
    """Return (solution, problem, score) of the best `per_problem` wrong answers of each problem; without a model, of all, unscored."""
    if chooser is None:
        queued = Task.objects.filter(solution=OuterRef("pk"))
        rows = readable_solutions(project).filter(~Exists(queued)).order_by("pk")
        return [(solution, problem, None) for solution, problem in rows.values_list("pk", "problem_id")]
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, {"version": chooser.pk, "project": project.pk, "limit": per_problem})
        return cursor.fetchall()


def why_empty(project: Project, chooser: ModelVersion | None) -> str:
    """Say why nothing is left to choose, and what to do."""
    counts = dict(readable_solutions(project).order_by().values_list("outcome").annotate(n=Count("pk")))
    if not counts:
        return f"{project.slug} has no solutions to serve. Load some with `manage.py load_solutions`."
    if chooser is None:
        return f"Every solution of {project.slug} has been queued already. Load more solutions."
    if not counts.get(Outcome.WRONG):
        n_solutions = sum(counts.values())
        return f"None of the {n_solutions:,} solutions of {project.slug} has a wrong answer. Load problems with answers, or more solutions."
    return f"Every solution of {project.slug} with a wrong answer has been queued already. Load more solutions."
