from collections.abc import Sequence

import pytest
import torch

from trainer.attention import SHORT, quick_attention
from trainer.config import TinyShape
from trainer.data import LabeledSolution, encode_labeled
from trainer.losses import summed_losses
from trainer.model import RewardModel, build_tiny, load_tiny

from .sums import sums


@pytest.fixture(scope="module")
def solutions() -> Sequence[LabeledSolution]:
    return sums(4)


@pytest.fixture(scope="module")
def model(solutions: Sequence[LabeledSolution]) -> RewardModel:
    texts = [text for one in solutions for text in (one.solution.problem, *one.solution.steps)]
    return build_tiny(texts, shape=TinyShape(layers=2, width=32, heads=2, feed_forward=64, merges=50), context=1024, seed=3)


@pytest.mark.parametrize("shipped", [False, True])
def test_plain_attention_has_the_loss_and_the_gradient_of_the_fused_one(
    shipped: bool, model: RewardModel, solutions: Sequence[LabeledSolution]
) -> None:
    model = load_tiny(context=256) if shipped else model
    batch = encode_labeled(solutions, tokenizer=model.tokenizer, context=256)

    def step() -> tuple[float, torch.Tensor]:
        model.network.zero_grad()
        loss = summed_losses(model, batch, language_model=False)[0]
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.network.parameters() if p.grad is not None])

    fused_loss, fused = step()
    with quick_attention(model.network, longest=SHORT, autocast=True):
        plain_loss, plain = step()
    assert plain_loss == pytest.approx(fused_loss, abs=1e-4)
    torch.testing.assert_close(plain, fused, atol=1e-4, rtol=1e-3)


def test_a_short_run_in_bfloat16_attends_by_plain_products_and_gives_the_fused_kernel_back(model: RewardModel) -> None:
    with pytest.raises(KeyboardInterrupt), quick_attention(model.network, longest=SHORT, autocast=True):
        assert model.network.base_model.config._attn_implementation == "eager"
        raise KeyboardInterrupt
    assert model.network.base_model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("longest", "autocast"), [(SHORT + 1, True), (10, False)])
def test_long_texts_and_float32_keep_the_fused_kernel(longest: int, autocast: bool, model: RewardModel) -> None:
    with quick_attention(model.network, longest=longest, autocast=autocast):
        assert model.network.config._attn_implementation == "sdpa"
