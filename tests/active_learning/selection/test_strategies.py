"""Selection maths: arrays in, indices out. What must always hold is asked of hypothesis, what each strategy means of small examples."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from active_learning.selection import (
    PAPER_MIX,
    RIGHT,
    STRATEGIES,
    WRONG,
    BadRecipe,
    Candidates,
    Recipe,
    choose,
    read_candidates,
    write_candidates,
)
from active_learning.selection.candidates import ADDED, UNKNOWN
from active_learning.selection.choosing import apportion

MIXES = [
    (("uniform", 1.0),), (("convincing", 0.6), ("uniform", 0.4)), PAPER_MIX.parts,
    (("entropy", 0.5), ("disagreement", 0.3), ("uniform", 0.2)),
]  # fmt: skip


def some(n: int, *, seed: int = 0, n_problems: int = 10, **known: Any) -> Candidates:
    """Return candidates of whom everything is known; no two figures are equal."""
    rng = np.random.default_rng(seed)
    names = ("scores", "entropy", "orm", "majority", "control", "confidence", *ADDED)
    facts = {name: rng.random(n) for name in names}
    facts |= {
        "solutions": rng.permutation(5 * n)[:n],
        "problems": rng.integers(0, n_problems, n),
        "outcomes": rng.integers(-1, 2, n),
        "strata": rng.integers(0, 4, n),
        "prefixes": rng.integers(0, 4, n),
        "deviation": rng.random(n) / 100,
        "states": rng.normal(size=(n, 6)),
        "queued_states": rng.normal(size=(3, 6)),
    }
    return Candidates.of(**facts | known)


def chosen(candidates: Candidates, recipe: Recipe, *, seed: int = 0) -> list[int]:
    return choose(candidates, recipe, rng=np.random.default_rng(seed)).indices.tolist()


def only(strategy: str, size: int, **limits: Any) -> Recipe:
    return Recipe(((strategy, 1.0),), size, **limits)


recipes = st.builds(
    Recipe,
    st.sampled_from(MIXES),
    st.integers(0, 60),
    per_problem=st.sampled_from([None, 1, 2, 5]),
    is_diverse=st.booleans(),
    is_stratified=st.booleans(),
)


# --- what always holds --------------------------------------------------------------------------------------------------------


@given(recipe=recipes, n=st.integers(0, 120), seed=st.integers(0, 99))
@settings(max_examples=150)
def test_no_solution_comes_twice_and_no_limit_is_passed(recipe: Recipe, n: int, seed: int) -> None:
    candidates = some(n, seed=seed)
    choice = choose(candidates, recipe, rng=np.random.default_rng(seed))
    taken = candidates.take(choice.indices)
    assert len(taken) == len(set(choice.indices.tolist())) == len(choice.parts) <= recipe.size
    if recipe.per_problem is not None:
        assert max(Counter(taken.problems.tolist()).values(), default=0) <= recipe.per_problem
    if recipe.is_diverse:
        begun = [(problem, prefix) for problem, prefix in zip(taken.problems.tolist(), taken.prefixes.tolist(), strict=True) if prefix]
        assert len(begun) == len(set(begun))


@given(recipe=recipes, n=st.integers(0, 120), seed=st.integers(0, 99))
@settings(max_examples=150)
def test_a_batch_is_full_unless_nothing_more_may_be_taken(recipe: Recipe, n: int, seed: int) -> None:
    assume(any(name == "uniform" for name, _ in recipe.parts))  # which may take anything
    candidates = some(n, seed=seed)
    taken = set(chosen(candidates, recipe, seed=seed))
    if len(taken) < recipe.size:
        problems = Counter(candidates.problems[i] for i in taken)
        begun = {(candidates.problems[i], candidates.prefixes[i]) for i in taken if candidates.prefixes[i]}
        for i in set(range(n)) - taken:
            is_capped = recipe.per_problem is not None and problems[candidates.problems[i]] >= recipe.per_problem
            assert is_capped or (recipe.is_diverse and (candidates.problems[i], candidates.prefixes[i]) in begun)


@given(recipe=recipes, n=st.integers(0, 120), seed=st.integers(0, 99))
@settings(max_examples=100)
def test_the_order_of_the_candidates_changes_nothing(recipe: Recipe, n: int, seed: int) -> None:
    candidates = some(n, seed=seed)
    shuffled = candidates.take(np.random.default_rng(seed + 1).permutation(n))
    choices = [choose(those, recipe, rng=np.random.default_rng(seed)) for those in (candidates, shuffled)]
    first, second = (those.solutions[choice.indices].tolist() for those, choice in zip((candidates, shuffled), choices, strict=True))
    assert first == second
    assert choices[0].parts.tolist() == choices[1].parts.tolist()


@given(recipe=recipes, seed=st.integers(0, 99))
@settings(max_examples=50)
def test_the_same_seed_gives_the_same_choice(recipe: Recipe, seed: int) -> None:
    assert chosen(some(80), recipe, seed=seed) == chosen(some(80), recipe, seed=seed)


@given(n=st.integers(0, 10_000), weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_places_are_divided_whole_and_nobody_is_a_place_away_from_their_share(n: int, weights: list[float]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    given_to = apportion(n, shares)
    assert given_to.sum() == n
    assert all(abs(places - n * share) < 1 + 1e-6 for places, share in zip(given_to, shares, strict=True))


@given(recipe=recipes)
def test_a_recipe_survives_its_settings(recipe: Recipe) -> None:
    assert Recipe.from_settings(recipe.as_dict()) == recipe


# --- what each strategy takes -------------------------------------------------------------------------------------------------


def test_convincing_takes_wrong_answers_by_conviction_and_nothing_else() -> None:
    candidates = some(5, conviction=[0.1, 0.9, 0.5, 0.8, 0.7], outcomes=[WRONG, RIGHT, WRONG, UNKNOWN, WRONG])
    assert chosen(candidates, only("convincing", 5)) == [4, 2, 0]


def test_convincing_rest_takes_all_other_answers_by_conviction() -> None:
    candidates = some(
        5, conviction=[0.1, 0.9, 0.5, 0.95, math.nan], scores=np.full(5, math.nan), outcomes=[WRONG, RIGHT, WRONG, UNKNOWN, RIGHT]
    )
    assert chosen(candidates, only("convincing_rest", 5)) == [3, 1]


def test_one_problem_gives_no_more_than_its_share() -> None:
    candidates = Candidates.of(solutions=range(4), problems=[7, 7, 7, 8], scores=[0.9, 0.8, 0.7, 0.1], outcomes=[WRONG] * 4)
    assert chosen(candidates, only("convincing", 4, per_problem=2)) == [0, 1, 3]


def test_chosen_globally_one_problem_may_give_all() -> None:
    candidates = Candidates.of(solutions=range(4), problems=[7, 7, 7, 8], scores=[0.9, 0.8, 0.7, 0.1], outcomes=[WRONG] * 4)
    assert chosen(candidates, only("convincing", 3)) == [0, 1, 2]


def test_equal_scores_are_taken_in_their_order() -> None:
    candidates = Candidates.of(solutions=[9, 8, 7, 6, 5], problems=range(5), scores=np.full(5, 0.5), outcomes=[WRONG] * 5)
    assert chosen(candidates, only("convincing", 3)) == [0, 1, 2]


def test_the_papers_mix_is_four_convincing_wrong_answers_to_one_of_all_that_remain() -> None:
    candidates = some(100)
    choice = choose(candidates, Recipe(PAPER_MIX.parts, 20), rng=np.random.default_rng(0))
    assert Counter(choice.parts.tolist()) == {0: 16, 1: 4}
    wrong, of_all = choice.indices[choice.parts == 0], choice.indices[choice.parts == 1]
    assert set(candidates.outcomes[wrong].tolist()) == {WRONG}
    left = np.setdiff1d(np.arange(100), wrong)
    assert of_all.tolist() == left[np.argsort(-candidates.conviction[left])][:4].tolist()


def test_the_part_of_all_takes_a_wrong_answer_too_if_it_convinces_most() -> None:
    candidates = some(3, conviction=[0.9, 0.8, 0.7], outcomes=[WRONG, WRONG, RIGHT])
    assert chosen(candidates, Recipe(PAPER_MIX.parts, 2)) == [0, 1]


def test_a_round_of_before_chooses_by_the_product_and_says_the_same() -> None:
    candidates = Candidates.of(solutions=[1, 2], problems=[1, 2], scores=[0.25, 0.93], outcomes=[WRONG, WRONG], control=[0.5, 0.25])
    assert chosen(candidates, only("convincing", 2)) == [1, 0]
    assert chosen(candidates, only("control", 2)) == [0, 1]
    assert STRATEGIES["convincing"].why(candidates[1]) == "A wrong answer that convinces the model: scored 0.93."
    assert STRATEGIES["control"].why(candidates[0]) == "A wrong answer that convinces the frozen control model: scored 0.50 by it."


def test_margin_takes_first_whose_two_likeliest_places_are_closest() -> None:
    assert chosen(some(4, margin=[0.2, 0.01, math.nan, 0.7]), only("margin", 4)) == [1, 0, 3]


def test_change_takes_first_what_would_change_the_head_most() -> None:
    assert chosen(some(4, change=[0.2, 3.1, math.nan, 0.7]), only("change", 4)) == [1, 3, 0]


def test_without_a_part_at_random_a_recipe_says_what_it_lacks() -> None:
    assert "no part “At random”" in Recipe(PAPER_MIX.parts, 5).without_floor
    assert Recipe((("convincing", 0.9), ("uniform", 0.1)), 5).without_floor == ""


def test_entropy_takes_first_whose_first_mistake_is_least_certain() -> None:
    assert chosen(some(4, entropy=[0.2, 1.3, math.nan, 0.7]), only("entropy", 4)) == [1, 3, 0]


def test_uncertain_keeps_to_the_thresholds_and_takes_the_most_uncertain_first() -> None:
    candidates = some(6, confidence=[0.96, 0.7, 0.94, 0.99, 0.7, math.nan], deviation=[0.004, 0.001, 0.001, 0.006, 0.002, math.nan])
    assert chosen(candidates, only("uncertain", 6)) == [4, 1, 2, 3]


def test_disagreement_takes_doubted_right_answers_first_and_then_the_widest_gap() -> None:
    candidates = some(
        6,
        scores=[0.4, 0.1, 0.9, 0.8, 0.7, 0.3],
        outcomes=[RIGHT, RIGHT, RIGHT, WRONG, UNKNOWN, WRONG],
        orm=[0.4, 0.1, 0.1, math.nan, math.nan, 0.2],
        majority=[1, 1, 0.9, 0.5, math.nan, 0.9],
    )
    assert chosen(candidates, only("disagreement", 6)) == [1, 0, 2, 5, 3]


def test_control_takes_wrong_answers_by_the_frozen_models_conviction() -> None:
    candidates = some(
        4,
        conviction=[0.9, 0.1, 0.5, 0.6],
        control_conviction=[0.2, 0.8, 0.9, math.nan],
        control=np.full(4, math.nan),
        outcomes=[WRONG, WRONG, RIGHT, WRONG],
    )
    assert chosen(candidates, only("control", 4)) == [1, 0]


def test_without_heads_nothing_is_uncertain() -> None:
    assert chosen(Candidates.of(solutions=range(3), problems=range(3), scores=[0.1, 0.2, 0.3]), only("uncertain", 3)) == []


def test_diversity_drops_what_begins_like_a_better_one_of_the_same_problem() -> None:
    candidates = Candidates.of(
        solutions=range(6),
        problems=[1, 1, 1, 2, 3, 3],
        scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        outcomes=[WRONG] * 6,
        prefixes=[11, 11, 12, 11, 0, 0],
    )
    assert chosen(candidates, only("convincing", 6, is_diverse=True)) == [0, 2, 3, 4, 5]


def test_strata_are_served_as_the_pool_holds_them() -> None:
    strata = np.repeat([0, 1, 2], [60, 30, 10])
    candidates = some(100, n_problems=100, strata=strata, scores=np.linspace(1, 0, 100), outcomes=np.full(100, WRONG))
    taken = chosen(candidates, only("convincing", 20, is_stratified=True))
    assert Counter(strata[taken].tolist()) == {0: 12, 1: 6, 2: 2}


def test_each_part_is_stratified_and_not_the_batch_alone() -> None:
    strata = np.tile([0, 1], 100)
    candidates = some(
        200,
        n_problems=200,
        strata=strata,
        scores=np.where(strata, 0.2, 0.8) + np.arange(200) / 1e4,
        outcomes=np.repeat([WRONG, RIGHT], 100),
    )
    choice = choose(candidates, Recipe(PAPER_MIX.parts, 40, is_stratified=True), rng=np.random.default_rng(0))
    counts = Counter(zip(choice.parts.tolist(), strata[choice.indices].tolist(), strict=True))
    assert counts == {(0, 0): 16, (0, 1): 16, (1, 0): 4, (1, 1): 4}


def test_a_stratum_that_runs_out_leaves_its_places_to_the_others() -> None:
    strata = np.repeat([0, 1], [50, 50])
    wrong = np.where(np.arange(100) < 53, WRONG, RIGHT)
    taken = chosen(some(100, n_problems=100, strata=strata, outcomes=wrong), only("convincing", 20, is_stratified=True))
    assert Counter(strata[taken].tolist()) == {0: 17, 1: 3}


def test_strata_are_weighed_by_the_draw_and_not_by_a_shortlist_of_one_stratum() -> None:
    strata, drawn = np.repeat([0, 1], [80, 20]), np.arange(100) >= 60  # of the draw, half is of stratum 1
    candidates = some(100, n_problems=100, strata=strata, drawn=drawn, outcomes=np.full(100, WRONG))
    assert Counter(strata[chosen(candidates, only("convincing", 20, is_stratified=True))].tolist()) == {0: 10, 1: 10}


# --- the uniform floor --------------------------------------------------------------------------------------------------------


def shares_taken(candidates: Candidates, recipe: Recipe, part: int, *, times: int) -> np.ndarray:
    rng, counts = np.random.default_rng(0), np.zeros(len(candidates))
    for _ in range(times):
        choice = choose(candidates, recipe, rng=rng)
        counts[choice.indices[choice.parts == part]] += 1
    return counts / times


def test_the_uniform_part_takes_what_convinces_as_often_as_anything_else() -> None:
    candidates = some(20, n_problems=20, outcomes=np.repeat([WRONG, RIGHT], 10))
    shares = shares_taken(candidates, Recipe((("convincing", 0.5), ("uniform", 0.5)), 10), 1, times=2000)
    assert np.all(abs(shares - 5 / 20) < 0.05)


def test_the_uniform_part_stays_unbiased_when_it_fills_the_places_of_another() -> None:
    candidates = some(20, n_problems=20, outcomes=[WRONG] * 2 + [RIGHT] * 18)
    shares = shares_taken(candidates, Recipe((("convincing", 0.8), ("uniform", 0.2)), 10), 1, times=2000)
    assert np.ptp(shares) < 0.08 and 0.4 < shares.mean() < 0.5  # 10 places, of which the two wrong ones keep some


def test_the_uniform_part_takes_only_what_was_drawn_from_the_whole_pool() -> None:
    candidates = some(40, n_problems=40, drawn=np.arange(40) < 10)
    assert sorted(chosen(candidates, only("uniform", 30))) == list(range(10))


def test_under_a_cap_each_problem_is_drawn_equally_often() -> None:
    shares = shares_taken(some(10, problems=np.arange(10) // 2), only("uniform", 3, per_problem=1), 0, times=2000)
    assert np.all(abs(shares - 0.3) < 0.05)  # 3 of 5 problems, one of two solutions each


def test_another_seed_draws_others() -> None:
    assert chosen(some(100), only("uniform", 20), seed=1) != chosen(some(100), only("uniform", 20), seed=2)


# --- places and their order ---------------------------------------------------------------------------------------------------


def test_parts_are_served_interleaved_and_each_best_first() -> None:
    candidates = some(100, n_problems=100)
    choice = choose(candidates, Recipe(PAPER_MIX.parts, 10), rng=np.random.default_rng(0))
    assert choice.parts.tolist() == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    for part in (0, 1):
        scores = candidates.conviction[choice.indices[choice.parts == part]]
        assert np.all(np.diff(scores) < 0)


def test_a_part_that_runs_out_leaves_its_places_to_the_others_in_their_order() -> None:
    candidates = some(50, outcomes=np.repeat([WRONG, RIGHT], [3, 47]))
    choice = choose(candidates, Recipe((*PAPER_MIX.parts, ("entropy", 0.2)), 12), rng=np.random.default_rng(0))
    assert Counter(choice.parts.tolist()) == {0: 3, 1: 7, 2: 2}


def test_nothing_to_choose_from_is_an_empty_choice() -> None:
    assert chosen(Candidates.of(solutions=[], problems=[]), Recipe(PAPER_MIX.parts, 5, is_stratified=True)) == []


# --- reasons, files, bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_its_reason_with_its_number(strategy: str) -> None:
    candidates = some(60)
    index = chosen(candidates, only(strategy, 1))[0]
    said = STRATEGIES[strategy].why(candidates[index])
    figures = {"entropy": candidates.entropy, "uncertain": candidates.confidence, "control": candidates.control}
    figures |= {"entropy_draw": candidates.entropy, "margin": candidates.margin, "change": candidates.change}
    assert f"{figures.get(strategy, candidates.scores)[index]:.{3 if strategy == 'uncertain' else 2}f}" in said
    assert len(said) <= 200 and said.endswith(".")


def test_a_reason_names_the_answer_and_the_judges_that_differ() -> None:
    candidates = Candidates.of(solutions=[1, 2], problems=[1, 2], scores=[0.2, 0.9], outcomes=[RIGHT, WRONG], orm=[math.nan, 0.1])
    assert STRATEGIES["disagreement"].why(candidates[0]) == "A right answer whose reasoning the model doubts: scored 0.20."
    assert STRATEGIES["disagreement"].why(candidates[1]) == "Judgements differ: PRM 0.90, ORM 0.10."


def test_candidates_come_back_from_their_file_and_equal_ones_give_equal_bytes(tmp_path: Path) -> None:
    candidates = some(30, orm=np.full(30, math.nan))
    sha256 = write_candidates(tmp_path / "one", candidates)
    back = read_candidates(tmp_path / "one")
    assert write_candidates(tmp_path / "two", back) == sha256
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert chosen(back, Recipe(PAPER_MIX.parts, 9)) == chosen(candidates, Recipe(PAPER_MIX.parts, 9))
    assert np.isnan(back.orm).all() and back.outcomes.dtype == np.int8


def test_the_file_of_an_older_round_lacks_what_came_later(tmp_path: Path) -> None:
    candidates = some(9)
    fields = [name for name in Candidates.__dataclass_fields__ if name not in ADDED]
    np.savez(tmp_path / "old.npz", **{name: getattr(candidates, name) for name in fields})
    back = read_candidates(tmp_path / "old.npz")
    assert np.isnan(back.conviction).all() and back.scores.tolist() == candidates.scores.tolist()
    assert chosen(back, only("convincing", 1)) == [int(np.argmax(np.where(candidates.outcomes == WRONG, candidates.scores, -1)))]


@pytest.mark.parametrize("written", [b"", b"PK\x03\x04 cut off", b"something else"])
def test_a_damaged_file_of_candidates_is_named(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "candidates.npz").write_bytes(written)
    with pytest.raises(ValueError, match="candidates.npz is not a file of candidates"):
        read_candidates(tmp_path / "candidates.npz")


def test_a_file_without_one_of_the_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "half.npz", solutions=np.arange(3))
    with pytest.raises(ValueError, match="half.npz is not a file of candidates.*problems"):
        read_candidates(tmp_path / "half.npz")


def test_candidates_of_uneven_length_or_twice_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="3 solutions need as many scores"):
        Candidates.of(solutions=[1, 2, 3], problems=[1, 1, 1], scores=[0.5])
    with pytest.raises(ValueError, match="Solution 2 is listed twice"):
        Candidates.of(solutions=[2, 1, 2], problems=[1, 1, 1])
    with pytest.raises(TypeError, match="Candidates have no field score"):
        Candidates.of(solutions=[2], problems=[1], score=[0.5])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"parts": [["convincing", 0]]}, "weight of convincing in parts must be a number above 0, not 0"),
        ({"parts": [["convincing", math.nan]]}, "weight of convincing in parts must be a number above 0, not nan"),
        ({"parts": [["convincing", True]]}, "weight of convincing in parts must be a number above 0, not True"),
        ({"parts": [["best", 1]]}, "no strategy named best. Known: convincing, "),
        ({"parts": [["entropy", 1], ["entropy", 2]]}, "entropy is listed twice in parts"),
        ({"parts": []}, "parts must be one or more pairs"),
        ({"parts": "uniform"}, "parts must be one or more pairs"),
        ({"parts": ["uniform"]}, "parts must hold pairs of strategy and weight, not 'uniform'"),
        ({"size": -1}, "size must be a whole number of at least 0, not -1"),
        ({"size": 1.5}, "size must be a whole number of at least 0, not 1.5"),
        ({"size": None}, "size must be a whole number"),
        ({"per_problem": 0}, "per_problem must be a whole number of at least 1, not 0"),
        ({"is_diverse": "no"}, "is_diverse must be true or false, not 'no'"),
        ({"sizes": 3}, "no field sizes. Known: "),
    ],
)
def test_a_recipe_nobody_can_follow_names_the_field(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRecipe, match=said):
        Recipe.from_settings({"parts": [["uniform", 1]], "size": 5} | wrong)


def test_a_recipe_without_a_size_says_so() -> None:
    with pytest.raises(BadRecipe, match="size is missing"):
        Recipe.from_settings({"parts": {"uniform": 1}})


def test_weights_are_brought_to_one() -> None:
    assert Recipe.from_settings({"parts": {"convincing": 8, "convincing_all": 2}, "size": 5}).parts == PAPER_MIX.parts
