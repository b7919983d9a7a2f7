"""Train heads on a frozen base: read the states of the labeled steps, from the cache where they are, and fit the heads.

Reads labeled or graded solutions; gives a reward model and a report. A run that was stopped or killed starts again and takes the states
that it had read from the cache, so it ends with the same bytes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.config import BadBase, TrainConfig
from trainer.data import UNRATED, GradedSolution, LabeledSolution, TrainingSequence, encode, encode_labeled
from trainer.frozen_heads import Examples, fit
from trainer.model import RewardModel, load_frozen_base
from trainer.prefix import Reader
from trainer.progress import Clock, Progress
from trainer.repeats import Repeats, cap_problems
from trainer.score import on_fastest_device, suitable_budget
from trainer.split import TooLittleToLearn
from trainer.states import LIMIT

WINDOW = 4096  # solutions whose states are looked up at once: the reader keeps the states of all their steps until it has given them


@dataclass(frozen=True, slots=True)
class HeadsTrained:
    """A model with heads on its frozen base, and the sequences that they learned from.

    report: plain values that say how: layers, kind of head, what cross-validation tried, how many solutions were in the cache. repeats:
    what was merged and capped; None of an ORM.
    """

    model: RewardModel
    sequences: list[TrainingSequence]
    report: dict[str, Any]
    repeats: Repeats | None = None

    @property
    def details(self) -> dict[str, Any]:
        """What the metrics say of this training. Heads are fitted at once, so there is no curve of losses and no pace."""
        loss = self.report.get("cross_validation", {}).get("log_loss")
        losses = {} if loss is None else {"heads, cross-validated": loss}
        return {
            "n_unlabeled_solutions": 0,
            "n_processes": 1,
            "losses": losses,
            "curve": [],
            "paces": [],
            "halvings": 0,
            "frozen": self.report,
        }


def train_heads(
    training: Sequence[LabeledSolution | GradedSolution],
    *,
    config: TrainConfig,
    states: Path,
    repeats: Repeats | None = None,
    limit: int = LIMIT,
    progress: Progress | None = None,
) -> HeadsTrained:
    """Train heads on the states of `config.base` at the labeled steps. `states` is the folder of the cache. repeats: of what `training` is
    left; then the weight of a problem is bounded.

    An ORM learns the outcome at every step end. Raises BadBase, BadConfig, and TooLittleToLearn if no label lies within the context.
    """
    model = load_frozen_base(config.base, revision=config.revision, context=config.context, layers=config.frozen_layers)
    model = on_fastest_device(replace(model, kind=config.kind)).keeping_states(states, limit=limit, spares=False)
    assert model.frozen is not None and model.states is not None
    sequences = encode_training(training, model=model, config=config)
    if repeats:
        sequences, repeats = cap_problems(sequences, repeats)
    began = time.monotonic()
    examples = _examples(model, sequences, progress=progress)
    read, n_kept = time.monotonic(), model.states.n_found
    clock = Clock("heads", None, progress)
    heads, report = fit(
        examples,
        kind=config.kind,
        n_ensemble=config.uncertainty_heads,
        seed=config.seed,
        head=config.frozen_head,
        tick=lambda done, _: clock.tick(done),
    )
    seconds = {"states": round(read - began, 1), "heads": round(time.monotonic() - read, 1)}
    base = {"layers": list(model.frozen.layers), "base_sha256": model.frozen.sha256}
    counts = {"n_solutions": sum(len(sequence.encoded.step_ends) > 0 for sequence in sequences), "n_from_cache": n_kept}
    heads = heads.to(model.network.device)
    return HeadsTrained(replace(model, frozen_heads=heads.eval()), sequences, base | report | counts | {"seconds": seconds}, repeats)


def encode_training(
    training: Sequence[LabeledSolution | GradedSolution], *, model: RewardModel, config: TrainConfig
) -> list[TrainingSequence]:
    """Encode what heads learn from. Raises TooLittleToLearn if no label lies within the context."""
    if config.kind == "prm":
        labeled = cast(Sequence[LabeledSolution], training)
        sequences = encode_labeled(labeled, tokenizer=model.tokenizer, context=model.context)
    else:
        graded = cast(Sequence[GradedSolution], training)
        texts = encode([grade.solution for grade in graded], tokenizer=model.tokenizer, context=model.context)
        sequences = [
            TrainingSequence(text, np.full(len(text.step_ends), 2 if grade.right else 0, np.int64), problem_key=grade.solution.problem_key)
            for text, grade in zip(texts, graded, strict=True)
        ]
    if not any(sequence.n_rated for sequence in sequences):
        raise TooLittleToLearn(
            f"No label lies within the first {model.context} tokens of its solution. Raise context, or give shorter solutions."
        )
    return sequences


def _examples(model: RewardModel, sequences: Sequence[TrainingSequence], *, progress: Progress | None) -> Examples:
    """Read the states of the rated places of all sequences, and put them together."""
    found, rated = rated_states(model, sequences, progress=progress), [sequence.classes != UNRATED for sequence in sequences]
    used = [place for place, own in enumerate(found) if len(own)]
    keys = tuple(sorted({sequences[place].problem_key for place in used}))
    numbers = {key: number for number, key in enumerate(keys)}
    problems = np.repeat([numbers[sequences[place].problem_key] for place in used], [len(found[place]) for place in used])
    whole, start = np.empty((len(problems), found[used[0]].shape[1]), np.float16), 0
    for place in used:  # each is dropped when it is copied: all states are in memory once
        own, found[place] = found[place], found[place][:0].copy()
        whole[start : start + len(own)] = own
        start += len(own)
    return Examples(whole, np.concatenate([targets_of(sequences[place])[rated[place]] for place in used]), problems, keys)


@torch.inference_mode()
def rated_states(
    model: RewardModel, sequences: Sequence[TrainingSequence], *, progress: Progress | None = None
) -> list[NDArray[np.float16]]:
    """Read the states of the rated places of each sequence, (places, width), from the cache where they are. Raises BadBase."""
    reader, clock, done = Reader(model, token_budget=suitable_budget(model)), Clock("states", len(sequences), progress), 0
    found: list[NDArray[np.float16]] = [np.empty((0, 0), np.float16)] * len(sequences)
    for first in range(0, len(sequences), WINDOW):
        window = sequences[first : first + WINDOW]
        for places, states in reader.step_end_states([one.encoded for one in window], [one.problem_key for one in window]):
            rows, start = states.half().cpu().numpy(), 0
            for place in places.tolist():
                stop = start + len(window[place].encoded.step_ends)
                found[first + place] = rows[start:stop][window[place].classes != UNRATED]
                start = stop
            done += len(places)
            clock.tick(done)
    clock.tick(len(sequences))
    if not all(np.isfinite(own).all() for own in found):
        raise BadBase("The states of the base are not finite numbers on these solutions. Name other frozen_layers, or another base.")
    return found


def targets_of(sequence: TrainingSequence) -> NDArray[np.float64]:
    """Return what heads learn at each place of a sequence: (places, 3), the probabilities of the classes times the weight."""
    if sequence.soft is not None:
        return sequence.soft.astype(np.float64)
    return np.eye(3)[np.maximum(sequence.classes, 0)]
