import json
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from trainer.evaluate import Samples, best_of_n, counts_to

Choice = Callable[[Sequence[int], Samples], list[int]]


def samples(key: str = "p", *, right: Sequence[int], answers: Sequence[int] | None = None, **scores: Sequence[float]) -> Samples:
    """Samples of a problem; without answers, right ones have class 0 and wrong ones a class each."""
    given = [0 if r else 1 + i for i, r in enumerate(right)] if answers is None else answers
    return Samples(key, np.array(right, bool), np.array(given), {name: np.array(values, float) for name, values in scores.items()})


def some_problems(n_problems: int, *, n_samples: int, seed: int) -> list[Samples]:
    """Problems of differing difficulty, with ties among scores and answers, and now and then no answer."""
    rng = np.random.default_rng(seed)
    problems = []
    for i in range(n_problems):
        right = rng.random(n_samples) < rng.random()
        answers = np.where(right, 0, rng.integers(-1, 4, n_samples))
        answers = np.where(~right & (answers == 0), 1, answers)
        scores = np.round(np.clip(0.3 * right + 0.7 * rng.random(n_samples), 0, 1), 1)
        problems.append(Samples(f"p{i}", right, answers, {"PRM": scores}))
    return problems


def highest(drawn: Sequence[int], one: Samples) -> list[int]:
    best = max(one.scores["PRM"][i] for i in drawn)
    return [i for i in drawn if one.scores["PRM"][i] == best]


def most_voted(drawn: Sequence[int], one: Samples, *, weighted: bool = False) -> list[int]:
    """One sample of each answer that has the most votes."""
    votes: Counter[int] = Counter()
    for i in drawn:
        if one.answers[i] >= 0:
            votes[int(one.answers[i])] += Fraction(str(one.scores["PRM"][i])) if weighted else 1  # type: ignore[assignment]
    most = max(votes.values(), default=0)
    return [next(i for i in drawn if one.answers[i] == answer) for answer, n in votes.items() if n == most]


def weighted_most_voted(drawn: Sequence[int], one: Samples) -> list[int]:
    return most_voted(drawn, one, weighted=True)


def any_right(drawn: Sequence[int], one: Samples) -> list[int]:
    return [i for i in drawn if one.right[i]] or list(drawn)


def over_all_draws(problems: Sequence[Samples], n: int, choose: Choice) -> float:
    """Average over every draw of n samples, every chosen sample of a tie counting alike: exact, in fractions."""
    total = Fraction(0)
    for one in problems:
        draws = list(combinations(range(len(one.right)), n))
        for drawn in draws:
            chosen = choose(drawn, one)
            if chosen:
                total += Fraction(sum(bool(one.right[i]) for i in chosen), len(chosen)) / len(draws)
    return float(total / len(problems))


CHOICES: dict[str, Choice] = {
    "PRM": highest,
    "majority": most_voted,
    "PRM-weighted voting": weighted_most_voted,
    "oracle": any_right,
    "mean": lambda drawn, one: list(drawn),
}


@pytest.mark.parametrize("curve", CHOICES)
def test_every_curve_is_the_average_over_all_draws_with_ties_by_lot(curve: str) -> None:
    problems = some_problems(6, n_samples=7, seed=1)
    found = best_of_n(problems)
    assert found.n == tuple(range(1, 8))
    for n, mean in zip(found.n, found.curves[curve].mean, strict=True):
        assert mean == pytest.approx(over_all_draws(problems, n, CHOICES[curve]), abs=1e-12)


def test_real_scores_of_a_reward_model_give_what_brute_force_gives(data: Path) -> None:
    file = data / "best-of-n" / "math_cot_100.jsonl"
    if not file.is_file():
        pytest.skip(f"no {file}")
    problems = []
    for line in file.read_text().splitlines():
        row = json.loads(line)
        answers = [sorted(set(row["pred"])).index(text) for text in row["pred"]]
        problems.append(samples(str(row["idx"]), right=row["score"], answers=answers, reward=[p[0] for p in row["pred_score"]]))
    found = best_of_n(problems)
    assert (found.n, found.n_problems, found.n_samples) == (tuple(range(1, 9)), 100, 8)

    def highest_reward(drawn: Sequence[int], one: Samples) -> list[int]:
        best = max(one.scores["reward"][i] for i in drawn)
        return [i for i in drawn if one.scores["reward"][i] == best]

    for name, choose in {**CHOICES, "reward": highest_reward}.items():
        if name not in ("PRM", "PRM-weighted voting"):  # the rewards are no probabilities
            brute = [over_all_draws(problems, n, choose) for n in found.n]
            assert found.curves[name].mean == pytest.approx(brute, abs=1e-12), name
    assert set(found.curves) == {"reward", "majority", "oracle", "mean"}


def test_the_closed_form_is_what_drawing_at_random_tends_to() -> None:
    problems = some_problems(5, n_samples=40, seed=2)
    rng = np.random.default_rng(3)
    ns = (3, 12, 30)
    found = best_of_n(problems, ns=ns)
    for n, mean in zip(ns, found.curves["PRM"].mean, strict=True):
        drawn = np.array(
            [  # the first n of a random order; among equal scores the first in that order
                [one.right[order[np.argmax(one.scores["PRM"][order])]] for one in problems]
                for order in (rng.permutation(40)[:n] for _ in range(4000))
            ]
        )
        error = drawn.mean(axis=1).std() / np.sqrt(len(drawn))
        assert 0 < error < 0.01 and abs(drawn.mean() - mean) < 4 * error


def test_a_vote_over_seeded_draws_is_near_the_vote_over_all_draws() -> None:
    problems = some_problems(4, n_samples=14, seed=4)
    some, every = best_of_n(problems, ns=[7], trials=1000), best_of_n(problems, ns=[7], trials=4000)  # there are 3,432 draws of 7
    for curve in ("majority", "PRM-weighted voting"):
        exact = over_all_draws(problems, 7, CHOICES[curve])
        assert every.curves[curve].mean[0] == pytest.approx(exact, abs=1e-12)
        assert 0 < abs(some.curves[curve].mean[0] - exact) < 4 * np.sqrt(0.25 / 1000 / 4)


def test_seeded_draws_of_growing_n_are_counted_on_from_the_last() -> None:
    problems = some_problems(3, n_samples=30, seed=5)
    together = best_of_n(problems, ns=[20, 5, 10]).curves["PRM-weighted voting"].mean
    assert together == tuple(best_of_n(problems, ns=[n]).curves["PRM-weighted voting"].mean[0] for n in (20, 5, 10))


def test_equal_scores_choose_at_random() -> None:
    curves = best_of_n([samples(right=[1, 0, 0, 1, 0], PRM=[0.4] * 5)]).curves
    assert curves["PRM"].mean == pytest.approx([0.4] * 5) == curves["mean"].mean


def test_two_answers_with_equal_votes_are_decided_by_lot() -> None:
    assert best_of_n([samples(right=[1, 1, 0, 0, 0], answers=[0, 0, 1, 1, 2])], ns=[5]).curves["majority"].mean == (0.5,)


def test_a_sample_without_an_answer_has_no_vote() -> None:
    silent = samples(right=[1, 0, 0, 0], answers=[0, -1, -1, -1])
    mute = samples("q", right=[0, 0, 0, 0], answers=[-1, -1, -1, -1])
    assert best_of_n([silent], ns=[4]).curves["majority"].mean == (1.0,)
    assert best_of_n([silent, mute], ns=[4]).curves["majority"].mean == (0.5,)


def test_in_a_weighted_vote_the_sum_of_scores_decides() -> None:
    one = samples(right=[1, 0, 0], answers=[0, 1, 1], PRM=[0.9, 0.4, 0.4])
    curves = best_of_n([one], ns=[3]).curves
    assert (curves["majority"].mean, curves["PRM-weighted voting"].mean) == ((0.0,), (1.0,))


def test_weights_that_add_up_alike_in_another_order_are_equal() -> None:
    one = samples(right=[1, 1, 1, 0, 0, 0], answers=[0, 0, 0, 1, 1, 1], PRM=[0.1, 0.2, 0.3, 0.3, 0.2, 0.1])
    assert best_of_n([one], ns=[6]).curves["PRM-weighted voting"].mean == (0.5,)


def test_votes_of_no_weight_are_still_votes() -> None:
    one = samples(right=[1, 1, 0], answers=[0, 0, -1], PRM=[0.0, 0.0, 0.9])
    assert best_of_n([one], ns=[3]).curves["PRM-weighted voting"].mean == (1.0,)


def test_as_many_samples_as_in_the_paper_neither_overflow_nor_drift() -> None:
    rng = np.random.default_rng(6)
    right = np.arange(1860) % 20 == 0
    one = Samples("p", right, np.where(right, 0, 1), {"PRM": right + 0.5 * rng.random(1860), "ORM": -rng.random(1860) - right})
    curves = best_of_n([one], trials=20).curves
    assert curves["PRM"].mean == pytest.approx(curves["oracle"].mean, abs=1e-12)
    assert curves["PRM"].mean[0] == pytest.approx(0.05) and curves["PRM"].mean[-1] == pytest.approx(1.0, abs=1e-12)
    assert curves["ORM"].mean[-1] == 0.0


def test_curves_do_not_depend_on_the_order_of_problems_or_samples() -> None:
    problems = some_problems(5, n_samples=8, seed=7)
    backwards = [Samples(p.problem_key, p.right[::-1], p.answers[::-1], {"PRM": p.scores["PRM"][::-1]}) for p in reversed(problems)]
    for name, curve in best_of_n(problems).curves.items():
        assert curve.mean == pytest.approx(best_of_n(backwards).curves[name].mean, abs=1e-12)


def test_bands_are_those_of_resampled_problems() -> None:
    rng = np.random.default_rng(8)
    problems = [samples(f"p{i}", right=[1] if i < 120 else [0]) for i in range(400)]
    curve = best_of_n(problems, trials=4000).curves["mean"]
    low, high = np.quantile((rng.random((20000, 400)) < 0.3).mean(axis=1), (0.025, 0.975))
    assert (curve.mean[0], curve.low[0], curve.high[0]) == pytest.approx((0.3, low, high), abs=0.004)


def test_problems_that_are_all_alike_have_a_band_without_width() -> None:
    curve = best_of_n([samples(f"p{i}", right=[1, 0], PRM=[0.6, 0.5]) for i in range(9)]).curves["PRM"]
    assert curve.low == pytest.approx(curve.mean) == curve.high


def test_the_same_seed_gives_the_same_bands_and_another_seed_others() -> None:
    problems = some_problems(12, n_samples=6, seed=9)
    assert best_of_n(problems, seed=1).as_dict() == best_of_n(problems, seed=1).as_dict() != best_of_n(problems, seed=2).as_dict()


def test_the_report_is_plain_json() -> None:
    plain = best_of_n(some_problems(3, n_samples=4, seed=10)).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain["curves"]["PRM"]) == {"mean", "low", "high"} and plain["n"] == [1, 2, 3, 4]


def test_n_goes_as_far_as_every_problem_has_samples() -> None:
    found = best_of_n([samples(right=[1, 0, 1]), samples("q", right=[1, 0, 1, 1, 0])])
    assert (found.n, found.n_samples) == ((1, 2, 3), 3)


def test_the_points_of_a_long_curve_are_spread_over_its_magnitudes() -> None:
    ns = counts_to(1860)
    assert ns[0] == 1 and ns[-1] == 1860 and len(ns) < 30 and sum(n < 43 for n in ns) >= len(ns) // 3


@pytest.mark.parametrize(
    ("problems", "ns", "named"),
    [
        ([], None, "no problem"),
        ([samples(right=[1])] * 2, None, "Problem p is given twice"),
        ([samples(right=[1, 0])], [3], "Problem p has 2 samples"),
        ([samples(right=[1, 0])], [0], "Problem p has 2 samples"),
        ([samples(right=[1], PRM=[0.5]), samples("q", right=[1])], None, "Problem q is scored by"),
        ([samples(right=[1, 0], PRM=[0.5, -0.1])], None, "Problem p has a negative PRM score"),
    ],
)
def test_what_cannot_be_averaged_is_refused_by_name(problems: list[Samples], ns: list[int] | None, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        best_of_n(problems, ns=ns)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"right": [1, 0], "answers": [0]}, "2 samples but 1 answers"),
        ({"right": [1, 0], "PRM": [0.5]}, "2 samples but 1 PRM"),
        ({"right": [1], "PRM": [float("nan")]}, "not a number"),
        ({"right": []}, "0 samples"),
    ],
)
def test_samples_that_do_not_fit_together_are_refused(parts: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        samples(**parts)
