"""The pool against a real partition of scores: what a recipe may choose from, and what it never gets to see."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.db import connection

from active_learning.models import ModelKind, ModelState, ModelVersion, ProblemMean, Score
from active_learning.scoring.partitions import compare
from active_learning.selection import PAPER_MIX, RIGHT, STRATEGIES, WRONG, Candidates, Recipe, choose, pool
from active_learning.selection.candidates import UNKNOWN
from annotation import queue
from annotation.models import Project, Solution, Split
from tests import make

UNIFORM = Recipe((("uniform", 1.0),), 100)


def only(strategy: str, *, size: int = 100, per_problem: int | None = None, **limits: Any) -> Recipe:
    return Recipe(((strategy, 1.0),), size, per_problem, **limits)


def version(project: Project, *, kind: str = ModelKind.PRM, **fields: Any) -> ModelVersion:
    """Make a ready version with an empty partition for its scores."""
    number = ModelVersion.objects.filter(project=project).count() + 1
    made = ModelVersion.objects.create(project=project, number=number, kind=kind, base="tiny", state=ModelState.READY, sha256="0", **fields)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE active_learning_score_{made.pk} PARTITION OF active_learning_score FOR VALUES IN ({made.pk})")
    return made


def score(by: ModelVersion, solution: Solution, score: float, **known: Any) -> Solution:
    told = {"problem_id": solution.problem_id, "outcome": solution.outcome, "score": score}
    Score.objects.create(model_version=by, solution=solution, **told | known)
    return solution


def solved(project: Project, by: ModelVersion, *scores: float, **fields: Any) -> list[Solution]:
    """Give a new problem solutions with these scores."""
    problem = make.problem(project)
    return [score(by, make.solution(problem, **fields), value) for value in scores]


def found(project: Project, by: ModelVersion | None, recipe: Recipe, **scorers: Any) -> list[int]:
    return pool.candidates(project, by, recipe=recipe, **scorers).solutions.tolist()


def keys(*solutions: Solution) -> list[int]:
    return [one.pk for one in solutions]


@pytest.fixture
def project(db: None) -> Project:
    return make.project()


@pytest.fixture
def prm(project: Project) -> ModelVersion:
    return version(project)


EACH_WAY = [
    only("convincing"), only("convincing", per_problem=5), Recipe(PAPER_MIX.parts, 100), Recipe(PAPER_MIX.parts, 100, per_problem=5),
    only("entropy"), only("uncertain"), only("disagreement"), UNIFORM, only("convincing", is_diverse=True, is_stratified=True),
]  # fmt: skip


# --- what never comes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", EACH_WAY, ids=lambda recipe: f"{recipe.parts[0][0]}-{recipe.per_problem}-{recipe.is_diverse}")
def test_only_what_may_be_labeled_comes_whatever_the_strategy(project: Project, prm: ModelVersion, recipe: Recipe) -> None:
    told = {"entropy": 0.9, "confidence": 0.6, "deviation": 0.1}
    problem, test = make.problem(project), make.problem(project, split=Split.TEST)
    other, elsewhere = make.problem(make.project("other")), make.problem(project)
    wanted = [score(prm, make.solution(problem, outcome=outcome), 0.9, **told) for outcome in ("wrong", "correct", "unsure")]
    planted = score(prm, make.solution(test), 0.99, **told)
    withdrawn, queued = (score(prm, make.solution(elsewhere, outcome="correct"), 0.01, **told) for _ in range(2))
    also_withdrawn, also_queued = (score(prm, make.solution(elsewhere), 0.98, **told) for _ in range(2))
    foreign = score(prm, make.solution(other), 0.97, **told)
    unscored = make.solution(problem)
    queue.withdraw(Solution.objects.filter(pk__in=keys(withdrawn, also_withdrawn)), actor=User.objects.create(username="max"))
    make.batch(project, [queued, also_queued])
    never = keys(planted, withdrawn, queued, also_withdrawn, also_queued, foreign, unscored)
    some = found(project, prm, recipe, control=prm, orm=prm)
    assert not set(some) & set(never)
    assert some and set(some) <= set(keys(*wanted))


def test_without_a_model_a_planted_test_problem_a_withdrawn_and_a_queued_solution_stay_away(project: Project) -> None:
    kept, withdrawn, queued = make.solutions(project, 3)
    make.solution(make.problem(project, split=Split.TEST))
    make.solutions(make.project("other"), 1)
    queue.withdraw(Solution.objects.filter(pk=withdrawn.pk), actor=User.objects.create(username="max"))
    make.batch(project, [queued])
    assert found(project, None, UNIFORM) == [kept.pk]


def test_one_queued_after_a_hundred_others_leaves_the_rest(project: Project, prm: ModelVersion) -> None:
    """What heads the order may all be queued: then the shortlist is read further down."""
    many = [solved(project, prm, 1 - place / 1000)[0] for place in range(60)]
    make.batch(project, many[:50])
    assert set(keys(*many[50:52])) <= set(found(project, prm, only("convincing", size=2)))
    assert set(keys(*many[50:52])) <= set(found(project, prm, only("convincing", size=2, per_problem=1)))


def test_where_the_best_of_a_problem_may_not_be_chosen_its_next_best_comes(project: Project, prm: ModelVersion) -> None:
    queued, withdrawn, kept = solved(project, prm, 0.9, 0.8, 0.7)
    make.batch(project, [queued])
    queue.withdraw(Solution.objects.filter(pk=withdrawn.pk), actor=User.objects.create(username="max"))
    assert found(project, prm, only("convincing", size=1, per_problem=1)) == [kept.pk]


# --- what comes ---------------------------------------------------------------------------------------------------------------


def test_under_a_cap_the_best_wrong_answers_of_each_problem_come(project: Project, prm: ModelVersion) -> None:
    first = solved(project, prm, 0.9, 0.7, 0.8)
    second = solved(project, prm, 0.2, 0.1)
    solved(project, prm, 0.99, outcome="correct")
    assert found(project, prm, only("convincing", per_problem=2)) == keys(first[0], first[2], *second)


def test_the_most_convincing_for_its_problem_comes_before_a_higher_one_of_a_problem_where_all_convince(
    project: Project, prm: ModelVersion
) -> None:
    usual, rare = make.problem(project), make.problem(project)
    high = [score(prm, make.solution(usual), 0.5, per_step=value) for value in (0.95, 0.96, 0.97)]
    low = [score(prm, make.solution(rare), 0.1, per_step=value) for value in (0.9, 0.1, 0.2)]
    compare(prm)
    for cap in (None, 2):
        recipe = only("convincing", size=3, per_problem=cap)
        candidates = pool.candidates(project, prm, recipe=recipe)
        choice = choose(candidates, recipe, rng=np.random.default_rng(0))
        chosen = candidates.solutions[choice.indices].tolist()
        assert chosen == keys(low[0], high[2], high[1])
        mean = 4.08 / 6  # of all
        expected = [0.9 - (1.2 + mean) / 4, 0.97 - (2.88 + mean) / 4, 0.96 - (2.88 + mean) / 4]
        assert candidates.conviction[choice.indices].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_solution_that_was_not_read_to_its_end_makes_no_other_of_its_problem_stand_out(project: Project, prm: ModelVersion) -> None:
    torn, whole = make.problem(project), make.problem(project)
    score(prm, make.solution(torn), 0, per_step=0)
    for problem in (torn, whole):
        score(prm, make.solution(problem), 0.5, per_step=0.8)
    compare(prm)
    assert ProblemMean.objects.get(problem=torn).per_step == ProblemMean.objects.get(problem=whole).per_step == pytest.approx(0.8)


def test_problems_of_one_solution_each_are_compared_with_each_other(project: Project, prm: ModelVersion) -> None:
    each = [score(prm, make.solution(make.problem(project)), 0.5, per_step=value) for value in (0.3, 0.9, 0.6)]
    compare(prm)
    for cap in (None, 1):
        recipe = only("convincing", size=2, per_problem=cap)
        candidates = pool.candidates(project, prm, recipe=recipe)
        choice = choose(candidates, recipe, rng=np.random.default_rng(0))
        assert candidates.solutions[choice.indices].tolist() == keys(each[1], each[2])


def test_scores_of_an_older_version_are_ordered_by_their_product(project: Project, prm: ModelVersion) -> None:
    every = solved(project, prm, 0.2, 0.9, 0.5)
    assert not ProblemMean.objects.exists()
    for cap in (None, 2):
        recipe = only("convincing", size=2, per_problem=cap)
        candidates = pool.candidates(project, prm, recipe=recipe)
        choice = choose(candidates, recipe, rng=np.random.default_rng(0))
        assert candidates.solutions[choice.indices].tolist() == keys(every[1], every[2])
        best = candidates[int(choice.indices[0])]
        assert STRATEGIES["convincing"].why(best) == "A wrong answer that convinces the model: scored 0.90."
    of_control = pool.candidates(project, prm, recipe=only("control", size=2), control=prm)
    assert STRATEGIES["control"].why(of_control[int(of_control.solutions.tolist().index(every[1].pk))]) == (
        "A wrong answer that convinces the frozen control model: scored 0.90 by it."
    )


def test_a_version_that_scored_a_part_of_its_solutions_before_an_upgrade_orders_all_by_their_product(
    project: Project, prm: ModelVersion
) -> None:
    before = solved(project, prm, 0.2, 0.9, 0.5)
    later = score(prm, make.solution(before[0].problem), 0.4, per_step=0.99, margin=0.1, change=2.0)
    ProblemMean.objects.create(model_version=prm, problem=later.problem, per_step=0.9)
    compare(prm)
    assert not ProblemMean.objects.exists()
    for cap in (None, 4):
        recipe = only("convincing", size=4, per_problem=cap)
        candidates = pool.candidates(project, prm, recipe=recipe)
        choice = choose(candidates, recipe, rng=np.random.default_rng(0))
        assert candidates.solutions[choice.indices].tolist() == keys(before[1], before[2], later, before[0])
    assert found(project, prm, only("margin")) == found(project, prm, only("change")) == []
    assert "Model 1 of sums scored in an earlier release" in pool.why_empty(project, prm, recipe=only("margin"))


def test_a_problem_without_a_mean_is_compared_with_the_mean_of_the_others(project: Project, prm: ModelVersion) -> None:
    usual = make.problem(project)
    high, low = (score(prm, make.solution(usual), 0.5, per_step=value) for value in (0.95, 0.85))
    compare(prm)  # 0.9
    late = score(prm, make.solution(make.problem(project)), 0.5, per_step=0.93)
    for cap in (None, 2):
        recipe = Recipe((("convincing", 0.5), ("control", 0.5)), 3, per_problem=cap)
        candidates = pool.candidates(project, prm, recipe=recipe, control=prm)
        assert candidates.solutions[np.argsort(-candidates.conviction)].tolist() == keys(high, late, low)
        assert candidates.conviction.tolist() == candidates.control_conviction.tolist()
        assert sorted(candidates.conviction) == pytest.approx([-0.05, 0.03, 0.05], abs=1e-6)


def test_an_orm_is_compared_with_nothing(project: Project) -> None:
    orm = version(project, kind=ModelKind.ORM)
    solved(project, orm, 0.4, 0.6)
    compare(orm)
    assert not ProblemMean.objects.exists()


def test_what_is_drawn_by_its_entropy_is_drawn_in_proportion(project: Project, prm: ModelVersion) -> None:
    likely, unlikely, never = (score(prm, make.solution(make.problem(project)), 0.5, entropy=value) for value in (3, 1, 0))
    recipe, first = only("entropy_draw", size=1), Counter[int]()
    for seed in range(200):
        candidates = pool.candidates(project, prm, recipe=recipe, seed=seed)
        choice = choose(candidates, recipe, rng=np.random.default_rng(0))
        first.update(candidates.solutions[choice.indices].tolist())
    assert first[never.pk] == 0 and first[likely.pk] == pytest.approx(150, abs=25) and first[unlikely.pk] == 200 - first[likely.pk]


def test_right_answers_come_for_the_parts_that_want_them(project: Project, prm: ModelVersion) -> None:
    wrong = solved(project, prm, 0.9)
    right, unsure = solved(project, prm, 0.3, outcome="correct"), solved(project, prm, 0.4, outcome="unsure")
    for cap in (None, 1):
        assert found(project, prm, only("convincing_rest", per_problem=cap)) == keys(*right, *unsure)
        assert found(project, prm, Recipe(PAPER_MIX.parts, 100, per_problem=cap)) == keys(*wrong, *right, *unsure)


def test_a_shortlist_is_enough_for_the_choice_that_everything_would_give(project: Project, prm: ModelVersion) -> None:
    rng = np.random.default_rng(3)
    for place in range(30):
        for value in rng.random(6).tolist():
            problem = make.problem(project) if place % 2 else _shared(project)
            one = make.solution(problem, outcome=str(rng.choice(["wrong", "correct"])))
            known = {name: float(rng.random()) for name in ("entropy", "per_step", "margin", "change")}
            score(prm, one, value, prefix=int(rng.integers(1, 4)), **known)
    compare(prm)
    for recipe in (
        Recipe(PAPER_MIX.parts, 12, per_problem=2),
        only("entropy_draw", size=9),
        only("entropy_draw", size=9, per_problem=1, is_diverse=True),
        only("margin", size=9, per_problem=2),
        only("change", size=9),
        Recipe(PAPER_MIX.parts, 12),
        Recipe((("entropy", 0.5), ("convincing", 0.5)), 10, per_problem=1),
        Recipe((("margin", 0.4), ("convincing", 0.6)), 20, per_problem=2),
        Recipe(PAPER_MIX.parts, 12, is_diverse=True),
        only("entropy", size=9, per_problem=2, is_diverse=True),
    ):
        short, everything = (pool.candidates(project, prm, recipe=told) for told in (recipe, _wide(recipe)))
        assert len(short) < len(everything) == 180 or recipe.per_problem == 1
        chosen = [of.solutions[choose(of, recipe, rng=np.random.default_rng(0)).indices].tolist() for of in (short, everything)]
        assert chosen[0] == chosen[1] and len(chosen[0]) == recipe.size


def _shared(project: Project) -> Any:
    return project.problem_set.order_by("pk").first() or make.problem(project)


def _wide(recipe: Recipe) -> Recipe:
    """Ask for all that the parts could take."""
    return Recipe((*recipe.parts, ("uniform", 1e-12)), 1000)


def test_where_one_problem_or_one_beginning_heads_the_order_it_is_read_further(project: Project, prm: ModelVersion) -> None:
    crowd = make.problem(project)
    for place in range(20):
        score(prm, make.solution(crowd), 1 - place / 100, entropy=1 - place / 100, prefix=7)
    others = [score(prm, make.solution(make.problem(project)), 0.1, entropy=0.1, prefix=7) for _ in range(2)]
    for limits in ({"per_problem": 1}, {"is_diverse": True}):
        recipe = only("entropy", size=3, **limits)
        assert set(keys(*others)) <= set(found(project, prm, recipe))


def test_all_that_is_known_of_a_solution_comes_with_it(project: Project, prm: ModelVersion) -> None:
    control, orm = version(project), version(project, kind=ModelKind.ORM)
    first, second = make.problem(project, subject="algebra", level="1"), make.problem(project, subject="algebra", level="2")
    one = score(prm, make.solution(first), 0.5, entropy=1.25, confidence=0.75, deviation=0.125, prefix=-77)
    other = score(prm, make.solution(second, outcome="correct"), 0.25)
    graded = score(prm, make.solution(first, outcome="unsure"), 1)
    score(control, one, 0.625), score(orm, one, 0.375)
    everything = pool.candidates(project, prm, recipe=UNIFORM, control=control, orm=orm)
    assert everything.solutions.tolist() == keys(one, other, graded)
    assert everything.problems.tolist() == [first.pk, second.pk, first.pk]
    assert everything.outcomes.tolist() == [WRONG, RIGHT, UNKNOWN]
    assert everything.scores.tolist() == [0.5, 0.25, 1]
    assert everything.prefixes.tolist() == [-77, 0, 0]
    assert everything.strata[0] == everything.strata[2] != everything.strata[1]
    for name, value in (("entropy", 1.25), ("confidence", 0.75), ("deviation", 0.125), ("control", 0.625), ("orm", 0.375)):
        assert getattr(everything, name)[0] == value
        assert np.isnan(getattr(everything, name)[1:]).all()


def test_the_control_part_is_found_by_the_control_models_scores(project: Project, prm: ModelVersion) -> None:
    control = version(project)
    liked, disliked = solved(project, prm, 0.1)[0], solved(project, prm, 0.9)[0]
    score(control, liked, 0.9), score(control, disliked, 0.2)
    for cap in (None, 1):
        candidates = pool.candidates(project, prm, recipe=only("control", size=1, per_problem=cap), control=control)
        choice = choose(candidates, only("control", size=1), rng=np.random.default_rng(0))
        assert candidates.solutions[choice.indices].tolist() == [liked.pk]
    assert found(project, prm, only("control")) == []


def test_a_control_model_of_another_taste_brings_its_own(project: Project, prm: ModelVersion) -> None:
    control = version(project)
    every = [solved(project, prm, place / 20)[0] for place in range(20)]
    for place, one in enumerate(every):
        score(control, one, 1 - place / 20)
    for cap, n_listed in ((None, pool.SPARE), (1, 1)):
        assert found(project, prm, only("control", size=1, per_problem=cap), control=control) == keys(*every[:n_listed])


def test_where_the_orm_differs_most_is_found_in_the_midst_of_the_scores(project: Project, prm: ModelVersion) -> None:
    orm = version(project, kind=ModelKind.ORM)
    for place in range(20):
        score(orm, solved(project, prm, place / 20)[0], place / 20)
    [midst] = solved(project, prm, 0.5)
    score(orm, midst, 0.9)
    assert midst.pk in found(project, prm, only("disagreement", size=1), orm=orm)


def test_what_the_chooser_has_not_scored_is_left_out_though_the_control_model_has(project: Project, prm: ModelVersion) -> None:
    control = version(project)
    both, one = solved(project, prm, 0.5)[0], make.solution(make.problem(project))
    score(control, both, 0.5), score(control, one, 0.9)
    assert found(project, prm, only("control", per_problem=1), control=control) == [both.pk]
    assert found(project, prm, UNIFORM, control=control) == [both.pk]


def test_disagreement_finds_doubted_right_answers_and_where_orm_and_majority_differ(project: Project, prm: ModelVersion) -> None:
    orm = version(project, kind=ModelKind.ORM)
    problem = make.problem(project)
    doubted = score(prm, make.solution(problem, outcome="correct", final_answer="4"), 0.1)
    believed = score(prm, make.solution(problem, outcome="correct", final_answer="2+2"), 0.9)
    voted = [score(prm, make.solution(problem, final_answer=answer), 0.8) for answer in ("5", r"\text{5}", "5", "7")]
    score(orm, voted[3], 0.05)
    candidates = pool.candidates(project, prm, recipe=only("disagreement", size=3), orm=orm)
    assert candidates.solutions.tolist() == keys(doubted, believed, *voted)
    assert candidates.majority.tolist() == pytest.approx([2 / 6, 2 / 6, 3 / 6, 3 / 6, 3 / 6, 1 / 6])
    choice = choose(candidates, only("disagreement", size=3), rng=np.random.default_rng(0))
    assert candidates.solutions[choice.indices].tolist() == keys(doubted, voted[3], believed)


def test_wrong_answers_that_are_equal_agree_however_they_are_written(project: Project, prm: ModelVersion) -> None:
    problem = make.problem(project)
    for answer in ("3", "0.5", "1/2", r"\frac12", "3", "x+1", "1+x"):
        score(prm, make.solution(problem, final_answer=answer), 0.8)
    candidates = pool.candidates(project, prm, recipe=only("disagreement", size=7))
    assert candidates.majority.tolist() == pytest.approx([2 / 7, 3 / 7, 3 / 7, 3 / 7, 2 / 7, 2 / 7, 2 / 7])


def test_the_uniform_part_is_drawn_from_everything_and_the_shortlists_are_not_in_the_draw(project: Project, prm: ModelVersion) -> None:
    for place in range(40):
        solved(project, prm, place / 40)
    recipe = Recipe((("convincing", 0.5), ("uniform", 0.5)), 2)
    candidates = pool.candidates(project, prm, recipe=recipe)
    assert len(candidates) < 20
    assert candidates.drawn.sum() == pool.SPARE * recipe.size
    assert not candidates.drawn[np.argsort(-candidates.scores)[: pool.SPARE * recipe.size]].all()


def test_each_solution_is_drawn_about_equally_often_over_the_seeds(project: Project, prm: ModelVersion) -> None:
    every = [solved(project, prm, place / 20)[0].pk for place in range(20)]
    counts = dict.fromkeys(every, 0)
    for seed in range(300):
        candidates = pool.candidates(project, prm, recipe=only("uniform", size=1), seed=seed)
        counts.update({solution: counts[solution] + 1 for solution in candidates.solutions[candidates.drawn].tolist()})
    shares = np.array(list(counts.values())) / 300  # pool.SPARE of 20 each time
    assert np.all(abs(shares - pool.SPARE / 20) < 0.1)


def test_the_same_pool_gives_the_same_candidates_and_another_seed_another_draw(project: Project, prm: ModelVersion) -> None:
    for _ in range(30):
        solved(project, prm, 0.5)
    one, again, other = (found(project, prm, only("uniform", size=2), seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    tied = found(project, prm, only("convincing", size=2, per_problem=1))
    assert tied == sorted(Solution.objects.values_list("pk", flat=True))[: len(tied)]


def test_a_stratified_recipe_weighs_the_strata_by_a_draw(project: Project, prm: ModelVersion) -> None:
    for place in range(40):
        score(prm, make.solution(make.problem(project, subject="rare" if place < 10 else "common")), 0.9 if place < 10 else 0.5)
    recipe = only("convincing", size=8, is_stratified=True)
    candidates = pool.candidates(project, prm, recipe=recipe)
    taken = candidates.take(choose(candidates, recipe, rng=np.random.default_rng(0)).indices)
    assert candidates.drawn.all() and np.count_nonzero(taken.scores > 0.8) == 2


@pytest.mark.usefixtures("new_tables")
def test_the_lateral_walks_the_index_of_each_problem(project: Project, prm: ModelVersion) -> None:
    for _ in range(5):
        solved(project, prm, *np.linspace(0.1, 0.9, 40))
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE active_learning_score_{prm.pk}")
        cursor.execute("SET LOCAL enable_seqscan = off")
        values = {"version": prm.pk, "project": project.pk, "each": 3, "limit": 100}
        cursor.execute("EXPLAIN " + pool.BEST_OF_EACH, values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert f"Index Scan using active_learning_score_{prm.pk}_problem_id_coalesce_idx" in plan


# --- what is said -------------------------------------------------------------------------------------------------------------


def test_a_description_counts_what_is_known() -> None:
    candidates = Candidates.of(solutions=range(4), problems=[1, 1, 2, 3], scores=[0.5, 0.25, np.nan, 0.75], outcomes=[0, 0, 1, -1])
    assert pool.describe(candidates) == {
        "n_solutions": 4,
        "n_problems": 3,
        "share_wrong": 0.5,
        "share_right": 0.25,
        "mean_score": 0.5,
        "expected_share_with_mistake": 0.5,
    }


def test_nothing_is_described_without_figures() -> None:
    told = pool.describe(Candidates.of(solutions=[], problems=[]))
    assert (told.pop("n_solutions"), told.pop("n_problems")) == (0, 0)
    assert len(told) == 4 and set(told.values()) == {None}


def test_the_reason_why_nothing_is_left_names_what_to_do(project: Project, prm: ModelVersion) -> None:
    def reason(strategy: str, by: ModelVersion | None = prm) -> str:
        return pool.why_empty(project, by, recipe=only(strategy))

    assert "has no solutions to serve" in reason("convincing")
    right = make.solution(make.problem(project), outcome="correct")
    no_model = "Convincing wrong answers: this needs a model's scores, and no model of sums serves yet. Train one first"
    assert no_model in reason("convincing", by=None)
    assert "The scores of model 1 of sums are gone. Restore them" in reason("convincing")
    score(prm, right, 0.5)
    assert "sums has 1 solution, and none has a wrong answer" in reason("convincing")
    assert "Model 1 of sums has no uncertainty heads. Train one with heads" in reason("uncertain")
    assert "The frozen control model of sums has scored no wrong answer" in reason("control")
    wrong = make.solution(right.problem)
    make.batch(project, [right, wrong])
    assert "with a wrong answer has been queued already" in reason("convincing")
    assert "Every solution of sums has been queued already" in reason("uniform", by=None)
    assert "sums has 2 solutions that can still be chosen, and none fits. Load more solutions." in reason("entropy")
    both = pool.why_empty(project, prm, recipe=Recipe((("convincing", 0.5), ("uncertain", 0.5)), 5))
    assert both == f"{reason('convincing')} {reason('uncertain')}"
