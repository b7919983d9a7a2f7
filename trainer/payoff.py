"""Tell whether labels that were chosen teach more than labels at random: small heads on a frozen base learn from each, and are compared.

Reads labeled solutions by how they came to be labeled; gives a `Payoff` for each way of choosing. Both sides begin with the same labels and
get equally many more solutions of each round. Both are judged on the same solutions of held-out problems, which must be drawn at random.
Heads are what is compared, also where the project trains its base whole: three such trainings would take hours, and heads take seconds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.config import TrainConfig
from trainer.counting import counted
from trainer.data import UNRATED, LabeledSolution, seeded
from trainer.evaluate import FEWEST, Difference, resampled_auc
from trainer.frozen_heads import CAUTIOUS, Examples, Kind, cross_entropy, fit, fit_heads, head_logits, principal
from trainer.frozen_training import encode_training, rated_states, targets_of
from trainer.model import RewardModel, load_frozen_base
from trainer.progress import Clock, Progress
from trainer.repeats import merge_repeats
from trainer.score import on_fastest_device

LEAST = 10  # solutions that each side needs beyond the common start
ROUNDS = 3  # with solutions of both sides, before anything is decided
ERROR = 0.05  # the probability that a project is ever told that choosing pays while it does not
DRAWS = 10  # draws of as many solutions, if one side has more: the figures are their mean
REPLICATES, FEWEST_REPLICATES = 100, 20  # resamples for the interval
JUDGED = 1000  # resamples of the held-out problems, for which nothing is fitted
FREEDOM = 5  # degrees of freedom. With fewer there is no interval: `student` would be too short for the small errors of later looks
STEP = 1 / 3  # how far the weights of a resample are from 1, of what its draw says
WORK = 1_500_000  # heads x labeled steps that are fitted at once


@dataclass(frozen=True, slots=True)
class Addition:
    """The labels of one round on training problems: of the solutions that one part of its recipe chose, and of those drawn at random."""

    chosen: Sequence[LabeledSolution]
    at_random: Sequence[LabeledSolution]


@dataclass(frozen=True, slots=True)
class Payoff:
    """What solutions that one strategy chose taught, beside as many at random.

    n_rounds: rounds with labels of both. n_each: distinct solutions that each side learned from beyond the `n_start` common ones.
    n_problems and n_judged: held-out problems and solutions. n_resamples: those on which the interval stands. steps: rated steps of the
    added solutions, {"chosen", "at_random"}, means over the draws. figures: step AUC and log-loss; `champion` is at random, `challenger`
    is chosen, with the difference and its 95 % interval; None where undefined. decides: the interval of the AUC difference that decides,
    {"error", "low", "high"}: each end errs with that probability (`spent`); empty before the round ROUNDS. obstacle: a sentence why there
    are no figures.
    """

    n_rounds: int
    n_each: int
    n_start: int
    n_problems: int
    n_judged: int
    n_resamples: int
    steps: Mapping[str, float]
    figures: Mapping[str, Difference]
    decides: Mapping[str, float | None]
    obstacle: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Read:
    """One labeled solution as heads see it: the states of its rated steps, (n, F), their targets (n, 3), and its problem."""

    states: NDArray[np.float16]
    targets: NDArray[np.float64]
    problem: str


Sides = tuple[Sequence[Read], Sequence[Read]]  # of one round: what was chosen, what was drawn at random


def spent(look: int, *, n_strategies: int) -> float:
    """Return the probability of error that the interval of one strategy may spend at one end when a project is looked at once more.

    look: 1, 2, .. The first look spends half of ERROR, the next ones ERROR / (look (look + 1)), which add up to ERROR however many come;
    strategies of one look share it evenly. An error-spending function (Lan and DeMets, *Discrete Sequential Boundaries for Clinical
    Trials*, Biometrika 70, 1983) with Bonferroni's bound, so nothing is assumed about how looks and strategies depend on each other.
    """
    return ERROR / (look * (look + 1) * n_strategies)


def student(error: float, *, freedom: int) -> float:
    """Return the quantile of Student's t distribution above which `error` lies (Abramowitz and Stegun, 26.7.5).

    The error that it stands for is right to 0.4 % from 9 degrees of freedom on, for errors down to 0.0003, and to 4 % from FREEDOM on.
    """
    z, n = NormalDist().inv_cdf(1 - error), freedom
    first, second = (z**3 + z) / (4 * n), (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    return z + first + second + third + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)


def payoffs(
    start: Sequence[LabeledSolution],
    additions: Mapping[str, Sequence[Addition]],
    held_out: Sequence[LabeledSolution],
    *,
    config: TrainConfig,
    states: Path,
    error: float = ERROR / 2,
    progress: Progress | None = None,
) -> dict[str, Payoff]:
    """Compare for each strategy the solutions that it chose with as many at random. `states` is the folder of the cache.

    `config` is of a frozen PRM. Labels of the same solution, or of one with the same text, count as one solution with the shares of their
    ratings. error: what each end of the interval that decides may err (`spent`). Raises BadBase, BadConfig, TooLittleToLearn and, if a
    fit breaks down, RuntimeError.
    """
    start = merge_repeats(start)[0]
    # A model is judged by ratings, not by soft labels: those that most people gave.
    held_out = [LabeledSolution(one.solution, one.supervised) for one in merge_repeats(held_out)[0]]
    sides = {name: _distinct(rounds) for name, rounds in additions.items()}
    result = {name: _nothing(start, rounds, held_out, why=_too_few(rounds, held_out)) for name, rounds in sides.items()}
    wanted = {name: rounds for name, rounds in sides.items() if not result[name].obstacle}
    if not wanted:
        return result
    model = load_frozen_base(config.base, revision=config.revision, context=config.context, layers=config.frozen_layers)
    model = on_fastest_device(model).keeping_states(states, spares=True)
    added = [label for rounds in wanted.values() for one in rounds for side in (one.chosen, one.at_random) for label in side]
    labels = list({id(label): label for label in (*start, *added, *held_out)}.values())  # strategies can share a round's draw at random
    found = _read_all(model, labels, config=config, progress=progress)

    def read(labels: Iterable[LabeledSolution]) -> list[Read]:
        return [own for label in labels if len((own := found[id(label)]).states)]  # without those beyond the context

    clock, begun, judged = Clock("payoff", len(wanted), progress), read(start), read(held_out)
    for number, (name, rounds) in enumerate(wanted.items()):
        result[name] = compared(begun, [(read(one.chosen), read(one.at_random)) for one in rounds], judged, seed=config.seed, error=error)
        clock.tick(number + 1)
    return result


def _distinct(rounds: Sequence[Addition]) -> list[Addition]:
    """Merge the labels of the same solution on each side, also those of several rounds: they stay in the first one."""
    sides = []
    for side in ("chosen", "at_random"):
        first: dict[tuple[str, tuple[str, ...]], int] = {}
        for number, one in enumerate(rounds):
            for label in getattr(one, side):
                first.setdefault((label.solution.problem_key, label.solution.steps), number)
        parts: list[list[LabeledSolution]] = [[] for _ in rounds]
        for label in merge_repeats([label for one in rounds for label in getattr(one, side)])[0]:
            parts[first[label.solution.problem_key, label.solution.steps]].append(label)
        sides.append(parts)
    return [Addition(chosen, at_random) for chosen, at_random in zip(*sides, strict=True)]


def _n_each(chosen: Sequence[Any], at_random: Sequence[Any]) -> int:
    """Return how many solutions of each side of a round are compared."""
    return min(len(chosen), len(at_random))


def _too_few(rounds: Sequence[Addition], held_out: Sequence[LabeledSolution]) -> str:
    """Say why nothing can be compared before anything is read; empty: it may be possible."""
    problems = {label.solution.problem_key for label in held_out}
    kinds = {rating == -1 for label in held_out for rating in label.supervised if rating is not None}
    return _obstacle(sum(_n_each(one.chosen, one.at_random) for one in rounds), n_problems=len(problems), n_kinds=len(kinds))


def _obstacle(n_each: int, *, n_problems: int, n_kinds: int) -> str:
    """Say what is missing; empty: nothing. n_kinds: 2 if the held-out steps are of both kinds, wrong ones and others."""
    if n_each < LEAST:
        return (
            f"There {'is' if n_each == 1 else 'are'} {counted(n_each, 'labeled solution')} of each side so far, and at least {LEAST} are "
            "needed. Label more solutions of these rounds."
        )
    if n_problems < FEWEST:
        return (
            f"{counted(n_problems, 'problem')} that no model learns from {'has' if n_problems == 1 else 'have'} a labeled solution that "
            f"a round drew at random, and at least {FEWEST} are needed. Label more solutions at random."
        )
    if n_kinds < 2:
        return (
            "The solutions that a round drew at random and no model learns from have only mistakes, or none at all, so nothing can be "
            "told apart there. Label more solutions at random."
        )
    return ""


def _nothing(start: Sequence[Any], rounds: Sequence[Addition], held_out: Sequence[LabeledSolution], *, why: str) -> Payoff:
    problems = {label.solution.problem_key for label in held_out}
    sizes = [_n_each(one.chosen, one.at_random) for one in rounds]
    return Payoff(sum(n > 0 for n in sizes), sum(sizes), len(start), len(problems), len(held_out), 0, {}, {}, {}, why)


def _read_all(model: RewardModel, labels: Sequence[LabeledSolution], *, config: TrainConfig, progress: Progress | None) -> dict[int, Read]:
    """Read the states of each label, by the identity of the label. Alternatives are left out: a draw at random has none."""
    plain = [LabeledSolution(one.solution, one.ratings, soft=one.soft, weights=one.weights) for one in labels]
    sequences = encode_training(plain, model=model, config=config)
    found = rated_states(model, sequences, progress=progress)
    return {
        id(label): Read(own, targets_of(one)[: len(one.classes)][one.classes != UNRATED], one.problem_key)
        for label, own, one in zip(labels, found, sequences, strict=True)
    }


# --- comparing ----------------------------------------------------------------------------------------------------------------


def compared(start: Sequence[Read], rounds: Sequence[Sides], held_out: Sequence[Read], *, seed: int, error: float = ERROR / 2) -> Payoff:
    """Compare what solutions that were chosen taught with as many at random: several draws and all resamples are fitted at once.

    start: what both sides learn from. rounds: what each adds. The interval covers which problems came in and which are held out, each with
    all its solutions, by two resamplings. One draws the held-out problems. The other draws the problems of the added solutions, once for
    both sides, but moves their weights only by STEP of what the draw says, and multiplies the deviation by 1 / STEP: heads that learn from
    a plain resample know half as many problems, and vary too much. The variances are added, less that of what only both together change,
    which each of them holds (two crossed factors: Owen, *The Pigeonhole Bootstrap*, Annals of Applied Statistics 1, 2007). The half width
    is Student's quantile times the deviation, with one degree of freedom less than there are resamples, held-out problems, or problems of
    the added solutions, whichever are fewest.
    """
    sizes = [_n_each(*sides) for sides in rounds]
    n_rounds, n_each = sum(n > 0 for n in sizes), sum(sizes)
    n_problems = len({own.problem for own in held_out})
    judged = np.concatenate([own.targets for own in held_out]) if held_out else np.zeros((0, 3))
    kinds = {int(kind) == 0 for kind in judged.argmax(1)}
    counts = (n_rounds, n_each, len(start), n_problems, len(held_out))
    if why := _obstacle(n_each, n_problems=n_problems, n_kinds=len(kinds)):
        return Payoff(*counts, 0, {}, {}, {}, why)
    added = [[own for sides in rounds for own in sides[side]] for side in (0, 1)]
    learned = [*start, *added[0], *added[1]]
    examples, of_row = _gathered(learned), np.repeat(np.arange(len(learned)), [len(own.states) for own in learned])
    is_equal = all(len(chosen) == len(at_random) for chosen, at_random in rounds)
    n_draws = 1 if is_equal else DRAWS
    n_resamples = max(FEWEST_REPLICATES, min(REPLICATES, WORK // (2 * len(of_row))))
    rng = seeded(seed, "payoff")
    times = _draws(len(start), rounds, n_draws=n_draws, n_resamples=n_resamples, rng=rng)  # (W, solutions)
    mean, projection, _ = principal(examples.states, seed=seed)
    places = (torch.from_numpy(examples.states).double() - mean) @ projection
    _, report = fit(examples, kind="prm", n_ensemble=1, seed=seed, head="linear")
    head = Kind("linear", report.get("penalty", CAUTIOUS))
    weights = torch.from_numpy(times[:, of_row]).double()
    parts = fit_heads(places, torch.from_numpy(examples.targets), weights, [head], kind="prm", seed=seed)
    tested = _gathered(held_out)
    logits = head_logits((torch.from_numpy(tested.states).double() - mean) @ projection, *parts)  # (W, N, 3)
    negative, losses = logits.softmax(-1)[..., 0].numpy(), cross_entropy(logits, torch.from_numpy(tested.targets), kind="prm").numpy()
    fewest = min(n_problems, *(len({own.problem for own in side}) for side in added))
    figures, decides = _figures(tested, negative, losses, n_draws=n_draws, n_resamples=n_resamples, fewest=fewest, error=error, rng=rng)
    n_steps = times[:, of_row[of_row >= len(start)]].sum(1).reshape(2, -1)[:, :n_draws].mean(1).tolist()
    steps = {"chosen": n_steps[0], "at_random": n_steps[1]}
    return Payoff(*counts, n_resamples, steps, figures, decides if n_rounds >= ROUNDS else {})


def _gathered(labels: Sequence[Read]) -> Examples:
    """Put labels together as examples."""
    keys = tuple(sorted({own.problem for own in labels}))
    numbers = {key: number for number, key in enumerate(keys)}
    problems = np.repeat([numbers[own.problem] for own in labels], [len(own.states) for own in labels])
    return Examples(np.concatenate([own.states for own in labels]), np.concatenate([own.targets for own in labels]), problems, keys)


def _draws(n_start: int, rounds: Sequence[Sides], *, n_draws: int, n_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each head sees each solution, (2 (n_draws + n_resamples), solutions): the heads of what was chosen, then the others.

    Columns: the start, all that was chosen, all at random. The start counts once. Of a side with more solutions in a round as many are
    drawn as the other has. In a resample each solution counts 1 + STEP (n - 1), where its problem was drawn n times; then a side is scaled
    to its number of solutions, so that both sides learn from equally many. Resample i stands on the draw i modulo n_draws.
    """
    added = [[own for sides in rounds for own in sides[side]] for side in (0, 1)]
    numbers = {key: number for number, key in enumerate(sorted({own.problem for side in added for own in side}))}
    problems = [np.array([numbers[own.problem] for own in side]) for side in added]
    drawn = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=n_resamples)
    rows: list[NDArray[np.float64]] = []
    for side in (0, 1):
        picked = [np.concatenate([_picked(len(sides[side]), _n_each(*sides), rng) for sides in rounds]) for _ in range(n_draws)]
        moved = [picked[i % n_draws] * (1 + STEP * (times[problems[side]] - 1)) for i, times in enumerate(drawn)]
        scaled = [own * (picked[0].sum() / own.sum()) for own in moved]
        other = np.zeros(len(added[1 - side]))
        rows += [np.concatenate([np.ones(n_start), *((own, other) if side == 0 else (other, own))]) for own in (*picked, *scaled)]
    return np.stack(rows)


def _picked(n: int, n_wanted: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return which of n are drawn, as 1, without putting any back."""
    picked = np.zeros(n)
    picked[rng.choice(n, n_wanted, replace=False)] = 1.0
    return picked


def _figures(
    tested: Examples,
    negative: NDArray[np.float64],
    losses: NDArray[np.float64],
    *,
    n_draws: int,
    n_resamples: int,
    fewest: int,
    error: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Difference], dict[str, float | None]]:
    """Return the figures of both sides with their 95 % intervals, and the interval of the AUC that decides.

    negative, losses: (W, N) on the held-out labels, first the heads of what was chosen.
    """
    n_problems, wrong = len(tested.problem_keys), tested.targets.argmax(1) == 0
    drawn = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=JUDGED)
    once, weight = np.ones((1, n_problems), np.int64), tested.targets.sum(1)

    def auc(row: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
        return resampled_auc(row, wrong, problems=tested.problems, times=times)

    def mean_loss(row: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
        often = times[:, tested.problems]
        return (often @ row) / np.maximum(often @ weight, 1e-9)

    figures: dict[str, Difference] = {}
    decides: dict[str, float | None] = {}
    for name, rows, measure in (("step_auc", negative, auc), ("log_loss", losses, mean_loss)):
        each = np.array([measure(row, once)[0] for row in rows]).reshape(2, n_draws + n_resamples)
        champion, challenger = each[1, :n_draws].mean(), each[0, :n_draws].mean()
        apart = each[0] - each[1]
        base = np.arange(n_resamples) % n_draws  # the draw that a resample stands on
        moved = (apart[n_draws:] - apart[base]) / STEP
        sides = rows.reshape(2, n_draws + n_resamples, -1)
        judged = np.stack([measure(a, drawn) - measure(b, drawn) for a, b in zip(*sides[:, :n_draws], strict=True)])
        both = [measure(a, own[None])[0] - measure(b, own[None])[0] for a, b, own in zip(*sides[:, n_draws:], drawn, strict=False)]
        cross = (np.array(both) - judged[base, np.arange(n_resamples)]) / STEP - moved
        # Of a resample with one class the AUC is not defined.
        parts = [
            float(np.mean(own[np.isfinite(own)] ** 2)) if np.isfinite(own).any() else math.nan
            for own in (moved, judged.mean(0) - apart[:n_draws].mean(), cross)
        ]
        freedom = min(n_resamples, fewest) - 1
        if freedom >= FREEDOM:
            learning, judging, together = parts
            deviation = math.sqrt(max(learning, judging, learning + judging - together))
            half, sure = (deviation * student(alpha, freedom=freedom) for alpha in (0.025, error))
        else:
            half = sure = math.nan
        difference = challenger - champion
        figures[name] = Difference(*map(_defined, (champion, challenger, difference, difference - half, difference + half)))
        if name == "step_auc":
            decides = {"error": error, "low": _defined(difference - sure), "high": _defined(difference + sure)}
    return figures, decides


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
