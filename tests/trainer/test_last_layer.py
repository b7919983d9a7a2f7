"""The last feed-forward part reads the rated places alone: the same losses and gradients for less work."""

import pytest
import torch
from torch import nn

from tests.trainer.sums import SHAPE, sums
from trainer.data import TrainingSequence, encode_labeled
from trainer.last_layer import reads_only, spared_part
from trainer.losses import Trained, summed_losses
from trainer.model import RewardModel, build_tiny


@pytest.fixture
def model() -> RewardModel:
    texts = [text for one in sums(20) for text in (one.solution.problem, *one.solution.steps)]
    return build_tiny(texts, shape=SHAPE, context=256, seed=0)


@pytest.fixture
def batch(model: RewardModel) -> list[TrainingSequence]:
    return encode_labeled(sums(12), tokenizer=model.tokenizer, context=256)


def gradients(model: RewardModel, batch: list[TrainingSequence], part: nn.Module | None) -> tuple[float, dict[str, torch.Tensor]]:
    model.network.zero_grad()
    rating, _, _ = summed_losses(model, batch, language_model=False, spared=part)
    rating.backward()
    return rating.item(), {name: p.grad.clone() for name, p in model.network.named_parameters() if p.grad is not None}


def test_losses_and_gradients_are_those_of_the_whole(model: RewardModel, batch: list[TrainingSequence]) -> None:
    part = spared_part(model)
    assert part is not None
    seen: list[int] = []
    hook = part.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1].numel()))
    whole, own = gradients(model, batch, None), gradients(model, batch, part)
    hook.remove()
    assert seen[1] == sum(one.n_rated for one in batch) < seen[0] / 4
    assert own[0] == pytest.approx(whole[0], rel=1e-6)
    assert own[1].keys() == whole[1].keys()
    assert all(torch.allclose(own[1][name], whole[1][name], atol=1e-5) for name in own[1])


def test_where_the_text_is_learned_too_every_place_is_read(model: RewardModel, batch: list[TrainingSequence]) -> None:
    trained = Trained(model)
    part = spared_part(model)
    assert part is not None
    trained.spared = (part,)
    seen: list[int] = []
    hook = part.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1].numel()))
    trained(batch, language_model=True, ratings=True)
    hook.remove()
    assert seen == [len(batch) * max(map(len, batch))]


def test_a_part_that_hears_of_other_positions_is_not_spared(model: RewardModel) -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(SHAPE.width, SHAPE.width)

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return self.inner(states).cumsum(-2)

    model.network.base_model.layers[-1].mlp = Mixing()
    assert spared_part(model) is None


def test_the_network_is_left_as_it_was(model: RewardModel) -> None:
    model.network.train()
    part = spared_part(model)
    assert model.network.training and part is not None and not part._forward_pre_hooks and not part._forward_hooks
    with pytest.raises(RuntimeError, match="broken"), reads_only(part, (torch.tensor([0]), torch.tensor([0]))):
        raise RuntimeError("broken")
    assert not part._forward_hooks
