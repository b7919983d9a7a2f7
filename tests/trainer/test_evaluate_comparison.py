import json

import numpy as np
import pytest

from trainer.evaluate import Comparison, Judged, auc, compare, evaluate_steps, intervals_of, log_loss

RATES = (1 / 3, 1 / 3, 1 / 3)


def judged(n_problems: int, *, quality: float, seed: int = 0, noise: int = 1, copies: int = 1) -> list[Judged]:
    """Two solutions a problem, four steps each; the larger `quality`, the more p(negative) tells a mistake. `noise` seeds the model."""
    truth, model = np.random.default_rng(seed), np.random.default_rng(noise)
    solutions = []
    for problem in range(n_problems):
        for _ in range(2):
            wrong = truth.random(4) < 0.25
            ratings = tuple(int(r) for r in np.where(wrong, -1, 1))
            stop = ratings.index(-1) + 1 if -1 in ratings else 4
            logit = quality * np.where(wrong, 1, -1) + model.normal(size=4)
            negative = 1 / (1 + np.exp(-logit))
            rows = np.stack([negative, 0.1 * (1 - negative), 0.9 * (1 - negative)], axis=1).astype(np.float32)
            solutions += [Judged(f"p{problem:03}", rows, ratings[:stop], 4)] * copies
    return solutions


def width(comparison: Comparison, name: str) -> float:
    one = comparison.figures[name]
    assert one.low is not None and one.high is not None and one.low < one.high
    return one.high - one.low


def test_a_model_is_not_worse_than_itself() -> None:
    mine = judged(40, quality=1.0)
    found = compare(mine, mine)
    assert not found.worse
    assert {(one.difference, one.low, one.high) for one in found.figures.values()} == {(0.0, 0.0, 0.0)}


def test_a_model_that_is_clearly_worse_is_called_so_and_the_better_one_is_not() -> None:
    good, bad = judged(60, quality=2.0), judged(60, quality=0.5, noise=2)
    assert compare(good, bad).worse and not compare(bad, good).worse
    loss, area, f1 = (compare(good, bad).figures[name] for name in ("log_loss", "step_auc", "first_mistake_f1"))
    assert loss.low is not None and loss.low > 0
    assert area.high is not None and f1.high is not None and area.high < 0 and f1.high < 0


def test_a_model_that_gives_no_numbers_is_worse() -> None:
    champion = judged(20, quality=1.0)
    spoiled = [Judged(one.problem_key, np.full_like(one.probabilities, np.nan), one.ratings, 4) for one in champion]
    found = compare(champion, spoiled)
    assert found.worse and found.figures["log_loss"].challenger is None and not compare([], []).worse


def test_a_step_auc_that_falls_is_worse_even_where_the_log_loss_does_not_rise() -> None:
    champion = judged(60, quality=1.0)
    rng = np.random.default_rng(3)
    flat = [
        Judged(one.problem_key, np.tile([0.25, 0.05, 0.7], (4, 1)) + rng.normal(size=(4, 3)) / 1000, one.ratings, 4) for one in champion
    ]
    wild = [Judged(one.problem_key, np.clip(one.probabilities**4, 1e-6, 1), one.ratings, 4) for one in champion]  # the order stays
    found = compare(wild, flat)
    assert (found.figures["log_loss"].low or 0) < 0 and (found.figures["step_auc"].high or 0) < 0 and found.worse


def test_a_log_loss_that_rises_is_worse_even_where_the_order_of_the_steps_stays() -> None:
    champion = judged(60, quality=1.0)
    sure = [Judged(one.problem_key, np.clip(one.probabilities**4, 1e-6, 1), one.ratings, 4) for one in champion]
    found = compare(champion, sure)
    assert found.figures["step_auc"].difference == 0.0 and (found.figures["log_loss"].low or 0) > 0 and found.worse


def test_a_difference_within_the_noise_is_not_worse() -> None:
    outcomes = [
        compare(judged(30, quality=1.0, seed=s, noise=10 + s), judged(30, quality=1.0, seed=s, noise=50 + s), trials=500) for s in range(20)
    ]
    assert {(one.figures["log_loss"].difference or 0) > 0 for one in outcomes} == {True, False}
    assert sum(one.worse for one in outcomes) <= 3  # one interval in forty lies wholly above 0, and one in forty below, by chance


def test_the_figures_are_those_of_each_models_report() -> None:
    good, bad = judged(30, quality=2.0), judged(30, quality=0.5, noise=2)
    found = compare(good, bad)
    for side, mine in (("champion", good), ("challenger", bad)):
        report = evaluate_steps(mine, base_rates=RATES)
        assert report.first_mistake is not None
        assert getattr(found.figures["log_loss"], side) == pytest.approx(report.log_loss)
        assert getattr(found.figures["step_auc"], side) == pytest.approx(report.step_auc)
        assert getattr(found.figures["first_mistake_f1"], side) == pytest.approx(report.first_mistake.f1)
    assert (found.n_problems, found.n_solutions) == (30, 60)


def test_the_interval_is_that_of_drawing_whole_problems_for_both_models_at_once() -> None:
    sides = judged(25, quality=1.5), judged(25, quality=1.0, noise=2)
    rng = np.random.default_rng(4)
    spread: dict[str, list[float]] = {"log_loss": [], "step_auc": []}
    for _ in range(1500):
        drawn = [2 * p + copy for p in rng.integers(0, 25, 25) for copy in (0, 1)]
        losses, areas = [], []
        for side in sides:
            rows = np.concatenate([side[i].probabilities[: len(side[i].ratings)] for i in drawn])
            classes = np.concatenate([side[i].ratings for i in drawn]) + 1
            losses.append(log_loss(rows, classes) or 0)
            areas.append(auc(rows[:, 0], classes == 0) or 0)
        spread["log_loss"].append(losses[1] - losses[0])
        spread["step_auc"].append(areas[1] - areas[0])
    for figure, one in compare(*sides).figures.items():
        if figure in spread:
            low, high = np.quantile(spread[figure], (0.025, 0.975))
            assert (one.low, one.high) == pytest.approx((low, high), abs=0.12 * (high - low))


def test_more_solutions_of_the_same_kind_in_a_problem_prove_nothing_more() -> None:
    once = compare(judged(30, quality=1.5), judged(30, quality=1.0, noise=2))
    often = compare(judged(30, quality=1.5, copies=5), judged(30, quality=1.0, noise=2, copies=5))
    for name in ("log_loss", "step_auc"):
        assert width(often, name) == pytest.approx(width(once, name))
    assert width(compare(judged(120, quality=1.5), judged(120, quality=1.0, noise=2)), "log_loss") < 0.75 * width(once, "log_loss")


def test_a_challenger_that_does_not_read_to_the_end_is_worse() -> None:
    champion = judged(60, quality=2.0)
    short = [Judged(one.problem_key, one.probabilities[:1], one.ratings, one.n_steps) for one in champion]
    found = compare(champion, short)
    assert found.worse and (found.figures["log_loss"].difference or 0) > 0.1
    blind = compare(champion, [Judged(one.problem_key, one.probabilities[:0], one.ratings, one.n_steps) for one in champion])
    assert blind.figures["log_loss"].challenger == pytest.approx(np.log(3)) and blind.figures["step_auc"].challenger == 0.5


def test_one_problem_gives_no_interval_and_no_verdict() -> None:
    found = compare(judged(1, quality=2.0), judged(1, quality=-2.0, noise=2))
    loss = found.figures["log_loss"]
    assert (loss.difference or 0) > 0 and (loss.low, loss.high) == (None, None) and not found.worse


def test_nothing_to_compare_on_is_undefined_not_an_error() -> None:
    found = compare([], [])
    assert not found.worse and found.n_problems == 0
    assert {value for one in found.figures.values() for value in (one.champion, one.difference, one.low)} == {None}


def test_one_class_leaves_auc_and_f1_undefined_and_the_log_loss_standing() -> None:
    right = [one for one in judged(20, quality=1.0) if -1 not in one.ratings]
    found = compare(right, right)
    assert found.figures["step_auc"].champion is None and found.figures["first_mistake_f1"].low is None
    assert found.figures["log_loss"].champion is not None and not found.worse


@pytest.mark.parametrize(("changed", "named"), [("ratings", "Solution 3 "), ("problem", "Solution 3 "), ("fewer", "8 solutions .* 7")])
def test_other_solutions_are_not_compared(changed: str, named: str) -> None:
    champion = judged(4, quality=1.0)
    one = champion[3]
    other = {
        "ratings": [*champion[:3], Judged(one.problem_key, one.probabilities, (0,), 4), *champion[4:]],
        "problem": [*champion[:3], Judged("other", one.probabilities, one.ratings, 4), *champion[4:]],
        "fewer": champion[:7],
    }
    with pytest.raises(ValueError, match=named):
        compare(champion, other[changed])


def test_the_same_seed_gives_the_same_comparison_as_plain_json() -> None:
    good, bad = judged(20, quality=2.0), judged(20, quality=0.5, noise=2)
    plain = compare(good, bad, seed=5).as_dict()
    assert plain == compare(good, bad, seed=5).as_dict() != compare(good, bad, seed=6).as_dict()
    assert json.loads(json.dumps(plain)) == plain and plain["worse"] is True
    assert set(plain["figures"]["step_auc"]) == {"champion", "challenger", "difference", "low", "high"}


def test_the_interval_of_one_model_encloses_its_figures_and_narrows_with_problems() -> None:
    few, many = judged(20, quality=0.3), judged(400, quality=0.3)
    report, spread = evaluate_steps(few, base_rates=RATES), intervals_of(few)
    for name, value in (("step_auc", report.step_auc), ("log_loss", report.log_loss)):
        low, high = spread[name]
        low_of_many, high_of_many = intervals_of(many)[name]
        assert None not in (low, high, low_of_many, high_of_many, value)
        assert low < value < high and high_of_many - low_of_many < (high - low) / 2  # type: ignore[operator]


def test_one_problem_has_no_interval() -> None:
    assert set(intervals_of(judged(1, quality=1.0)).values()) == {(None, None)}
