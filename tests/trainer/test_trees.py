"""A solution and its alternatives as one row: the same losses and gradients as one by one, in fewer tokens."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.bases import make_base
from tests.trainer.sums import small, sums
from tests.trainer.test_train import gradients, model_and_sequences
from trainer import losses
from trainer.config import TINY_BASE
from trainer.data import LabeledSolution, RatedAlternative, cut_after_ratings, encode_labeled
from trainer.losses import shares_beginnings, summed_losses
from trainer.model import RewardModel, load_base, load_tiny, new_heads
from trainer.train import train
from trainer.trees import families, masked, plant


def with_alternatives(n_problems: int) -> list[LabeledSolution]:
    """Ratings of every second solution stop early; alternatives stand at the first step, the second and the last."""
    return [
        replace(
            one,
            ratings=(1, 1, 0) if i % 2 else (1,),
            alternatives=(
                RatedAlternative(0, "We add: 2 + 2 = 4.", 1),
                RatedAlternative(1, "We add: 1 + 1 = 3.", -1),
                RatedAlternative(2, "So.", 0),
                RatedAlternative(1, one.solution.steps[1] + " Yes.", 1),  # begins as the solution's own step does
            ),
        )
        for i, one in enumerate(sums(n_problems))
    ]


def models(folder: Path) -> dict[str, RewardModel]:
    return {
        "tiny from scratch": model_and_sequences(4)[0],
        "gpt2": load_base(str(make_base(folder / "gpt2")), context=200),
        "llama": load_base(str(make_base(folder / "llama", tied=False)), context=200),
    }


@pytest.mark.parametrize("name", ["tiny from scratch", "gpt2", "llama"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_tree_has_the_losses_and_the_gradient_of_its_sequences(name: str, cut: bool, tmp_path: Path) -> None:
    model = models(tmp_path)[name]
    model.network.eval()
    model = replace(model, heads=new_heads(3, width=model.network.get_output_embeddings().in_features, seed=0))
    sequences = encode_labeled([*with_alternatives(3), sums(9)[-1]], tokenizer=model.tokenizer, context=200)
    sequences = cut_after_ratings(sequences) if cut else sequences
    found = []
    for together in (False, True):
        model.network.zero_grad()
        batch = sequences if together else [replace(one, family="") for one in sequences]
        rating, token, heads = summed_losses(model, batch, language_model=not cut)
        (rating + token).backward()
        found.append((float(rating.detach()), float(token.detach()), float(heads.detach()), gradients(model)))
    assert found[0][:3] == pytest.approx(found[1][:3], rel=1e-5)
    assert torch.allclose(found[0][3], found[1][3], atol=1e-5 * float(found[0][3].abs().max()))


def test_a_row_holds_what_is_shared_once() -> None:
    model, _ = model_and_sequences(4)
    [labeled] = with_alternatives(1)[1:]
    sequences = encode_labeled([labeled], tokenizer=model.tokenizer, context=256)
    tree = plant(sequences)
    assert families(sequences) == [[0, 1, 2, 3, 4]] and len(tree.ids) < 0.6 * sum(map(len, sequences))
    for number, one in enumerate(sequences):
        assert np.array_equal(tree.ids[tree.at(number, np.arange(len(one)))], one.encoded.ids)
    ids, positions, seen = masked([tree, plant(sequences[:1])], pad_id=0)
    for number, one in enumerate(sequences):
        at = tree.at(number, np.arange(len(one)))
        assert positions[0, at].tolist() == list(range(len(one)))
        assert np.array_equal(np.flatnonzero(seen[0, 0, at[-1]]), np.sort(at))  # itself and what came before it, nothing of a sibling
    assert ids.shape == (2, len(tree.ids)) and seen[1, 0].any(1).all()  # no row of an attention is empty, pads included


def test_a_network_that_mixes_neighbours_gets_its_sequences_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(shares_beginnings(model) for model in models(tmp_path).values())
    if TINY_BASE.is_dir():
        assert not shares_beginnings(load_tiny(context=256))  # short convolutions
    planted = []
    monkeypatch.setattr(losses, "masked", lambda trees, *, pad_id: planted.append(trees) or masked(trees, pad_id=pad_id))
    for knows, n_planted in ((False, 0), (True, 1)):
        monkeypatch.setattr("trainer.phases.shares_beginnings", lambda model, knows=knows: knows)
        train(with_alternatives(8), config=small(epochs=1, language_model_epochs=0), folder=tmp_path / str(knows))
        assert bool(planted) == bool(n_planted)
