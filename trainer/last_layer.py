"""Run the last feed-forward part of a network only at the positions that are read: after it no position depends on another.

`prefix` uses it for step ends, `losses` for rated places.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainer.model import RewardModel
from trainer.output import made_up_ids


def last_feed_forward(network: nn.Module) -> nn.Module | None:
    """Return the feed-forward part of the last layer if it has only plain matrices, which treat each position alone; else None."""
    layers = getattr(network.base_model, "layers", None)  # of a frozen base, those up to the highest that is read
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return None
    part = getattr(layers[-1], "mlp", None) or getattr(layers[-1], "feed_forward", None)
    weighted = [layer for layer in part.modules() if next(layer.parameters(recurse=False), None) is not None] if part is not None else []
    return part if weighted and all(isinstance(layer, nn.Linear) for layer in weighted) else None


@contextmanager
def reads_only(part: nn.Module | None, at: tuple[Tensor, Tensor]) -> Iterator[None]:
    """Run `part` only at the positions `at` (rows, columns) of its input (B, T, D). Elsewhere its output is 0 and must not be read.

    In a network of four layers this saves a sixth of the work.
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
    """Return the last feed-forward part if running it only at some positions gives the same states there. Tries it on made-up text."""
    part, network = last_feed_forward(model.network), model.network
    if part is None:
        return None
    ids = made_up_ids(network, length=22).reshape(2, 11)  # (B, T)
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
