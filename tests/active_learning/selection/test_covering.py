"""Orders by states: which solutions stand for others. Small clouds of points whose answer is plain, and what must hold for any."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from active_learning.selection import Candidates, Recipe, choose, covering, read_candidates, write_candidates
from active_learning.selection.strategies import STRATEGIES, Need

BY_STATES = [name for name, strategy in STRATEGIES.items() if Need.STATES in strategy.needs]


def clouds(sizes: list[int], *, seed: int = 0, width: int = 8, **known: Any) -> tuple[Candidates, list[int]]:
    """Candidates in groups of these sizes, each around a direction of its own, and the group of each solution."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    states = 10 * np.eye(width)[groups] + rng.normal(size=(len(groups), width)) * 0.3
    facts = {"solutions": np.arange(len(groups)) + 100, "problems": np.arange(len(groups)), "states": states} | known
    return Candidates.of(**facts), groups.tolist()


def chosen(candidates: Candidates, strategy: str, size: int, *, seed: int = 0, **limits: Any) -> list[int]:
    recipe = Recipe(((strategy, 1.0),), size, **limits)
    return choose(candidates, recipe, rng=np.random.default_rng(seed)).indices.tolist()


def unit_points(candidates: Candidates) -> np.ndarray[Any, Any]:
    states = np.concatenate([candidates.states, candidates.queued_states]).astype(np.float64)
    points = states - states.mean(0)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def group_state(group: int) -> np.ndarray[Any, Any]:
    return 10 * np.eye(8)[[group]]


# --- what each looks for ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", BY_STATES)
def test_a_batch_has_one_solution_of_each_group(strategy: str) -> None:
    candidates, groups = clouds([40, 30, 20, 10])
    assert sorted(groups[place] for place in chosen(candidates, strategy, 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("strategy", BY_STATES)
def test_a_group_with_a_label_comes_after_those_without(strategy: str) -> None:
    candidates, groups = clouds([40, 30, 20, 10], queued_states=np.concatenate([group_state(0), group_state(2)]))
    assert sorted(groups[place] for place in chosen(candidates, strategy, 2)) == [1, 3]


@pytest.mark.parametrize("strategy", ["typical", "covering", "herding"])
def test_the_largest_group_comes_first(strategy: str) -> None:
    candidates, groups = clouds([10, 20, 40, 30])
    assert groups[chosen(candidates, strategy, 4)[0]] == 2


def test_the_typical_solution_lies_in_the_middle_of_its_group() -> None:
    rng = np.random.default_rng(1)
    states = np.concatenate([10 * np.eye(8)[[0]] + rng.normal(size=(30, 8)), 10 * np.eye(8)[[1]] + rng.normal(size=(30, 8))])
    candidates = Candidates.of(solutions=np.arange(60), problems=np.arange(60), states=states, queued_states=group_state(0))
    middle = chosen(candidates, "typical", 1)[0]
    distance = np.linalg.norm(states - states[30:].mean(0), axis=1)
    assert middle >= 30 and distance[middle] < np.median(distance[30:])


def test_the_diverse_ones_lie_furthest_from_all_that_is_queued_or_taken() -> None:
    candidates, _ = clouds([30, 30, 30], queued_states=group_state(1))
    points, taken = unit_points(candidates), [90]  # the queued one is the last
    for _ in range(10):
        distance = np.linalg.norm(points[:, None] - points[taken][None], axis=2).min(1)
        taken.append(int(distance.argmax()))
    assert chosen(candidates, "diverse", 10) == taken[1:]


def test_herding_takes_the_greatest_gain_in_coverage_each_time() -> None:
    candidates, _ = clouds([60, 50, 40], seed=3, queued_states=group_state(1))
    points = unit_points(candidates)
    near = np.exp(-((points[:, None] - points[None]) ** 2).sum(2) / covering.BANDWIDTH**2)
    expected: list[int] = []
    covered = near[-1, :-1]
    for _ in range(12):  # every gain anew, without a shortcut
        gains = np.maximum(near[:-1, :-1] - covered, 0).sum(1)
        expected.append(int(np.where(np.isin(np.arange(150), expected), -1, gains).argmax()))
        covered = np.maximum(covered, near[expected[-1], :-1])
    assert chosen(candidates, "herding", 12) == expected


def test_the_radius_of_a_ball_is_wide_if_few_balls_must_hold_all() -> None:
    candidates, _ = clouds([50, 50])
    placed = covering._Placed(candidates, np.random.default_rng(0))
    assert covering._radius(placed.free, share=1 / 2) > 2 * covering._radius(placed.free, share=1 / 50)


# --- what always holds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", BY_STATES)
def test_the_order_of_the_candidates_does_not_matter(strategy: str) -> None:
    candidates, _ = clouds([30, 30, 30], queued_states=np.concatenate([group_state(2), group_state(1)]))
    shuffle = np.random.default_rng(9).permutation(len(candidates))
    other = candidates.take(shuffle)
    first, second = chosen(candidates, strategy, 20), chosen(other, strategy, 20)
    assert candidates.solutions[first].tolist() == other.solutions[second].tolist()
    assert first == chosen(candidates, strategy, 20)


@pytest.mark.parametrize("strategy", BY_STATES)
def test_groups_of_which_everything_was_queued_do_no_harm(strategy: str) -> None:
    candidates, groups = clouds([5, 4], queued_states=np.concatenate([group_state(group) for group in (3, 4, 5, 6)] * 3))
    assert sorted(groups[place] for place in chosen(candidates, strategy, 2)) == [0, 1]


@pytest.mark.parametrize("strategy", BY_STATES)
@pytest.mark.parametrize("size", [1, 7, 90])
def test_every_solution_whose_states_are_known_is_taken_once_if_the_batch_is_large_enough(strategy: str, size: int) -> None:
    states = np.random.default_rng(0).normal(size=(60, 5))
    states[::4] = np.nan
    candidates = Candidates.of(solutions=np.arange(60), problems=np.arange(60), states=states)
    taken = chosen(candidates, strategy, size)
    assert len(set(taken)) == len(taken) == min(size, 45)
    assert all(place % 4 for place in taken)


@pytest.mark.parametrize("strategy", BY_STATES)
def test_a_limit_per_problem_is_filled_from_further_down(strategy: str) -> None:
    candidates, _ = clouds([300, 30], problems=np.repeat([0, 1, 2, 3], [300, 10, 10, 10]))
    assert len(chosen(candidates, strategy, 8, per_problem=2)) == 8


@pytest.mark.parametrize("strategy", BY_STATES)
@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_equal_states_and_few_solutions_end_well(strategy: str, n: int) -> None:
    candidates = Candidates.of(solutions=np.arange(n), problems=np.arange(n), states=np.ones((n, 4)), queued_states=np.ones((2, 4)))
    assert sorted(chosen(candidates, strategy, 60)) == list(range(n))


@pytest.mark.parametrize("strategy", BY_STATES)
def test_without_states_nothing_is_taken(strategy: str) -> None:
    assert chosen(Candidates.of(solutions=[1, 2], problems=[1, 1]), strategy, 2) == []
    assert chosen(Candidates.of(solutions=[1], problems=[1], states=[[np.nan, np.nan]]), strategy, 2) == []


# --- states of solutions, and their files -------------------------------------------------------------------------------------


def test_a_solution_is_the_mean_of_its_first_twelve_steps() -> None:
    steps = np.arange(40.0).reshape(20, 2)
    assert covering.state_of_solution(steps).tolist() == [11.0, 12.0]
    assert covering.state_of_solution(steps[:1]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("width", [30, 300])
def test_the_reduced_states_keep_the_distances_that_vary_most(width: int) -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(140, 5))
    states = (hidden @ rng.normal(size=(5, width)) + rng.normal(size=(140, width)) * 0.01 + 3).astype(np.float32)
    states[7] = np.nan
    free, queued = covering.reduced_states(states[:120], states[120:])
    assert free.shape == (120, min(100, width)) and queued.shape[0] == 20 and np.isnan(free[7]).all()
    known = np.delete(states, 7, axis=0)
    scaled, both = known / (known.std(0) + 1e-3), np.delete(np.concatenate([free, queued]), 7, axis=0)
    pairs = rng.integers(0, 139, (200, 2))
    before, after = (np.linalg.norm(one[pairs[:, 0]] - one[pairs[:, 1]], axis=1) for one in (scaled, both))
    assert np.abs(before - after).max() < 0.05 * before.max()


def test_fewer_solutions_than_components_and_none_at_all_can_be_reduced() -> None:
    free, queued = covering.reduced_states(np.random.default_rng(0).normal(size=(3, 500)), np.empty((0, 500)))
    assert free.shape == (3, 100) and queued.shape == (0, 100) and np.isfinite(free).all()
    assert covering.reduced_states(np.full((2, 500), np.nan), np.empty((0, 500)))[0].shape == (2, 100)


def test_states_come_back_from_a_file_and_choose_the_same(tmp_path: Path) -> None:
    candidates, _ = clouds([30, 30], queued_states=group_state(0))
    sha256 = write_candidates(tmp_path / "one", candidates)
    back = read_candidates(tmp_path / "one")
    assert write_candidates(tmp_path / "two", back) == sha256
    assert back.states.dtype == np.float16 and back.queued_states.shape == (1, 8)
    assert chosen(back, "herding", 9) == chosen(candidates, "herding", 9)


def test_a_file_that_an_earlier_release_wrote_has_no_states_and_is_read(tmp_path: Path) -> None:
    candidates, _ = clouds([5])
    old = {name: getattr(candidates, name) for name in candidates.__slots__ if not name.endswith("states")}
    with (tmp_path / "old").open("wb") as file:
        np.savez_compressed(file, **old)
    back = read_candidates(tmp_path / "old")
    assert back.states.shape == (5, 0) and back.solutions.tolist() == candidates.solutions.tolist()


def test_states_that_do_not_fit_the_solutions_are_refused() -> None:
    with pytest.raises(ValueError, match="2 solutions need as many rows of states"):
        Candidates.of(solutions=[1, 2], problems=[1, 2], states=[[0.0]])
    with pytest.raises(ValueError, match="as wide as those queued before"):
        Candidates.of(solutions=[1], problems=[1], states=[[0.0]], queued_states=[[0.0, 1.0]])
