"""Train a process reward model, top to bottom: split, tokenise, language model, joint loss, judge, publish.

Reads labeled and unlabeled solutions; writes a model folder (weights, tokenizer, stepmark.json, model card, manifest) and, on the way, a
checkpoint from which the same call goes on. The order of an epoch comes from hash(seed, stage, epoch), so a resumed run is the same run.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss

from trainer.card import model_card
from trainer.checkpoint import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    SETTINGS_FILE,
    SPLIT_FILE,
    Checkpoint,
    DiskFull,
    file_sha256,
    forget_checkpoint,
    load_checkpoint,
    published,
    save_checkpoint,
)
from trainer.config import TrainConfig
from trainer.data import (
    UNRATED,
    LabeledSolution,
    Solution,
    TrainingSequence,
    encode_labeled,
    encode_unlabeled,
    padded,
    seeded,
    shuffled_buckets,
    uniform_draw,
)
from trainer.evaluate import Judged, Report, base_rates, evaluate_steps, split_problems
from trainer.model import RewardModel, build_tiny, load_base, load_tiny, save_weights, suits_shipped_base
from trainer.progress import Clock, Progress
from trainer.score import score_solutions

__all__ = ["DiskFull", "LossNotFinite", "TooLittleToLearn", "TrainedModel", "train"]

Listener = Callable[[Progress], None]


class TooLittleToLearn(ValueError):
    """Not enough labels to train and judge on; the message says how many there are and how many are needed."""


class LossNotFinite(ArithmeticError):
    """The loss became infinite or not a number; the message says in which stage and what to change."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A finished model folder: `sha256` is its manifest's, `metrics` are plain JSON values from held-out problems."""

    folder: Path
    sha256: str
    metrics: dict[str, Any]
    config: TrainConfig
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the schedule: which sequences, how often, and how much the language-model loss weighs."""

    name: str
    sequences: Sequence[TrainingSequence]
    epochs: int
    learning_rate: float
    language_model_weight: float
    rating_weight: float


def train(
    labeled: Iterable[LabeledSolution],
    *,
    config: TrainConfig,
    folder: str | Path,
    unlabeled: Iterable[Solution] = (),
    progress: Listener | None = None,
    checkpoint: str | Path | None = None,
    provenance: Mapping[str, str] | None = None,
) -> TrainedModel:
    """Train on `labeled` (and on the text of `unlabeled`), judge on held-out problems and publish the model in `folder`.

    `progress` hears of it twice a second and may raise to abort. `checkpoint` names a folder for resuming: the same call with the same data
    and config goes on where the last one stopped, and removes it when done. `provenance` (such as snapshot and code version) goes into the
    model card. Raises TooLittleToLearn, LossNotFinite, DiskFull, and BadBase for a base that cannot be used.
    """
    began, folder = time.monotonic(), Path(folder)
    labels = [one for one in labeled if one.n_rated]
    held_out = hold_out(labels, config=config)
    training = [one for one in labels if one.solution.problem_key not in held_out]
    judged_on = [one for one in labels if one.solution.problem_key in held_out]
    config = config.settled(text_suits=config.is_tiny and suits_shipped_base(some_texts(training)))
    known = {one.solution.key for one in labels}
    texts = uniform_draw(
        (s for s in unlabeled if s.problem_key not in held_out and s.key not in known),
        size=config.language_model_solutions if config.language_model_epochs else 0,
        rng=seeded(config.seed, "unlabeled"),
    )

    model = starting_model(config, solutions=[*(one.solution for one in training), *texts])
    nn.Module.to(model.network, "cuda" if torch.cuda.is_available() else "cpu")
    rated = encode_labeled(training, tokenizer=model.tokenizer, context=model.context)
    plain = encode_unlabeled(texts, tokenizer=model.tokenizer, context=model.context)
    stages = [
        Stage("language model", [*plain, *rated], config.language_model_epochs, config.language_model_learning_rate, 1.0, 0.0),
        Stage("reward model", rated, config.epochs, config.learning_rate, config.language_model_weight, 1.0),
    ]
    losses = run(model, stages, config=config, checkpoint=Path(checkpoint) if checkpoint else None, progress=progress)

    report = judge(model, judged_on, rates=base_rates(rating for one in training for rating in one.supervised), progress=progress)
    metrics = report.as_dict() | {
        "training": {
            "n_problems": len({one.solution.problem_key for one in training}),
            "n_solutions": len(training),
            "n_rated_steps": sum(int(one.n_rated) for one in rated),
            "n_unlabeled_solutions": len(texts),
            "n_unread_steps": sum(one.encoded.unread_steps for one in rated),
            "n_cut_solutions": sum(one.encoded.unread_steps > 0 for one in rated),
            "n_parameters": model.n_parameters,
            "losses": losses,
            "seconds": round(time.monotonic() - began, 1),
        },
    }
    split = {"training": sorted({one.solution.problem_key for one in training}), "held_out": sorted(held_out)}
    sha256 = publish(
        model, folder=folder, config=config, metrics=metrics, threshold=report.threshold, split=split, provenance=dict(provenance or {})
    )
    if checkpoint:
        forget_checkpoint(Path(checkpoint))
    return TrainedModel(folder, sha256, metrics, config, time.monotonic() - began)


def hold_out(labels: Sequence[LabeledSolution], *, config: TrainConfig) -> frozenset[str]:
    """Choose the held-out problems, or raise TooLittleToLearn.

    A problem whose loss would leave training without a negative step, or without any other, stays in training: with a handful of
    labels there may be a single one.
    """
    problems = {one.solution.problem_key for one in labels}
    ratings = [
        rating for one in labels for rating in (*one.supervised, *(a.rating for a in one.supervised_alternatives)) if rating is not None
    ]
    n_negative = ratings.count(-1)
    if len(ratings) < config.minimum_rated_steps:
        raise TooLittleToLearn(
            f"There are {len(ratings)} rated steps and at least {config.minimum_rated_steps} are needed. Label more solutions first."
        )
    if not 0 < n_negative < len(ratings):
        raise TooLittleToLearn(
            f"Of {len(ratings)} rated steps {n_negative} are negative: a model can only be trained if at least one step is rated negative "
            "and at least one is not. Label more solutions first."
        )
    if len(problems) < config.minimum_problems:
        raise TooLittleToLearn(
            f"The labels cover {len(problems)} problems and at least {config.minimum_problems} are needed, so that some can be held out "
            "to judge the model. Label solutions of other problems first."
        )
    chosen = set(split_problems(problems, held_out=config.held_out, seed=config.seed))
    for negative in (True, False):
        having = {
            one.solution.problem_key
            for one in labels
            if any(r is not None and (r == -1) == negative for r in (*one.supervised, *(a.rating for a in one.supervised_alternatives)))
        }
        if having <= chosen:
            chosen.remove(min(having))
    return frozenset(chosen)


def some_texts(labeled: Sequence[LabeledSolution], *, size: int = 300) -> list[str]:
    """Take `size` solutions from all over the labels, each as one text."""
    return ["\n".join((one.solution.problem, *one.solution.steps)) for one in labeled[:: max(1, len(labeled) // size)]]


def starting_model(config: TrainConfig, *, solutions: Sequence[Solution]) -> RewardModel:
    """Load the pretrained base, the shipped base of `tiny`, or build `tiny` with a tokenizer trained on these solutions."""
    if not config.is_tiny:
        return load_base(config.base, revision=config.revision, context=config.context)
    if config.from_shipped_base:
        return load_tiny(context=config.context)
    texts = [*dict.fromkeys(s.problem for s in solutions), *(step for s in solutions for step in s.steps)]
    return build_tiny(texts, shape=config.shape, context=config.context, seed=config.seed)


def run(
    model: RewardModel, stages: Sequence[Stage], *, config: TrainConfig, checkpoint: Path | None, progress: Listener | None
) -> dict[str, float]:
    """Run the stages over the model in place, from the checkpoint if there is one; return the mean losses of each one's last epoch."""
    fingerprint = _fingerprint(config, stages)
    resumed = load_checkpoint(checkpoint, fingerprint=fingerprint) if checkpoint else None
    losses: dict[str, float] = dict(resumed.losses) if resumed else {}
    if resumed:
        model.network.load_state_dict(resumed.weights)
    saved = time.monotonic()
    for number, stage in enumerate(stages):
        if not stage.epochs or not stage.sequences or (resumed and number < resumed.stage):
            continue
        here = resumed if resumed and number == resumed.stage else None
        optimizer = _optimizer(model.network, learning_rate=stage.learning_rate, weight_decay=config.weight_decay)
        if here:
            optimizer.load_state_dict(here.optimizer)
        schedule = [(epoch, update) for epoch in range(stage.epochs) for update in _updates(stage, epoch, config)]
        done, sums = (here.done, np.array(here.sums)) if here else (0, np.zeros(4))
        clock = Clock(stage.name, len(schedule), progress)
        model.network.train()
        for epoch, update in schedule[done:]:
            if done and schedule[done - 1][0] != epoch:
                sums = np.zeros(4)  # rating loss, rated steps, language-model loss, tokens: of this epoch
            done += 1
            optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = stage.learning_rate * learning_rate_factor(
                done, len(schedule), warmup=config.warmup
            )
            sums += take_step(
                model, [[stage.sequences[i] for i in batch] for batch in update], stage=stage, optimizer=optimizer, config=config
            )
            clock.tick(done, loss=_mean(sums[0], sums[1]) if stage.rating_weight else _mean(sums[2], sums[3]))
            if checkpoint and time.monotonic() - saved > 60 * config.checkpoint_minutes:
                save_checkpoint(
                    checkpoint,
                    Checkpoint(number, done, sums.tolist(), losses, model.network.state_dict(), optimizer.state_dict()),
                    fingerprint=fingerprint,
                )
                saved = time.monotonic()
        losses |= {
            f"{stage.name}, {part}": mean
            for part, mean in (("rating", _mean(sums[0], sums[1])), ("token", _mean(sums[2], sums[3])))
            if mean is not None
        }
    return losses


def take_step(
    model: RewardModel,
    batches: Sequence[Sequence[TrainingSequence]],
    *,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
) -> NDArray[np.float64]:
    """Take one optimizer step over all `batches` and return (rating loss, rated steps, token loss, tokens), the losses summed.

    Each loss is its sum over the whole step divided by its count over the whole step, so the gradient is that of one big batch however
    the sequences are cut into batches. Raises LossNotFinite before the weights are touched.
    """
    n_rated = sum(one.n_rated for batch in batches for one in batch)
    n_tokens = sum(len(one) - 1 - one.text_from for batch in batches for one in batch)
    sums = np.array([0.0, n_rated, 0.0, n_tokens])
    device = model.network.device
    optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        with torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=multiplies_bfloat16(device) if config.autocast is None else config.autocast
        ):
            rating, token = summed_losses(
                model, batch, device=device, language_model=stage.language_model_weight > 0, ratings=stage.rating_weight > 0
            )
        loss = stage.rating_weight * rating / max(1, n_rated) + stage.language_model_weight * token / max(1, n_tokens)
        if not torch.isfinite(loss):
            raise LossNotFinite(
                f"The loss became {loss.item()} in the stage {stage.name!r}. Lower its learning rate ({stage.learning_rate:g}) and train."
            )
        if loss.requires_grad:
            loss.backward()
        sums[0] += rating.item()
        sums[2] += token.item()
    nn.utils.clip_grad_norm_(model.network.parameters(), config.clip_norm)
    optimizer.step()
    return sums


def summed_losses(
    model: RewardModel, batch: Sequence[TrainingSequence], *, device: torch.device, language_model: bool = True, ratings: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the rating loss over the rated steps of a batch and the next-token loss over its text, both summed, in nats."""
    ids = torch.from_numpy(padded([one.encoded for one in batch], pad_id=model.tokenizer.pad_id)).to(device)  # (B, T)
    states = model.hidden_states(ids)  # (B, T, D)
    rating = token = torch.zeros((), device=device)
    places = [
        (row, end, label)
        for row, one in enumerate(batch)
        for end, label in zip(one.encoded.step_ends, one.classes, strict=True)
        if label != UNRATED
    ]
    if ratings and places:
        rows, ends, classes = torch.tensor(np.array(places, np.int64), device=device).T  # (N,) each
        rating = nll_loss(model.rating_log_probabilities(states[rows, ends]), classes, reduction="sum")
    if language_model:
        positions = torch.arange(ids.shape[1], device=device)  # (T,)
        starts = torch.tensor([one.text_from for one in batch], device=device)[:, None]
        stops = torch.tensor([len(one) - 1 for one in batch], device=device)[:, None]
        rows, columns = ((positions >= starts) & (positions < stops)).nonzero(
            as_tuple=True
        )  # (M,): positions with a next token in the text
        token = cross_entropy(model.token_logits(states[rows, columns]).float(), ids[rows, columns + 1], reduction="sum")
    return rating, token


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


def judge(
    model: RewardModel,
    labeled: Sequence[LabeledSolution],
    *,
    rates: tuple[float, float, float],
    progress: Listener | None = None,
    threshold: float | None = None,
    threshold_split: str = "given",
) -> Report:
    """Score labeled solutions and report on them beside the base rates."""
    scores = score_solutions(model, [one.solution for one in labeled], total=len(labeled), progress=progress)
    judged = [
        Judged(one.solution.problem_key, s.probabilities, one.ratings, len(one.solution.steps))
        for one, s in zip(labeled, scores, strict=True)
    ]
    return evaluate_steps(judged, base_rates=rates, threshold=threshold, threshold_split=threshold_split)


def publish(
    model: RewardModel,
    *,
    folder: Path,
    config: TrainConfig,
    metrics: dict[str, Any],
    threshold: float,
    split: dict[str, list[str]],
    provenance: dict[str, str],
) -> str:
    """Write the model folder atomically and return the sha256 of its manifest."""
    framing = model.tokenizer
    settings = {
        "format": FORMAT_VERSION,
        "kind": "prm",
        "context": model.context,
        "threshold": threshold,
        "prefix": framing.prefix,
        "step_end": framing.step_end,
        "rating_ids": framing.rating_ids,
        "pad_id": framing.pad_id,
        "config": asdict(config),
        "metrics": metrics,
        "provenance": provenance,
    }
    with published(folder) as draft:
        save_weights(model, draft)
        (draft / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (draft / SPLIT_FILE).write_text(json.dumps(split) + "\n", encoding="utf-8")
        (draft / "README.md").write_text(model_card(config=config, metrics=metrics, provenance=provenance), encoding="utf-8")
    return file_sha256(folder / MANIFEST_FILE)


def _updates(stage: Stage, epoch: int, config: TrainConfig) -> list[list[NDArray[np.int64]]]:
    """Order one epoch: batches of sequence indices, grouped into optimizer steps."""
    batches = shuffled_buckets(
        [len(one) for one in stage.sequences], token_budget=config.token_budget, rng=seeded(config.seed, stage.name, epoch)
    )
    return [batches[i : i + config.batches_per_update] for i in range(0, len(batches), config.batches_per_update)]


def _optimizer(network: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    matrices = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in network.parameters() if p.requires_grad and p.ndim < 2]  # norms and biases do not decay
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}], lr=learning_rate, betas=(0.9, 0.95)
    )


def _fingerprint(config: TrainConfig, stages: Sequence[Stage]) -> str:
    """Identify a run: a checkpoint of another recipe or of other data must not be continued."""
    digest = hashlib.sha256(config.to_json().encode())
    for stage in stages:
        digest.update(f"{stage.name} {len(stage.sequences)}".encode())
        for one in stage.sequences:
            digest.update(one.encoded.ids.tobytes() + one.classes.tobytes())
    return digest.hexdigest()


def _mean(total: float, count: float) -> float | None:
    return float(total / count) if count else None
