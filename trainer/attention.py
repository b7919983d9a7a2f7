"""Which attention a training run computes fastest.

Reads nothing but lengths and the device; changes a network's attention for as long as a run lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SHORT = 512  # tokens; beyond, the (T, T) products of plain attention cost more than they spare


@contextmanager
def quick_attention(network: Any, *, longest: int, autocast: bool) -> Iterator[None]:
    """Attend by plain products while sequences are at most SHORT tokens long and a processor trains in bfloat16; else change nothing.

    There the backward of the fused kernel runs at a few GFLOP/s: at 128 tokens plain attention made a whole training step a fifth
    faster, at 512 a tenth, and at 1,024 it was slower by a third (torch 2.13). In float32 the fused kernel is at least as fast.
    Set for a whole run, not for a batch: gradient checkpointing computes a forward again and must find the same attention.
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
