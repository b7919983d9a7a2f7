"""The loop of training: stages of optimizer steps over batches grouped by length, their checkpoints, and the curve of the losses.

Reads a reward model and training sequences, changes the model in place, writes checkpoints. What an optimizer step does depends on the
weights before it and on hash(seed, stage, epoch or step), never on what ran before in this process: a resumed run is the same run.
"""

import errno
import hashlib
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.attention import quick_attention
from trainer.checkpoint import CHECKPOINT_FORMAT, Checkpoint, load_checkpoint, save_checkpoint
from trainer.config import TrainConfig
from trainer.data import TrainingSequence, seeded, shuffled_buckets
from trainer.last_layer import spared_part
from trainer.losses import Trained, shares_beginnings
from trainer.model import RewardModel
from trainer.processes import Processes
from trainer.progress import Clock, Progress
from trainer.trees import families, plant

CURVE_POINTS = 200  # at most, over all stages
HEADS_RATE = 0.1  # of the uncertainty heads, over the root of the width: relative to the weights that they begin with
log = logging.getLogger(__name__)

Listener = Callable[[Progress], None]


class LossNotFinite(ArithmeticError):
    """The loss, or its gradient, became infinite or not a number; the message says in which stage and what to change."""


class MemoryFull(OSError):
    """The accelerator's memory cannot hold one solution (or, with several processes, their batches); the message says what to change."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the schedule: which sequences, how often, and how much the language-model loss weighs."""

    name: str
    sequences: Sequence[TrainingSequence]
    epochs: int
    learning_rate: float
    language_model_weight: float
    rating_weight: float


@dataclass(slots=True)
class Curve:
    """The losses of a run in at most CURVE_POINTS means, each over `stride` optimizer steps."""

    stride: int
    points: list[dict[str, Any]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)  # of the steps since the last point
    n_steps: int = 0

    def add(self, stage: Stage, done: int, total: int, sums: NDArray[np.float64]) -> None:
        """Count one optimizer step's (rating loss, rated places, token loss, tokens)."""
        self.sums = [a + b for a, b in zip(self.sums, sums.tolist(), strict=True)]
        self.n_steps += 1
        if self.n_steps == self.stride or done == total:
            rating = mean(*self.sums[:2]) if stage.rating_weight else None
            token = mean(*self.sums[2:]) if stage.language_model_weight else None
            self.points.append({"stage": stage.name, "done": done, "total": total, "rating_loss": rating, "token_loss": token})
            self.sums, self.n_steps = [0.0] * 4, 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run tells: the mean losses of each stage's last epoch, the curve, and how often batches were halved for want of memory."""

    losses: dict[str, float]
    curve: list[dict[str, Any]]
    halvings: int = 0


def run(
    trained: Trained,
    stages: Sequence[Stage],
    *,
    config: TrainConfig,
    checkpoint: Path | None = None,
    progress: Listener | None = None,
    processes: Processes | None = None,
) -> Outcome:
    """Run the stages over what is trained, in place, from the checkpoint if there is one. Raises LossNotFinite, MemoryFull and DiskFull.

    Weights are left as the processes hold them: `Processes.whole` puts shards together, `Trained.write_rows` the rating rows back.
    """
    processes = processes or Processes()
    stages = [stage for stage in stages if stage.epochs and stage.sequences]
    fingerprint = _fingerprint(config, stages, processes)
    nn.Module.to(trained, processes.device)
    if any(one.family for stage in stages for one in stage.sequences) and not shares_beginnings(trained.model):
        stages = [replace(stage, sequences=[replace(one, family="") for one in stage.sequences]) for stage in stages]
    if not config.gradient_checkpointing and (part := spared_part(trained.model)):  # else a forward is computed again, without the hooks
        trained.spared = (part,)
    plans = [_plan(stage, config, processes) for stage in stages]
    kept = {name: p for name, p in trained.named_parameters() if p.requires_grad or name == "rating_rows"}
    resumed = load_checkpoint(checkpoint, fingerprint=fingerprint) if checkpoint else None
    if resumed:
        with torch.no_grad():
            for name, p in kept.items():
                p.copy_(resumed.weights[name])
    curve = Curve(**resumed.curve) if resumed else Curve(math.ceil(sum(map(len, plans)) / (CURVE_POINTS - len(stages))) or 1)
    losses: dict[str, float] = dict(resumed.losses) if resumed else {}
    halvings, saved = 0, time.monotonic()
    sequences = [one for stage in stages for one in stage.sequences]
    quick = quick_attention(
        trained.network,
        longest=max(map(len, sequences), default=0),
        autocast=autocasts(config, processes.device) and not any(one.family for one in sequences),  # `trees` has a mask of its own
    )
    with own_randomness(processes.device), quick:
        for number, (stage, plan) in enumerate(zip(stages, plans, strict=True)):
            if resumed and number < resumed.stage:
                continue
            here = resumed if resumed and number == resumed.stage else None
            trained.only(language_model=stage.language_model_weight > 0, ratings=stage.rating_weight > 0, adapters=config.lora_rank > 0)
            called = processes.wrap(trained)
            optimizer = _optimizer(trained, learning_rate=stage.learning_rate, weight_decay=config.weight_decay)
            if here:
                processes.restore_optimizer(trained, optimizer, here.optimizer)
            done, sums = (here.done, np.array(here.sums)) if here else (0, np.zeros(4))
            clock = Clock(stage.name, len(plan), progress if processes.is_first else None)
            trained.train()
            while done < len(plan):
                epoch, update = plan[done]
                if done and plan[done - 1][0] != epoch:
                    sums = np.zeros(4)  # rating loss, rated places, language-model loss, tokens: of this epoch
                slow_down(optimizer, learning_rate_factor(done + 1, len(plan), warmup=config.warmup))
                seed_everything(config.seed, stage.name, done, processes.rank, device=processes.device)
                try:
                    batches = [[stage.sequences[i] for i in part] for batch in update for part in _parts(batch, 2**halvings)]
                    step = take_step(
                        trained.model, batches, stage=stage, optimizer=optimizer, config=config, trained=called, processes=processes
                    )
                except torch.OutOfMemoryError as error:
                    halvings += 1
                    _halve(update, halvings, error, processes)
                    continue
                done += 1
                sums = sums + step
                curve.add(stage, done, len(plan), step)
                clock.tick(done, loss=mean(*sums[:2]) if stage.rating_weight else mean(*sums[2:]))
                if checkpoint and processes.decide(time.monotonic() - saved > 60 * config.checkpoint_minutes):
                    weights, state = processes.weights(trained), processes.optimizer_state(trained, optimizer)
                    if processes.is_first:
                        weights = {name: weights[name] for name in kept}
                        here = Checkpoint(number, done, sums.tolist(), losses, asdict(curve), weights, state)
                        save_checkpoint(checkpoint, here, fingerprint=fingerprint)
                    saved = time.monotonic()
            rating, token = mean(*sums[:2]) if stage.rating_weight else None, mean(*sums[2:])
            losses |= {f"{stage.name}, {part}": value for part, value in (("rating", rating), ("token", token)) if value is not None}
    return Outcome(losses, curve.points, halvings)


def trained_parts(model: RewardModel, config: TrainConfig) -> Trained:
    """Gather what is trained of a model: the rating rows apart beside adapters, and where no loss needs the rest of the output matrix."""
    tied = model.network.get_output_embeddings().weight is model.network.get_input_embeddings().weight
    return Trained(model, rows_apart=config.lora_rank > 0 or (not tied and config.language_model_weight == 0))


def take_step(
    model: RewardModel,
    batches: Sequence[Sequence[TrainingSequence]],
    *,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    trained: nn.Module | None = None,
    processes: Processes | None = None,
) -> NDArray[np.float64]:
    """Take one optimizer step over all `batches` and return (rating loss, rated places, token loss, tokens), the losses summed.

    Each loss is its sum over the whole step divided by its count over the whole step, so the gradient is that of one big batch however
    the sequences are cut into batches and the batches dealt to processes. Raises LossNotFinite before the weights are touched.
    """
    processes = processes or Processes()
    trained = trained or Trained(model)
    n_rated = sum(one.n_rated for batch in batches for one in batch)
    n_tokens = sum(len(one) - 1 - one.text_from for batch in batches for one in batch)
    device, autocast = processes.device, autocasts(config, processes.device)
    optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    mine = processes.share(batches)
    for turn, (batch, counts) in enumerate(mine, 1):
        with processes.quiet(trained, last=turn == len(mine)):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
                rating, token, heads = trained(
                    batch, language_model=stage.language_model_weight > 0, ratings=stage.rating_weight > 0, seed=config.seed
                )
            loss = (stage.rating_weight * rating + heads) / max(1, n_rated) + stage.language_model_weight * token / max(1, n_tokens)
            if loss.requires_grad:
                (loss * (processes.count * counts)).backward()  # copies and shards average over the processes
            if counts:
                sums += torch.stack((rating.detach(), token.detach()))
    network = [p for p in trained.parameters() if p.grad is not None]
    norm = nn.utils.clip_grad_norm_(_without_heads(trained, network), config.clip_norm)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    rating_sum, token_sum, size = torch.cat((processes.total(sums), norm.detach().to(sums)[None])).tolist()
    if not math.isfinite(rating_sum + token_sum + size):
        what, value = ("gradient", size) if math.isfinite(rating_sum + token_sum) else ("loss", rating_sum + token_sum)
        raise LossNotFinite(
            f"The {what} became {value} in the stage {stage.name!r}. Lower its learning rate ({stage.learning_rate:g}) and train."
        )
    optimizer.step()
    return np.array([rating_sum, n_rated, token_sum, n_tokens])


def autocasts(config: TrainConfig, device: torch.device) -> bool:
    """Tell whether the forward of training runs in bfloat16: as the caller says, else where the device multiplies it itself."""
    return multiplies_bfloat16(device) if config.autocast is None else config.autocast


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether the device has bfloat16 arithmetic of its own; emulated, autocast would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def learning_rate_factor(done: int, total: int, *, warmup: float) -> float:
    """Rise linearly over the first `warmup` share of the steps, then fall linearly to a tenth."""
    rising = max(1, round(warmup * total))
    return done / rising if done <= rising else 1 - 0.9 * (done - rising) / max(1, total - rising)


def slow_down(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to this part of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def seed_everything(*parts: object, device: torch.device) -> None:
    """Seed torch, numpy and random from a hash of `parts`, so that dropout depends on nothing that ran before."""
    seed = int(seeded(*parts).integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    # Not torch.manual_seed: it would walk the stack at every call for a GPU that may never be used.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Give the caller back the states of random, numpy and torch as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def mean(total: float, count: float) -> float | None:
    return float(total / count) if count else None


def _plan(stage: Stage, config: TrainConfig, processes: Processes) -> list[tuple[int, list[NDArray[np.int64]]]]:
    """Order all epochs: for each optimizer step its epoch and its batches of sequence indices, those of a family in one batch."""
    rows = [np.array(group) for group in families(stage.sequences)]
    lengths = [len(plant([stage.sequences[i] for i in row]).ids) if len(row) > 1 else len(stage.sequences[row[0]]) for row in rows]
    size = processes.count * -(-config.batches_per_update // processes.count)
    plan = []
    for epoch in range(stage.epochs):
        groups = shuffled_buckets(lengths, token_budget=config.token_budget, rng=seeded(config.seed, stage.name, epoch))
        batches = [np.concatenate([rows[i] for i in group]) for group in groups]
        plan += [(epoch, batches[i : i + size]) for i in range(0, len(batches), size)]
    return plan


def _parts(batch: NDArray[np.int64], n_parts: int) -> list[NDArray[np.int64]]:
    """Cut a batch of one length group into parts of nearly the same number of rows."""
    return [batch] if n_parts == 1 else [part for part in np.array_split(batch, n_parts) if len(part)]


def _halve(update: Sequence[NDArray[np.int64]], halvings: int, error: Exception, processes: Processes) -> None:
    """Say that batches are halved from here on; or, if that cannot be, raise MemoryFull."""
    remedy = "Turn on gradient_checkpointing, set a lora_rank, or lower"
    if processes.count > 1:  # the others already wait for this one's gradients
        raise MemoryFull(errno.ENOMEM, f"The memory of process {processes.rank} is full. {remedy} token_budget or context") from error
    if max(map(len, update)) <= 2 ** (halvings - 1):
        raise MemoryFull(errno.ENOMEM, f"The accelerator's memory cannot hold one solution. {remedy} context") from error
    log.warning("Out of memory: batches are cut into %d parts from here on; the optimizer steps stay the same.", 2**halvings)
    if processes.device.type == "cuda":
        torch.cuda.empty_cache()


def _optimizer(trained: Trained, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    heads = [] if trained.heads is None else list(trained.heads.parameters())
    rest = [p for p in _without_heads(trained, trained.parameters()) if p.requires_grad]
    matrices, vectors = [p for p in rest if p.ndim >= 2], [p for p in rest if p.ndim < 2]  # norms and biases do not decay
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay, "peak": learning_rate},
        {"params": vectors, "weight_decay": 0.0, "peak": learning_rate},
        {"params": [p for p in heads if p.requires_grad], "weight_decay": 0.0},
    ]
    if heads:
        groups[2]["peak"] = HEADS_RATE / math.sqrt(heads[0].shape[1])
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=(0.9, 0.95), fused=True)


def _without_heads(trained: nn.Module, parameters: "Iterator[nn.Parameter] | Sequence[nn.Parameter]") -> list[nn.Parameter]:
    """Leave the heads out: they learn beside the network and must neither clip its gradient nor decay with it."""
    heads = next((part.heads for part in trained.modules() if isinstance(part, Trained)), None)
    apart = set() if heads is None else {id(p) for p in heads.parameters()}
    return [p for p in parameters if id(p) not in apart]


def _fingerprint(config: TrainConfig, stages: Sequence[Stage], processes: Processes) -> str:
    """Identify a run: a checkpoint of another recipe or of other data must not be continued."""
    way = f"checkpoint {CHECKPOINT_FORMAT} {processes.count} {processes.sharded} {config.to_json()}"
    digest = hashlib.sha256(way.encode())
    for stage in stages:
        digest.update(f"{stage.name} {len(stage.sequences)}".encode())
        for one in stage.sequences:
            digest.update(one.encoded.ids.tobytes() + one.classes.tobytes() + (b"" if one.soft is None else one.soft.tobytes()))
    return digest.hexdigest()
