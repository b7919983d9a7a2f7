"""The training loop: phases of optimizer steps over batches grouped by length, checkpoints, and the curve of the losses.

Reads a reward model and training sequences, changes the model in place, writes checkpoints. An optimizer step depends only on the weights
before it and on hash(seed, phase, epoch or step), not on what ran before in this process. So a resumed run gives the same result.
"""

import errno
import hashlib
import logging
import math
import random
import time
from collections.abc import Iterator, Sequence
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
from trainer.progress import Clock, Progress, Stopped
from trainer.trees import families, plant

CURVE_POINTS = 200  # at most, over all phases
MORE_PASSES = 4  # with little data, a phase reads it at most this many times as often as the config says
HEADS_RATE = 0.1  # learning rate of the uncertainty heads times the root of the width, in proportion to their first weights
log = logging.getLogger(__name__)


class LossNotFinite(ArithmeticError):
    """The loss or its gradient became infinite or not a number; the message names the phase and what to change."""


class MemoryFull(OSError):
    """The accelerator's memory is too small for one solution (with several processes, for a batch); the message says what to change."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a training: its sequences, how often they are read, and the weights of both losses.

    mean_weight: of a rated place, over all sequences. It is 1 if there are no soft labels and no problem was capped.
    """

    name: str
    sequences: Sequence[TrainingSequence]
    epochs: int
    learning_rate: float
    language_model_weight: float
    rating_weight: float
    mean_weight: float = field(init=False)

    def __post_init__(self) -> None:
        n_rated = sum(sequence.n_rated for sequence in self.sequences)
        total = sum(sequence.weight for sequence in self.sequences)
        object.__setattr__(self, "mean_weight", total / n_rated if n_rated and total else 1.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a phase reads its sequences, the size of its batches, and how many optimizer steps that gives. `wanted`: by the config."""

    phase: str
    epochs: int
    token_budget: int
    batches_per_update: int
    updates: int
    wanted: dict[str, int]


@dataclass(slots=True)
class LossCurve:
    """The losses of a run in at most CURVE_POINTS means, each over `stride` optimizer steps."""

    stride: int
    points: list[dict[str, Any]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)  # of the steps since the last point
    n_steps: int = 0

    def add(self, phase: Phase, done: int, total: int, sums: NDArray[np.float64]) -> None:
        """Add the sums of one optimizer step: rating loss, weight of the rated places, token loss, tokens."""
        self.sums = [a + b for a, b in zip(self.sums, sums.tolist(), strict=True)]
        self.n_steps += 1
        if self.n_steps == self.stride or done == total:
            rating = mean(*self.sums[:2]) if phase.rating_weight else None
            token = mean(*self.sums[2:]) if phase.language_model_weight else None
            self.points.append({"phase": phase.name, "done": done, "total": total, "rating_loss": rating, "token_loss": token})
            self.sums, self.n_steps = [0.0] * 4, 0


@dataclass(frozen=True, slots=True)
class RunResult:
    """The mean losses of each phase's last epoch, the curve, each phase's pace, and how often batches were halved for want of memory."""

    losses: dict[str, float]
    curve: list[dict[str, Any]]
    paces: list[Pace]
    halvings: int = 0


def run(
    trained: Trained,
    phases: Sequence[Phase],
    *,
    config: TrainConfig,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> RunResult:
    """Run the phases, in place, from the checkpoint if there is one. Raises LossNotFinite, MemoryFull and DiskFull.

    Afterwards `Processes.whole` puts the shards of several processes together, and `Trained.write_rows` copies the rating rows back.
    """
    processes = processes or Processes()
    phases = [phase for phase in phases if phase.epochs and phase.sequences]
    fingerprint = _fingerprint(config, phases, processes)
    nn.Module.to(trained, processes.device)
    if any(sequence.family for phase in phases for sequence in phase.sequences) and not shares_beginnings(trained.model):
        phases = [replace(phase, sequences=[replace(sequence, family="") for sequence in phase.sequences]) for phase in phases]
    if not config.gradient_checkpointing and (
        part := spared_part(trained.model)
    ):  # gradient checkpointing repeats a forward pass without the hooks
        trained.spared = (part,)
    paces, plans = [], []
    for phase in phases:
        pace, plan = choose_pace(phase, config=config, processes=processes)
        paces.append(pace)
        plans.append(plan)
    saved_weights = {name: p for name, p in trained.named_parameters() if p.requires_grad or name == "rating_rows"}
    resumed = load_checkpoint(checkpoint, fingerprint=fingerprint) if checkpoint else None
    if resumed:
        with torch.no_grad():
            for name, p in saved_weights.items():
                p.copy_(resumed.weights[name])
    curve = LossCurve(**resumed.curve) if resumed else LossCurve(math.ceil(sum(map(len, plans)) / (CURVE_POINTS - len(phases))) or 1)
    losses: dict[str, float] = dict(resumed.losses) if resumed else {}
    halvings, saved = 0, time.monotonic()
    sequences = [sequence for phase in phases for sequence in phase.sequences]
    quick = quick_attention(
        trained.network,
        longest=max(map(len, sequences), default=0),
        autocast=autocasts(config, processes.device) and not any(sequence.family for sequence in sequences),  # `trees` makes its own mask
    )
    with own_randomness(processes.device), quick:
        for number, (phase, plan) in enumerate(zip(phases, plans, strict=True)):
            if resumed and number < resumed.phase:
                continue
            here = resumed if resumed and number == resumed.phase else None
            trained.only(language_model=phase.language_model_weight > 0, ratings=phase.rating_weight > 0, adapters=config.lora_rank > 0)
            called = processes.wrap(trained)
            optimizer = _optimizer(trained, learning_rate=phase.learning_rate, weight_decay=config.weight_decay)
            if here:
                processes.restore_optimizer(trained, optimizer, here.optimizer)
            done, sums = (here.done, np.array(here.sums)) if here else (0, np.zeros(4))
            clock = Clock(phase.name, len(plan), progress if processes.is_first else None)
            trained.train()
            while done < len(plan):
                epoch, update = plan[done]
                if done and plan[done - 1][0] != epoch:
                    sums = np.zeros(4)  # of this epoch: rating loss, weight of the rated places, token loss, tokens
                slow_down(optimizer, learning_rate_factor(done + 1, len(plan), warmup=config.warmup))
                seed_everything(config.seed, phase.name, done, processes.rank, device=processes.device)
                try:
                    batches = [[phase.sequences[i] for i in part] for batch in update for part in _parts(batch, 2**halvings)]
                    step = take_step(
                        trained.model, batches, phase=phase, optimizer=optimizer, config=config, trained=called, processes=processes
                    )
                except torch.OutOfMemoryError as error:
                    halvings += 1
                    _halve(update, halvings, error, processes)
                    continue
                done += 1
                sums = sums + step
                curve.add(phase, done, len(plan), step)
                stopped: Stopped | None = None
                try:
                    clock.tick(done, loss=mean(*sums[:2]) if phase.rating_weight else mean(*sums[2:]))
                except Stopped as stop:
                    if processes.count > 1:  # the others do not know of it, and would wait for this one
                        raise
                    stopped = stop
                if checkpoint and processes.decide(bool(stopped) or time.monotonic() - saved > 60 * config.checkpoint_minutes):
                    weights, state = processes.weights(trained), processes.optimizer_state(trained, optimizer)
                    if processes.is_first:
                        weights = {name: weights[name] for name in saved_weights}
                        here = Checkpoint(number, done, sums.tolist(), losses, asdict(curve), weights, state)
                        save_checkpoint(checkpoint, here, fingerprint=fingerprint)
                    saved = time.monotonic()
                if stopped:
                    raise stopped
            rating, token = mean(*sums[:2]) if phase.rating_weight else None, mean(*sums[2:])
            losses |= {f"{phase.name}, {part}": value for part, value in (("rating", rating), ("token", token)) if value is not None}
    return RunResult(losses, curve.points, paces, halvings)


def trained_parts(model: RewardModel, config: TrainConfig) -> Trained:
    """Gather the weights to train. The rating rows are trained apart with adapters, or if no loss needs the rest of the output matrix."""
    tied = model.network.get_output_embeddings().weight is model.network.get_input_embeddings().weight
    return Trained(model, rows_apart=config.lora_rank > 0 or (not tied and config.language_model_weight == 0))


def take_step(
    model: RewardModel,
    batches: Sequence[Sequence[TrainingSequence]],
    *,
    phase: Phase,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    trained: nn.Module | None = None,
    processes: Processes | None = None,
) -> NDArray[np.float64]:
    """Take one optimizer step over all `batches`; return the sums (rating loss, weight of the rated places, token loss, tokens).

    Each loss is its sum over the whole step divided by its count over the whole step. So the gradient is that of one big batch, however
    the sequences are split into batches and processes. The rating loss, of which each place has its weight, is divided by the rated places
    times the mean weight of the phase. The weight of the step itself would undo the weights: a step with one light example would count as
    much as a step with a heavy one. Raises LossNotFinite before the weights change.
    """
    processes = processes or Processes()
    trained = trained or Trained(model)
    weight = sum(sequence.weight for batch in batches for sequence in batch)
    n_rated = phase.mean_weight * sum(sequence.n_rated for batch in batches for sequence in batch) or 1.0
    n_tokens = sum(len(sequence) - 1 - sequence.text_from for batch in batches for sequence in batch)
    device, autocast = processes.device, autocasts(config, processes.device)
    optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    mine = processes.share(batches)
    for turn, (batch, counts) in enumerate(mine, 1):
        with processes.quiet(trained, last=turn == len(mine)):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
                rating, token, heads = trained(
                    batch, language_model=phase.language_model_weight > 0, ratings=phase.rating_weight > 0, seed=config.seed
                )
            loss = (phase.rating_weight * rating + heads) / n_rated + phase.language_model_weight * token / max(1, n_tokens)
            if loss.requires_grad:
                (loss * (processes.count * counts)).backward()  # DDP and FSDP average over the processes
            if counts:
                sums += torch.stack((rating.detach(), token.detach()))
    network = [p for p in trained.parameters() if p.grad is not None]
    norm = nn.utils.clip_grad_norm_(_without_heads(trained, network), config.clip_norm)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    rating_sum, token_sum, size = torch.cat((processes.total(sums), norm.detach().to(sums)[None])).tolist()
    if not math.isfinite(rating_sum + token_sum + size):
        what, value = ("gradient", size) if math.isfinite(rating_sum + token_sum) else ("loss", rating_sum + token_sum)
        raise LossNotFinite(
            f"The {what} became {value} in the phase {phase.name!r}. Lower its learning rate ({phase.learning_rate:g}) and train again."
        )
    optimizer.step()
    return np.array([rating_sum, weight, token_sum, n_tokens])


def autocasts(config: TrainConfig, device: torch.device) -> bool:
    """Tell whether training's forward pass runs in bfloat16: as the config says, else if the device supports it."""
    return multiplies_bfloat16(device) if config.autocast is None else config.autocast


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether the device has bfloat16 arithmetic. Emulated bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def learning_rate_factor(done: int, total: int, *, warmup: float) -> float:
    """Return the factor of the learning rate: a linear rise over the first `warmup` share of the steps, then a linear fall to a tenth."""
    rising = max(1, round(warmup * total))
    return done / rising if done <= rising else 1 - 0.9 * (done - rising) / max(1, total - rising)


def slow_down(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of each parameter group to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def seed_everything(*parts: object, device: torch.device) -> None:
    """Seed torch, numpy and random with a hash of `parts`, so that dropout does not depend on what ran before."""
    seed = int(seeded(*parts).integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    # Not torch.manual_seed, which walks the stack at every call to seed a GPU later.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Restore the states of random, numpy and torch afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def mean(total: float, count: float) -> float | None:
    """Return the mean, or None over nothing."""
    return float(total / count) if count else None


Plan = list[tuple[int, list[NDArray[np.int64]]]]  # for each optimizer step its epoch and its batches of sequence indices


def choose_pace(phase: Phase, *, config: TrainConfig, processes: Processes) -> tuple[Pace, Plan]:
    """Return the pace of a phase, and its plan. Enough data is read as the config says.

    With fewer optimizer steps than `minimum_updates`, first the forwards of a step become fewer, then the batches smaller, down to one row
    each. If that is not enough, the data is read more often, at most MORE_PASSES times as often as the config says.
    """
    rows = [np.array(group) for group in families(phase.sequences)]
    lengths = [len(plant([phase.sequences[i] for i in row]).ids) if len(row) > 1 else len(phase.sequences[row[0]]) for row in rows]
    epochs, budget, forwards = phase.epochs, config.token_budget, config.batches_per_update
    while len(plan := _plan(phase, rows, lengths, epochs, budget, forwards, config, processes)) < config.minimum_updates:
        if forwards > processes.count:
            forwards = max(processes.count, forwards // 2)
        elif budget > min(lengths):  # else every batch is one row
            budget = max(min(lengths), budget // 2)
        elif epochs < (most := MORE_PASSES * phase.epochs):
            epochs = min(most, -(-config.minimum_updates * epochs // len(plan)))
        else:
            break
    wanted = {"epochs": phase.epochs, "updates": config.minimum_updates} | {
        name: getattr(config, name) for name in ("token_budget", "batches_per_update")
    }
    return Pace(phase.name, epochs, budget, forwards, len(plan), wanted), plan


def _plan(
    phase: Phase,
    rows: Sequence[NDArray[np.int64]],
    lengths: Sequence[int],
    epochs: int,
    token_budget: int,
    batches_per_update: int,
    config: TrainConfig,
    processes: Processes,
) -> Plan:
    """Return the optimizer steps of a phase. Each row is a family of sequences, which stays in one batch."""
    size = processes.count * -(-batches_per_update // processes.count)
    plan = []
    for epoch in range(epochs):
        groups = shuffled_buckets(lengths, token_budget=token_budget, rng=seeded(config.seed, phase.name, epoch))
        batches = [np.concatenate([rows[i] for i in group]) for group in groups]
        plan += [(epoch, batches[i : i + size]) for i in range(0, len(batches), size)]
    return plan


def _parts(batch: NDArray[np.int64], n_parts: int) -> list[NDArray[np.int64]]:
    """Split a batch into parts with nearly the same number of rows."""
    return [batch] if n_parts == 1 else [part for part in np.array_split(batch, n_parts) if len(part)]


def _halve(update: Sequence[NDArray[np.int64]], halvings: int, error: Exception, processes: Processes) -> None:
    """Log that batches are halved from now on, or raise MemoryFull if they cannot be."""
    remedy = "Turn on gradient_checkpointing, set a lora_rank, or lower"
    if processes.count > 1:  # the others already wait for the gradients of this one
        raise MemoryFull(errno.ENOMEM, f"The memory of process {processes.rank} is full. {remedy} token_budget or context") from error
    if max(map(len, update)) <= 2 ** (halvings - 1):
        raise MemoryFull(errno.ENOMEM, f"The accelerator's memory cannot hold one solution. {remedy} context") from error
    log.warning("Out of memory: from now on batches are split into %d parts. The optimizer steps stay the same.", 2**halvings)
    if processes.device.type == "cuda":
        torch.cuda.empty_cache()


def _optimizer(trained: Trained, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    heads = [] if trained.heads is None else list(trained.heads.parameters())
    rest = [p for p in _without_heads(trained, trained.parameters()) if p.requires_grad]
    matrices, vectors = [p for p in rest if p.ndim >= 2], [p for p in rest if p.ndim < 2]  # no weight decay for norms and biases
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay, "peak": learning_rate},
        {"params": vectors, "weight_decay": 0.0, "peak": learning_rate},
        {"params": [p for p in heads if p.requires_grad], "weight_decay": 0.0},
    ]
    if heads:
        groups[2]["peak"] = HEADS_RATE / math.sqrt(heads[0].shape[1])
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=(0.9, 0.95), fused=True)


def _without_heads(trained: nn.Module, parameters: "Iterator[nn.Parameter] | Sequence[nn.Parameter]") -> list[nn.Parameter]:
    """Leave the heads out: their gradient is not clipped with the network's, and they have no weight decay."""
    heads = next((part.heads for part in trained.modules() if isinstance(part, Trained)), None)
    apart = set() if heads is None else {id(p) for p in heads.parameters()}
    return [p for p in parameters if id(p) not in apart]


def _fingerprint(config: TrainConfig, phases: Sequence[Phase], processes: Processes) -> str:
    """Identify a run: a checkpoint of another config or of other data must not be continued."""
    run = f"checkpoint {CHECKPOINT_FORMAT} {processes.count} {processes.sharded} {config.to_json()}"
    digest = hashlib.sha256(run.encode())
    for phase in phases:
        digest.update(f"{phase.name} {len(phase.sequences)}".encode())
        for sequence in phase.sequences:
            soft = b"" if sequence.soft is None else sequence.soft.tobytes()
            digest.update(sequence.encoded.ids.tobytes() + sequence.classes.tobytes() + soft)
    return digest.hexdigest()
