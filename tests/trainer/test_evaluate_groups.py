import numpy as np
import pytest

from trainer.evaluate import (
    Judged,
    Samples,
    best_of_n,
    choose_threshold,
    difficulty_quintiles,
    evaluate_groups,
    evaluate_steps,
    first_mistake_f1,
)

RATES = (0.2, 0.1, 0.7)


def samples(key: str, n_right: int, *, of: int = 10) -> Samples:
    right = np.arange(of) < n_right
    return Samples(key, right, np.where(right, 0, 1), {"PRM": np.linspace(0.9, 0.1, of)})


def judged(n_problems: int, *, seed: int = 0) -> list[Judged]:
    rng = np.random.default_rng(seed)
    solutions = []
    for i in range(2 * n_problems):
        ratings = (1, -1) if rng.random() < 0.5 else (1, 1)
        rows = rng.dirichlet((1, 1, 1), 2).astype(np.float32)
        solutions.append(Judged(f"p{i // 2}", rows, ratings, 2))
    return solutions


def test_the_first_fifth_holds_the_problems_with_the_fewest_right_samples() -> None:
    problems = [samples(f"p{n}", n) for n in (7, 2, 9, 0, 4, 5, 10, 1, 8, 3)]
    fifths = difficulty_quintiles(problems)
    assert list(fifths) == [f"p{n}" for n in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)]
    assert fifths["p0"] == fifths["p1"] == "1 of 5: 0.00 to 0.10 right"
    assert fifths["p9"] == fifths["p10"] == "5 of 5: 0.90 to 1.00 right"


def test_fifths_of_a_number_that_five_does_not_divide_differ_by_one_problem() -> None:
    sizes = np.unique(list(difficulty_quintiles([samples(f"p{n}", n % 11) for n in range(23)]).values()), return_counts=True)[1]
    assert len(sizes) == 5 and set(sizes.tolist()) == {4, 5}


def test_fewer_than_five_problems_leave_fifths_empty() -> None:
    fifths = difficulty_quintiles([samples("a", 3), samples("b", 6)])
    assert len(set(fifths.values())) == 2 and fifths["a"] < fifths["b"]
    assert difficulty_quintiles([]) == {}


def test_a_group_is_reported_as_if_it_were_alone() -> None:
    solutions, problems = judged(20), [samples(f"p{n}", n % 11) for n in range(20)]
    groups = {f"p{n}": "algebra" if n < 12 else "geometry" for n in range(20)}
    found = evaluate_groups(groups, judged=solutions, problems=problems, base_rates=RATES, threshold=0.4)
    assert list(found) == ["algebra", "geometry"] and found["algebra"].n_problems == 12
    alone = [one for one in solutions if groups[one.problem_key] == "geometry"]
    assert found["geometry"].steps == evaluate_steps(alone, base_rates=RATES, threshold=0.4)
    assert found["geometry"].best_of_n == best_of_n([one for one in problems if groups[one.problem_key] == "geometry"], ns=[10])


def test_a_problem_without_a_group_is_shown_not_dropped() -> None:
    found = evaluate_groups({"p0": "algebra"}, judged=judged(3), base_rates=RATES, threshold=0.4)
    assert {name: row.n_problems for name, row in found.items()} == {"(none)": 2, "algebra": 1}


def test_groups_without_a_threshold_share_those_chosen_on_the_other_half_of_all_problems() -> None:
    solutions = judged(30)
    one_group = evaluate_groups({one.problem_key: "all" for one in solutions}, judged=solutions, base_rates=RATES)["all"].steps
    whole = evaluate_steps(solutions, base_rates=RATES)
    assert one_group is not None and one_group.first_mistake == whole.first_mistake
    assert one_group.first_mistake != first_mistake_f1(solutions, threshold=choose_threshold(solutions))
    assert one_group.threshold == whole.threshold and "half" not in one_group.threshold_split and "halves" in one_group.threshold_split


def test_all_groups_are_shown_at_the_same_n() -> None:
    problems = [samples("a", 3, of=4), samples("b", 3, of=9)]
    found = evaluate_groups({"a": "x", "b": "y"}, problems=problems, base_rates=RATES, threshold=0.5)
    assert {row.as_dict()["n"] for row in found.values()} == {4}
    assert found["y"].steps is None and "step_auc" not in found["y"].as_dict()


def test_the_row_of_a_group_holds_its_step_figures_and_its_choices() -> None:
    row = evaluate_groups({}, judged=judged(12), problems=[samples("p0", 4)], base_rates=RATES, threshold=0.4)["(none)"].as_dict()
    report = evaluate_steps(judged(12), base_rates=RATES, threshold=0.4)
    assert report.first_mistake is not None
    assert (row["step_auc"], row["first_mistake_f1"]) == (report.step_auc, report.first_mistake.f1)
    assert row["best_of_n"]["PRM"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert row["best_of_n"]["majority"]["mean"] == pytest.approx(0.0)


def test_the_interval_of_a_group_holds_its_auc_and_draws_whole_problems() -> None:
    solutions = judged(30)
    row = evaluate_groups({}, judged=solutions, base_rates=RATES, threshold=0.4)["(none)"].as_dict()
    assert row["step_auc_low"] < row["step_auc"] < row["step_auc_high"]
    twice = [*solutions, *solutions]  # the same problems with every solution twice: as many problems, so the interval is as wide
    again = evaluate_groups({}, judged=twice, base_rates=RATES, threshold=0.4)["(none)"].as_dict()
    assert (again["step_auc_low"], again["step_auc_high"]) == pytest.approx((row["step_auc_low"], row["step_auc_high"]))


def test_the_interval_of_a_group_counts_the_steps_that_its_auc_counts() -> None:
    unread = [Judged(f"p{n}", np.array([[0.9 - n / 50, 0.0, 0.1]], np.float32), (-1 if n % 3 else 1, 1, 1), 3) for n in range(20)]
    row = evaluate_groups({}, judged=unread, base_rates=RATES, threshold=0.4)["(none)"].as_dict()
    assert row["n_rated_steps"] == 20 and row["step_auc_low"] <= row["step_auc"] <= row["step_auc_high"]


@pytest.mark.parametrize(("n_problems", "ratings"), [(1, (1, -1)), (4, (1, 1)), (4, (None, None))])
def test_a_group_of_one_problem_or_of_one_class_has_no_interval(n_problems: int, ratings: tuple[int | None, ...]) -> None:
    solutions = [Judged(f"p{n}", np.array([[0.1, 0, 0.9], [0.8, 0, 0.2]], np.float32), ratings, 2) for n in range(n_problems)]
    row = evaluate_groups({}, judged=solutions, base_rates=RATES, threshold=0.4)["(none)"].as_dict()
    assert (row["step_auc_low"], row["step_auc_high"]) == (None, None)


def test_a_group_says_by_itself_whether_labels_or_samples_are_of_too_few_problems() -> None:
    groups = {f"p{n}": "few" if n < 9 else "enough" for n in range(19)}
    found = evaluate_groups(groups, judged=judged(19), problems=[samples("p0", 4)], base_rates=RATES, threshold=0.4)
    few, enough = found["few"].as_dict(), found["enough"].as_dict()
    assert (few["n_labeled_problems"], few["too_few_labeled"]) == (9, True)
    assert (enough["n_labeled_problems"], enough["too_few_labeled"]) == (10, False)
    assert (few["n_sampled_problems"], few["too_few_sampled"]) == (1, True) and "too_few_sampled" not in enough
