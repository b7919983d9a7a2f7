import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.sums import sums
from trainer.data import SolutionText, encode
from trainer.model import RewardModel, load_prm
from trainer.prefix import Reader
from trainer.score import ScoredSolution, score_solutions, solution_score

POOL = [one.solution for one in sums(60, seed=8)]
LONG = SolutionText("long", "p", "Add.", tuple(f"We add: {n} + 1 = {n + 1}." for n in range(60)))


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
    mixed = [*POOL, LONG, *(SolutionText(f"short{i}", "p", "Add.", ("ok",)) for i in range(5))]
    alone = {s.key: s.probabilities for solution in mixed for s in score_solutions(model, [solution])}
    rng = np.random.default_rng(0)
    for budget in (64, 300, 1000, 20000):
        for one in score_solutions(model, [mixed[i] for i in rng.permutation(len(mixed))], token_budget=budget):
            assert np.abs(one.probabilities - alone[one.key]).max() < 1e-5


def test_a_step_is_judged_by_what_stands_before_it_alone(model: RewardModel) -> None:
    solution = POOL[0]
    cut = SolutionText("cut", solution.problem_key, solution.problem, solution.steps[:2])
    whole, part = score_solutions(model, [solution, cut])
    assert np.allclose(whole.probabilities[:2], part.probabilities, atol=1e-5)


def test_a_solution_beyond_the_context_is_reported_and_scores_nothing(model: RewardModel) -> None:
    [one] = score_solutions(model, [LONG])
    assert 0 < len(one.probabilities) < 60 and one.unread_steps == 60 - len(one.probabilities)
    assert one.score == 0.0


def test_a_problem_beyond_the_context_leaves_all_steps_unread(model: RewardModel) -> None:
    [one, other] = score_solutions(model, [SolutionText("s", "p", "7 " * 1000, ("a", "b")), POOL[0]])
    assert one.probabilities.shape == (0, 3) and one.unread_steps == 2 and one.score == 0.0
    assert other.unread_steps == 0


def test_a_stream_is_held_two_windows_at_a_time(model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.score.WINDOW", 10)
    read = []

    def stream() -> Iterator[SolutionText]:
        for solution in POOL:
            read.append(solution.key)
            yield solution

    for given, scores in enumerate(score_solutions(model, stream())):
        assert isinstance(scores, ScoredSolution)
        assert len(read) == min(len(POOL), given // 10 * 10 + 20)  # the window being given out, and the one being tokenised
    assert given == len(POOL) - 1


def test_the_stream_is_read_by_the_callers_thread_and_tokenised_by_another(model: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, set[int]] = {"read": set(), "tokenise": set()}

    def stream() -> Iterator[SolutionText]:
        for solution in POOL:
            threads["read"].add(threading.get_ident())
            yield solution

    def watched(*args: Any, **kwargs: Any) -> Any:
        threads["tokenise"].add(threading.get_ident())
        return encode(*args, **kwargs)

    monkeypatch.setattr("trainer.score.encode", watched)
    monkeypatch.setattr("trainer.score.WINDOW", 10)
    list(score_solutions(model, stream()))
    assert threads["read"] == {threading.get_ident()} and threads["tokenise"].isdisjoint(threads["read"]) and threads["tokenise"]


def test_a_text_that_cannot_be_tokenised_ends_the_run(model: RewardModel) -> None:
    with pytest.raises(TypeError):
        list(score_solutions(model, [*POOL, SolutionText("s", "p", "Add.", (None,))]))  # type: ignore[arg-type]


def test_out_of_gpu_memory_the_batches_halve_and_it_is_said(
    model: RewardModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exact, run, sizes = list(score_solutions(model, POOL)), Reader._run, []

    def small(self: Reader, ids: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(ids.size)
        if ids.size > 200:
            raise torch.OutOfMemoryError("full")
        return run(self, ids, *args, **kwargs)

    monkeypatch.setattr(Reader, "_run", small)
    for one, other in zip(score_solutions(model, POOL, token_budget=800), exact, strict=True):
        assert np.abs(one.probabilities - other.probabilities).max() < 1e-5
    assert sum(size > 200 for size in sizes) == 2 and "goes on with at most 200 tokens" in caplog.text
    with pytest.raises(torch.OutOfMemoryError):
        list(score_solutions(model, [LONG]))


def test_bfloat16_is_used_only_if_asked_for(model: RewardModel) -> None:
    [exact] = score_solutions(model, POOL[:1])
    [fast] = score_solutions(model, POOL[:1], bfloat16=True)
    difference = np.abs(exact.probabilities - fast.probabilities).max()
    assert 1e-6 < difference < 0.1
    assert model.network.dtype == torch.float32


def test_uncertainty_heads_give_mean_and_deviation_of_each_step(model: RewardModel) -> None:
    assert all(one.means is None and one.deviations is None for one in score_solutions(model, POOL[:3]))
    heads = torch.nn.Linear(model.network.config.hidden_size, 5)
    for solution, one in zip(POOL[:3], score_solutions(replace(model, heads=heads), POOL[:3]), strict=True):
        [encoded] = encode([solution], tokenizer=model.tokenizer, context=model.context)
        states = model.hidden_states(torch.from_numpy(encoded.ids.astype(np.int64))[None])[0, encoded.step_ends]
        opinions = torch.sigmoid(heads(states)).detach().numpy()
        assert one.means is not None and one.deviations is not None
        assert np.allclose(one.means, opinions.mean(1), atol=1e-5) and np.allclose(one.deviations, opinions.std(1), atol=1e-5)
        assert one.means.dtype == one.deviations.dtype == np.float32


def test_an_outcome_model_scores_the_last_step_alone(model: RewardModel) -> None:
    one, cut, unread = score_solutions(replace(model, kind="orm"), [POOL[0], LONG, SolutionText("s", "p", "7 " * 1000, ("a",))])
    assert np.array_equal(one.probabilities[:, 1], np.zeros(3)) and one.kind == "orm"
    assert one.score == one.probabilities[-1, 2] > 0
    assert cut.score == unread.score == 0.0


def test_a_listener_can_end_the_run(model: RewardModel) -> None:
    def progress(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(score_solutions(model, POOL, progress=progress))


def test_scores_reproduce_exactly(model: RewardModel, model_folder: Path) -> None:
    again = load_prm(model_folder)
    for one, other in zip(score_solutions(model, POOL), score_solutions(again, POOL), strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
