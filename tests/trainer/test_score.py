from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.sums import sums
from trainer.data import Solution
from trainer.model import RewardModel, load_prm
from trainer.score import StepScores, score_solutions, solution_score

POOL = [one.solution for one in sums(60, seed=8)]
LONG = Solution("long", "p", "Add.", tuple(f"We add: {n} + 1 = {n + 1}." for n in range(60)))


@pytest.fixture(scope="module")
def model(trained: object) -> RewardModel:
    return load_prm(trained.folder)  # type: ignore[attr-defined]


def test_every_step_gets_three_probabilities_in_the_order_of_the_stream(model: RewardModel) -> None:
    scores = list(score_solutions(model, iter(POOL)))
    assert [s.key for s in scores] == [s.key for s in POOL]
    for solution, one in zip(POOL, scores, strict=True):
        assert one.probabilities.shape == (len(solution.steps), 3) and one.probabilities.dtype == np.float32
        assert np.allclose(one.probabilities.sum(1), 1, atol=1e-5)
        assert one.score == solution_score(one.probabilities)


def test_a_score_does_not_depend_on_its_neighbours(model: RewardModel) -> None:
    mixed = [*POOL, LONG, *(Solution(f"short{i}", "p", "Add.", ("ok",)) for i in range(5))]
    alone = {s.key: s.probabilities for solution in mixed for s in score_solutions(model, [solution])}
    rng = np.random.default_rng(0)
    for budget in (64, 300, 1000, 20000):
        for one in score_solutions(model, [mixed[i] for i in rng.permutation(len(mixed))], token_budget=budget):
            assert np.abs(one.probabilities - alone[one.key]).max() < 1e-5


def test_a_step_is_judged_by_what_stands_before_it_alone(model: RewardModel) -> None:
    solution = POOL[0]
    cut = Solution("cut", solution.problem_key, solution.problem, solution.steps[:2])
    whole, part = score_solutions(model, [solution, cut])
    assert np.allclose(whole.probabilities[:2], part.probabilities, atol=1e-5)


def test_a_solution_beyond_the_context_is_reported_and_scores_nothing(model: RewardModel) -> None:
    [one] = score_solutions(model, [LONG])
    assert 0 < len(one.probabilities) < 60 and one.unread_steps == 60 - len(one.probabilities)
    assert one.score == 0.0


def test_a_problem_beyond_the_context_leaves_all_steps_unread(model: RewardModel) -> None:
    [one, other] = score_solutions(model, [Solution("s", "p", "7 " * 1000, ("a", "b")), POOL[0]])
    assert one.probabilities.shape == (0, 3) and one.unread_steps == 2 and one.score == 0.0
    assert other.unread_steps == 0


def test_the_stream_is_read_a_window_at_a_time(model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.WINDOW", 10)
    read = []

    def stream() -> Iterator[Solution]:
        for solution in POOL:
            read.append(solution.key)
            yield solution

    assert isinstance(next(score_solutions(model, stream())), StepScores)
    assert len(read) == 10


def test_a_listener_can_end_the_run(model: RewardModel) -> None:
    def listen(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(score_solutions(model, POOL, progress=listen))


def test_scores_reproduce_exactly(model: RewardModel, model_folder: Path) -> None:
    again = load_prm(model_folder)
    for one, other in zip(score_solutions(model, POOL), score_solutions(again, POOL), strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
