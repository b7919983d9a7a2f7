"""Train a reward model: split, tokenise, train in phases, judge, write the model.

Reads labeled (or graded) and unlabeled solutions; writes a model folder (weights, tokenizer, stepmark.json, model card, manifest) and
checkpoints from which the same call can continue. The training loop is in `phases`, the losses in `losses`.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from torch import nn

from trainer.adapters import add_adapters, merge_adapters, without_dropout
from trainer.card import model_card
from trainer.cautions import cautions
from trainer.checkpoint import check_checkpoint_folder, forget_checkpoint
from trainer.config import BadConfig, TrainConfig
from trainer.data import (
    BadLabels,
    GradedSolution,
    LabeledSolution,
    SolutionText,
    TrainingSequence,
    cut_after_ratings,
    encode_graded,
    encode_labeled,
    encode_unlabeled,
    seeded,
    uniform_draw,
)
from trainer.evaluate import Judged, Probabilities, StepReport, evaluate_steps
from trainer.folders import (
    CARD_FILE,
    FORMAT_VERSION,
    SETTINGS_FILE,
    SPLIT_FILE,
    DiskFull,
    check_output_folder,
    model_sha256,
    write_folder,
)
from trainer.frozen_training import train_heads
from trainer.losses import Trained
from trainer.model import (
    RewardModel,
    build_tiny,
    load_base,
    load_tiny,
    new_heads,
    save_weights,
    suits_shipped_base,
)
from trainer.outcome import OutcomeReport, outcome_rates, report_outcomes
from trainer.phases import LossNotFinite, MemoryFull, Phase, run, take_step, trained_parts
from trainer.processes import Processes
from trainer.progress import Progress
from trainer.repeats import Repeats, cap_problems, learned_rates, merge_repeats
from trainer.score import score_solutions
from trainer.split import TooLittleToLearn, hold_out, readable

__all__ = ["DiskFull", "LossNotFinite", "MemoryFull", "Phase", "TooLittleToLearn", "TrainedModel", "hold_out", "take_step", "train"]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A finished model folder, its `model_sha256`, and its metrics on held-out problems as plain JSON values."""

    folder: Path
    sha256: str
    metrics: dict[str, Any]
    config: TrainConfig
    seconds: float


def train(
    labeled: Iterable[LabeledSolution | GradedSolution],
    *,
    config: TrainConfig,
    folder: str | Path,
    unlabeled: Iterable[SolutionText] = (),
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    provenance: Mapping[str, str] | None = None,
    overwrite: bool = False,
    states: str | Path | None = None,
) -> TrainedModel:
    """Train on `labeled` (and on the text of `unlabeled`), judge on held-out problems and write the model to `folder`.

    `folder` is new or empty; with `overwrite` it can hold a model, which is replaced. Anything else is refused before the training
    (OutputRefused). A PRM (config.kind) learns from LabeledSolution, an ORM from GradedSolution. `progress` is called twice a second; an
    exception that it raises ends the run. `checkpoint` is a folder to resume from: the same call with the same data and config continues
    where the last one stopped. The checkpoints are removed at the end. `provenance` (such as snapshot and code version) goes into the
    model card. `states` is the folder in which the states of a frozen base are kept, for this and later runs; other models do not use it.
    Under `accelerate launch` every process makes the same call, and the first one writes. Raises TooLittleToLearn,
    LossNotFinite, MemoryFull, DiskFull, and BadBase for a base that cannot be used.
    """
    began, folder, resumable = time.monotonic(), Path(folder), Path(checkpoint) if checkpoint else None
    check_output_folder(folder, overwrite=overwrite, checkpoint=resumable)
    if resumable:
        check_checkpoint_folder(resumable)
    processes = Processes()
    labels = [label for label in labeled if isinstance(label, GradedSolution) or label.n_rated]
    if any(isinstance(label, GradedSolution) != (config.kind == "orm") for label in labels):
        raise BadLabels("A prm learns from solutions with rated steps, an orm from graded solutions. Change the labels or the kind.")
    held_out = hold_out(labels, config=config)
    training = [label for label in labels if label.solution.problem_key not in held_out]
    distinct: Sequence[LabeledSolution | GradedSolution] = training
    repeats: Repeats | None = None
    if config.kind == "prm":
        distinct, repeats = merge_repeats(cast(list[LabeledSolution], training))
    finish = partial(
        _finish,
        training=training,
        distinct=distinct,
        held_out=[label for label in labels if label.solution.problem_key in held_out],
        folder=folder,
        provenance=dict(provenance or {}),
        overwrite=overwrite,
        checkpoint=resumable,
        progress=progress,
        began=began,
    )
    if config.frozen:
        if processes.count > 1:
            raise BadConfig("A frozen base is read by one process. Start the training without a launcher.")
        with TemporaryDirectory(prefix="stepmark-states-") as none_kept:
            found = train_heads(distinct, repeats=repeats, config=config, states=Path(states or none_kept), progress=progress)
            config = replace(config, revision=_commit(found.model) or config.revision)
            return finish(found.model, config=config, sequences=found.sequences, details=found.details, repeats=found.repeats)
    config = config.settled(text_suits=config.is_tiny and suits_shipped_base(some_texts([label.solution for label in training])))
    texts = uniform_draw(
        readable(unlabeled, labels, held_out=held_out, config=config),
        size=config.language_model_solutions if config.language_model_epochs else 0,
        rng=seeded(config.seed, "unlabeled"),
    )

    model = prepared_model(config, solutions=[*(label.solution for label in distinct), *texts])
    config = replace(config, revision=_commit(model) or config.revision)
    if config.kind == "orm":
        rated = encode_graded(cast(Sequence[GradedSolution], distinct), tokenizer=model.tokenizer, context=model.context)
    else:
        rated = encode_labeled(cast(Sequence[LabeledSolution], distinct), tokenizer=model.tokenizer, context=model.context)
    if not any(sequence.n_rated for sequence in rated):
        raise TooLittleToLearn(
            f"No label lies within the first {model.context} tokens of its solution. Raise context, or give shorter solutions."
        )
    if repeats:
        rated, repeats = cap_problems(rated, repeats)
    read = rated if config.language_model_weight else cut_after_ratings(rated)
    plain = encode_unlabeled(texts, tokenizer=model.tokenizer, context=model.context)
    phases = [
        Phase("language model", [*plain, *rated], config.language_model_epochs, config.language_model_learning_rate, 1.0, 0.0),
        Phase("reward model", read, config.epochs, config.learning_rate, config.language_model_weight, 1.0),
    ]
    trained = trained_parts(model, config)
    outcome = run(trained, phases, config=config, checkpoint=resumable, progress=progress, processes=processes)
    finished = cast(Trained, processes.whole(trained))
    result: TrainedModel | None = None
    if processes.is_first:
        finished.write_rows()
        model = finished.model
        if config.lora_rank:
            merge_adapters(model.network)
        nn.Module.to(finished, processes.device)
        details = {
            "n_unlabeled_solutions": len(texts),
            "n_processes": processes.count,
            "losses": outcome.losses,
            "curve": outcome.curve,
            "paces": [asdict(pace) for pace in outcome.paces],
            "halvings": outcome.halvings,
        }
        result = finish(model, config=config, sequences=rated, details=details, repeats=repeats, texts=texts)
    return cast(TrainedModel, processes.tell(result))


def _finish(
    model: RewardModel,
    *,
    config: TrainConfig,
    sequences: Sequence[TrainingSequence],
    details: Mapping[str, Any],
    training: Sequence[LabeledSolution | GradedSolution],
    distinct: Sequence[LabeledSolution | GradedSolution],
    held_out: Sequence[LabeledSolution | GradedSolution],
    folder: Path,
    provenance: dict[str, str],
    overwrite: bool,
    checkpoint: Path | None,
    progress: Progress | None,
    began: float,
    repeats: Repeats | None = None,
    texts: Sequence[SolutionText] = (),
) -> TrainedModel:
    """Judge a trained model on the held-out solutions, write its folder, and remove its checkpoints.

    distinct: the solutions of `training` after exact repeats were merged: their base rates are those that a model has to beat.
    """
    report = _judged(model, distinct, held_out, progress=progress)
    counts = {
        "n_problems": len({label.solution.problem_key for label in training}),
        "n_solutions": repeats.n_remaining if repeats else len(training),
        "n_rated_steps": sum(sequence.n_rated for sequence in sequences) if config.kind == "prm" else 0,
        "n_unread_steps": sum(sequence.encoded.unread_steps for sequence in sequences),
        "n_cut_solutions": sum(sequence.encoded.unread_steps > 0 for sequence in sequences),
        "n_parameters": model.n_parameters,
        "repeats": repeats.as_dict() if repeats else {},
    }
    metrics = report.as_dict() | {"training": counts | dict(details) | {"seconds": round(time.monotonic() - began, 1)}}
    metrics["cautions"] = cautions(metrics)
    sha256 = write_model(
        model,
        folder=folder,
        config=config,
        metrics=metrics,
        threshold=report.threshold,
        split={
            "training": sorted(problem_keys(label.solution for label in training)),
            "held_out": sorted(problem_keys(label.solution for label in held_out)),
            "text": sorted(problem_keys(texts) - problem_keys(label.solution for label in training)),
        },
        provenance=provenance,
        overwrite=overwrite,
    )
    if checkpoint:
        forget_checkpoint(checkpoint)
    return TrainedModel(folder, sha256, metrics, config, time.monotonic() - began)


def problem_keys(solutions: Iterable[SolutionText]) -> set[str]:
    """Return the keys of the problems of some solutions."""
    return {solution.problem_key for solution in solutions}


def _commit(model: RewardModel) -> str | None:
    """Return the commit of the hub from which a base was loaded."""
    return getattr(model.network.config, "_commit_hash", None)


def some_texts(solutions: Sequence[SolutionText], *, size: int = 300) -> list[str]:
    """Return about `size` solutions, evenly spaced, each as one text."""
    return ["\n".join((solution.problem, *solution.steps)) for solution in solutions[:: max(1, len(solutions) // size)]]


def prepared_model(config: TrainConfig, *, solutions: Sequence[SolutionText]) -> RewardModel:
    """Make the model from which training starts: its base, with the heads, adapters and kind of the config."""
    model = starting_model(config, solutions=solutions)
    heads = None
    if config.uncertainty_heads:
        output = cast(nn.Linear, model.network.get_output_embeddings())
        heads = new_heads(config.uncertainty_heads, width=output.in_features, seed=config.seed)
    if config.kind == "orm":
        without_dropout(model.network)
    if config.lora_rank:
        add_adapters(model.network, rank=config.lora_rank, seed=config.seed)
    if config.gradient_checkpointing:
        try:
            model.network.activation_checkpointing_enable()
        except ValueError as error:
            raise BadConfig(f"gradient_checkpointing does not work with {config.base}: {error} Leave it out.") from error
    return replace(model, kind=config.kind, heads=heads)


def starting_model(config: TrainConfig, *, solutions: Sequence[SolutionText]) -> RewardModel:
    """Load the pretrained base or the shipped base of `tiny`, or build `tiny` with a tokenizer trained on these solutions."""
    if not config.is_tiny:
        return load_base(config.base, revision=config.revision, context=config.context, seed=config.seed)
    if config.from_shipped_base:
        return load_tiny(context=config.context)
    texts = [*dict.fromkeys(s.problem for s in solutions), *(step for s in solutions for step in s.steps)]
    return build_tiny(texts, shape=config.shape, context=config.context, seed=config.seed)


def judge_solutions(model: RewardModel, labeled: Sequence[LabeledSolution], *, progress: Progress | None = None) -> list[Judged]:
    """Score labeled solutions; return each with its ratings."""
    scores = score_solutions(model, [label.solution for label in labeled], total=len(labeled), progress=progress)
    return [
        Judged(label.solution.problem_key, s.probabilities, label.ratings, len(label.solution.steps))
        for label, s in zip(labeled, scores, strict=True)
    ]


def judge(
    model: RewardModel,
    labeled: Sequence[LabeledSolution],
    *,
    rates: tuple[float, float, float],
    progress: Progress | None = None,
    threshold: float | None = None,
    threshold_split: str = "given",
) -> StepReport:
    """Score labeled solutions and compare the figures with those of the base rates. Raises LossNotFinite."""
    judged = judge_solutions(model, labeled, progress=progress)
    _check_numbers(one.probabilities for one in judged)
    return evaluate_steps(judged, base_rates=rates, threshold=threshold, threshold_split=threshold_split)


def judge_graded(
    model: RewardModel, graded: Sequence[GradedSolution], *, rates: tuple[float, float, float], progress: Progress | None = None
) -> OutcomeReport:
    """Score graded solutions with an ORM and compare the figures with those of the base rate. Raises LossNotFinite."""
    scores = score_solutions(model, [label.solution for label in graded], total=len(graded), progress=progress)
    probabilities = [s.probabilities for s in scores]
    _check_numbers(probabilities)
    return report_outcomes(graded, probabilities, base_rates=rates)


def _check_numbers(probabilities: Iterable[Probabilities]) -> None:
    if not all(np.isfinite(own).all() for own in probabilities):
        raise LossNotFinite(
            "The trained model gives held-out solutions probabilities that are not numbers. Lower the learning rate and train again."
        )


def _judged(
    model: RewardModel, training: Sequence[Any], held_out: Sequence[Any], *, progress: Progress | None
) -> StepReport | OutcomeReport:
    if model.kind == "orm":
        return judge_graded(model, held_out, rates=outcome_rates(training), progress=progress)
    return judge(model, held_out, rates=learned_rates(training), progress=progress)


def write_model(
    model: RewardModel,
    *,
    folder: Path,
    config: TrainConfig,
    metrics: dict[str, Any],
    threshold: float,
    split: dict[str, list[str]],
    provenance: dict[str, str],
    overwrite: bool,
) -> str:
    """Write the model folder as a whole; return its `model_sha256`."""
    framing = model.tokenizer
    settings = {
        "format": FORMAT_VERSION,
        "kind": config.kind,
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
    with write_folder(folder, overwrite=overwrite) as draft:
        save_weights(model, draft)
        (draft / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (draft / SPLIT_FILE).write_text(json.dumps(split) + "\n", encoding="utf-8")
        (draft / CARD_FILE).write_text(
            model_card(
                config=config,
                metrics=metrics,
                provenance=provenance,
                framing=settings,
                frozen=None if model.frozen is None else model.frozen.as_dict(),
            ),
            encoding="utf-8",
        )
    return model_sha256(folder)
