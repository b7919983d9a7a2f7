"""What a network does around its output matrix, found by trying: so ratings get the probabilities that the network itself would give.

Some networks multiply their logits (Cohere, Granite), bound them (Gemma) or transform the states once more (ModernBERT) before or after
the output matrix. `output_rule` tries a network once with made-up numbers and refuses one that does anything else. `check_causal` refuses
a network that reads later tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.config import BadBase
from trainer.loading import CAUSAL

TRIED = 16  # tokens of made-up text
SMALL, LARGE = 2.0**-10, 1e6  # logits at which a bound is not yet felt, and at which nothing else is
SAME = 1e-4  # largest difference, relative to the largest number, that float32 rounding can make
LATER = 2e-5  # the same for an earlier token when only later ones change: no other rounding happens there


@dataclass(frozen=True, slots=True)
class OutputRule:
    """How a network turns the products of its output matrix into logits: scaled, then bounded softly by `cap`.

    `direct` tells whether the output matrix multiplies the last states of the base network. If not, a layer stands in between.
    """

    scale: float = 1.0
    cap: float | None = None
    direct: bool = True

    def __call__(self, products: Tensor) -> Tensor:
        """Turn products (.., V) into logits (.., V)."""
        if self.scale != 1.0:  # (N, V) is the largest tensor of a tiny model: avoid a needless pass over it
            products = products * self.scale
        return products if self.cap is None else self.cap * torch.tanh(products / self.cap)


_RULES: WeakKeyDictionary[nn.Module, OutputRule] = WeakKeyDictionary()


def output_rule(network: PreTrainedModel) -> OutputRule:
    """Return the rule of a network, tried once for each network. Raises BadBase if there is none that gives its own logits."""
    if network not in _RULES:
        _RULES[network] = _tried(network)
    return _RULES[network]


def read_states(network: PreTrainedModel, *, direct: bool, **inputs: Any) -> Tensor:
    """Run a network and return what its output matrix multiplies: states (B, T, D)."""
    if direct:
        return cast(Tensor, network.base_model(**inputs).last_hidden_state)
    head, states = network.get_output_embeddings(), []

    def stop(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        states.append(given[0])
        return (given[0][..., :1, :],)  # the product is not used: make it small

    hook = cast(nn.Module, head).register_forward_pre_hook(stop)
    try:
        network(**inputs)
    finally:
        hook.remove()
    return states[-1]


@torch.no_grad()
def check_causal(network: PreTrainedModel, *, what: str) -> None:
    """Raise BadBase if a network is not a causal language model: by its config, or because a later token changes an earlier logit."""
    config, kind = network.config.get_text_config(), type(network).__name__
    said = (
        "is_encoder_decoder" if network.config.is_encoder_decoder
        else "is_causal" if getattr(config, "is_causal", True) is False
        else "use_bidirectional_attention" if getattr(config, "use_bidirectional_attention", None) in (True, "all")
        else ""
    )  # fmt: skip
    if said:
        raise BadBase(f"{what} is not a causal language model: its config.json says {said} = {getattr(config, said)!r}. {CAUSAL}")
    half = _short_text(network).shape[1] // 2
    beginning, end, other_end = made_up_ids(network, length=3 * half).split(half, 1)
    texts = [torch.cat([beginning, some], 1) for some in (end, other_end)]
    with _evaluating(network, what=what):
        earlier = [network(input_ids=some, use_cache=False).logits[:, :half].float() for some in texts]
    change, size = float((earlier[0] - earlier[1]).abs().max()), float(earlier[0].abs().max())
    if change > max(LATER, torch.finfo(network.dtype).eps) * size:
        raise BadBase(
            f"{what} is not a causal language model: {kind} reads later tokens too (another end of a text changed an earlier logit by "
            f"{change:.2g}). {CAUSAL}"
        )


def made_up_ids(network: PreTrainedModel, *, length: int) -> Tensor:
    """Return token ids (1, length) of a made-up text, none of which the config names: those can stand for an image or for a pad."""
    named = {
        number
        for settings in (network.config, network.config.get_text_config())
        for name, value in vars(settings).items()
        if name.endswith(("token_id", "token_index"))
        for number in (value if isinstance(value, list) else [value])
    }
    n_rows = cast(nn.Embedding, network.get_input_embeddings()).num_embeddings
    ids = [number for number in range(min(n_rows, 50 * length + len(named))) if number not in named] or [0]
    step = max(1, len(ids) // length)
    return torch.tensor([[ids[place * step % len(ids)] for place in range(length)]], device=network.device)


def _short_text(network: PreTrainedModel) -> Tensor:
    limit = getattr(network.config.get_text_config(), "max_position_embeddings", None) or TRIED
    return made_up_ids(network, length=min(TRIED, limit) if limit > 0 else TRIED)  # -1: any length (XLNet)


@torch.no_grad()
def _tried(network: PreTrainedModel) -> OutputRule:
    """Put chosen numbers in the place of the products of the output matrix and look at the logits that the network makes of them."""
    head, what = network.get_output_embeddings(), type(network).__name__
    if not isinstance(head, nn.Linear):
        raise BadBase(f"{what} cannot be used: it has no plain output matrix for the next token. Name another base.")
    ids, states, chosen = _short_text(network), [], []

    def choose(_: nn.Module, given: tuple[Tensor, ...], products: Tensor) -> Tensor:
        states.append(given[0])
        ladder = torch.linspace(-60, 60, products.shape[-2], device=products.device)
        ladder[:3] = torch.tensor([0.0, SMALL, LARGE])[: len(ladder)]
        chosen.append(ladder[:, None].expand_as(products).to(products.dtype))
        return chosen[-1]

    with _evaluating(network, what=what):
        own = network(input_ids=ids, use_cache=False).logits
        hook = head.register_forward_hook(choose)
        try:
            made = network(input_ids=ids, use_cache=False).logits
        finally:
            hook.remove()
        try:
            last = network.base_model(input_ids=ids, use_cache=False).last_hidden_state
            direct = last.shape == states[0].shape and same(last, states[0])
        except (AttributeError, TypeError):  # the base network is called otherwise, or gives something else
            direct = False
        if made.shape == chosen[0].shape == (1, ids.shape[1], head.out_features) and ids.shape[1] >= 3:
            scale, top = _rounded(float(made[0, 1, 0]) / SMALL), float(made[0, 2, 0])
            rule = OutputRule(scale, None if abs(top) > 0.5 * abs(scale) * LARGE else top, direct)
            read = read_states(network, direct=direct, input_ids=ids, use_cache=False)
            pairs = [(rule(chosen[0])[:, :1], made[:, :1]), (rule(chosen[0])[:, 3:], made[:, 3:]), (rule(head(read)), own)]
            if scale > 0 and all(same(ours, networks) for ours, networks in pairs):
                return rule
    finite = "" if bool(own.isfinite().all()) else " Its logits for plain text are not finite numbers."
    raise BadBase(
        f"{what} cannot be used: its probabilities do not follow from its output matrix in a way known here.{finite} Name another base."
    )


def _rounded(scale: float) -> float:
    """Take back the rounding of float32, so that a network without a scale gets exactly 1."""
    short = float(f"{scale:.5g}")
    return short if abs(scale - short) <= 2e-7 * abs(short) else scale


def same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are the same except for float32 rounding."""
    return bool((one - other).abs().max() <= SAME * one.abs().max())


@contextmanager
def _evaluating(network: PreTrainedModel, *, what: str) -> Iterator[None]:
    """Turn dropout off, and turn an error of the network into a BadBase."""
    was_training = network.training
    network.eval()
    try:
        yield
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, BadBase | torch.OutOfMemoryError):
            raise
        raise BadBase(
            f"{what} cannot be used: {type(network).__name__} does not read a plain text: {' '.join(str(error).split())[:200]}"
        ) from error
    finally:
        network.train(was_training)
