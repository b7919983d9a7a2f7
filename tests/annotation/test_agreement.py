"""How far several labelers agree: the pure figures, against numbers worked out by hand and published ones."""

import numpy as np
import pytest

from annotation.agreement import Draws, Measured, Reading, above_chance, agreement, alpha, chance, same_as

# Ratings by unit, and what the package krippendorff 0.9.0 says of them as ordinal data.
KRIPPENDORFF: list[tuple[list[list[int]], float | None]] = [
    ([[], [0, 1], []], 0.0),
    ([[1, 0, 0], [-1, -1, -1], [1, -1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]], 0.6537037037),
    ([[1, -1, 1], [1, -1, 1], [1, 1], [0, 0, 0], [1, 1, 0], [1, 1]], 0.0736607143),
    ([[-1, -1, -1, -1, -1], [-1, 0, -1, 0, 0], [-1, 0, -1, 0], [1, 1, 1, 1, 1], [-1, -1, -1, -1, -1], [0, -1, 0, 0, 0]], 0.6827586207),
    ([[-1, -1, -1], [-1], [1, 1]], 1.0),
    ([[-1, -1, -1], [1, 1], [0, -1], [0, 0], [1]], 0.7925925926),
    ([[1], [-1], [0]], None),
    ([[1, 1], [1, 1]], None),
]


def reading(solution: int, person: int, *ratings: int | None, n_steps: int = 4, is_verdict: bool = True) -> Reading:
    return Reading(solution, person, ratings, n_steps, is_verdict)


def pairs(count: int, first: tuple[int, ...], second: tuple[int, ...], *, begin: int = 0) -> list[Reading]:
    return [reading(n, person, *ratings) for n in range(begin, begin + count) for person, ratings in ((1, first), (2, second))]


def test_alpha_is_the_published_one_for_ordered_ratings() -> None:
    """By hand from Krippendorff's formula: values -1, 0, 1 occur 2, 3 and 3 times."""
    units = [[1, 1], [0, 0], [-1, -1], [1, 0]]
    totals = {-1: 2, 0: 3, 1: 3}
    near = ((totals[0] + totals[1]) / 2) ** 2
    low = ((totals[-1] + totals[0]) / 2) ** 2
    far = (sum(totals.values()) - (totals[-1] + totals[1]) / 2) ** 2
    expected = 2 * (3 * 3 * near + 2 * 3 * low + 2 * 3 * far) / 7
    assert alpha(units) == pytest.approx(1 - 2 * near / expected)


def test_alpha_is_that_of_the_package_krippendorff() -> None:
    for units, value in KRIPPENDORFF:
        assert alpha(units) == (None if value is None else pytest.approx(value, abs=1e-9))


def test_one_value_alone_gives_no_alpha() -> None:
    assert alpha([[1, 1], [1, 1, 1]]) is None
    assert alpha([]) is None
    assert alpha([[1], [0]]) is None


def test_alpha_is_0_for_ratings_by_chance_and_1_for_equal_ones() -> None:
    random = np.random.default_rng(3)
    by_chance = alpha([list(random.integers(-1, 2, 2)) for _ in range(20_000)])
    assert by_chance == pytest.approx(0, abs=0.02)
    assert alpha([[value, value] for value in (-1, 0, 1)]) == 1


def test_steps_after_the_first_mistake_of_one_reader_are_not_compared() -> None:
    both = agreement([reading(1, 1, 1, -1), reading(1, 2, 1, 1, 0, -1), reading(2, 1, 1, -1), reading(2, 2, 1, -1)])
    assert both.alpha.value == alpha([[1, 1], [-1, 1], [1, 1], [-1, -1]])


def test_exact_agreement_counts_each_solution_once() -> None:
    three = [reading(1, person, *ratings) for person, ratings in enumerate([(1, -1), (1, -1), (1, 1, 1, 1)])]
    two = [reading(2, 1, -1), reading(2, 2, -1)]
    figures = agreement([*three, *two])
    assert (figures.exact.value, figures.n, figures.pairs) == (pytest.approx((1 / 3 + 1) / 2), 2, 4)
    assert figures.on_mistakes.value == pytest.approx((1 / 3 + 1) / 2)


def test_two_who_find_nothing_agree_but_not_on_mistakes() -> None:
    figures = agreement([*pairs(3, (1, 1, 1, 1), (1, 1, 1, 1)), *pairs(1, (1, -1), (1, 1, 1, 1), begin=3)])
    assert (figures.exact.value, figures.on_mistakes) == (0.75, Measured(0.0, None, 1, is_few=True))


def test_giving_up_is_no_opinion_on_the_first_mistake() -> None:
    figures = agreement([reading(1, 1, 1, 1, is_verdict=False), reading(1, 2, 1, 1, 1, 1)])
    assert (figures.exact, figures.pairs, figures.n) == (Measured(), 0, 1)
    assert chance([reading(n, p, 1, is_verdict=False) for n in range(3) for p in range(2)]) is None


def test_a_solution_that_all_gave_up_on_changes_nothing() -> None:
    others = pairs(12, (1, -1), (1, 1, 1, -1))
    gave_up = [reading(99, person, is_verdict=False) for person in (1, 2)]
    assert agreement([*others, *gave_up]).exact.value == agreement(others).exact.value


def test_one_labeler_only_gives_no_figures() -> None:
    figures = agreement([reading(n, 1, 1, -1) for n in range(30)])
    assert (figures.alpha, figures.exact, figures.on_mistakes, figures.n) == (Measured(), Measured(), Measured(), 0)


def test_nobody_agrees_with_themselves() -> None:
    twice = [reading(1, 1, -1), reading(1, 1, 1, -1), reading(1, 2, 1, -1)]
    assert agreement(twice).exact.value == 1  # the last reading of each person
    assert agreement(twice[:2]).n == 0


def test_where_all_agree_the_share_has_an_interval_and_alpha_has_none() -> None:
    figures = agreement(pairs(20, (1, -1), (1, -1)))
    assert figures.exact.value == 1 and figures.exact.interval == (pytest.approx(0.839, abs=0.001), 1)
    assert (figures.alpha.value, figures.alpha.interval) == (1, None)


def test_fewer_than_ten_solutions_have_no_interval() -> None:
    few, enough = (agreement(pairs(count, (1, -1), (1, 1, -1)) + pairs(1, (1, 1), (1, 1), begin=50)) for count in (8, 9))
    assert few.exact.interval is None and enough.exact.interval is not None


def test_ten_solutions_of_one_problem_are_one_problem_and_have_no_interval() -> None:
    readings = [*pairs(6, (1, -1), (1, -1)), *pairs(6, (1, -1), (1, 1), begin=6)]
    figures = agreement(readings, draws=Draws(range(12), problem_of=dict.fromkeys(range(12), 7)))
    assert (figures.exact.value, figures.exact.n, figures.exact.interval, figures.exact.as_share) == (0.5, 12, None, "50% (few)")


def test_where_all_agree_the_interval_counts_problems() -> None:
    readings = pairs(40, (1, -1), (1, -1))
    figures = agreement(readings, draws=Draws(range(40), problem_of={n: n // 2 for n in range(40)}))
    assert figures.exact.interval == (pytest.approx(0.839, abs=0.001), 1)


def test_the_interval_covers_the_truth_where_the_solutions_of_a_problem_are_alike() -> None:
    random, hits = np.random.default_rng(3), 0
    problem_of = {n: n // 4 for n in range(100)}
    for _ in range(100):
        same = random.random(100) < np.repeat(random.beta(1.2, 0.8, size=25), 4)
        readings = [r for n, agrees in enumerate(same) for r in (reading(n, 1, 1, -1), reading(n, 2, 1, -1 if agrees else 1, 1))]
        draws = Draws(range(100), problem_of, seed=int(random.integers(2**31)))
        interval = agreement(readings, draws=draws).exact.interval
        assert interval is not None
        hits += interval[0] <= 0.6 <= interval[1]
    assert hits / 100 >= 0.9, "Drawn by solution, 86 % of the intervals cover it."


def test_a_labeler_who_never_finds_anything_agrees_where_there_is_nothing() -> None:
    figures = agreement([*pairs(6, (1, 1, 1, 1), (1, 1, 1, 1)), *pairs(6, (1, -1), (1, 1, 1, 1), begin=6)])
    assert (figures.exact.value, figures.on_mistakes.value) == (0.5, 0.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random, hits = np.random.default_rng(5), 0
    for _ in range(200):
        same = random.random(60) < 0.6
        readings = [r for n, agrees in enumerate(same) for r in (reading(n, 1, 1, -1), reading(n, 2, 1, -1 if agrees else 1, 1))]
        interval = agreement(readings, draws=Draws(range(60), seed=int(random.integers(2**31)))).exact.interval
        assert interval is not None
        hits += interval[0] <= 0.6 <= interval[1]
    assert 0.89 <= hits / 200 <= 0.99


def test_chance_is_what_readings_of_other_solutions_agree_on() -> None:
    readings = [reading(n, person, *((-1,) if n % 2 else (1, 1, 1, 1))) for n in range(20) for person in (1, 2)]
    assert chance(readings) == pytest.approx(9 / 19)
    assert agreement(readings).exact.value == 1
    assert above_chance(1.0, 9 / 19) == 1


def test_chance_within_groups_is_what_the_difficulty_explains() -> None:
    readings = [reading(n, person, *((-1,) if n % 2 else (1, 1, 1, 1))) for n in range(20) for person in (1, 2)]
    assert chance(readings, group_of={n: n % 2 for n in range(20)}) == 1
    assert above_chance(1.0, 1.0) is None


def test_a_solution_alone_in_its_group_is_compared_with_others_of_its_length() -> None:
    readings = [reading(n, person, *((-1,) if n % 2 else (1, 1, 1, 1))) for n in range(20) for person in (1, 2)]
    assert chance(readings, group_of={n: n for n in range(20)}) == chance(readings)


def test_chance_knows_the_length_of_a_solution() -> None:
    short = [reading(n, person, -1, n_steps=2) for n in range(10) for person in (1, 2)]
    long = [reading(n, person, *(1,) * 30, n_steps=30) for n in range(10, 20) for person in (1, 2)]
    assert chance([*short, *long]) == 1


def test_one_solution_alone_says_nothing_of_chance() -> None:
    assert chance(pairs(1, (1, -1), (1, -1))) is None


def test_labels_are_compared_with_an_adjudication() -> None:
    truth = {n: 1 for n in range(12)}
    figure = same_as(truth, [*pairs(12, (1, -1), (-1,)), reading(77, 1, -1)])
    assert (figure.value, figure.n) == (0.5, 12) and figure.interval is not None
    assert same_as({}, pairs(3, (1, -1), (-1,))) == Measured()
