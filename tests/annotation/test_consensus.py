"""The consensus of several labelers: where the first mistake most likely is, how sure that is, and how good each labeler is."""

import numpy as np
import pytest

from annotation.consensus import (
    MINIMUM_SHARED,
    NONE,
    Abilities,
    Consensus,
    Readings,
    describe,
    from_lists,
    neutral_share,
    neutral_shares,
    settle,
    settle_some,
    soft_labels,
)
from benchmarks.consensus import asked_again, majority, make_world

ROWS = [(solution, person, 2) for solution in range(20) for person in range(3)]
SURE = Abilities(np.array([0.9, 0.9, 0.3]), np.array([0.01, 0.01, 0.2]), 0.3, 0.5, np.full(5, 0.2))


def by_hand(n_steps: int, marks: dict[int, int], known: Abilities) -> np.ndarray:
    """Compute the probabilities of one solution as the docstring of the module tells it, step by step."""
    chances = []
    for mistake in [*range(1, n_steps + 1), NONE]:
        chance = known.none if mistake == NONE else (1 - known.none) / n_steps
        for person, marked in marks.items():
            for step in range(1, n_steps + 1):
                if mistake == NONE or step < mistake:
                    negative = known.alarms[person]
                else:
                    negative = known.sees[person] if step == mistake else known.late
                chance *= negative if step == marked else 1 - negative
                if step == marked:
                    break
        chances.append(chance)
    return np.array(chances) / sum(chances)


@pytest.mark.parametrize(
    "marks",
    [{0: 2}, {0: NONE}, {0: 5}, {0: 1}, {0: 2, 1: 4}, {0: 3, 1: NONE, 2: 1}, {0: NONE, 1: NONE, 2: 5}, {}],
    ids=str,
)
def test_the_probabilities_are_those_of_the_model(marks: dict[int, int]) -> None:
    settled = settle_some(from_lists([5], [(0, person, marked) for person, marked in marks.items()]), SURE)
    np.testing.assert_allclose(settled.of(0), by_hand(5, marks, SURE), rtol=1e-9)


def test_steps_after_a_marked_one_are_unknown_and_not_negative() -> None:
    short, long = (settle_some(from_lists([n], [(0, 0, 2), (0, 1, 2)]), SURE).of(0) for n in (2, 12))
    assert short[1] > 0.9 and long[1] > 0.9
    assert long[2:-1].max() < 0.05


def test_who_sees_less_counts_less() -> None:
    """Two people against one who misses much: the two win. The one who misses much finds nothing: that says little."""
    settled = settle_some(from_lists([5, 5], [(0, 0, 3), (0, 1, 3), (0, 2, NONE), (1, 0, 3), (1, 2, 1)]), SURE)
    assert settled.first_mistakes.tolist() == [3, 3]


def test_it_names_more_true_first_mistakes_than_a_majority() -> None:
    for seed in range(3):
        world = make_world(seed, n_solutions=600, n_people=3, late=0.3)
        settled = settle(from_lists(world.n_steps.tolist(), world.rows))
        assert (settled.first_mistakes == world.truth).mean() > (majority(world) == world.truth).mean() + 0.05


def test_labelers_are_estimated() -> None:
    world = make_world(5, n_solutions=3000, n_people=3, late=0.3)
    found = describe(settle(from_lists(world.n_steps.tolist(), world.rows)))
    for ability, sees, alarms in zip(found, world.sees, world.alarms, strict=True):
        assert ability.sees == pytest.approx(sees, abs=0.05) and ability.alarms == pytest.approx(alarms, abs=0.01)
        assert ability.sees_interval[0] < ability.sees < ability.sees_interval[1]
        assert ability.alarms_interval[0] < ability.alarms < ability.alarms_interval[1]
        assert ability.shared == 3000


@pytest.mark.parametrize("only_doubtful", [False, True])
def test_labelers_and_mistakes_are_estimated_though_few_solutions_have_a_second_reader(only_doubtful: bool) -> None:
    """By the doubtful solutions alone, labelers would seem to miss three of four mistakes, and every "no mistake" would be overruled."""
    world, verdicts = asked_again(11, n_solutions=1500, only_doubtful=only_doubtful)
    settled = settle(from_lists(world.n_steps.tolist(), world.rows))
    assert abs(settled.abilities.sees.mean() - world.sees.mean()) < 0.05
    assert abs(settled.abilities.none - (world.truth == NONE).mean()) < 0.05
    assert (settled.first_mistakes == world.truth).mean() >= (verdicts == world.truth).mean()
    assert (settled.first_mistakes[verdicts == NONE] == NONE).mean() > 0.9
    intervals = [ability.sees_interval for ability in describe(settled)]
    assert sum(low <= sees <= high for (low, high), sees in zip(intervals, world.sees, strict=True)) >= 7


def test_intervals_hold_the_estimates_of_people_who_read_most_solutions_alone() -> None:
    rows = [(place, 0, 1 + place % 5) for place in range(300)] + [(place, 1, 1 + place % 5 if place % 4 else NONE) for place in range(20)]
    for ability in describe(settle(from_lists([5] * 300, rows))):
        assert ability.sees_interval[0] <= ability.sees <= ability.sees_interval[1]
        assert ability.alarms_interval[0] <= ability.alarms <= ability.alarms_interval[1]


def test_the_last_estimates_make_the_next_run_shorter() -> None:
    world = make_world(5, n_solutions=500, n_people=3, late=0.3)
    readings = from_lists(world.n_steps.tolist(), world.rows)
    first = settle(readings)
    assert settle(readings, start=first.abilities).iterations < first.iterations / 3


def test_a_few_solutions_get_what_a_whole_run_gives_them() -> None:
    world = make_world(5, n_solutions=500, n_people=3, late=0.3)
    whole = settle(from_lists(world.n_steps.tolist(), world.rows))
    some = settle_some(
        from_lists([int(world.n_steps[7])], [(0, person, marked) for at, person, marked in world.rows if at == 7]), whole.abilities
    )
    np.testing.assert_allclose(some.of(0), whole.of(7), atol=1e-9)


def test_nothing_is_said_of_somebody_whose_solutions_nobody_else_read() -> None:
    alone = settle(from_lists([5] * 50, [(solution, 0, 1 + solution % 5) for solution in range(50)]))
    (ability,) = describe(alone)
    assert (ability.shared, ability.sees, ability.sees_interval, ability.alarms, ability.alarms_interval) == (0, None, None, None, None)
    assert (
        alone.first_mistakes.tolist() == [1 + solution % 5 for solution in range(50)] and alone.entropies.min() > 0.2
    )  # one opinion stays one opinion


@pytest.mark.parametrize(("n", "is_told"), [(MINIMUM_SHARED - 1, False), (MINIMUM_SHARED, True)])
def test_a_labeler_needs_some_shared_solutions(n: int, is_told: bool) -> None:
    found = describe(settle(from_lists([5] * n, [(solution, person, 2) for solution in range(n) for person in range(2)])))
    assert [ability.sees is not None for ability in found] == [is_told, is_told]


def test_people_who_always_agree_are_believed() -> None:
    settled = settle(from_lists([5] * 20, ROWS))
    assert (settled.first_mistakes == 2).all() and settled.entropies.max() < 0.05


def test_somebody_who_never_finds_anything_is_seen_to_miss() -> None:
    rows = [(solution, person, NONE if person == 2 else 1 + solution % 5) for solution in range(60) for person in range(3)]
    settled = settle(from_lists([5] * 60, rows))
    careful, _, blind = describe(settled)
    assert careful.sees > 0.9 and blind.sees < 0.15
    assert settled.first_mistakes.tolist() == [1 + solution % 5 for solution in range(60)]


def test_a_known_truth_counts_against_everybody() -> None:
    """All three mark step 2, and an adjudication leaves only step 4."""
    possible = np.tile([False, False, False, True, False, False], 20)
    columns = np.array(ROWS).T
    readings = Readings(np.full(20, 5), *columns, possible=possible)
    settled = settle(readings)
    assert (settled.first_mistakes == 4).all() and settled.entropies.max() == 0
    assert all(ability.alarms > 0.3 for ability in describe(settled))


def test_a_prior_of_a_model_decides_where_people_do_not() -> None:
    prior = np.array([0.05, 0.05, 0.8, 0.05, 0.05])
    settled = settle_some(Readings(np.array([4]), np.array([0, 0]), np.array([0, 1]), np.array([2, 3]), prior=prior), SURE)
    assert settled.first_mistakes.tolist() == [3]


def test_soft_labels_are_chances_given_that_no_step_before_was_a_mistake() -> None:
    negative, reached = soft_labels(np.array([0.5, 0.25, 0.125, 0.125]))
    assert negative.tolist() == [0.5, 0.5, 0.5] and reached.tolist() == [1.0, 0.5, 0.25]


def test_soft_labels_end_after_a_sure_mistake() -> None:
    negative, reached = soft_labels(np.array([0.0, 1.0, 0.0, 0.0]))
    assert negative.tolist() == [0.0, 1.0, 0.0] and reached.tolist() == [1.0, 1.0, 0.0]


def test_neutral_against_positive_is_counted_apart() -> None:
    neutral, positive = np.array([0, 3, 0]), np.array([3, 0, 0])
    shares = neutral_shares(neutral, positive, share=neutral_share(neutral, positive))
    assert shares[0] < 0.2 and shares[1] > 0.8 and shares[2] == pytest.approx(0.5)
    assert neutral_share(neutral[:0], positive[:0]) == 0


def test_nothing_read_is_nothing_found() -> None:
    settled = settle(from_lists([], []))
    assert settled.first_mistakes.tolist() == [] and settled.entropies.tolist() == [] and describe(settled) == []


def test_labelers_who_came_later_begin_with_what_is_believed_of_all() -> None:
    few = settle(from_lists([5] * 20, ROWS)).abilities
    assert isinstance(settle_some(from_lists([5], [(0, 7, 2)]), few), Consensus)


@pytest.mark.parametrize(
    ("n_steps", "rows", "words"),
    [
        ([0], [], "Solution 0 has no steps"),
        ([3], [(0, 0, 4)], "Reading 0 marks step 4 of a solution with 3 steps"),
        ([3], [(0, 0, -1)], "marks step -1"),
    ],
)
def test_wrong_input_is_named(n_steps: list[int], rows: list[tuple[int, int, int]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_lists(n_steps, rows)


def test_a_solution_whose_first_mistake_can_be_nowhere_is_refused() -> None:
    marks = from_lists([2, 3], [(0, 0, 1), (1, 0, 2)])
    possible = np.array([True] * 3 + [False] * 4)
    with pytest.raises(ValueError, match="Solution 1 has no possible first mistake"):
        Readings(marks.n_steps, marks.solution, marks.labeler, marks.marked, possible)


@pytest.mark.parametrize("name", ["possible", "prior"])
def test_what_has_no_entry_for_each_cell_is_refused(name: str) -> None:
    marks = from_lists([2], [(0, 0, 1)])
    short = {"possible": np.ones(2, dtype=bool), "prior": np.full(2, 0.5)}[name]
    with pytest.raises(ValueError, match=f"{name} must have one entry for each cell"):
        Readings(marks.n_steps, marks.solution, marks.labeler, marks.marked, **{name: short})


def test_a_solution_without_a_prior_is_settled_as_if_there_were_none() -> None:
    marks = from_lists([2, 2], [(0, 0, 1), (1, 0, 1), (0, 1, NONE), (1, 1, NONE)])
    prior = np.array([0.1, 0.8, 0.1, np.nan, np.nan, np.nan])
    with_prior = settle_some(Readings(marks.n_steps, marks.solution, marks.labeler, marks.marked, None, prior), SURE)
    without = settle_some(marks, SURE)
    np.testing.assert_allclose(with_prior.of(1), without.of(1))
    assert with_prior.of(0)[1] > without.of(0)[1]


@pytest.mark.parametrize("name", ["sees", "alarms"])
def test_intervals_are_those_of_the_likelihood_computed_one_by_one(name: str) -> None:
    world = make_world(11, n_solutions=30, n_people=4, late=0.3)
    settled = settle(from_lists(world.n_steps.tolist(), world.rows))
    readings, known = settled.readings, settled.abilities
    grid = (np.arange(201) + 0.5) / 201
    believed, worth = (0.8, 4.0) if name == "sees" else (0.03, 20.0)
    grid = grid**3 if name == "alarms" else grid

    def chance(marked: int, mistake: int, n_steps: int, sees: float, alarms: float) -> float:
        product = 1.0
        for step in range(1, (marked or n_steps) + 1):
            is_good = mistake == NONE or step < mistake
            negative = alarms if is_good else sees if step == mistake else known.late
            product *= negative if step == marked else 1 - negative
        return product

    log = worth * believed * np.log(grid) + worth * (1 - believed) * np.log(1 - grid)
    for solution, labeler, marked in world.rows:
        if labeler == 0:
            n = int(readings.n_steps[solution])
            cells = [*range(1, n + 1), NONE]
            own = np.array([chance(marked, cell, n, known.sees[0], known.alarms[0]) for cell in cells])
            others = settled.of(solution) / own
            for place, value in enumerate(grid):
                sees, alarms = (value, known.alarms[0]) if name == "sees" else (known.sees[0], value)
                log[place] += np.log(sum(o * chance(marked, cell, n, sees, alarms) for o, cell in zip(others, cells, strict=True)))
    density = np.exp(log - log.max()) * np.gradient(grid)
    below = np.cumsum(density) / density.sum()
    expected = np.interp([0.025, 0.975], below, grid)
    np.testing.assert_allclose(getattr(describe(settled)[0], f"{name}_interval"), expected, atol=1e-9)
