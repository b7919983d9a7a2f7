"""The settings of a training run, as JSON. Imports nothing heavy, so a web process can use it.

Start with `TrainConfig.for_base`: it takes the settings that suit the base (the paper's for a pretrained language model, others for the
preset `tiny`) and changes only those that the caller names.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

TINY = "tiny"
TINY_BASE = Path(__file__).parent / "bases" / "tiny"  # made by script/tiny_base.py


class BadConfig(ValueError):
    """A setting that does not exist or cannot be used; the message names it."""


class BadBase(ValueError):
    """A base or a reward model that cannot be loaded; the message says why and what to do."""


@dataclass(frozen=True)
class TinyShape:
    """Shape of the Llama that the preset `tiny` trains from scratch."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    feed_forward: int = 384
    merges: int = 1200  # text pieces to learn, in addition to 256 bytes and 1,110 number tokens

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads, self.feed_forward) < 1 or self.merges < 0:
            raise BadConfig(f"Every size of the tiny model must be positive, which is not so in {self}. Raise it.")
        if self.width % (2 * self.heads):
            raise BadConfig(f"width ({self.width}) must be a multiple of twice the number of heads ({self.heads}). Change one of them.")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run. The defaults are the paper's, for a pretrained base; `for_base("tiny")` gives those of `tiny`."""

    base: str  # "tiny", a fetched base such as "smollm2", a local folder, or a hub id such as "Qwen/Qwen2.5-0.5B"
    kind: Literal["prm", "orm"] = "prm"  # learn from rated steps, or from solutions graded by their final answer
    revision: str | None = None  # commit of a hub id; without it, the model card names the commit that was loaded
    epochs: int = 2  # passes over the labeled solutions
    language_model_epochs: int = 0  # passes over unlabeled and labeled text before that, language-model loss only
    language_model_weight: float = 0.0  # weight of the language-model loss, added to the rating loss
    learning_rate: float = 1e-5  # peak; linear warm-up, then linear decay to a tenth
    language_model_learning_rate: float = 1e-5
    weight_decay: float = 0.1
    warmup: float = 0.05  # share of the optimizer steps of a phase
    clip_norm: float = 1.0
    token_budget: int = 8192  # tokens of one forward, padding included
    batches_per_update: int = 1  # forwards per optimizer step, over all processes; at least one for each
    minimum_updates: int = 20  # optimizer steps of a phase; with little data, batches become smaller and then passes more (`phases.Pace`)
    lora_rank: int = 0  # 0: train every weight; else train adapters of this rank, which are merged into the saved weights
    frozen: bool = False  # train no weight of the base: small heads read its states, which are kept in a cache
    frozen_layers: tuple[int, ...] = ()  # the layers whose states the heads read, 1 the first; empty: two in the middle of the network
    frozen_head: Literal["", "linear", "mlp"] = ""  # kind of the heads; empty: what cross-validation over problems chooses
    gradient_checkpointing: bool = False  # compute the activations in a layer twice instead of storing them: less memory, more time
    uncertainty_heads: int = 0  # number of small heads whose disagreement shows how unsure the model is; 32 in ActPRM
    language_model_solutions: int = 20_000  # read at most this many unlabeled solutions, drawn uniformly
    context: int = 2048  # tokens; longer solutions are cut at the end of a step and counted
    held_out: float = 0.2  # share of the problems that are never trained on and give the metrics
    autocast: bool | None = None  # bfloat16 in training's forward pass; None: if the device supports it. Scoring is float32
    seed: int = 0  # of weights, order and dropout
    split_seed: int = 0  # of the held-out problems; separate from `seed`, so that all versions of a project hold out the same
    checkpoint_minutes: float = 5.0
    minimum_rated_steps: int = 6
    minimum_problems: int = 3
    shape: TinyShape = field(default_factory=TinyShape)
    from_shipped_base: bool | None = None  # only for `tiny`: start from trainer/bases/tiny or not; None: the text decides

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type in (int, float) and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise BadConfig(f"{setting.name} must be a number, not {value!r}.")
            if setting.type is int and not float(value).is_integer():
                raise BadConfig(f"{setting.name} must be a whole number, not {value!r}.")
            if setting.type is bool and not isinstance(value, bool):
                raise BadConfig(f"{setting.name} must be true or false, not {value!r}.")
        counts = {
            "epochs": self.epochs,
            "token_budget": self.token_budget,
            "batches_per_update": self.batches_per_update,
            "minimum_updates": self.minimum_updates,
            "context": self.context,
        }
        for name, value in counts.items():
            if value < 1:
                raise BadConfig(f"{name} must be at least 1, not {value}.")
        if self.kind not in ("prm", "orm"):
            raise BadConfig(f'kind must be "prm" (rated steps) or "orm" (graded solutions), not {self.kind!r}.')
        if self.lora_rank < 0 or self.uncertainty_heads < 0:
            raise BadConfig("lora_rank and uncertainty_heads cannot be negative. Use 0 for none.")
        if self.lora_rank and self.is_tiny:
            raise BadConfig("lora_rank needs a pretrained base: the preset tiny is small and trains every weight. Leave lora_rank out.")
        self._check_frozen()
        if not self.base:
            raise BadConfig('base is empty. Give "tiny", a fetched base such as "smollm2", a model folder or a hub id.')
        if not 0 < self.held_out < 1:
            raise BadConfig(f"held_out must be a share between 0 and 1, not {self.held_out}.")
        if self.learning_rate <= 0 or self.language_model_learning_rate <= 0:
            raise BadConfig("A learning rate must be above 0.")
        if self.language_model_weight < 0 or self.language_model_epochs < 0:
            raise BadConfig("language_model_weight and language_model_epochs cannot be negative.")
        if self.from_shipped_base and (not self.is_tiny or self.shape != TinyShape()):
            raise BadConfig("from_shipped_base works only for the preset tiny with its default shape. Leave out one of them.")
        if not 0 <= self.warmup < 1:
            raise BadConfig(f"warmup must be a share of the optimizer steps, at least 0 and below 1, not {self.warmup}.")

    def _check_frozen(self) -> None:
        layers = self.frozen_layers
        if not isinstance(layers, tuple) or not all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers):
            raise BadConfig(f"frozen_layers must be a list of layer numbers such as [12, 18], not {layers!r}.")
        if self.frozen_head not in ("", "linear", "mlp"):
            raise BadConfig(f'frozen_head must be "linear", "mlp" or empty (cross-validation chooses), not {self.frozen_head!r}.')
        if not self.frozen:
            if layers or self.frozen_head:
                raise BadConfig("frozen_layers and frozen_head are settings of a frozen base. Set frozen, or leave them out.")
            return
        others = ("lora_rank", "gradient_checkpointing", "language_model_epochs", "language_model_weight")
        if used := [name for name in others if getattr(self, name)]:
            raise BadConfig(f"A frozen base is not trained, so {used[0]} changes nothing. Leave it out, or leave out frozen.")
        if self.from_shipped_base is False:
            raise BadConfig("frozen needs a base that has read text, and tiny from scratch has read none. Leave out from_shipped_base.")

    @classmethod
    def for_base(cls, base: str = TINY, **changes: Any) -> Self:
        """Return the settings that suit `base`, with `changes` applied. Raises BadConfig for a setting that does not exist."""
        unknown = sorted(set(changes) - {f.name for f in fields(cls)})
        if unknown:
            raise BadConfig(f"There is no setting named {', '.join(unknown)}. Known: {', '.join(f.name for f in fields(cls))}.")
        defaults = (TINY_DEFAULTS if base == TINY else LORA_DEFAULTS if changes.get("lora_rank") else {}) | (
            ORM_DEFAULTS if changes.get("kind") == "orm" else {}
        )
        if changes.get("frozen"):
            defaults |= FROZEN_DEFAULTS | ({"from_shipped_base": True} if base == TINY else {})
        return replace(cls(base=base, **defaults), **changes)

    @property
    def is_tiny(self) -> bool:
        return self.base == TINY

    def settled(self, *, text_suits: bool) -> Self:
        """Decide where `tiny` starts if the caller did not, and take the shipped base's settings where the caller kept the defaults."""
        if not self.is_tiny:
            return self
        shipped = text_suits and self.shape == TinyShape() if self.from_shipped_base is None else self.from_shipped_base
        defaults = {name: value for name, value in SHIPPED_BASE_DEFAULTS.items() if shipped and getattr(self, name) == TINY_DEFAULTS[name]}
        return replace(self, from_shipped_base=shipped, **defaults)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; a setting that is missing keeps the base's default. Raises BadConfig."""
        try:
            settings = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadConfig(f"The settings are not JSON: {error}. Give a JSON mapping.") from error
        return cls.from_settings(settings)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build from a mapping, such as a JSON column. Raises BadConfig."""
        if not isinstance(settings, Mapping):
            raise BadConfig("The settings must be a JSON mapping.")
        changes = dict(settings)
        try:
            if isinstance(changes.get("frozen_layers"), list):
                changes["frozen_layers"] = tuple(changes["frozen_layers"])
            if "shape" in changes:
                changes["shape"] = TinyShape(**changes["shape"])
            return cls.for_base(changes.pop("base", TINY), **changes)
        except TypeError as error:
            raise BadConfig(f"A setting cannot be used: {error}.") from error


TINY_DEFAULTS: dict[str, Any] = {
    "epochs": 2,
    "language_model_epochs": 2,
    "language_model_weight": 1.0,
    "learning_rate": 1e-3,
    "language_model_learning_rate": 2e-3,
    "token_budget": 2048,
    "context": 1024,
}
SHIPPED_BASE_DEFAULTS: dict[str, Any] = {  # it already compares numbers: no language-model phase, and a small learning rate
    "epochs": 4,
    "language_model_epochs": 0,
    "language_model_weight": 0.0,
    "learning_rate": 5e-4,
}
LORA_DEFAULTS: dict[str, Any] = {"learning_rate": 1e-4}  # adapters start at zero and need larger steps than trained weights
ORM_DEFAULTS: dict[str, Any] = {"epochs": 1}  # as in the paper: with a second pass the model learns the outcomes by heart
FROZEN_DEFAULTS: dict[str, Any] = {"uncertainty_heads": 8, "language_model_epochs": 0, "language_model_weight": 0.0}  # heads cost nothing
