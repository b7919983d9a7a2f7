"""Choose the attention that a training run computes fastest.

Depends only on lengths and the device. Changes a network's attention for as long as a run lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SHORT = 512  # tokens; above this the (T, T) products of plain attention cost more than they save


@contextmanager
def quick_attention(network: Any, *, longest: int, autocast: bool) -> Iterator[None]:
    """Use plain attention if a processor trains in bfloat16 and no sequence is longer than SHORT tokens; else change nothing.

    In that case the backward pass of the fused kernel reaches only a few GFLOP/s. Plain attention made a whole training step a fifth
    faster at 128 tokens and a tenth faster at 512; at 1,024 it was a third slower (torch 2.13). In float32 the fused kernel is at least
    as fast. The choice holds for a whole run, not for a batch: gradient checkpointing repeats a forward pass and needs the same attention.
    """
    fused = network.config._attn_implementation
    if not autocast or longest > SHORT or network.device.type != "cpu" or fused != "sdpa":
        yield
        return
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(fused)
