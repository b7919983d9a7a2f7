"""Uncertainty heads beside the network, and soft labels: what is aimed at, and by whom."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.sums import SHAPE, small, sums
from tests.trainer.test_train import model_and_sequences
from trainer.data import BadLabels, LabeledSolution, bootstrap, encode, encode_labeled, padded
from trainer.losses import summed_losses
from trainer.model import RewardModel, load_prm, new_heads
from trainer.train import hold_out, train

QUICK = {"epochs": 2, "language_model_epochs": 1}


def with_heads(n_heads: int = 8) -> RewardModel:
    model, _ = model_and_sequences(4)
    return replace(model, heads=new_heads(n_heads, width=SHAPE.width, seed=3))


def step_end_states(model: RewardModel, labeled: list[LabeledSolution]) -> torch.Tensor:
    encoded = encode([one.solution for one in labeled], tokenizer=model.tokenizer, context=model.context)
    with torch.no_grad():
        states = model.hidden_states(torch.from_numpy(padded(encoded, pad_id=model.tokenizer.pad_id)))
    return torch.cat([states[row, torch.from_numpy(one.step_ends.astype(np.int64))] for row, one in enumerate(encoded)])


# --- heads ------------------------------------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_the_heads_one_by_one() -> None:
    model, states = with_heads(), torch.randn(5, SHAPE.width)
    assert model.heads is not None
    with torch.no_grad():
        alone = torch.stack([(states @ w + b).sigmoid() for w, b in zip(model.heads.weight, model.heads.bias, strict=True)], 1)
    found = model.uncertainty(states)
    assert found.dtype == torch.float32 and found.shape == (5, 2)
    assert torch.allclose(found, torch.stack((alone.mean(1), alone.std(1, correction=0)), 1), atol=1e-6)


def test_a_model_without_heads_says_how_to_get_them() -> None:
    model, _ = model_and_sequences(2)
    with pytest.raises(ValueError, match="uncertainty_heads = 32"):
        model.uncertainty(torch.zeros(1, SHAPE.width))


def test_heads_leave_the_network_as_it_is_without_them(tmp_path: Path) -> None:
    for name, n_heads in (("without", 0), ("with", 4)):
        train(sums(10), config=small(uncertainty_heads=n_heads, **QUICK), folder=tmp_path / name)
    assert (tmp_path / "without" / "model.safetensors").read_bytes() == (tmp_path / "with" / "model.safetensors").read_bytes()


def test_the_loss_of_the_heads_reaches_no_weight_of_the_network() -> None:
    model = with_heads()
    sequences = encode_labeled(sums(4), tokenizer=model.tokenizer, context=256)
    _, _, heads = summed_losses(model, sequences, language_model=False)
    heads.backward()
    assert model.heads is not None and model.heads.weight.grad is not None
    assert all(p.grad is None for p in model.network.parameters())


def test_a_head_learns_nothing_from_a_problem_outside_its_bootstrap_sample() -> None:
    model, labeled = with_heads(16), sums(1)
    weights = bootstrap(labeled[0].solution.problem_key, n_heads=16, seed=5)
    assert 0 in weights and weights.max() > 0  # some heads see the problem, some do not
    sequences = encode_labeled(labeled, tokenizer=model.tokenizer, context=256)
    _, _, heads = summed_losses(model, sequences, language_model=False, seed=5)
    heads.backward()
    assert model.heads is not None and model.heads.weight.grad is not None
    moved = model.heads.weight.grad.abs().sum(1).numpy() > 0
    assert np.array_equal(moved, weights > 0)


def test_heads_are_surer_where_they_have_learned_and_come_back_from_disk(tmp_path: Path) -> None:
    config = small(uncertainty_heads=8, seed=1, epochs=10)
    model = load_prm(train(sums(100), config=config, folder=tmp_path / "model").folder)
    states = step_end_states(model, sums(40, seed=9))
    mean, deviation = model.uncertainty(states).T
    with torch.no_grad():
        negative = model.rating_log_probabilities(states).exp()[:, 0]
    assert np.corrcoef(mean, negative)[0, 1] > 0.9  # they follow the network that they stand on
    strange = model.uncertainty(5 * torch.randn(500, SHAPE.width))[:, 1]
    assert deviation.mean() < 0.5 * strange.mean()  # where no state ever was they still differ as they began


# --- soft labels --------------------------------------------------------------------------------------------------------------------


def test_a_soft_label_is_aimed_at_by_its_cross_entropy() -> None:
    model, _ = model_and_sequences(2)
    one = replace(sums(1)[0], ratings=(1,), soft=((0.2, 0.1, 0.7), None, (0.5, 0.5, 0.0)))
    [sequence] = encode_labeled([one], tokenizer=model.tokenizer, context=256)
    rating, _, _ = summed_losses(model, [sequence], language_model=False)
    with torch.no_grad():
        logs = model.rating_log_probabilities(step_end_states(model, [one])).numpy()
    by_hand = -(np.array([0.2, 0.1, 0.7]) @ logs[0] + np.array([0.5, 0.5, 0.0]) @ logs[2])
    assert sequence.n_rated == 2 and float(rating.detach()) == pytest.approx(by_hand, rel=1e-5)


WEIGHED = {"ratings": (1,), "soft": ((0.2, 0.1, 0.7), (0.6, 0.2, 0.2), (0.5, 0.5, 0.0)), "weights": (1.0, 0.8, 0.32)}


def test_a_weight_multiplies_the_loss_of_its_soft_label() -> None:
    model, _ = model_and_sequences(2)
    one = replace(sums(1)[0], **WEIGHED)
    [sequence] = encode_labeled([one], tokenizer=model.tokenizer, context=256)
    rating, _, _ = summed_losses(model, [sequence], language_model=False)
    with torch.no_grad():
        logs = model.rating_log_probabilities(step_end_states(model, [one])).numpy()
    rows = zip(WEIGHED["weights"], WEIGHED["soft"], logs, strict=True)
    by_hand = -sum(weight * np.array(posterior) @ row for weight, posterior, row in rows)
    assert float(rating.detach()) == pytest.approx(by_hand, rel=1e-5)
    assert sequence.n_rated == 3 and sequence.weight == pytest.approx(2.12)


def test_a_weight_multiplies_the_loss_of_the_heads() -> None:
    model, _ = model_and_sequences(2)
    model = replace(model, heads=new_heads(4, width=SHAPE.width, seed=0))
    one = replace(sums(1)[0], **WEIGHED)
    [sequence] = encode_labeled([one], tokenizer=model.tokenizer, context=256)
    _, _, heads = summed_losses(model, [sequence], language_model=False, seed=3)
    with torch.no_grad():
        logits = model.heads(step_end_states(model, [one])).double().numpy()
    right = np.log1p(np.exp(-logits)), np.log1p(np.exp(logits))
    drawn = bootstrap(one.solution.problem_key, n_heads=4, seed=3)
    by_hand = sum(
        weight * (drawn * (posterior[0] * right[0][place] + (1 - posterior[0]) * right[1][place])).mean()
        for place, (weight, posterior) in enumerate(zip(WEIGHED["weights"], WEIGHED["soft"], strict=True))
    )
    assert float(heads.detach()) == pytest.approx(by_hand, rel=1e-5)


def test_soft_labels_that_count_less_than_half_are_no_ratings() -> None:
    one = replace(sums(1)[0], **WEIGHED)
    assert one.supervised == (1, -1, None) and one.n_rated == 2


@pytest.mark.parametrize("weights", [(1.0, 0.5), (1.0, 0.5, 1.5), (1.0, -0.1, 0.5), (1.0, float("nan"), 0.5)])
def test_weights_that_do_not_fit_their_soft_labels_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(BadLabels, match="one from 0 to 1 for each"):
        replace(sums(1)[0], **WEIGHED | {"weights": weights})


def test_certain_soft_labels_are_ratings_also_beside_solutions_that_have_only_ratings() -> None:
    model, _ = model_and_sequences(2)
    hard = sums(4)
    certain = {-1: (1.0, 0.0, 0.0), 0: (0.0, 1.0, 0.0), 1: (0.0, 0.0, 1.0)}
    soft = [replace(one, soft=tuple(certain[r] for r in one.ratings if r is not None)) for one in hard[:3]]
    losses = [
        float(summed_losses(model, encode_labeled(some, tokenizer=model.tokenizer, context=256), language_model=False)[0].detach())
        for some in (hard, [*soft, *hard[3:]])
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_solution_with_soft_labels_only_trains_and_counts(tmp_path: Path) -> None:
    some = [replace(one, soft=((0.9, 0.0, 0.1), (0.0, 0.2, 0.8)), ratings=()) for one in sums(4)]
    assert some[0].n_rated == 2 and some[0].supervised == (-1, 1)
    assert hold_out(some, config=small())
    trained = train(some, config=small(**QUICK), folder=tmp_path / "model")
    assert trained.metrics["training"]["n_rated_steps"] == 2 * trained.metrics["training"]["n_solutions"]
    assert trained.metrics["step_auc"] is None  # no rating to be judged by


@pytest.mark.parametrize(
    ("soft", "named"),
    [
        (((0.5, 0.5, 0.5),), "add up to 1"),
        (((-0.1, 0.1, 1.0),), "add up to 1"),
        (((0.5, 0.5),), "three probabilities"),
        (((0.0, 0.0, 1.0),) * 4, "3 steps but 4 soft labels"),
    ],
)
def test_soft_labels_that_are_no_probabilities_name_the_solution(soft: tuple[tuple[float, float, float], ...], named: str) -> None:
    with pytest.raises(BadLabels, match=named):
        replace(sums(1)[0], soft=soft)
