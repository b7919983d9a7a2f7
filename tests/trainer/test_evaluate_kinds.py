import numpy as np

from trainer.evaluate import Judged, auc, evaluate_kinds


def judged(rows: list[tuple[str, list[float], tuple[int, ...]]]) -> list[Judged]:
    """Solutions of these problems, with the p(negative) and the rating of each step."""
    return [
        Judged(key, np.array([[p, 0.0, 1 - p] for p in negative], np.float32), ratings, len(ratings)) for key, negative, ratings in rows
    ]


def test_each_kind_is_compared_with_the_right_steps_of_all_solutions() -> None:
    solutions = judged([("a", [0.1, 0.9], (1, -1)), ("b", [0.3, 0.2], (1, -1)), ("c", [0.2, 0.4], (0, 1))])
    found = evaluate_kinds(solutions, ["slip", "unit", None])
    right = [0.1, 0.3, 0.2, 0.4]
    for kind, wrong in (("slip", 0.9), ("unit", 0.2)):
        assert found[kind].n_wrong == 1
        assert found[kind].auc == auc(np.array([*right, wrong], np.float32), np.array([False] * 4 + [True]))
    assert (found["slip"].auc, found["unit"].auc) == (1.0, 0.375)


def test_a_step_after_the_first_mistake_counts_as_nothing() -> None:
    solutions = judged([("a", [0.1, 0.5, 0.9], (1, -1, 1)), ("b", [0.2], (1,))])
    assert evaluate_kinds(solutions, ["slip", None])["slip"].auc == 1.0


def test_the_interval_comes_from_the_problems_and_narrows_with_their_number() -> None:
    rng = np.random.default_rng(0)

    def width(n: int) -> float:
        rows = [(f"p{i}", rng.random(2).tolist(), (1, -1) if i % 2 else (1, 1)) for i in range(n)]
        report = evaluate_kinds(judged(rows), ["slip" if i % 2 else None for i in range(n)])["slip"]
        assert report.low is not None and report.high is not None and report.low <= report.auc <= report.high
        return report.high - report.low

    assert width(400) < width(40)


def test_one_problem_gives_no_interval_and_no_right_step_gives_no_figure() -> None:
    one = evaluate_kinds(judged([("a", [0.1, 0.9], (1, -1))]), ["slip"])["slip"]
    assert (one.auc, one.low, one.high) == (1.0, None, None)
    assert evaluate_kinds(judged([("a", [0.9], (-1,)), ("b", [0.9], (-1,))]), ["slip", "slip"]) == {}
    assert evaluate_kinds([], []) == {}
