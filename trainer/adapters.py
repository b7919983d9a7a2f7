"""Prepare a network for a kind of training: low-rank adapters (LoRA) beside its matrices, and dropout turned off."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


def add_adapters(network: PreTrainedModel, *, rank: int, seed: int) -> None:
    """Add low-rank adapters (LoRA, arXiv 2106.09685) to every linear layer except the output, and freeze all other weights, in place."""
    from peft import LoraConfig, inject_adapter_in_model  # takes a second to import: only for those who use adapters

    is_transposed = any(isinstance(layer, Conv1D) for layer in network.modules())  # GPT-2 stores its matrices transposed
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=is_transposed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, network)


def merge_adapters(network: PreTrainedModel) -> None:
    """Merge the adapters into the weights and remove them, in place, so that scoring needs no adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(network.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            owner, _, own = name.rpartition(".")
            setattr(network.get_submodule(owner), own, layer.get_base_layer())
    network.requires_grad_(True)


def without_dropout(network: nn.Module) -> None:
    """Set every dropout of a network to 0, in place: dropout modules, and the rates that attention keeps as numbers."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
