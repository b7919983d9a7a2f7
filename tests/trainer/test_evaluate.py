from collections import Counter

import numpy as np
import pytest

from trainer.evaluate import (
    AGGREGATES,
    Judged,
    ProblemStraddles,
    aggregate,
    auc,
    base_rates,
    choose_threshold,
    cross_fitted_thresholds,
    evaluate_steps,
    first_mistake_f1,
    first_mistake_interval,
    first_weak_step,
    log_loss,
    score_per_step,
    solution_score,
    split_problems,
)

RATES = (0.2, 0.1, 0.7)


def probabilities(*negative: float) -> np.ndarray:
    """Steps with these p(negative); the rest is positive."""
    return np.array([[p, 0.0, 1 - p] for p in negative], np.float32).reshape(-1, 3)


def judged(negative: tuple[float, ...], ratings: tuple[int | None, ...], *, problem: str = "p", n_steps: int | None = None) -> Judged:
    return Judged(problem, probabilities(*negative), ratings, len(negative) if n_steps is None else n_steps)


def test_auc_is_the_share_of_pairs_in_the_right_order_with_ties_halved() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auc(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_auc_over_one_class_is_undefined() -> None:
    assert auc(np.array([0.1, 0.2]), np.array([True, True])) is None


def test_the_score_per_step_is_the_geometric_mean_and_does_not_fall_with_the_length() -> None:
    assert score_per_step(probabilities(0.5, 0.2)) == pytest.approx((0.5 * 0.8) ** 0.5)
    assert score_per_step(probabilities(0.1)) == pytest.approx(score_per_step(probabilities(*[0.1] * 9)))
    assert solution_score(probabilities(*[0.1] * 9)) < 0.5 * solution_score(probabilities(0.1))
    assert score_per_step(probabilities(0.1), unread_steps=1) == score_per_step(probabilities()) == 0.0


def test_the_score_per_step_of_a_model_that_is_too_sure_is_brought_nearer_to_one_half() -> None:
    sure = probabilities(0.01, 0.01)
    assert score_per_step(sure, temperature=2.0) == pytest.approx(1 / (1 + (0.01 / 0.99) ** 0.5), abs=1e-4)
    assert score_per_step(sure, temperature=2.0) < score_per_step(sure)


def test_log_loss_of_a_sure_mistake_is_large_but_finite() -> None:
    assert log_loss(np.array([[0.5, 0.25, 0.25]]), np.array([1])) == pytest.approx(np.log(4))
    assert 15 < (log_loss(np.array([[1.0, 0.0, 0.0]]), np.array([2])) or 0) < 20


def test_base_rates_count_each_class_once_more_than_seen() -> None:
    assert base_rates([-1, 1, 1, None, 1]) == pytest.approx((2 / 7, 1 / 7, 4 / 7))


def test_score_is_the_product_of_neutral_and_positive() -> None:
    steps = np.array([[0.5, 0.25, 0.25], [0.2, 0.8, 0.0]], np.float32)
    assert solution_score(steps) == pytest.approx(0.5 * 0.8)


def test_eight_aggregates_reduce_the_steps_by_product_min_last_or_mean() -> None:
    steps = np.array([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]], np.float32)
    assert {name: round(reduce(steps), 6) for name, reduce in AGGREGATES.items()} == {
        "product, neutral as positive": 0.4,
        "min, neutral as positive": 0.5,
        "last, neutral as positive": 0.8,
        "mean, neutral as positive": 0.65,
        "product, neutral as negative": 0.025,
        "min, neutral as negative": 0.1,
        "last, neutral as negative": 0.1,
        "mean, neutral as negative": 0.175,
    }
    assert solution_score(steps) == next(iter(AGGREGATES.values()))(steps) == aggregate(steps)


def test_a_solution_not_read_to_its_end_scores_nothing() -> None:
    assert solution_score(probabilities(0.1), unread_steps=1) == 0.0
    assert {reduce(probabilities(0.1), unread_steps=1) for reduce in AGGREGATES.values()} == {0.0}
    assert solution_score(probabilities()) == 0.0


def test_first_weak_step_is_the_first_above_the_threshold() -> None:
    steps = probabilities(0.1, 0.2, 0.6, 0.9)
    assert first_weak_step(steps, threshold=0.3) == 2
    assert first_weak_step(steps, threshold=0.2) == 2  # float32 0.2 is not above 0.2 by more than rounding
    assert first_weak_step(steps, threshold=0.95) is None


def test_first_mistake_f1_is_the_harmonic_mean_of_both_accuracies() -> None:
    solutions = [
        judged((0.1, 0.9), (1, -1)),  # named exactly
        judged((0.9, 0.9), (1, -1)),  # named too early
        judged((0.1, 0.1), (1, -1)),  # not named
        judged((0.1, 0.9), (-1,)),  # named too late
        judged((0.1, 0.1), (1, 0)),  # right, and not blamed
        judged((0.1, 0.9), (1, 1)),  # right, but blamed
    ]
    figure = first_mistake_f1(solutions, threshold=0.5)
    assert figure is not None
    assert (figure.accuracy_wrong, figure.accuracy_right, figure.n_wrong, figure.n_right) == (0.25, 0.5, 4, 2)
    assert figure.f1 == pytest.approx(2 * 0.25 * 0.5 / 0.75)


def test_ratings_that_do_not_tell_the_first_mistake_are_left_out() -> None:
    told = [judged((0.1, 0.9), (1, -1)), judged((0.1, 0.1), (1, 1))]
    untold = [judged((0.9, 0.9), (None, -1)), judged((0.9, 0.9), (1,)), judged((0.9, 0.9), (1, None)), judged((), ())]
    assert first_mistake_f1([*told, *untold], threshold=0.5) == first_mistake_f1(told, threshold=0.5)


def test_a_right_solution_with_unread_steps_is_not_counted_as_recognised() -> None:
    figure = first_mistake_f1([judged((0.1,), (1, 1), n_steps=2), judged((0.9,), (-1,))], threshold=0.5)
    assert figure is not None and figure.accuracy_right == 0.0


def test_first_mistake_f1_without_right_solutions_is_undefined() -> None:
    assert first_mistake_f1([judged((0.9,), (-1,))], threshold=0.5) is None


def test_the_chosen_threshold_separates_what_can_be_separated() -> None:
    solutions = [judged((0.1, 0.4), (1, -1)), judged((0.1, 0.2), (1, 1)), judged((0.15, 0.6), (1, -1))]
    assert 0.2 <= choose_threshold(solutions) < 0.4


def test_no_other_candidate_has_a_better_f1_than_the_chosen_threshold() -> None:
    rng = np.random.default_rng(2)
    solutions = [
        judged(tuple(rng.random(n)), ((1,) * (n - 1) + (-1,)) if rng.random() < 0.5 else (1,) * n, n_steps=n + (rng.random() < 0.1))
        for n in rng.integers(1, 5, 80).tolist()
    ]
    chosen = first_mistake_f1(solutions, threshold=choose_threshold(solutions))
    values = np.quantile(np.concatenate([one.probabilities[:, 0] for one in solutions if one.tells_first_mistake]), np.linspace(0, 1, 101))
    others = [first_mistake_f1(solutions, threshold=float(value)) for value in values]
    assert chosen is not None and chosen.f1 == max(one.f1 for one in others if one is not None) > 0


def test_a_mistake_is_recognised_exactly_where_it_is_the_first_weak_step() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        steps = np.round(rng.random(4), 1).astype(np.float32)
        mistake = int(rng.integers(0, 5))
        one = judged(tuple(steps), (1,) * mistake + (-1,) if mistake < 4 else (1,) * 4)
        for threshold in (0.2, 0.5, float(steps[0])):
            assert one.is_recognised(threshold=threshold) == (first_weak_step(one.probabilities, threshold=threshold) == one.first_mistake)


def test_no_problem_is_judged_at_a_threshold_chosen_on_itself() -> None:
    rng = np.random.default_rng(1)
    solutions = [judged(tuple(rng.random(2)), (1, -1) if i % 2 else (1, 1), problem=f"p{i // 2}") for i in range(60)]
    before = cross_fitted_thresholds(solutions)
    for problem in ("p0", "p1", "p2"):
        mine = {key for key, value in before.items() if value == before[problem]}
        turned = [  # turn this half's probabilities around: its own threshold must stay, as it comes from the other half
            Judged(one.problem_key, 1 - one.probabilities if one.problem_key in mine else one.probabilities, one.ratings, one.n_steps)
            for one in solutions
        ]
        assert cross_fitted_thresholds(turned)[problem] == before[problem]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_halves_of_a_threshold_do_not_depend_on_the_split_of_the_problems(seed: int) -> None:
    """The problems held out by a seed are those of small hash: by the same hash they would all be in one half."""
    held_out = sorted(split_problems([f"p{n}" for n in range(200)], seed=seed))
    solutions = [judged((0.1 + n / 1000, 0.9), (1, -1 if n % 2 else 1), problem=key) for n, key in enumerate(held_out)]
    counts = Counter(cross_fitted_thresholds(solutions).values())
    assert len(counts) == 2 and min(counts.values()) > len(held_out) / 4


def test_report_ignores_what_follows_the_first_negative() -> None:
    cut, whole = judged((0.2, 0.7, 0.5), (1, -1)), judged((0.2, 0.7, 0.5), (1, -1, 1))
    assert evaluate_steps([cut], base_rates=RATES, threshold=0.5) == evaluate_steps([whole], base_rates=RATES, threshold=0.5)


def test_report_sets_the_log_loss_beside_the_base_rates() -> None:
    report = evaluate_steps([judged((0.2, 0.7), (1, -1))], base_rates=RATES, threshold=0.5)
    assert report.log_loss == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)
    assert report.base_rate_log_loss == pytest.approx(-(np.log(0.7) + np.log(0.2)) / 2)
    assert (report.step_auc, report.share_negative, report.n_rated_steps) == (1.0, 0.5, 2)


def test_report_sets_the_step_auc_beside_that_of_the_position_alone() -> None:
    solutions = [judged((0.9, 0.1, 0.2), (1, 1, -1)), judged((0.9, 0.3), (1, 1)), judged((0.1, 0.2), (None, -1))]
    report = evaluate_steps(solutions, base_rates=RATES, threshold=0.5)
    assert report.position_auc == pytest.approx((4 + 2 + 2 * 0.5) / 8)  # positions 2 and 1 are negative; 0, 1, 0, 1 are not
    assert report.step_auc is not None and report.step_auc < report.position_auc


def test_a_problem_that_was_trained_on_is_not_judged() -> None:
    with pytest.raises(ProblemStraddles, match="trained on 1 of the problems .* 'p'"):
        evaluate_steps([judged((0.2,), (1,)), judged((0.2,), (1,), problem="q")], base_rates=RATES, trained_on={"p", "r"})
    assert evaluate_steps([judged((0.2,), (1,), problem="q")], base_rates=RATES, trained_on={"p", "r"}).n_problems == 1


def test_report_of_nothing_is_undefined_not_an_error() -> None:
    report = evaluate_steps([], base_rates=RATES)
    assert (report.step_auc, report.log_loss, report.first_mistake, report.n_rated_steps) == (None, None, None, 0)


def test_a_problem_stays_on_its_side_of_the_split_as_problems_arrive() -> None:
    few, many = [f"p{i}" for i in range(50)], [f"p{i}" for i in range(2000)]
    held_out = split_problems(many, held_out=0.2, seed=3)
    assert split_problems(few, held_out=0.2, seed=3) == held_out & set(few)
    assert 0.17 < len(held_out) / 2000 < 0.23
    assert split_problems(many, held_out=0.2, seed=4) != held_out


def test_a_split_of_two_problems_holds_one_out() -> None:
    for share in (0.001, 0.999):
        assert len(split_problems(["a", "b", "a"], held_out=share)) == 1
    assert split_problems([]) == frozenset()


def test_the_interval_of_first_mistake_f1_is_over_problems_and_holds_the_figure() -> None:
    some = [judged((0.1, 0.9), (1, -1), problem=f"p{n}") for n in range(12)] + [judged((0.1,), (1,), problem=f"q{n}") for n in range(12)]
    mixed = some + [judged((0.9, 0.9), (1, -1), problem=f"r{n}") for n in range(8)]  # a wrong place
    assert first_mistake_interval(some, threshold=0.5, seed=0) == (1.0, 1.0)
    found, interval = first_mistake_f1(mixed, threshold=0.5), first_mistake_interval(mixed, threshold=0.5, seed=0)
    assert found and interval and interval[0] < found.f1 < interval[1]
    copies = [judged((0.9, 0.9), (1, -1), problem="r") for _ in range(8)]  # of one problem: this says less
    wider = first_mistake_interval(some + copies, threshold=0.5, seed=0)
    assert wider and wider[1] - wider[0] > interval[1] - interval[0]
    assert first_mistake_interval(some[:12], threshold=0.5, seed=0) is None


def test_a_resample_without_a_right_solution_has_no_f1_and_does_not_pull_the_interval_to_0() -> None:
    """Of two problems a resample draws one twice every second time. Where both are drawn, both are recognised."""
    two = [judged((0.1, 0.9), (1, -1), problem="wrong"), judged((0.1,), (1,), problem="right")]
    assert first_mistake_interval(two, threshold=0.5, seed=0) == (1.0, 1.0)
