"""Training that needs less memory or less work, and says what it learned all the same: adapters, forgetting, halving, cutting."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.bases import make_base
from tests.trainer.sums import small, sums
from tests.trainer.test_train import gradients, model_and_sequences
from trainer import phases
from trainer.adapters import add_adapters, merge_adapters
from trainer.data import cut_after_ratings, encode_labeled
from trainer.losses import Trained, summed_losses
from trainer.model import RewardModel, load_base, load_prm
from trainer.phases import MemoryFull, trained_parts
from trainer.train import train


def base_model(folder: Path, *, tied: bool = True) -> RewardModel:
    return load_base(str(make_base(folder, tied=tied)), context=200)


# --- adapters -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_adapters_learn_and_are_merged_into_a_plain_model(tmp_path: Path, tied: bool) -> None:
    base = make_base(tmp_path / "base", tied=tied)
    config = small(base=str(base), lora_rank=4, language_model_epochs=0, language_model_weight=0.0, context=200, epochs=8)
    trained = train(sums(60), config=config, folder=tmp_path / "model")
    losses = [point["rating_loss"] for point in trained.metrics["training"]["curve"]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    before, after = load_file(base / "model.safetensors"), load_file(trained.folder / "model.safetensors")
    assert not any("lora" in name for name in after) and set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name][: len(before[name])])}
    assert changed and all("attn" in name or "mlp" in name for name in changed)  # neither embeddings nor norms
    assert "LoRA of rank 4" in (trained.folder / "README.md").read_text()


def test_merged_weights_predict_what_the_adapters_predicted(tmp_path: Path) -> None:
    model = base_model(tmp_path / "base")
    add_adapters(model.network, rank=4, seed=0)
    with torch.no_grad():
        for name, p in model.network.named_parameters():
            if "lora_B" in name:
                p.normal_(0, 0.1)
    model.network.eval()
    ids = torch.randint(0, 256, (2, 20))
    with torch.no_grad():
        beside = model.hidden_states(ids)
        merge_adapters(model.network)
        assert torch.allclose(model.hidden_states(ids), beside, atol=1e-5)
    assert not any("lora" in name for name, _ in model.network.named_parameters())


def test_only_adapters_and_the_rating_rows_are_trained(tmp_path: Path) -> None:
    model = base_model(tmp_path / "base")
    add_adapters(model.network, rank=4, seed=0)
    trained = trained_parts(model, small(base="x", lora_rank=4))
    trained.only(language_model=False, ratings=True, adapters=True)
    names = {name for name, p in trained.named_parameters() if p.requires_grad}
    assert "rating_rows" in names and all("lora" in name for name in names - {"rating_rows"})


# --- the rating rows apart ------------------------------------------------------------------------------------------------------------


def test_rating_rows_apart_have_the_gradient_of_the_rows_within(tmp_path: Path) -> None:
    model = base_model(tmp_path / "base", tied=False)
    sequences = encode_labeled(sums(4), tokenizer=model.tokenizer, context=200)
    apart = Trained(model, rows_apart=True)
    for rows in (None, apart.rating_rows):
        summed_losses(model, sequences, language_model=False, rows=rows)[0].backward()
    assert apart.rating_rows is not None and apart.rating_rows.grad is not None
    within = model.network.get_output_embeddings().weight.grad[list(model.tokenizer.rating_ids)]
    assert torch.allclose(apart.rating_rows.grad, within, atol=1e-6)


def test_rating_rows_trained_apart_stand_in_the_saved_model(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", tied=False)
    config = small(base=str(base), language_model_epochs=0, language_model_weight=0.0, context=200, epochs=2)
    model = load_prm(train(sums(20), config=config, folder=tmp_path / "model").folder)
    output = model.network.get_output_embeddings().weight.detach()
    before = load_file(base / "model.safetensors")["lm_head.weight"]
    assert torch.equal(output[:257], before)  # no loss asked for the other rows, so not even the decay touches them
    rows = output[list(model.tokenizer.rating_ids)]
    assert not torch.allclose(rows[0], rows[2])


# --- less to compute, or to keep ---------------------------------------------------------------------------------------------------


def test_text_after_the_last_rating_is_not_read_and_changes_no_gradient() -> None:
    found = []
    for cut in (False, True):
        model, _ = model_and_sequences(4)
        labeled = [replace(one, ratings=(1, 0, -1)[: 1 + i % 2]) for i, one in enumerate(sums(4))] + [replace(sums(1)[0], ratings=())]
        sequences = encode_labeled(labeled, tokenizer=model.tokenizer, context=256)
        read = cut_after_ratings(sequences) if cut else sequences
        summed_losses(model, read, language_model=False)[0].backward()
        found.append((sum(map(len, read)), gradients(model)))
    assert found[1][0] < 0.7 * found[0][0]
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)


def test_gradient_checkpointing_gives_the_same_gradient(tmp_path: Path) -> None:
    found = []
    for forgets in (False, True):
        model = base_model(tmp_path / f"base {forgets}", tied=False)
        if forgets:
            model.network.activation_checkpointing_enable()
        model.network.train()
        sequences = encode_labeled(sums(4), tokenizer=model.tokenizer, context=200)
        summed_losses(model, sequences)[0].backward()
        assert model.network.base_model.gradient_checkpointing is forgets
        found.append(gradients(model))
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_a_run_with_gradient_checkpointing_gives_the_same_model(tmp_path: Path) -> None:
    probabilities = []
    for forgets in (False, True):
        config = small(epochs=1, language_model_epochs=1, gradient_checkpointing=forgets)
        train(sums(10), config=config, folder=tmp_path / str(forgets))
        probabilities.append(load_file(tmp_path / str(forgets) / "model.safetensors"))
    assert all(torch.allclose(probabilities[0][name], value, atol=1e-5) for name, value in probabilities[1].items())


# --- memory that does not suffice -----------------------------------------------------------------------------------------------------


def short_of_memory(monkeypatch: pytest.MonkeyPatch, *, tokens: int) -> list[int]:
    """Let every forward above so many tokens fail as a GPU does; return the sizes of those that did not."""
    sizes: list[int] = []
    original = RewardModel.hidden_states

    def hidden_states(self: RewardModel, ids: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            if ids.numel() > tokens:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            sizes.append(ids.numel())
        return original(self, ids)

    monkeypatch.setattr(RewardModel, "hidden_states", hidden_states)
    return sizes


def test_a_batch_that_does_not_fit_is_halved_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = small(epochs=2, language_model_epochs=1, learning_rate=1e-3)
    whole = train(sums(20), config=config, folder=tmp_path / "whole")
    sizes = short_of_memory(monkeypatch, tokens=400)
    halved = train(sums(20), config=config, folder=tmp_path / "halved")
    assert max(sizes) <= 400 and halved.metrics["training"]["halvings"] == 2  # of 1,024 tokens: to 512, to 256
    assert "batches are split into 4 parts" in caplog.text
    for here, there in zip(halved.metrics["training"]["curve"], whole.metrics["training"]["curve"], strict=True):
        assert here["token_loss"] == pytest.approx(there["token_loss"], abs=1e-3)  # the optimizer steps are the same


def test_a_solution_that_does_not_fit_alone_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, tokens=10)
    with pytest.raises(MemoryFull, match="cannot hold one solution.*gradient_checkpointing.*lora_rank.*context") as raised:
        train(sums(10), config=small(epochs=1), folder=tmp_path / "model")
    assert raised.value.errno == errno.ENOMEM and list(tmp_path.iterdir()) == []


# --- the curve ------------------------------------------------------------------------------------------------------------------------


def test_the_curve_has_at_most_200_points_and_their_mean_is_the_mean_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[np.ndarray[Any, Any]] = []
    original = phases.take_step

    def take_step(*arguments: Any, **named: Any) -> np.ndarray[Any, Any]:
        taken.append(original(*arguments, **named))
        return taken[-1]

    monkeypatch.setattr(phases, "take_step", take_step)
    config = small(epochs=8, language_model_epochs=2, token_budget=64)
    trained = train(sums(20), config=config, folder=tmp_path / "model")
    curve = json.loads((trained.folder / "stepmark.json").read_text())["metrics"]["training"]["curve"]
    assert 100 < len(curve) <= 200 < len(taken)
    stride = curve[0]["done"]
    rating = [point for point in curve if point["phase"] == "reward model"]
    assert all(point["rating_loss"] is None for point in curve if point["phase"] == "language model")
    assert rating[-1]["done"] == rating[-1]["total"] and [p["done"] for p in rating[:3]] == [stride, 2 * stride, 3 * stride]
    first = np.sum(taken[len(taken) - rating[0]["total"] :][:stride], axis=0)
    assert rating[0]["rating_loss"] == pytest.approx(first[0] / first[1]) and rating[0]["token_loss"] == pytest.approx(first[2] / first[3])
