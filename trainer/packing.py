"""Pack solutions end to end into one row without pads, for GPUs with variable-length attention. No position sees another solution.

Reads EncodedSolution; gives `prefix` the groups to pack, their ids and positions, and an attention that respects the borders. A network
that would look across a border is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
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
from trainer.output import made_up_ids, output_rule, read_states, same

PACKED = "stepmark_packed"
TRIED = "stepmark_packed_slowly"  # the same on any device, to try a network with
ADDED = ("softcap", "s_aux", "position_bias", "sliding_window")  # what some networks add to attention, and the packed one lacks
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
    """Raise PackingRefused if packed solutions get other states than each solution alone. Tries it on made-up text.

    A network is refused by its layers if one reads across the border of two solutions, and by its states if anything else differs.
    """
    name, config = type(network).__name__, network.config.get_text_config()
    try:
        layers = {type(layer) for layer in DynamicCache(config=config).layers}
    except (AttributeError, KeyError, TypeError, ValueError):
        layers = set()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if layers - {DynamicLayer} or kinds or not network._supports_attention_backend:
        window = "a sliding window" if layers - {DynamicLayer} else "an attention that cannot be replaced"
        reads = ", ".join(sorted(kinds)) or window
        raise PackingRefused(
            f"Solutions cannot be packed for {name}: its layers ({reads}) ignore the borders between them. Score without packing."
        )
    if (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads) > WIDEST_HEAD:
        raise PackingRefused(f"The attention heads of {name} are wider than {WIDEST_HEAD}, too wide to be packed. Score without packing.")
    _try_packing(network)


@torch.no_grad()
def _try_packing(network: PreTrainedModel) -> None:
    name, n_first, n_tokens, was_training = type(network).__name__, 7, 16, network.training
    direct = output_rule(network).direct
    ids = made_up_ids(network, length=n_tokens)
    pair = [EncodedSolution(part.astype(np.int32), np.empty(0, np.int32), 0) for part in np.split(ids[0].cpu().numpy(), [n_first])]
    reason = "its states in a pack are not those of each solution alone"
    network.eval()
    try:
        alone = [
            read_states(network, direct=direct, input_ids=part, use_cache=False) for part in ids.split([n_first, n_tokens - n_first], 1)
        ]
        with attends_within_borders(network, by=TRIED):
            together = read_states(network, direct=direct, **packed_inputs(*packed(pair), device=network.device))
        if same(torch.cat(alone, 1), together):
            return
    except PackingRefused as error:
        reason = str(error)
    except (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = f"it does not accept packed solutions ({' '.join(str(error).split())[:100]})"
    finally:
        network.train(was_training)
    raise PackingRefused(f"Solutions cannot be packed for {name}: {reason}. Score without packing.")


def packed_inputs(
    ids: NDArray[np.int64], positions: NDArray[np.int64], _: NDArray[np.int64], borders: NDArray[np.int32], *, device: torch.device
) -> dict[str, Any]:
    """Return the inputs of a network for a row that `packed` made. The borders are passed like those of transformers' flash attention."""
    starts, longest = moved(borders, device), int(np.diff(borders).max())
    return {
        "input_ids": moved(ids, device),
        "position_ids": moved(positions, device),
        "use_cache": False,
        "cu_seq_lens_q": starts,
        "cu_seq_lens_k": starts,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def moved(array: NDArray[np.integer], device: torch.device) -> Tensor:
    """Copy an array to the device; to a GPU from pinned memory, so that nothing waits for the copy."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


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
def attends_within_borders(network: PreTrainedModel, *, by: str = PACKED) -> Iterator[None]:
    """Let the network attend only within each packed solution."""
    own = network.config._attn_implementation
    network.set_attn_implementation(by)
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


def tried_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor,
    **others: Any,
) -> tuple[Tensor, None]:
    """Do what `packed_attention` does, one solution after the other. Raises PackingRefused for an attention that it does not know."""
    if added := [name for name in ADDED if others.get(name) is not None]:
        raise PackingRefused(f"its attention has a {added[0]}, which is not packed")
    if query.shape[-1] != value.shape[-1]:
        raise PackingRefused("its keys and values have different widths")
    starts, grouped = cu_seq_lens_q.tolist(), query.shape[1] != key.shape[1]
    attended = [
        nn.functional.scaled_dot_product_attention(
            query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], is_causal=True, scale=scaling, enable_gqa=grouped
        )
        for a, b in pairwise(starts)
    ]
    return torch.cat(attended, 2).transpose(1, 2), None


def no_mask(*_: Any, **__: Any) -> None:
    """Make no mask: the borders replace it."""


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, no_mask)
AttentionInterface.register(TRIED, tried_attention)
AttentionMaskInterface.register(TRIED, no_mask)
