"""Read the states of a frozen base at chosen layers, and run no layer above them.

Reads a causal network; `cut` removes its upper layers, and `read_layers` gives the states after the others, each scaled to a mean square of
1, as the network's own layers scale what they read. `base_sha256` identifies the base, so that its states are never taken for another's.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.config import BadBase, BadConfig
from trainer.output import made_up_ids, same

TRIED = 13  # tokens of made-up text
# What config.json says about a file or a program, and not about the network.
UNRELATED = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "_commit_hash")


@dataclass(frozen=True, slots=True)
class FrozenBase:
    """What a model says about its frozen base: the layers read (1 is the first), the names of their modules, and the base's sha256."""

    layers: tuple[int, ...]
    modules: tuple[str, ...]
    sha256: str
    width: int = field(default=0)  # of one state, all layers together

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"layers": list(self.layers), "modules": list(self.modules), "sha256": self.sha256, "width": self.width}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FrozenBase":
        """Read what `as_dict` gave."""
        return cls(tuple(values["layers"]), tuple(values["modules"]), values["sha256"], values["width"])


def default_layers(n_layers: int) -> tuple[int, ...]:
    """Return the layers that are read if nobody chooses: after two and after three fifths of the network.

    The states of the upper layers are made for the next token. In SmolLM2-135M (30 layers) 12 and 18 told steps apart best.
    """
    return tuple(sorted({max(1, round(n_layers * share)) for share in (0.4, 0.6)}))


def freeze(network: PreTrainedModel, *, layers: Sequence[int], about: Mapping[str, Any], what: str) -> FrozenBase:
    """Cut a network above the highest of `layers` (empty: the usual ones), in place, and say what was read.

    `about` is its config.json, `what` begins the message of a refusal, such as "The base gpt2". Raises BadConfig for a layer that does
    not exist, and BadBase if the layers of the network cannot be read.
    """
    name, found = find_layers(network, what=what)
    wanted = tuple(sorted(set(layers))) or default_layers(len(found))
    if strange := [number for number in wanted if not 1 <= number <= len(found)]:
        raise BadConfig(
            f"{what} has {len(found)} layers, so there is no layer {strange[0]}. Give frozen_layers from 1 to {len(found)}, or none."
        )
    modules = tuple(f"{name}.{number - 1}" for number in wanted)
    _try_cut(network, name, found, modules, top=wanted[-1], what=what)
    network.requires_grad_(False)
    network.eval()
    hidden = network.config.get_text_config().hidden_size
    return FrozenBase(wanted, modules, base_sha256(network, about=about), hidden * len(wanted))


def find_layers(network: PreTrainedModel, *, what: str) -> tuple[str, nn.ModuleList]:
    """Return the name and the list of a network's layers. Raises BadBase if there is none of the length that its config says."""
    n_layers = getattr(network.config.get_text_config(), "num_hidden_layers", None)
    inside = {id(module) for module in network.base_model.modules()}
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers and id(module) in inside:
            return name, module
    raise BadBase(
        f"{what} cannot be used frozen: {type(network).__name__} does not keep its layers in a list. Train it whole, or with lora_rank."
    )


@torch.no_grad()
def _try_cut(network: PreTrainedModel, name: str, found: nn.ModuleList, modules: Sequence[str], *, top: int, what: str) -> None:
    """Cut the network, and compare the states before and after on made-up text. Raises BadBase."""
    network.eval()
    ids = made_up_ids(network, length=TRIED)
    try:
        before = read_layers(network, modules, input_ids=ids, use_cache=False)
        _set_module(network, name, found[:top])
        after = read_layers(network, modules, input_ids=ids, use_cache=False)
    except (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise BadBase(
            f"{what} cannot be used frozen: {type(network).__name__} does not run without its upper layers "
            f"({' '.join(str(error).split())[:120]}). Train it whole, or with lora_rank."
        ) from error
    if not bool(before.isfinite().all()):
        raise BadBase(f"{what} cannot be used frozen: its states are not finite numbers. Name other frozen_layers, or another base.")
    if not same(before, after):
        raise BadBase(
            f"{what} cannot be used frozen: without the upper layers the states of {type(network).__name__} are others. Train it whole."
        )


def _set_module(network: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, own = name.rpartition(".")
    setattr(network.get_submodule(owner), own, module)


def read_layers(network: PreTrainedModel, modules: Sequence[str], **inputs: Any) -> Tensor:
    """Run a network and return the states after these layers side by side, (B, T, width), float32, each scaled to a mean square of 1.

    A state is float32, however the network computes. Scaled, it fits into float16, whatever the network's numbers are.
    """
    states: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            states[name] = output if isinstance(output, Tensor) else output[0]

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in modules]
    try:
        network.base_model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat([scaled(states[name]) for name in modules], -1)


def scaled(states: Tensor) -> Tensor:
    """Scale states (.., D) to a mean square of 1, in float32. A state of zeros stays."""
    whole = states.float()
    return whole * whole.square().mean(-1, keepdim=True).clamp_min(1e-12).rsqrt()


def base_sha256(network: PreTrainedModel, *, about: Mapping[str, Any]) -> str:
    """Return the identity of a network as it is cut: a hash of its weights in float32 and of its config.json (`about`).

    It does not depend on the folder or on the format of the weights' file.
    """
    settings = {name: value for name, value in about.items() if name not in UNRELATED and not name.endswith("token_id")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, value in sorted(network.base_model.state_dict().items()):
        plain = value.detach().float().cpu().contiguous()
        digest.update(f"{name} {tuple(plain.shape)}".encode())
        digest.update(memoryview(plain.reshape(-1).view(torch.uint8).numpy()) if plain.numel() else b"")
    return digest.hexdigest()
