"""The last feed-forward part of a network, read at a few positions alone: after it no position hears of another.

For `prefix`, which reads step ends, and `losses`, which reads rated places.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainer.model import RewardModel


def last_feed_forward(network: nn.Module) -> nn.Module | None:
    """Find the feed-forward part of the last layer if all its weights are plain matrices, which read every position by itself."""
    layers = getattr(network.base_model, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return None
    part = getattr(layers[-1], "mlp", None) or getattr(layers[-1], "feed_forward", None)
    weighted = [one for one in part.modules() if next(one.parameters(recurse=False), None) is not None] if part is not None else []
    return part if weighted and all(isinstance(one, nn.Linear) for one in weighted) else None


@contextmanager
def reads_only(part: nn.Module | None, at: tuple[Tensor, Tensor]) -> Iterator[None]:
    """Let `part` see the positions `at` (rows, columns) of its input (B, T, D) alone; elsewhere its output is 0 and must not be read.

    After the last feed-forward part no position hears of another. In a network of four layers this saves a sixth of the work.
    """
    if part is None:
        yield
        return
    shape: list[int] = []

    def narrow(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shape[:] = inputs[0].shape[:2]
        return (inputs[0][at], *inputs[1:])

    def widen(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        whole = output.new_zeros(*shape, output.shape[-1])
        whole[at] = output
        return whole

    hooks = part.register_forward_pre_hook(narrow), part.register_forward_hook(widen)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def spared_part(model: RewardModel) -> nn.Module | None:
    """Return the last feed-forward part if reading it at some positions alone changes no state there: tried on made-up text."""
    part, network = last_feed_forward(model.network), model.network
    if part is None:
        return None
    ids = torch.arange(1, 23, device=network.device).reshape(2, 11) % network.config.get_text_config().vocab_size  # (B, T)
    at = (torch.tensor([0, 1, 1], device=network.device), torch.tensor([10, 4, 9], device=network.device))
    was_training = network.training
    network.eval()
    try:
        whole = model.hidden_states(ids)[at]
        with reads_only(part, at):
            same = torch.allclose(model.hidden_states(ids)[at], whole, atol=1e-3 * float(whole.abs().max()))
        return part if same else None
    finally:
        network.train(was_training)
