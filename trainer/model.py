"""The reward model: a causal language model whose next token, after a step, is that step's rating.

Reads a base (the preset `tiny`, a fetched base, a local folder or a hub id) or a folder that `train` wrote; gives a RewardModel to `train`
and `score`. Weights are read from safetensors only, and no code in a folder is run. A folder that cannot be used is refused with a reason.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from trainer.config import TINY, TINY_BASE, BadBase, BadConfig, TinyShape
from trainer.data import PAD, PROBLEM, RATING_TOKENS, SEPARATOR, STEP, StepTokenizer, broken_words, train_tokenizer
from trainer.evaluate import ORACLE_THRESHOLD
from trainer.folders import FORMAT_VERSION, FROZEN_FILE, SETTINGS_FILE, BadModelFolder, check_manifest, model_sha256
from trainer.frozen import FrozenBase, freeze, read_layers
from trainer.frozen_heads import FrozenHeads
from trainer.loading import UNREADABLE, check_finite, load_network, quietly, why_unusable
from trainer.naming import check_base, find_base
from trainer.output import check_causal, output_rule, read_states
from trainer.states import LIMIT, StateCache
from trainer.whitespace import check_white_space

__all__ = ["BadBase", "BadModelFolder", "RewardModel", "build_tiny", "load_base", "load_prm", "step_tokenizer"]


HEADS_FILE = "heads.safetensors"
STRANGE = 0.05  # largest share of broken words in text that suits the shipped base: 0.01 in the simulated world, 0.34 in GSM8K


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A causal language model with three rating tokens, its tokenizer and its settings."""

    network: PreTrainedModel
    tokenizer: StepTokenizer
    context: int
    threshold: float = ORACLE_THRESHOLD  # p(negative) above which a step counts as weak
    sha256: str = ""  # of the weights, tokenizer and framing in the folder from which it was read (`model_sha256`)
    base_rates: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)  # of the ratings it was trained on
    settings: dict[str, Any] | None = None  # stepmark.json
    kind: str = "prm"  # or "orm", which predicts the outcome at every token and has no neutral steps
    heads: nn.Linear | None = None  # uncertainty heads: (D) -> H logits of p(negative)
    frozen: FrozenBase | None = None  # the network is cut, and is read at these layers
    frozen_heads: FrozenHeads | None = None  # what predicts from the states of a frozen base, in the place of the rating rows
    states: StateCache | None = None  # where the states of a frozen base are kept

    def hidden_states(self, ids: Tensor, *, positions: Tensor | None = None, seen: Tensor | None = None) -> Tensor:
        """Run the network over right-padded ids (B, T) and return its last states (B, T, D), without a cache.

        Only trees need a mask: `positions` (B, T) and `seen` (B, 1, T, T), see `trees.masked`.
        """
        if seen is None:
            return self.read(input_ids=ids, use_cache=False)
        return self.read(input_ids=ids, position_ids=positions, attention_mask=seen, use_cache=False)

    def read(self, **inputs: Any) -> Tensor:
        """Run the network with inputs of its own forward and return the states (B, T, D) that its output matrix multiplies.

        Of a frozen base they are the states at its chosen layers, side by side.
        """
        if self.frozen is not None:
            return read_layers(self.network, self.frozen.modules, **inputs)
        return read_states(self.network, direct=output_rule(self.network).direct, **inputs)

    def rating_log_probabilities(self, states: Tensor, *, rows: Tensor | None = None) -> Tensor:
        """Turn step-end states (N, D) into log-probabilities (N, 3) of negative, neutral, positive, in float32; -inf for an ORM's neutral.

        Multiplies only the three rating rows of the output matrix, or `rows` (3, D) if training keeps them apart. Then it scales and
        bounds the products as the network itself does. Above a frozen base, its head predicts.
        """
        if self.frozen_heads is not None:
            return self.frozen_heads.log_probabilities(states, kind=self.kind)
        head, ids = cast(nn.Linear, self.network.get_output_embeddings()), list(self.tokenizer.rating_ids)
        bias = None if head.bias is None else head.bias[ids]
        products = nn.functional.linear(states, (head.weight[ids] if rows is None else rows).to(states.dtype), bias)
        logits = output_rule(self.network)(products).float()
        if self.kind == "orm":
            logits = logits.masked_fill(torch.tensor([False, True, False], device=logits.device), -torch.inf)
        return logits.log_softmax(-1)  # (N, 3)

    @torch.no_grad()
    def uncertainty(self, states: Tensor) -> Tensor:
        """Return mean and deviation of p(negative) over the heads at states (N, D): (N, 2) float32. Raises ValueError without heads."""
        if self.frozen_heads is not None and self.has_uncertainty:
            return self.frozen_heads.uncertainty(states, kind=self.kind)
        if self.heads is None:
            raise ValueError("The model has no uncertainty heads. Train it with uncertainty_heads = 32.")
        negative = self.heads(states.to(self.heads.weight.dtype)).float().sigmoid()  # (N, H)
        return torch.stack((negative.mean(-1), negative.std(-1, correction=0)), -1)

    def token_logits(self, states: Tensor) -> Tensor:
        """Turn states (N, D) into logits (N, V) of the next token, scaled and bounded as the network itself does."""
        return output_rule(self.network)(cast(nn.Linear, self.network.get_output_embeddings())(states))

    @property
    def has_uncertainty(self) -> bool:
        """Whether `uncertainty` says how sure the model is."""
        return self.heads is not None or (self.frozen_heads is not None and self.frozen_heads.n_ensemble > 0)

    @property
    def n_parameters(self) -> int:
        network = self.network.base_model if self.frozen is not None else self.network  # without the output matrix, which is not used
        return sum(p.numel() for p in network.parameters())

    def keeping_states(self, folder: str | Path, *, limit: int = LIMIT, spares: bool = True) -> "RewardModel":
        """Return the model with a cache of its states in `folder` (`StateCache`); a model whose base is not frozen stays as it is."""
        if (base := self.frozen) is None:
            return self
        cache = StateCache(folder, base=base.sha256, layers=base.layers, width=base.width, limit=limit, spares=spares)
        return replace(self, states=cache)


def build_tiny(texts: Iterable[str], *, shape: TinyShape, context: int, seed: int) -> RewardModel:
    """Make a small untrained Llama with a tokenizer trained on `texts`. The same seed gives the same weights."""
    trained = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(texts, merges=shape.merges), pad_token=PAD)
    tokenizer = step_tokenizer(trained)
    config = LlamaConfig(
        vocab_size=len(trained),
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_id,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: PreTrainedModel = LlamaForCausalLM(config)
    output_rule(network)
    return RewardModel(network, tokenizer, context)


def new_heads(n_heads: int, *, width: int, seed: int) -> nn.Linear:
    """Make uncertainty heads (arXiv 2504.10559), each a linear function of the state. The same seed gives the same heads.

    They begin about one logit apart. They stay apart for states that are unlike those in training.
    """
    heads = nn.Linear(width, n_heads)
    with torch.no_grad():
        heads.weight.normal_(0, 1 / math.sqrt(width), generator=torch.Generator().manual_seed(seed))
        heads.bias.zero_()
    return heads


def suits_shipped_base(texts: Sequence[str]) -> bool:
    """Tell whether the shipped base suits these texts: its vocabulary contains nearly all their words."""
    file = TINY_BASE / "tokenizer.json"
    return file.is_file() and broken_words(texts, tokenizer=Tokenizer.from_file(str(file))) <= STRANGE


def load_tiny(*, context: int) -> RewardModel:
    """Load the shipped base of the preset `tiny`, whose rating tokens already separate right from wrong. Raises BadBase."""
    check_base(str(TINY_BASE))
    hush_convolutions()
    network = load_network(TINY_BASE, what=f"The base {TINY_BASE}", dtype=torch.float32)
    output_rule(network)
    tokenizer = load_tokenizer(str(TINY_BASE))
    return RewardModel(network, step_tokenizer(tokenizer), min(context, network.config.max_position_embeddings))


def step_tokenizer(tokenizer: PreTrainedTokenizerBase) -> StepTokenizer:
    """Find the ids that frame a solution: special tokens for `tiny`; for other bases a blank line and the beginning-of-text token."""
    vocabulary = tokenizer.get_vocab()
    ratings = cast(tuple[int, int, int], tuple(vocabulary[token] for token in RATING_TOKENS))
    prefix: tuple[int, ...]
    if STEP in vocabulary and PROBLEM in vocabulary:
        prefix, step_end = (vocabulary[PROBLEM],), (vocabulary[STEP],)
    else:
        prefix = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
        step_end = tuple(tokenizer(SEPARATOR, add_special_tokens=False)["input_ids"])
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return StepTokenizer(tokenizer, prefix, step_end, ratings, 0 if pad is None else pad)


def load_tokenizer(source: str, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a base. Raises BadBase."""
    try:
        with quietly():
            return AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    except UNREADABLE as error:
        raise BadBase(why_unusable(source, error)) from error


def load_base(base: str, *, revision: str | None = None, context: int, seed: int = 0) -> RewardModel:
    """Load a pretrained causal language model and add three rating tokens, all equally likely at first.

    `context` is lowered to the longest text that the base can read. The same seed gives the same new weights. Raises BadBase with the
    reason if the base cannot be used.
    """
    model = _load_pretrained(base, revision=revision, context=context)
    output_rule(model.network)
    add_rating_tokens(model.network, list(model.tokenizer.rating_ids), n_tokens=len(model.tokenizer.tokenizer), seed=seed)
    return model


def load_frozen_base(base: str, *, revision: str | None = None, context: int, layers: Sequence[int] = ()) -> RewardModel:
    """Load a base whose weights never change, without its layers above the highest of `layers`; `tiny` is the shipped base.

    It has no heads yet. Raises BadBase, and BadConfig for a layer that does not exist.
    """
    what = f"The base {base}"
    if base == TINY:
        model, place = load_tiny(context=context), str(TINY_BASE)
        layers = layers or (model.network.config.num_hidden_layers - 2, model.network.config.num_hidden_layers)  # drilled up to the top
    else:
        model, place = _load_pretrained(base, revision=revision, context=context), find_base(base)
    revision = getattr(model.network.config, "_commit_hash", None) or revision
    about, _ = PreTrainedConfig.get_config_dict(place, revision=revision)
    return replace(model, frozen=freeze(model.network, layers=layers, about=about, what=what))


def _load_pretrained(base: str, *, revision: str | None, context: int) -> RewardModel:
    """Load a causal language model and a tokenizer that knows the rating tokens, which the network does not know yet. Raises BadBase."""
    source = find_base(base)
    try:
        with quietly():
            config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    except UNREADABLE as error:
        raise BadBase(why_unusable(base, error)) from error
    if getattr(config, "quantization_config", None):
        raise BadBase(f"The base {base} holds quantized weights, which cannot be trained. Name the base from which it was quantized.")
    # The commit of the configuration: tokenizer and weights must come from the same one, even if the branch moves on.
    revision = getattr(config, "_commit_hash", None) or revision
    tokenizer = load_tokenizer(source, revision=revision)
    network = load_network(source, what=f"The base {base}", config=config, revision=revision, dtype=torch.float32)
    check_causal(network, what=f"The base {base}")
    embedding = cast(nn.Embedding, network.get_input_embeddings())
    if tokenizer.vocab_size > embedding.num_embeddings:
        raise BadBase(
            f"The base {base} has a tokenizer of {tokenizer.vocab_size:,} tokens, but its network knows only {embedding.num_embeddings:,}. "
            "Give the tokenizer that belongs to the weights."
        )
    tokenizer.add_tokens(list(RATING_TOKENS), special_tokens=True)
    framing = step_tokenizer(tokenizer)
    check_white_space(framing, base=base)
    return RewardModel(network, framing, min(context, longest_text(config) or context))


def longest_text(config: PreTrainedConfig) -> int | None:
    """Return the number of tokens that a network can read, or None if any.

    With long rotations (longrope, Phi-3) a longer text is read with other rotations from its first token on. A score must not depend on the
    solutions beside it in a batch, so only texts are read that keep the first rotations.
    """
    text = config.get_text_config()
    limits = [getattr(text, "max_position_embeddings", None)]
    limits += [rope.get("original_max_position_embeddings") for rope in rotations(config) if rope.get("rope_type") == "longrope"]
    return min((limit for limit in limits if limit and limit > 0), default=None)  # -1: any length (XLNet)


def rotations(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """Return the settings of the rotations (RoPE) of a network: none, one, or one for each kind of layer."""
    settings = getattr(config.get_text_config(), "rope_parameters", None) or {}
    return [settings, *(own for own in settings.values() if isinstance(own, dict))]


@torch.no_grad()
def add_rating_tokens(network: PreTrainedModel, rating_ids: list[int], *, n_tokens: int, seed: int) -> None:
    """Make room for `n_tokens` tokens and give the rating tokens the mean of all output weights, in place.

    Other new rows are drawn from the seed, because transformers draws them from torch's own random state.
    """
    head = cast(nn.Linear, network.get_output_embeddings())
    mean = head.weight.mean(0)
    bias = None if head.bias is None else head.bias.mean(0)
    if n_tokens > cast(nn.Embedding, network.get_input_embeddings()).num_embeddings:  # many bases have spare rows
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.resize_token_embeddings(n_tokens, mean_resizing=False)
        head = cast(nn.Linear, network.get_output_embeddings())
    head.weight[rating_ids] = mean
    if bias is not None:
        head.bias[rating_ids] = bias


def load_prm(folder: str | Path) -> RewardModel:
    """Load a reward model from a folder that `train` wrote, after a check against its manifest. Raises BadModelFolder."""
    folder = Path(folder)
    check_manifest(folder)
    hush_convolutions()
    settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    if settings.get("format") != FORMAT_VERSION:
        raise BadModelFolder(
            f"{folder} has format {settings.get('format')!r}, but this version reads format {FORMAT_VERSION}. Train the model again."
        )
    tokenizer = load_tokenizer(str(folder))
    framing = StepTokenizer(
        tokenizer, tuple(settings["prefix"]), tuple(settings["step_end"]), tuple(settings["rating_ids"]), settings["pad_id"]
    )
    about = (settings["context"], settings["threshold"], model_sha256(folder), tuple(settings["metrics"]["base_rates"]))
    if (folder / FROZEN_FILE).is_file():
        network, frozen = _load_own_base(folder, settings)
        heads = FrozenHeads(_load_heads(folder))
        if heads.mean.shape != (frozen.width,):
            raise BadModelFolder(f"{folder / HEADS_FILE} does not fit the layers of its base. Restore the folder or train again.")
        return RewardModel(network, framing, *about, settings, settings["kind"], frozen=frozen, frozen_heads=heads.eval())
    network = load_network(folder, what=f"The model folder {folder}", dtype=torch.float32)
    output_rule(network)
    uncertainty = None
    if (folder / HEADS_FILE).is_file():
        weights = _load_heads(folder)
        n_heads, width = weights["weight"].shape
        uncertainty = nn.Linear(width, n_heads).eval()
        uncertainty.load_state_dict(weights)
    return RewardModel(network.eval(), framing, *about, settings, settings["kind"], uncertainty)


def _load_heads(folder: Path) -> dict[str, Tensor]:
    weights = load_file(folder / HEADS_FILE)
    check_finite(weights, what=f"The model folder {folder}")
    return weights


def _load_own_base(folder: Path, settings: Mapping[str, Any]) -> tuple[PreTrainedModel, FrozenBase]:
    """Load the base on which the heads of a folder stand. Raises BadModelFolder if it is gone, or if it is another one now."""
    named = FrozenBase.from_dict(json.loads((folder / FROZEN_FILE).read_text(encoding="utf-8")))
    base, revision = settings["config"]["base"], settings["config"]["revision"]
    try:
        model = load_frozen_base(base, revision=revision, context=settings["context"], layers=named.layers)
    except (BadBase, BadConfig) as error:
        raise BadModelFolder(
            f"{folder} holds only the heads of a frozen model, and its base {base} cannot be loaded: {error} "
            "Restore the base in its place, or train again."
        ) from error
    assert model.frozen is not None
    if model.frozen.sha256 != named.sha256:
        raise BadModelFolder(
            f"{folder} was trained on another base than the {base} that is there now: its sha256 begins with {model.frozen.sha256[:12]}, "
            f"not with {named.sha256[:12]}. Its scores would mean nothing. Restore that base, or train again."
        )
    return model.network, named


def save_weights(model: RewardModel, folder: Path) -> None:
    """Write model.safetensors, the heads and the configuration of network and tokenizer into an existing folder.

    Of a model on a frozen base, only the heads, and what its base is.
    """
    if model.frozen is None:
        with quietly():
            model.network.save_pretrained(folder)
    else:
        (folder / FROZEN_FILE).write_text(json.dumps(model.frozen.as_dict(), indent=2) + "\n", encoding="utf-8")
    heads = model.heads if model.frozen_heads is None else model.frozen_heads
    if heads is not None:
        save_file({name: value.contiguous() for name, value in heads.state_dict().items()}, folder / HEADS_FILE)
    model.tokenizer.tokenizer.save_pretrained(folder)


def hush_convolutions() -> None:
    """Turn off a warning that advises to install a CUDA kernel: the shipped base is small and does not need it."""
    logging.getLogger("transformers.integrations.hub_kernels").setLevel(logging.ERROR)
