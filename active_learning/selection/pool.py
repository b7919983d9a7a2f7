"""The pool: what a round may choose from, namely solutions of training problems, neither withdrawn nor queued before. Reads only.

A pool of millions is never read into memory: for each part of the recipe the database gives a shortlist in the part's own order, long
enough that `choose` takes from it what it would take from everything.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Any, TypedDict

import numpy as np
from django.db import connection
from django.db.models import Count

from active_learning.models import ModelVersion, Score
from active_learning.registry import readable_solutions
from active_learning.selection.candidates import ADDED, RIGHT, UNKNOWN, WRONG, Candidates
from active_learning.selection.recipes import Recipe
from active_learning.selection.strategies import CHANCE, MARGIN, STRATEGIES, UNIFORM, USUAL, EmptyPool, Need, Shortlist
from annotation.models import Outcome, Project
from trainer.answers import group_answers
from trainer.counting import counted

# The best of each problem, then of all. The LATERAL walks the partial index (problem, score per step DESC) and stops after k rows a
# problem: 36,000 candidates out of 12M rows in a second; a window function over the partition sorts all of it. What is usual for a problem
# changes no order within it.
BEST_OF_EACH = f"""
SELECT c.solution_id
  FROM annotation_problem p
  LEFT JOIN active_learning_problemmean m ON m.model_version_id = %(version)s AND m.problem_id = p.id
 CROSS JOIN LATERAL (
       SELECT s.solution_id, s.per_step, s.score FROM active_learning_score s
        WHERE s.model_version_id = %(version)s AND s.problem_id = p.id AND s.outcome = 'wrong'
          AND NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = s.solution_id OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = s.solution_id AND x.withdrawn_at IS NOT NULL OFFSET 0)
        ORDER BY coalesce(s.per_step, s.score) DESC, s.solution_id LIMIT %(each)s) c
 WHERE p.project_id = %(project)s AND p.split = 'train'
 ORDER BY coalesce(c.per_step - {USUAL.format(means="m", version="version")}, c.score) DESC, c.solution_id LIMIT %(limit)s
"""

# The first of the whole partition in an order without an index: reads it once and keeps `limit` rows; FACTS drops what may not be chosen.
READ_ONCE = """
SELECT s.solution_id FROM active_learning_score s {join}
 WHERE s.model_version_id = %(version)s AND {where} ORDER BY {order}, s.solution_id LIMIT %(limit)s
"""
JOIN_ORM = "JOIN active_learning_score o ON o.model_version_id = %(orm)s AND o.solution_id = s.solution_id"
JOIN_MEANS = "LEFT JOIN active_learning_problemmean m ON m.model_version_id = %(version)s AND m.problem_id = s.problem_id"
UNSCORED = """
SELECT x.id FROM annotation_solution x JOIN annotation_problem p ON p.id = x.problem_id
 WHERE p.project_id = %(project)s AND p.split = 'train' AND x.withdrawn_at IS NULL
 ORDER BY hashint8extended(x.id, %(seed)s), x.id LIMIT %(limit)s
"""

# The facts of some solutions, without those that may not be chosen. OFFSET 0: one index probe each, whatever the statistics say.
# Of scored solutions only the scores are read: the solutions' own rows are wide, and each would be a page of its own.
FACTS = f"""
SELECT w.id, s.problem_id, s.outcome, s.score, s.entropy, s.confidence, s.deviation, s.prefix, c.score, o.score, p.subject, p.level,
       s.per_step, s.margin, s.change, s.per_step - {USUAL.format(means="m", version="chooser")},
       c.per_step - {USUAL.format(means="n", version="control")}, {{chance}}
  FROM unnest(%(solutions)s::bigint[]) AS w(id)
 CROSS JOIN LATERAL ({{source}} OFFSET 0) s
  JOIN annotation_problem p ON p.id = s.problem_id AND p.project_id = %(project)s AND p.split = 'train'
  LEFT JOIN LATERAL (SELECT score, per_step FROM active_learning_score
                      WHERE model_version_id = %(control)s AND solution_id = w.id OFFSET 0) c ON true
  LEFT JOIN active_learning_problemmean m ON m.model_version_id = %(chooser)s AND m.problem_id = s.problem_id
  LEFT JOIN active_learning_problemmean n ON n.model_version_id = %(control)s AND n.problem_id = s.problem_id
  LEFT JOIN LATERAL (SELECT score FROM active_learning_score
                      WHERE model_version_id = %(orm)s AND solution_id = w.id OFFSET 0) o ON true
 WHERE NOT EXISTS (SELECT 1 FROM annotation_task t WHERE t.solution_id = w.id OFFSET 0)
   AND NOT EXISTS (SELECT 1 FROM annotation_solution x WHERE x.id = w.id AND x.withdrawn_at IS NOT NULL OFFSET 0)
"""
SCORED = """SELECT problem_id, outcome, score, entropy, confidence, deviation, prefix, per_step, margin, change
              FROM active_learning_score WHERE model_version_id = %(chooser)s AND solution_id = w.id"""
BARE = """SELECT problem_id, outcome, NULL AS score, NULL AS entropy, NULL AS confidence, NULL AS deviation, NULL AS prefix,
                 NULL::real AS per_step, NULL AS margin, NULL AS change
            FROM annotation_solution WHERE id = w.id"""
_Vote = tuple[str | None, str]  # an answer and its outcome
_COLUMNS = ("problems", "outcomes", "scores", "entropy", "confidence", "deviation", "prefixes", "control", "orm", "subject", "level",
            "per_step", "margin", "change", "conviction", "control_conviction", "chance")  # fmt: skip

_CODES = {Outcome.CORRECT: RIGHT, Outcome.WRONG: WRONG}

LOOKED_AT = 20_000  # solutions of which states are read: a draw, where the pool is larger
SPARE = 4  # a shortlist is this many times the batch: some of it was queued, withdrawn or begins like another solution
SPARE_STRATIFIED = 32  # and the rarer strata lie deep in it
GROWTH = 8


class _Versions(TypedDict):
    """Keys of the versions whose scores are read."""

    chooser: int | None
    control: int | None
    orm: int | None


def candidates(
    project: Project,
    chooser: ModelVersion | None,
    *,
    recipe: Recipe,
    control: ModelVersion | None = None,
    orm: ModelVersion | None = None,
    seed: int = 0,
) -> Candidates:
    """Return what the recipe may choose from, ordered by solution: a shortlist for each part, with its facts.

    With a model, only the solutions it has scored are candidates. Without one, all are, and only a random draw orders them, by `seed`.
    Wrong answers by score with a limit per problem are found by index; other orders read the partition once, some seconds for ten million.
    """
    versions = _Versions(chooser=_key(chooser), control=_key(control), orm=_key(orm))
    return _Shortlists(project, recipe, versions, seed).gathered()


def _key(version: ModelVersion | None) -> int | None:
    return version.pk if version else None


class _Shortlists:
    """The shortlists of a recipe, and the facts of the solutions in them."""

    def __init__(self, project: Project, recipe: Recipe, versions: _Versions, seed: int) -> None:
        self.recipe, self.versions = recipe, versions
        self.values: dict[str, Any] = {"project": project.pk, "seed": seed, "orm": versions["orm"]}
        self.known: dict[int, tuple[Any, ...]] = {}  # solution -> the rest of FACTS; of those that may be chosen
        self.read: set[int] = set()
        self.drawn: set[int] = set()

    def gathered(self) -> Candidates:
        strategies = [STRATEGIES[name] for name, _ in self.recipe.parts]
        for strategy in strategies:
            version = self.versions["control" if Need.CONTROL in strategy.needs else "chooser"]
            if strategy.is_draw or version is None:
                continue
            for shortlist in strategy.shortlists:
                if not shortlist.joins_orm or self.versions["orm"]:
                    self._take(self._statement(shortlist), version=version, is_enough=shortlist.is_enough)
        if self.recipe.needs(Need.STATES):
            version = self.versions["chooser"]
            self._list(UNSCORED if version is None else self._statement(UNIFORM.shortlists[0]), version=version, limit=LOOKED_AT)
        if self.recipe.is_stratified or any(
            strategy.is_draw for strategy in strategies
        ):  # strata are weighed by a draw from the whole pool
            version = self.versions["chooser"]
            self.drawn = self._take(UNSCORED if version is None else self._statement(UNIFORM.shortlists[0]), version=version)
        return self._arrays()

    def _statement(self, shortlist: Shortlist) -> str:
        if shortlist.is_indexed and self.recipe.per_problem is not None:
            return BEST_OF_EACH
        joined = [join for join, wanted in ((JOIN_ORM, shortlist.joins_orm), (JOIN_MEANS, shortlist.joins_means)) if wanted]
        return READ_ONCE.format(join=" ".join(joined), where=shortlist.where, order=shortlist.order)

    def _take(self, statement: str, *, version: int | None = None, is_enough: bool = False) -> set[int]:
        """Take the first rows of a statement, and more of them until they could fill a batch alone or there are no more."""
        recipe = self.recipe
        is_filtered = statement == BEST_OF_EACH and not recipe.is_diverse  # every row may be chosen
        spare = SPARE_STRATIFIED if recipe.is_stratified else 1 if is_filtered else SPARE
        while True:
            limit = max(1, recipe.size) * spare
            each = (recipe.per_problem or 0) * (spare if recipe.is_diverse else 1)
            listed = self._list(statement, version=version, limit=limit, each=each)
            fit = self.known.keys() & set(listed)
            if is_enough or len(listed) < limit or self._n_fitting(fit) >= recipe.size:
                return fit
            spare *= GROWTH

    def _list(self, statement: str, *, version: int | None, limit: int, each: int = 0) -> list[int]:
        """Return the first solutions of a statement, and read their facts."""
        with connection.cursor() as cursor:
            cursor.execute(statement, self.values | {"version": version, "limit": limit, "each": each})
            listed = [solution for (solution,) in cursor.fetchall()]
        self._read_facts(listed)
        return listed

    def _read_facts(self, solutions: Iterable[int]) -> None:
        """Read the facts of the solutions that were not read before."""
        new = sorted(set(solutions) - self.read)
        self.read.update(new)
        statement = FACTS.format(source=BARE if self.versions["chooser"] is None else SCORED, chance=CHANCE.format(solution="w.id"))
        with connection.cursor() as cursor:
            cursor.execute(statement, self.values | dict(self.versions) | {"solutions": _listed(new)})
            self.known.update((solution, facts) for solution, *facts in cursor.fetchall())

    def _n_fitting(self, solutions: Set[int]) -> int:
        """Count how many of these may stand in one batch."""
        problem, prefix = _COLUMNS.index("problems"), _COLUMNS.index("prefixes")
        rows = ((solution, self.known[solution]) for solution in solutions)
        unlike = {(facts[problem], (self.recipe.is_diverse and facts[prefix]) or f"like no other: {solution}") for solution, facts in rows}
        of_problem = Counter(problem for problem, _ in unlike)
        return sum(min(n, self.recipe.per_problem or n) for n in of_problem.values())

    def _arrays(self) -> Candidates:
        solutions = sorted(self.known)
        columns = dict(zip(_COLUMNS, zip(*(self.known[solution] for solution in solutions), strict=True), strict=True)) if solutions else {}
        if not columns:
            return Candidates.of(solutions=[], problems=[])
        strata = list(zip(columns.pop("subject"), columns.pop("level"), strict=True))
        codes = {stratum: code for code, stratum in enumerate(sorted(set(strata)))}
        figures = ("scores", "entropy", "confidence", "deviation", "control", "orm", *ADDED)
        arrays = {name: np.array(columns[name], np.float64) for name in figures}
        if self.recipe.needs(Need.MAJORITY):
            arrays["majority"] = np.array(_majorities(solutions, columns["problems"]))
        return Candidates.of(
            solutions=solutions,
            problems=columns["problems"],
            **arrays,
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
    """Return for each solution which share of its problem's graded ones has an equal answer; nan for one that is not graded.

    All right answers are equal; wrong ones are if the graders say so. Raises GraderUnavailable.
    """
    given: dict[int, Counter[_Vote]] = defaultdict(Counter)
    with connection.cursor() as cursor:
        cursor.execute(VOTES, {"problems": _listed(set(problems))})
        for problem, answer, outcome, n in cursor.fetchall():
            given[problem][answer, outcome] += n
        cursor.execute(ANSWERS, {"solutions": _listed(solutions)})
        votes: dict[int, _Vote] = {solution: (answer, outcome) for solution, answer, outcome in cursor.fetchall()}
    groups = group_answers(([answer for answer, _ in own], [outcome == Outcome.CORRECT for _, outcome in own]) for own in given.values())
    shares: dict[tuple[int, _Vote], float] = {}
    for (problem, own), classes in zip(given.items(), groups, strict=True):
        sizes = Counter[int]()
        for n, class_ in zip(own.values(), classes, strict=True):
            sizes[class_] += n
        shares |= {(problem, vote): sizes[class_] / own.total() for vote, class_ in zip(own, classes, strict=True)}
    return [
        shares[problem, votes[solution]] if solution in votes else math.nan for solution, problem in zip(solutions, problems, strict=True)
    ]


# --- the pool in words --------------------------------------------------------------------------------------------------------


def describe(candidates: Candidates) -> dict[str, Any]:
    """Return what to expect of these solutions: their number, problems and answers, and the share with a mistake.

    `share_wrong` and `share_right` are shares of all; `mean_score` and `expected_share_with_mistake` are of the scored ones, None if
    none is scored.
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


def why_no_states(project: Project, version: ModelVersion | None, *, recipe: Recipe) -> str:
    """Say why a recipe that reads states cannot have them, and what to do."""
    labels = " and ".join(STRATEGIES[name].label for name, _ in recipe.parts if Need.STATES in STRATEGIES[name].needs)
    cause = f"model {version.number} of {project.slug} has none" if version else f"no model of {project.slug} serves yet"
    return (
        f"{labels}: this reads the states of a frozen base, and {cause}. Choose *Keep the base frozen* in the settings of the project, or "
        "train with --preset frozen, and start a round that trains. Or choose at random."
    )


def why_empty(project: Project, chooser: ModelVersion | None, *, recipe: Recipe) -> str:
    """Say why nothing is left to choose, and what to do."""
    strategies = [STRATEGIES[name] for name, _ in recipe.parts]
    counts = dict(readable_solutions(project).order_by().values_list("outcome").annotate(n=Count("pk")))
    n_solutions, labels = sum(counts.values()), ", ".join(strategy.label for strategy in strategies)
    if not counts:
        return f"{project.slug} has no solutions to serve. Load some with `manage.py load_solutions`."
    if chooser is None and not recipe.needs(Need.STATES):
        if any(strategy.is_draw for strategy in strategies):
            return f"Every solution of {project.slug} has been queued already. Load more solutions."
        return f"{labels}: this needs a model's scores, and no model of {project.slug} serves yet. Train one first, or choose at random."
    scores = Score.objects.filter(model_version=chooser)
    if chooser and not scores.exists():
        return f"The scores of model {chooser.number} of {project.slug} are gone. Restore them, or start a round that scores again."
    pool = EmptyPool(
        project=project.slug,
        model=chooser.number if chooser else 0,
        n_solutions=n_solutions,
        n_wrong=counts.get(Outcome.WRONG, 0),
        has_confidence=recipe.needs(Need.HEADS) and scores.filter(confidence__isnull=False).exists(),
        has_change=recipe.needs(Need.CHANGE) and scores.filter(change__isnull=False).exists(),
        has_margin=any(strategy is MARGIN for strategy in strategies) and scores.filter(margin__isnull=False).exists(),
    )
    causes = dict.fromkeys(strategy.why_empty(pool) for strategy in strategies)  # in order, each once
    if "" not in causes:
        return " ".join(causes)
    return f"{labels}: {project.slug} has {counted(n_solutions, 'solution')} that can still be chosen, and none fits. Load more solutions."
