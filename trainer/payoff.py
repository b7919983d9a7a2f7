"""Tell whether labels that were chosen teach more than labels at random: small heads on a frozen base learn from each, and are compared.

Reads labeled solutions by how they came to be labeled; gives a `Payoff` for each way of choosing. Both sides begin with the same labels and
get equally many more of each round. Both are judged on the same labels of held-out problems, which must be labels that nobody chose. Heads
are what is compared, also where the project trains its base whole: three such trainings would take hours, and heads take seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.config import TrainConfig
from trainer.counting import counted
from trainer.data import UNRATED, LabeledSolution, TrainingSequence, seeded
from trainer.evaluate import FEWEST, Difference, resampled_auc
from trainer.frozen_heads import CAUTIOUS, Examples, Kind, cross_entropy, fit, fit_heads, head_logits, principal
from trainer.frozen_training import encode_training, rated_states, targets_of
from trainer.model import RewardModel, load_frozen_base
from trainer.progress import Clock, Progress
from trainer.score import on_fastest_device

LEAST = 10  # labels that each side needs beyond the common start
DRAWS = 10  # draws of as many labels, if one side has more: the figures are their mean
REPLICATES, FEWEST_REPLICATES = 100, 20  # resamples for the interval
WORK = 1_500_000  # heads x labeled steps that are fitted at once
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Addition:
    """The labels of one round on training problems: of the solutions that one part of its recipe chose, and of those drawn at random."""

    chosen: Sequence[LabeledSolution]
    at_random: Sequence[LabeledSolution]

    @property
    def n_each(self) -> int:
        """How many labels of each side are compared."""
        return min(len(self.chosen), len(self.at_random))


@dataclass(frozen=True, slots=True)
class Payoff:
    """What labels that one strategy chose taught, beside as many at random.

    n_rounds: rounds with labels of both. n_each: labels that each side learned from beyond the `n_start` common ones. steps: rated steps
    of these labels, {"chosen", "at_random"}, means over the draws. figures: step AUC and log-loss; `champion` is at random, `challenger`
    is chosen, with the difference and its 95 % interval. obstacle: a sentence why there are no figures.
    """

    n_rounds: int
    n_each: int
    n_start: int
    n_problems: int
    steps: Mapping[str, float]
    figures: Mapping[str, Difference]
    obstacle: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def payoffs(
    start: Sequence[LabeledSolution],
    additions: Mapping[str, Sequence[Addition]],
    held_out: Sequence[LabeledSolution],
    *,
    config: TrainConfig,
    states: Path,
    progress: Progress | None = None,
) -> dict[str, Payoff]:
    """Compare for each strategy the labels that it chose with as many at random. `states` is the folder of the cache.

    `config` is of a frozen PRM. The interval covers which labels came in and which problems are held out: each resample draws the added
    labels of both sides anew, and the held-out problems once for both. Raises BadBase, BadConfig and TooLittleToLearn.
    """
    held_out = [LabeledSolution(label.solution, label.ratings) for label in held_out]  # a model is judged by ratings, not by soft labels
    obstacles = {name: _obstacle(rounds, held_out) for name, rounds in additions.items()}
    wanted = {name: rounds for name, rounds in additions.items() if not obstacles[name]}
    if not wanted:
        return {name: _nothing(rounds, start, held_out, why=obstacles[name]) for name, rounds in additions.items()}
    model = load_frozen_base(config.base, revision=config.revision, context=config.context, layers=config.frozen_layers)
    model = on_fastest_device(model).keeping_states(states, spares=True)
    added = [label for rounds in wanted.values() for one in rounds for side in (one.chosen, one.at_random) for label in side]
    learned = list({id(label): label for label in (*start, *added)}.values())  # two strategies can share a round's draw at random
    found = _read_all(model, [*learned, *held_out], config=config, progress=progress)
    tested = _gathered(held_out, found)
    mean, projection, _ = principal(_gathered(learned, found).states, seed=config.seed)
    clock, result = Clock("payoff", len(wanted), progress), {}
    for number, (name, rounds) in enumerate(additions.items()):
        if name not in wanted:
            result[name] = _nothing(rounds, start, held_out, why=obstacles[name])
            continue
        result[name] = _compared(start, rounds, found, tested, mean=mean, projection=projection, seed=config.seed)
        clock.tick(number + 1)
    return result


def _obstacle(rounds: Sequence[Addition], held_out: Sequence[LabeledSolution]) -> str:
    n_each = sum(one.n_each for one in rounds)
    if n_each < LEAST:
        return (
            f"There {'is' if n_each == 1 else 'are'} {counted(n_each, 'label')} of each side so far, and at least {LEAST} are needed. "
            "Label more solutions of these rounds."
        )
    negative = {label.solution.problem_key for label in held_out if -1 in label.supervised}
    problems = {label.solution.problem_key for label in held_out}
    if len(problems) < FEWEST or not negative or all(-1 in label.supervised and len(label.supervised) == 1 for label in held_out):
        return (
            f"{counted(len(problems), 'problem')} that no model learns from {'has' if len(problems) == 1 else 'have'} a label that nobody "
            f"chose, and at least {FEWEST} with and without mistakes are needed. Label more solutions at random."
        )
    return ""


def _nothing(rounds: Sequence[Addition], start: Sequence[Any], held_out: Sequence[LabeledSolution], *, why: str) -> Payoff:
    n_problems = len({label.solution.problem_key for label in held_out})
    n_rounds = sum(one.n_each > 0 for one in rounds)
    return Payoff(n_rounds, sum(one.n_each for one in rounds), len(start), n_problems, {}, {}, why)


# --- reading ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Label:
    """One label: the states of its rated steps, (n, F), their targets (n, 3), and its problem."""

    states: NDArray[np.float16]
    targets: NDArray[np.float64]
    problem: str


def _read_all(
    model: RewardModel, labels: Sequence[LabeledSolution], *, config: TrainConfig, progress: Progress | None
) -> dict[int, _Label]:
    """Read the states of each label, by the identity of the label. Alternatives are left out: a draw at random has none."""
    plain = [LabeledSolution(one.solution, one.ratings, soft=one.soft, weights=one.weights) for one in labels]
    sequences: list[TrainingSequence] = encode_training(plain, model=model, config=config)
    found = rated_states(model, sequences, progress=progress)
    return {
        id(label): _Label(own, targets_of(one)[: len(one.classes)][one.classes != UNRATED], one.problem_key)
        for label, own, one in zip(labels, found, sequences, strict=True)
    }


def _gathered(labels: Sequence[LabeledSolution], found: Mapping[int, _Label]) -> Examples:
    """Put labels together as examples; those of which no rated step was read are left out."""
    used = [own for label in labels if len((own := found[id(label)]).states)]
    keys = tuple(sorted({own.problem for own in used}))
    numbers = {key: number for number, key in enumerate(keys)}
    problems = np.repeat([numbers[own.problem] for own in used], [len(own.states) for own in used])
    return Examples(np.concatenate([own.states for own in used]), np.concatenate([own.targets for own in used]), problems, keys)


# --- comparing ----------------------------------------------------------------------------------------------------------------


def _compared(
    start: Sequence[LabeledSolution],
    rounds: Sequence[Addition],
    found: Mapping[int, _Label],
    tested: Examples,
    *,
    mean: Tensor,
    projection: Tensor,
    seed: int,
) -> Payoff:
    """Fit heads for both sides, several draws and all resamples at once, and compare them on the held-out labels."""
    sides = [[label for one in rounds for label in getattr(one, side)] for side in ("chosen", "at_random")]
    labels = [*start, *sides[0], *sides[1]]
    examples = _gathered(labels, found)
    of_label = np.repeat(np.arange(len(labels)), [len(found[id(label)].states) for label in labels])
    places, targets = (torch.from_numpy(examples.states).double() - mean) @ projection, torch.from_numpy(examples.targets)
    is_equal = all(len(one.chosen) == len(one.at_random) for one in rounds)
    n_draws = 1 if is_equal else DRAWS
    n_replicates = max(FEWEST_REPLICATES, min(REPLICATES, WORK // (2 * len(places))))
    rng = seeded(seed, "payoff")
    counts = [
        _draw(rounds, len(start), side, is_bootstrap=number >= n_draws, rng=rng)
        for side in ("chosen", "at_random")
        for number in range(n_draws + n_replicates)
    ]
    times = np.stack(counts)  # (W, labels): how often each head saw each label
    weights = torch.from_numpy(times[:, of_label]).double()
    _, report = fit(examples, kind="prm", n_ensemble=1, seed=seed, head="linear")
    head = Kind("linear", report.get("penalty", CAUTIOUS))
    parts = fit_heads(places, targets, weights, [head], kind="prm", seed=seed)
    apart = (torch.from_numpy(tested.states).double() - mean) @ projection
    logits = head_logits(apart, *parts)  # (W, N, 3)
    negative, losses = logits.softmax(-1)[..., 0].numpy(), cross_entropy(logits, torch.from_numpy(tested.targets), kind="prm").numpy()
    figures = _figures(tested, negative, losses, n_draws=n_draws, n_replicates=n_replicates, rng=rng)
    n_steps = times[:, of_label[of_label >= len(start)]].sum(1).reshape(2, -1)[:, :n_draws].mean(1).tolist()
    return Payoff(
        sum(one.n_each > 0 for one in rounds),
        sum(one.n_each for one in rounds),
        len(start),
        len(tested.problem_keys),
        {"chosen": n_steps[0], "at_random": n_steps[1]},
        figures,
    )


def _draw(rounds: Sequence[Addition], n_start: int, side: str, *, is_bootstrap: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often one head sees each label: the start once, and of this side as many as both sides have, round by round."""
    counts = [np.ones(n_start)]
    for own in ("chosen", "at_random"):
        for one in rounds:
            n, here = len(getattr(one, own)), np.zeros(len(getattr(one, own)))
            if own == side and one.n_each:
                np.add.at(here, rng.choice(n, one.n_each, replace=is_bootstrap), 1.0)
            counts.append(here)
    return np.concatenate(counts)


def _figures(
    tested: Examples,
    negative: NDArray[np.float64],
    losses: NDArray[np.float64],
    *,
    n_draws: int,
    n_replicates: int,
    rng: np.random.Generator,
) -> dict[str, Difference]:
    """Return the figures of both sides. negative, losses: (W, N) on the held-out labels, first the heads of what was chosen."""
    n_problems, wrong = len(tested.problem_keys), tested.targets.argmax(1) == 0
    drawn = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=n_replicates)
    once = np.ones((1, n_problems), np.int64)

    def aucs(rows: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
        pairs = zip(rows, times, strict=True)
        return np.array([resampled_auc(row, wrong, problems=tested.problems, times=own[None])[0] for row, own in pairs])

    weight = tested.targets.sum(1)

    def mean_losses(rows: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
        often = times[:, tested.problems]
        return (rows * often).sum(1) / np.maximum((weight * often).sum(1), 1e-9)

    figures = {}
    for name, rows, measure in (("step_auc", negative, aucs), ("log_loss", losses, mean_losses)):
        chosen, at_random = rows.reshape(2, n_draws + n_replicates, -1)
        whole = [float(measure(side[:n_draws], once.repeat(n_draws, 0)).mean()) for side in (chosen, at_random)]
        spread = measure(chosen[n_draws:], drawn) - measure(at_random[n_draws:], drawn)
        half = Z * float(np.nanstd(spread, ddof=1))  # of a resample with one class the AUC is not defined
        difference = whole[0] - whole[1]
        figures[name] = Difference(whole[1], whole[0], difference, difference - half, difference + half)
    return figures
