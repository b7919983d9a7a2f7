"""Figure: a reward model trained on the consensus of several labelers as probabilities (soft), against their most likely ratings (hard).

Protocol, fixed before the first run. Five seeds. Each makes a world of its own with 300 problems of two solutions, and 12 labelers who miss
a mistake with a probability drawn from 5 to 40 % and rate a good step negative with one drawn from 0 to 10 %. Three of them, drawn anew,
read each solution. The consensus is settled from their readings alone, as the site does it. Three models start from the same base with
the same seed and settings (the preset `tiny`): on the consensus as probabilities (`soft`), on the most likely ratings (`consensus`), and on
each person's ratings (`each`). They are judged on 300 other problems of the same world with two solutions each, by the true ratings. The
threshold of the first mistake comes from the model's own held-out problems.

`log_loss` (three classes, nats) and `f1` (first-mistake F1, in percent) are means over the seeds. `soft_minus_hard` gives the mean
difference of soft and consensus over the seeds with its 95 % interval (t, 4 degrees of freedom). `ratio` is the log-loss of the consensus
over that of soft. `exact` is the share of true first mistakes in the consensus. There is no goal: whatever comes out is the figure.
`--smoke`: one seed, 15 problems to learn from, one pass over them, and 6 to judge on.
"""

import argparse
import json
import statistics
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from active_learning.world import SimulatedProblem, SimulatedSolution, make_world, noisy_label
from annotation import consensus
from benchmarks import temporary_site
from benchmarks.consensus import ALARMS, MISSES, READERS, T_975
from benchmarks.tiny import figures, labeled, preset
from trainer.data import LabeledSolution
from trainer.score import load_prm
from trainer.train import judge, train

SEEDS, PROBLEMS, JUDGED, PEOPLE, PER_PROBLEM = 5, 300, 300, 12, 2
WAYS = ("soft", "consensus", "each")

Pair = tuple[SimulatedProblem, list[SimulatedSolution]]


def ways_to_learn(pairs: list[Pair], *, seed: int) -> tuple[dict[str, list[LabeledSolution]], float]:
    """Let simulated people read the solutions. Return what a model learns in each way, and the share of true first mistakes."""
    from active_learning.registry.labels import agreed, opinions_of
    from annotation import export, quality

    random = np.random.default_rng([2305, seed])
    sees, alarms = 1 - random.uniform(*MISSES, PEOPLE), random.uniform(*ALARMS, PEOPLE)
    read: dict[int, list[export.LabeledSteps]] = {}
    each: list[LabeledSolution] = []
    true: list[int | None] = []
    solutions = [(place, problem, solution) for place, (problem, several) in enumerate(pairs) for solution in several]
    for number, (place, problem, solution) in enumerate(solutions):
        true.append(solution.first_mistake)
        for person in random.choice(PEOPLE, READERS, replace=False):
            marked = noisy_label(solution, rng=random, detection=float(sees[person]), false_alarm=float(alarms[person])).ratings
            ratings = (*marked, *[None] * (len(solution.steps) - len(marked)))
            steps = export.LabeledSteps(
                number, place, problem.statement, tuple(solution.steps), ratings, (),
                labeler_id=int(person), is_whole=True, is_adjudication=False,
            )  # fmt: skip
            read.setdefault(number, []).append(steps)
    opinions, votes = opinions_of(read, gold={})
    settled = consensus.settle(consensus.Readings(opinions.n_steps, opinions.solution, opinions.person, opinions.marked))
    noted = {"estimates": quality.Estimates.of(opinions, settled, votes).as_dict(), "gold": {}}
    learned = {"soft": list(agreed(read, noted, is_soft=True)), "consensus": list(agreed(read, noted, is_soft=False)), "each": each}
    for label in learned["consensus"]:
        each += [LabeledSolution(label.solution, steps.ratings) for steps in read[int(label.solution.key)]]
    exact = np.mean([label.first_mistake == mistake for label, mistake in zip(learned["consensus"], true, strict=True)])
    return learned, float(exact)


def trained_and_judged(
    training: list[LabeledSolution], judged_on: list[LabeledSolution], *, seed: int, is_smallest: bool
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as home:
        folder = train(training, config=preset(seed=seed, is_smallest=is_smallest), folder=Path(home) / "model").folder
        model = load_prm(folder)
        report = judge(
            model, judged_on, rates=model.base_rates, threshold=model.threshold, threshold_split="the run's own held-out problems"
        )
    return figures(report)


def difference(soft: list[float], hard: list[float]) -> dict[str, Any]:
    """The mean difference, and its 95 % interval over the seeds; none for one seed."""
    each = [a - b for a, b in zip(soft, hard, strict=True)]
    mean = statistics.fmean(each)
    half = T_975[len(each) - 1] * statistics.stdev(each) / len(each) ** 0.5 if len(each) - 1 in T_975 else None
    return {"mean": round(mean, 4), "interval": half and [round(mean - half, 4), round(mean + half, 4)]}


def measure(*, n_seeds: int, n_problems: int, n_judged: int, is_smallest: bool) -> dict[str, Any]:
    runs: list[dict[str, dict[str, Any]]] = []
    exact: list[float] = []
    for seed in range(n_seeds):
        world = make_world(100 + seed, n_problems=n_problems + n_judged, n_solutions=PER_PROBLEM)
        learned, share = ways_to_learn(list(islice(world, n_problems)), seed=seed)
        judged_on = [solution for pair in world for solution in labeled(*pair)]
        exact.append(share)
        runs.append({way: trained_and_judged(learned[way], judged_on, seed=seed, is_smallest=is_smallest) for way in WAYS})
    columns = {name: {way: [run[way][name] for run in runs] for way in WAYS} for name in ("log_loss", "f1", "auc")}
    means = {name: {way: round(statistics.fmean(values), 4) for way, values in column.items()} for name, column in columns.items()}
    return {
        "ratio": round(means["log_loss"]["consensus"] / means["log_loss"]["soft"], 4),
        **means,
        "soft_minus_hard": {name: difference(columns[name]["soft"], columns[name]["consensus"]) for name in ("log_loss", "f1")},
        "exact": round(statistics.fmean(exact), 4),
        "seeds": n_seeds,
        "n_solutions": n_problems * PER_PROBLEM,
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    smallest = parser.parse_args().smoke
    form = {"n_seeds": 1, "n_problems": 15, "n_judged": 6} if smallest else {"n_seeds": SEEDS, "n_problems": PROBLEMS, "n_judged": JUDGED}
    with temporary_site.home_without_database():
        print(json.dumps(measure(**form, is_smallest=smallest)))


if __name__ == "__main__":
    main()
