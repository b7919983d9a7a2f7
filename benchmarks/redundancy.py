"""Figure: how many exact first mistakes adaptive redundancy brings, against fixed redundancy with as many labels, simulated.

Protocol, fixed before the first run. The worlds of `script/bench consensus`: 2,000 solutions of 3 to 19 steps, 60 % with a mistake, read by
30 people who miss a first mistake with 5 to 40 % and rate a good step negative with 0 to 10 %. 20 worlds, seeds 0 to 19. Each person has
answered 20 more solutions as gold. A reward model gives each step the logistic of a normal number as its probability of a mistake: of mean
1 at the first mistake and of mean -3 elsewhere, both with deviation 1.5. It sees a mistake in the first step above one half.

Adaptive: each solution is read by one person. Then the product's own rule (annotation/redundancy.py) asks for more people, again and again
until it asks for nobody; consensus and labelers are estimated anew each time, without the model. Fixed: as many labels in total, the same
number for each solution, and one more for solutions drawn at random until the labels are used up. Both end in the consensus of all labels,
without the model. `exact` is the share of solutions whose first mistake, or that there is none, is named.

`margin`: exact of adaptive minus that of fixed at the thresholds named DEFAULT, mean over the worlds; `margin_interval` is its 95 %
interval over them (t). `ratio` is one exact share over the other. `curve`: the same for each setting, from few labels to many. The settings
with one reason alone say what that reason brings.
"""

import argparse
import json
import statistics
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from annotation import consensus
from annotation.consensus import NONE, Consensus, Integers
from annotation.redundancy import LabelsSoFar, ModelVerdict, Thresholds, gold_share, next_ask
from benchmarks.consensus import LATE, READERS, SOLUTIONS, T_975, WORLDS, World, make_world

PEOPLE, GOLD = 30, 20
DEFAULT = "default"
SETTINGS = {
    "model alone": Thresholds(READERS, model=0.8),
    "gold alone": Thresholds(READERS, gold=0.75),
    "spread alone": Thresholds(READERS, gold=0.6, spread=1.0),  # the spread needs people whose labels others checked
    "strict": Thresholds(READERS, model=0.95, gold=0.6, spread=1.5),
    DEFAULT: Thresholds(READERS, model=0.8, gold=0.75, spread=1.0),
    "default, two at most": Thresholds(2, model=0.8, gold=0.75, spread=1.0),
    "loose": Thresholds(READERS, model=0.5, gold=0.85, spread=0.5),
    "two for each, three on conflict": Thresholds(READERS, model=0.0, gold=1.0, spread=0.0),
}


@dataclass(frozen=True)
class Setup:
    """A world with what the rule knows beside labels: answers on gold by person, and a model's verdict by solution."""

    world: World
    marks: list[list[tuple[int, int]]]  # by solution: (person, mark), in the order in which people would be asked
    gold: list[float | None]
    verdicts: list[ModelVerdict]

    @property
    def model_exact(self) -> float:
        """How often the model names the true first mistake."""
        named = [NONE if verdict.first_mistake is None else verdict.first_mistake + 1 for verdict in self.verdicts]
        return float((np.array(named) == self.world.truth).mean())


def set_up(seed: int, *, n_solutions: int) -> Setup:
    """Make a world, gold answers and a model."""
    world = make_world(seed, n_solutions=n_solutions, n_people=PEOPLE, late=LATE)
    marks: list[list[tuple[int, int]]] = [[] for _ in range(n_solutions)]
    for solution, person, marked in world.rows:
        marks[solution].append((person, marked))
    random = np.random.default_rng(10_000 + seed)
    gold = [gold_share(_right_answers(world, person, random), GOLD) for person in range(PEOPLE)]
    return Setup(world, marks, gold, [_verdict(int(n), int(true), random) for n, true in zip(world.n_steps, world.truth, strict=True)])


def _right_answers(world: World, person: int, random: np.random.Generator) -> int:
    """Count the right answers of a person on gold: an answer is right without an alarm before the mistake, and with the mistake seen."""
    n_steps = random.integers(3, 20, GOLD)
    has_mistake = random.random(GOLD) < 0.6
    before = np.where(has_mistake, random.integers(1, n_steps + 1) - 1, n_steps)
    is_quiet = random.random(GOLD) < (1 - world.alarms[person]) ** before
    return int((is_quiet & (~has_mistake | (random.random(GOLD) < world.sees[person]))).sum())


def _verdict(n_steps: int, true: int, random: np.random.Generator) -> ModelVerdict:
    means = np.full(n_steps, -3.0)
    if true != NONE:
        means[true - 1] = 1.0
    wrong = 1 / (1 + np.exp(-random.normal(means, 1.5)))
    weak = np.flatnonzero(wrong > 0.5)
    return ModelVerdict(int(weak[0]) if len(weak) else None, float(np.prod(1 - wrong)))


def settled(setup: Setup, counts: Integers) -> Consensus:
    """Return the consensus of the first labels of each solution, as many as `counts` says."""
    rows = [(solution, person, mark) for solution, given in enumerate(setup.marks) for person, mark in given[: int(counts[solution])]]
    return consensus.settle(consensus.from_lists(setup.world.n_steps.tolist(), rows))


def adaptive(setup: Setup, thresholds: Thresholds) -> tuple[int, float]:
    """Ask by the rule until it asks for nobody. Return the number of labels and the exact share."""
    counts = np.ones(len(setup.marks), dtype=np.int64)
    while True:
        said = settled(setup, counts)
        is_known = [ability.sees is not None for ability in consensus.describe(said)] + [False] * PEOPLE
        entropies = said.entropies
        asks = 0
        for solution, given in enumerate(setup.marks):
            marks = [None if mark == NONE else mark - 1 for _, mark in given[: int(counts[solution])]]
            first = given[0][0]
            labels = LabelsSoFar(
                marks,
                len(marks),
                against=setup.verdicts[solution].against(marks[0]),
                gold=setup.gold[first],
                entropy=float(entropies[solution]) if is_known[first] else None,
            )
            if next_ask(labels, thresholds):
                counts[solution] += 1
                asks += 1
        if not asks:
            return int(counts.sum()), float((said.first_mistakes == setup.world.truth).mean())


def fixed(setup: Setup, n_labels: int, seed: int) -> float:
    """Give each solution as many labels as any other, and the rest to solutions drawn at random. Return the exact share."""
    n = len(setup.marks)
    counts = np.full(n, n_labels // n, dtype=np.int64)
    counts[np.random.default_rng(20_000 + seed).permutation(n)[: n_labels % n]] += 1
    return float((settled(setup, counts).first_mistakes == setup.world.truth).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench redundancy", description="Compare adaptive with fixed redundancy at equal labels, simulated."
    )
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs")
    options = parser.parse_args()
    n_worlds, n_solutions = (2, 150) if options.smoke else (WORLDS, SOLUTIONS)
    runs: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    model = []
    for seed in range(n_worlds):
        setup = set_up(seed, n_solutions=n_solutions)
        model.append(setup.model_exact)
        for name, thresholds in SETTINGS.items():
            n_labels, exact = adaptive(setup, thresholds)
            runs[name].append((n_labels / n_solutions, exact, fixed(setup, n_labels, seed)))
    curve = {}
    for name, rows in runs.items():
        labels, ours, other = (statistics.fmean(column) for column in zip(*rows, strict=True))
        margins = [exact - same for _, exact, same in rows]
        mean, half = statistics.fmean(margins), T_975.get(n_worlds - 1, 12.706) * statistics.stdev(margins) / n_worlds**0.5
        curve[name] = {
            "labels_per_solution": round(labels, 3),
            "adaptive": round(ours, 4),
            "fixed": round(other, 4),
            "margin": round(mean, 4),
            "margin_interval": [round(mean - half, 4), round(mean + half, 4)],
        }
    best = curve[DEFAULT]
    figures = {"margin": best["margin"], "margin_interval": best["margin_interval"], "curve": curve, "worlds": n_worlds}
    ratio = statistics.fmean(exact / same for _, exact, same in runs[DEFAULT])
    print(json.dumps(figures | {"ratio": round(ratio, 4), "model_exact": round(statistics.fmean(model), 4)}))


if __name__ == "__main__":
    main()
