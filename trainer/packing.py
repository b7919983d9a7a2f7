"""Pack solutions end to end into one row without pads, for GPUs with variable-length attention. No position sees another solution.

Reads EncodedSolution; gives `prefix` the groups to pack, their ids and positions, and an attention that respects the borders. A network
that would look across a border is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from trainer.config import BadConfig
from trainer.data import EncodedSolution

PACKED = "stepmark_packed"
AMPERE = (8, 0)  # compute capability of the first GPUs with variable-length flash attention
WIDEST_HEAD = 256


class PackingRefused(BadConfig):
    """Packing is impossible or would be wrong here; the message says why and what to do instead."""


def check_packing(network: PreTrainedModel, *, bfloat16: bool) -> None:
    """Raise PackingRefused unless this network keeps packed solutions apart on its device."""
    check_borders(network)
    device = network.device
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE:
        raise PackingRefused("Packing needs an NVIDIA GPU of compute capability 8.0 or more. Score without packing.")
    if not bfloat16:
        raise PackingRefused("Packing works only in bfloat16. Use bfloat16 too, or score without packing.")


def check_borders(network: PreTrainedModel) -> None:
    """Raise PackingRefused if a layer of the network would read across the border of two packed solutions."""
    name, config = type(network).__name__, network.config.get_text_config()
    try:
        layers = {type(layer) for layer in DynamicCache(config=config).layers}
    except (AttributeError, KeyError, TypeError, ValueError):
        layers = set()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if layers - {DynamicLayer} or kinds or not network._supports_attention_backend:
        reads = ", ".join(sorted(kinds)) or "an attention that cannot be replaced"
        raise PackingRefused(
            f"Solutions cannot be packed for {name}: its layers ({reads}) ignore the borders between them. Score without packing."
        )
    if (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads) > WIDEST_HEAD:
        raise PackingRefused(f"The attention heads of {name} are wider than {WIDEST_HEAD}, too wide to be packed. Score without packing.")


def packs(lengths: Sequence[int], *, token_budget: int) -> list[NDArray[np.int64]]:
    """Group places, in order, so that the lengths of a group add up to at most the budget. A longer solution is a group of its own."""
    groups: list[list[int]] = []
    room = 0
    for place, length in enumerate(lengths):
        if length > room or not groups:
            groups.append([])
            room = token_budget
        groups[-1].append(place)
        room -= length
    return [np.array(group) for group in groups]


def packed(encoded: Sequence[EncodedSolution]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return ids (1, T), positions (1, T) that start again at 0 for each solution, step ends (N,) in the row, and borders (B + 1,)."""
    lengths = [len(solution.ids) for solution in encoded]
    borders = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ids = np.concatenate([solution.ids for solution in encoded]).astype(np.int64)
    positions = np.concatenate([np.arange(length) for length in lengths])
    ends = np.concatenate([start + solution.step_ends for start, solution in zip(borders, encoded, strict=False)]).astype(np.int64)
    return ids[None], positions[None], ends, borders


@contextmanager
def attends_within_borders(network: PreTrainedModel) -> Iterator[None]:
    """Let the network attend only within each packed solution. The borders are passed like those of transformers' flash attention."""
    own = network.config._attn_implementation
    network.set_attn_implementation(PACKED)
    try:
        yield
    finally:
        network.set_attn_implementation(own)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend causally within the borders: query (1, H, T, d), key and value (1, H or fewer, T, d) -> (1, T, H, d)."""
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))  # (T, H, d)
    borders, longest, grouped = cu_seq_lens_q, max_length_q, q.shape[1] != k.shape[1]
    attended = varlen_attn(q, k, v, borders, borders, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped)
    return cast(Tensor, attended).unsqueeze(0), None


def no_mask(*_: Any, **__: Any) -> None:
    """Make no mask: the borders replace it."""


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, no_mask)
