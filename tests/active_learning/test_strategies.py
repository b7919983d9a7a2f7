"""Selection maths: arrays in, indices out."""

import numpy as np

from active_learning.strategies import most_convincing_wrong, random_pick


def test_the_highest_scores_come_first() -> None:
    scores, problems = np.array([0.1, 0.9, 0.5]), np.array([1, 2, 3])
    assert most_convincing_wrong(scores, problems, size=2, per_problem=None).tolist() == [1, 2]


def test_one_problem_gives_no_more_than_its_share() -> None:
    scores, problems = np.array([0.9, 0.8, 0.7, 0.1]), np.array([7, 7, 7, 8])
    assert most_convincing_wrong(scores, problems, size=4, per_problem=2).tolist() == [0, 1, 3]


def test_chosen_globally_one_problem_may_give_all() -> None:
    scores, problems = np.array([0.9, 0.8, 0.7, 0.1]), np.array([7, 7, 7, 8])
    assert most_convincing_wrong(scores, problems, size=3, per_problem=None).tolist() == [0, 1, 2]


def test_equal_scores_are_taken_in_their_order() -> None:
    assert most_convincing_wrong(np.full(5, 0.5), np.arange(5), size=3, per_problem=1).tolist() == [0, 1, 2]


def test_nothing_to_choose_from_is_an_empty_choice() -> None:
    assert most_convincing_wrong(np.empty(0), np.empty(0, np.int64), size=3, per_problem=1).tolist() == []


def test_a_random_pick_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    problems = np.arange(100)
    first, again, other = (random_pick(problems, size=20, per_problem=1, rng=np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_random_pick_takes_each_solution_about_equally_often() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(10)
    for _ in range(2000):
        counts[random_pick(np.arange(10) // 2, size=3, per_problem=1, rng=rng)] += 1
    assert np.all(abs(counts / 2000 - 0.3) < 0.05)  # 3 of 5 problems, one of two solutions each
