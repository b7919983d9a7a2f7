"""How far several labelers of the same solutions agree."""

import numpy as np
import pytest

from annotation.agreement import Reading, agreement, alpha


def reading(solution: int, person: int, mistake: int | None, n_steps: int = 5) -> Reading:
    """Rate good steps positive up to the first mistake (from 0)."""
    return Reading(solution, person, (1,) * n_steps if mistake is None else (1,) * mistake + (-1,), n_steps)


def direct_alpha(units: list[list[int]]) -> float:
    """Krippendorff's alpha by its definition: every pair of values one after the other."""
    values = [value for unit in units if len(unit) > 1 for value in unit]
    totals = {rating: values.count(rating) for rating in (-1, 0, 1)}

    def distance(a: int, b: int) -> float:
        low, high = sorted((a, b))
        return (sum(totals[g] for g in range(low, high + 1)) - (totals[low] + totals[high]) / 2) ** 2

    observed = sum(
        distance(a, b) / (len(unit) - 1)
        for unit in units
        if len(unit) > 1
        for i, a in enumerate(unit)
        for j, b in enumerate(unit)
        if i != j
    )
    expected = sum(distance(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    return 1 - (observed / len(values)) / (expected / (len(values) * (len(values) - 1)))


@pytest.mark.parametrize("seed", range(4))
def test_alpha_is_krippendorffs(seed: int) -> None:
    random = np.random.default_rng(seed)
    units = [random.choice([-1, 0, 1], size=random.integers(1, 5), p=[0.2, 0.3, 0.5]).tolist() for _ in range(40)]
    assert alpha(units) == pytest.approx(direct_alpha(units))


def test_alpha_is_one_where_all_agree_and_nothing_where_only_one_value_stands() -> None:
    assert alpha([[1, 1], [-1, -1, -1], [0, 0]]) == 1
    assert alpha([[1, 1], [1, 1]]) is None
    assert alpha([[1], [-1]]) is None


def test_one_reader_a_solution_gives_no_number() -> None:
    found = agreement([reading(solution, 0, 2) for solution in range(30)])
    assert (found.alpha.value, found.exact.value, found.by_chance, found.exact.n) == (None, None, None, 0)


def test_exact_agreement_is_the_share_of_pairs_with_one_first_mistake() -> None:
    rows = [reading(0, 0, 2), reading(0, 1, 2), reading(0, 2, 3), reading(1, 0, None), reading(1, 1, None)]
    found = agreement(rows)
    assert found.exact.value == pytest.approx((1 / 3 + 1) / 2) and found.exact.n == 2


def test_an_interval_needs_ten_solutions() -> None:
    rows = [reading(solution, person, (solution + person * (solution % 3 == 0)) % 4) for solution in range(12) for person in range(2)]
    few, enough = agreement(rows[:18]), agreement(rows)
    assert few.exact.interval is None and enough.exact.interval is not None and enough.alpha.interval is not None
    low, high = enough.exact.interval
    assert low < enough.exact.value < high


def test_steps_that_only_one_person_reached_do_not_count() -> None:
    rows = [reading(solution, person, 0 if person else None) for solution in range(12) for person in range(2)]
    assert agreement(rows).alpha.value == pytest.approx(alpha([[1, -1]] * 12))


def test_chance_is_what_readings_of_other_solutions_of_the_same_length_agree() -> None:
    rows = [reading(solution, person, solution % 2) for solution in range(20) for person in range(2)]
    assert agreement(rows).exact.value == 1
    assert agreement(rows).by_chance == pytest.approx(9 / 19)
