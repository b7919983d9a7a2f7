"""Stage: the pool. What a round may choose from: solutions of training problems, neither withdrawn nor queued before. Reads only.

A pool of millions is never read into memory: for each part of the recipe the database gives a shortlist in the part's own order, long
enough that `strategies.choose` takes from it what it would take from everything.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Count

from active_learning.models import ModelVersion, Score
from active_learning.registry import readable_solutions
from active_learning.selection.strategies import (
    CONFIDENT,
    CONTROL,
    CONVINCING,
    DISAGREEMENT,
    DOUBTED,
    ENTROPY,
    REST,
    RIGHT,
    STEADY,
    UNCERTAIN,
    UNIFORM,
    UNKNOWN,
    WRONG,
    Candidates,
    Recipe,
)
from annotation.answers import normalise
from annotation.models import Outcome, Project

# The best of each problem, then of all. The LATERAL walks the partial index (problem, score DESC) and stops after k rows a problem: 36,000
# candidates out of 12M rows in a second; a window function over the partition sorts all of it.
CANDIDATES = """
SELECT c.solution_id
  FROM annotation_problem p
 CROSS JOIN LATERAL (
       SELECT s.solution_id, s.score FROM active_learning_score s
        WHERE s.model_version_id = %(version)s AND s.problem_id = p.id AND s.outcome = 'wrong'
          AND NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = s.solution_id OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = s.solution_id AND x.withdrawn_at IS NOT NULL OFFSET 0)
        ORDER BY s.score DESC, s.solution_id LIMIT %(each)s) c
 WHERE p.project_id = %(project)s AND p.split = 'train'
 ORDER BY c.score DESC, c.solution_id LIMIT %(limit)s
"""

# The first of the whole partition in an order without an index: reads it once and keeps `limit` rows; FACTS drops what may not be chosen.
READ_ONCE = """
SELECT s.solution_id FROM active_learning_score s
 WHERE s.model_version_id = %(version)s AND {which} ORDER BY {order}, s.solution_id LIMIT %(limit)s
"""
READ_BOTH = """
SELECT s.solution_id FROM active_learning_score s
  JOIN active_learning_score o ON o.model_version_id = %(orm)s AND o.solution_id = s.solution_id
 WHERE s.model_version_id = %(version)s ORDER BY abs(s.score - o.score) DESC, s.solution_id LIMIT %(limit)s
"""
UNSCORED = """
SELECT x.id FROM annotation_solution x JOIN annotation_problem p ON p.id = x.problem_id
 WHERE p.project_id = %(project)s AND p.split = 'train' AND x.withdrawn_at IS NULL
 ORDER BY hashint8extended(x.id, %(seed)s), x.id LIMIT %(limit)s
"""

# All that is known of some solutions, but of those that may not be chosen. OFFSET 0: one index probe each, whatever the statistics say.
# What is scored is told by the scores alone: the solutions' own rows are wide, and each would be a page of its own.
FACTS = """
SELECT w.id, s.problem_id, s.outcome, s.score, s.entropy, s.confidence, s.deviation, s.prefix, c.score, o.score, p.subject, p.level
  FROM unnest(%(solutions)s::bigint[]) AS w(id)
 CROSS JOIN LATERAL ({source} OFFSET 0) s
  JOIN annotation_problem p ON p.id = s.problem_id AND p.project_id = %(project)s AND p.split = 'train'
  LEFT JOIN LATERAL (SELECT score FROM active_learning_score
                      WHERE model_version_id = %(control)s AND solution_id = w.id OFFSET 0) c ON true
  LEFT JOIN LATERAL (SELECT score FROM active_learning_score
                      WHERE model_version_id = %(orm)s AND solution_id = w.id OFFSET 0) o ON true
 WHERE NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = w.id OFFSET 0)
   AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = w.id AND x.withdrawn_at IS NOT NULL OFFSET 0)
"""
SCORED = "SELECT * FROM active_learning_score WHERE model_version_id = %(chooser)s AND solution_id = w.id"
BARE = """SELECT problem_id, outcome, NULL AS score, NULL AS entropy, NULL AS confidence, NULL AS deviation, NULL AS prefix
            FROM annotation_solution WHERE id = w.id"""
_COLUMNS = ("problems", "outcomes", "scores", "entropy", "confidence", "deviation", "prefixes", "control", "orm", "subject", "level")

_IS_WRONG, _IS_REST = "s.outcome = 'wrong'", "s.outcome <> 'wrong'"
# Which rows of a partition a strategy would take, and in which order; `strategies` orders the same way.
_ORDERS = {
    CONVINCING: (_IS_WRONG, "s.score DESC"),
    REST: (_IS_REST, "s.score DESC"),
    CONTROL: (_IS_WRONG, "s.score DESC"),
    ENTROPY: ("s.entropy IS NOT NULL", "s.entropy DESC"),
    UNCERTAIN: (f"(s.confidence < {CONFIDENT} OR s.deviation > {STEADY})", "coalesce(s.confidence, 1), coalesce(s.deviation, 0) DESC"),
    DISAGREEMENT: (f"s.outcome = 'correct' AND s.score < {DOUBTED}", "s.score"),
    UNIFORM: ("true", "hashint8extended(s.solution_id, %(seed)s)"),
}
_INDEXED = (CONVINCING, CONTROL)  # the partial index holds wrong answers alone; without it the LATERAL would read all for each problem
_CODES = {Outcome.CORRECT: RIGHT, Outcome.WRONG: WRONG}

SPARE = 4  # a shortlist is so many times what is wanted: some of it was queued, withdrawn or begins like another
SPARE_STRATIFIED = 32  # and the rarer strata lie deep in it
GROWTH = 8


def candidates(
    project: Project,
    chooser: ModelVersion | None,
    *,
    recipe: Recipe,
    control: ModelVersion | None = None,
    orm: ModelVersion | None = None,
    seed: int = 0,
) -> Candidates:
    """Return what the recipe may choose from, in the order of solutions: a shortlist for each part, and all that is known of it.

    With a model only what it has scored is a candidate; without one, all is, and only `uniform` orders it. `seed` draws the uniform part.
    Wrong answers by score under a cap are found by index; the other orders read the partition once, some seconds for ten million.
    """
    versions = {"chooser": chooser and chooser.pk, "control": control and control.pk, "orm": orm and orm.pk}
    return _Shortlists(project, recipe, versions, seed).gathered()


class _Shortlists:
    """The shortlists of a recipe, and what is known of the solutions in them."""

    def __init__(self, project: Project, recipe: Recipe, versions: dict[str, int | None], seed: int) -> None:
        self.recipe, self.versions = recipe, versions
        self.values = {"project": project.pk, "seed": seed, "orm": versions["orm"]}
        self.known: dict[int, tuple[Any, ...]] = {}  # solution -> the rest of FACTS; of those that may be chosen
        self.asked: set[int] = set()
        self.drawn: set[int] = set()

    def gathered(self) -> Candidates:
        names = [name for name, _ in self.recipe.parts]
        for name in names:
            if name == UNIFORM or (version := self.versions["control" if name == CONTROL else "chooser"]) is None:
                continue
            which, order = _ORDERS[name]
            is_capped = name in _INDEXED and self.recipe.per_problem is not None
            self._take(CANDIDATES if is_capped else READ_ONCE.format(which=which, order=order), version=version)
            if name == DISAGREEMENT:
                # A gap to the majority can be no wider than the score's own way to the far end.
                self._take(READ_ONCE.format(which="true", order=f"abs(s.score - {DOUBTED}) DESC"), version=version, is_enough=True)
                if self.versions["orm"]:
                    self._take(READ_BOTH, version=version)
        if UNIFORM in names or self.recipe.is_stratified:  # strata are weighed by a draw from the whole pool
            which, order = _ORDERS[UNIFORM]
            version = self.versions["chooser"]
            self.drawn = self._take(UNSCORED if version is None else READ_ONCE.format(which=which, order=order), version=version)
        return self._arrays()

    def _take(self, statement: str, *, version: int | None = None, is_enough: bool = False) -> set[int]:
        """Take the first rows of a statement, and more of them until a batch could be filled from them alone or there are no more."""
        recipe, spare = self.recipe, SPARE_STRATIFIED if self.recipe.is_stratified else SPARE
        while True:
            limit = max(1, recipe.size) * spare
            each = (recipe.per_problem or 0) * (spare if recipe.is_diverse else 1)
            with connection.cursor() as cursor:
                cursor.execute(statement, self.values | {"version": version, "limit": limit, "each": each})
                found = [solution for (solution,) in cursor.fetchall()]
            self._ask(found)
            fit = self.known.keys() & set(found)
            if is_enough or len(found) < limit or self._n_fitting(fit) >= recipe.size:
                return fit
            spare *= GROWTH

    def _ask(self, solutions: Iterable[int]) -> None:
        """Learn the facts of solutions not asked of before."""
        new = sorted(set(solutions) - self.asked)
        self.asked.update(new)
        statement = FACTS.format(source=BARE if self.versions["chooser"] is None else SCORED)
        with connection.cursor() as cursor:
            cursor.execute(statement, self.values | self.versions | {"solutions": _listed(new)})
            self.known.update((solution, facts) for solution, *facts in cursor.fetchall())

    def _n_fitting(self, solutions: Set[int]) -> int:
        """Count how many of these may stand in one batch."""
        problem, prefix = _COLUMNS.index("problems"), _COLUMNS.index("prefixes")
        told = ((solution, self.known[solution]) for solution in solutions)
        unlike = {(facts[problem], (self.recipe.is_diverse and facts[prefix]) or f"like no other: {solution}") for solution, facts in told}
        of_problem = Counter(problem for problem, _ in unlike)
        return sum(min(n, self.recipe.per_problem or n) for n in of_problem.values())

    def _arrays(self) -> Candidates:
        solutions = sorted(self.known)
        columns = dict(zip(_COLUMNS, zip(*(self.known[solution] for solution in solutions), strict=True), strict=True)) if solutions else {}
        if not columns:
            return Candidates.of(solutions=[], problems=[])
        strata = list(zip(columns.pop("subject"), columns.pop("level"), strict=True))
        codes = {stratum: code for code, stratum in enumerate(sorted(set(strata)))}
        figures = ("scores", "entropy", "confidence", "deviation", "control", "orm")
        told = {name: np.array(columns[name], np.float64) for name in figures}
        if DISAGREEMENT in dict(self.recipe.parts):
            told["majority"] = np.array(_majorities(solutions, columns["problems"]))
        return Candidates.of(
            solutions=solutions,
            problems=columns["problems"],
            **told,
            outcomes=[_CODES.get(outcome, UNKNOWN) for outcome in columns["outcomes"]],
            strata=[codes[stratum] for stratum in strata],
            prefixes=[prefix or 0 for prefix in columns["prefixes"]],
            drawn=[solution in self.drawn for solution in solutions],
        )


def _listed(numbers: Iterable[int]) -> str:
    """Write numbers as PostgreSQL reads an array: psycopg quotes each number of a list, which takes longer than a query of them."""
    return f"{{{','.join(map(str, numbers))}}}"


# The answers given to some problems, and how often: what a majority vote sees. And the answers of some solutions.
VOTES = """
SELECT problem_id, final_answer, outcome, count(*) FROM annotation_solution
 WHERE problem_id = ANY(%(problems)s::bigint[]) AND outcome IN ('correct', 'wrong') GROUP BY 1, 2, 3
"""
ANSWERS = """
SELECT id, final_answer, outcome FROM annotation_solution WHERE id = ANY(%(solutions)s::bigint[]) AND outcome IN ('correct', 'wrong')
"""


def _majorities(solutions: Sequence[int], problems: Sequence[int]) -> list[float]:
    """Return for each solution which share of its problem's graded ones has the same answer; nan for one that is not graded.

    All right answers are the same; wrong ones are when they read the same once spelling is set aside.
    """
    voted: dict[int, Counter[str]] = defaultdict(Counter)
    with connection.cursor() as cursor:
        cursor.execute(VOTES, {"problems": _listed(set(problems))})
        for problem, answer, outcome, n in cursor.fetchall():
            voted[problem][_vote(answer, outcome)] += n
        cursor.execute(ANSWERS, {"solutions": _listed(solutions)})
        votes = {solution: _vote(answer, outcome) for solution, answer, outcome in cursor.fetchall()}
    return [
        voted[problem][votes[solution]] / voted[problem].total() if solution in votes else math.nan
        for solution, problem in zip(solutions, problems, strict=True)
    ]


def _vote(answer: str | None, outcome: str) -> str:
    return "" if outcome == Outcome.CORRECT else f"={normalise(answer or '')}"


# --- what is said of the pool -------------------------------------------------------------------------------------------------


def describe(candidates: Candidates) -> dict[str, Any]:
    """Return what one may expect of these solutions: how many, of how many problems, their answers, and how many hold a mistake.

    `share_wrong` and `share_right` are of all; `mean_score` and `expected_share_with_mistake` of the scored ones, None if none is.
    """
    n, scores = len(candidates), candidates.scores[~np.isnan(candidates.scores)]
    mean = round(float(scores.mean()), 4) if len(scores) else None
    return {
        "n_solutions": n,
        "n_problems": len(np.unique(candidates.problems)),
        "share_wrong": round(float(np.mean(candidates.outcomes == WRONG)), 4) if n else None,
        "share_right": round(float(np.mean(candidates.outcomes == RIGHT)), 4) if n else None,
        "mean_score": mean,
        "expected_share_with_mistake": None if mean is None else round(1 - mean, 4),
    }


def why_empty(project: Project, chooser: ModelVersion | None, *, recipe: Recipe | None = None) -> str:
    """Say why nothing is left to choose, and what to do."""
    names = [name for name, _ in recipe.parts] if recipe else [CONVINCING if chooser else UNIFORM]
    counts = dict(readable_solutions(project).order_by().values_list("outcome").annotate(n=Count("pk")))
    n_solutions = sum(counts.values())
    if not counts:
        return f"{project.slug} has no solutions to serve. Load some with `manage.py load_solutions`."
    if chooser is None:
        if UNIFORM in names:
            return f"Every solution of {project.slug} has been queued already. Load more solutions."
        return f"{', '.join(names)} needs a model's scores and {project.slug} has no model in service. Train one, or choose uniform first."
    scored = Score.objects.filter(model_version=chooser)
    if not scored.exists():
        return f"Model {chooser.number} of {project.slug} has no scores any more. Restore them, or let a round score again."
    if names == [CONTROL]:
        return f"No frozen control model of {project.slug} has scored a wrong answer that is left. Choose another strategy beside control."
    if names == [UNCERTAIN] and not scored.filter(confidence__isnull=False).exists():
        return f"Model {chooser.number} of {project.slug} has no heads to be uncertain with. Train one with heads, or choose entropy."
    if set(names) <= {CONVINCING, CONTROL}:
        if not counts.get(Outcome.WRONG):
            none = f"None of the {n_solutions:,} solutions of {project.slug} has a wrong answer."
            return f"{none} Load problems with answers, or more solutions."
        return f"Every solution of {project.slug} with a wrong answer has been queued already. Load more solutions."
    return f"Nothing of the {n_solutions:,} solutions of {project.slug} that is not queued suits {', '.join(names)}. Load more solutions."
