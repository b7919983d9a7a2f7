"""Figure: the preset `tiny` on 1,000 labeled solutions of the simulated world, two seeds; goal: 300 s, AUC 0.90, first-mistake F1 70.

Trains as the product does (a fifth of the problems held out, labels from the oracle). Judges on 500 other problems of the same world, on
which nothing was trained or chosen. `seconds` is the slower run, `auc` and `f1` are means, `ratio` is the limit over the seconds.
`script/bench tiny 0 1000` prints one line for each number of labeled solutions; 0 judges the shipped base without training.
"""

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from active_learning.world import SimulatedProblem, SimulatedSolution, label, make_world
from trainer.config import TrainConfig
from trainer.data import LabeledSolution, SolutionText
from trainer.evaluate import StepReport, base_rates
from trainer.model import load_tiny
from trainer.score import load_prm
from trainer.train import judge, train

LIMIT, WORLD, SEEDS = 300, 2305, (0, 1)
N_LABELED, PER_PROBLEM, N_JUDGED = 1000, 2, 500  # two solutions of a problem


def labeled(problem: SimulatedProblem, solutions: list[SimulatedSolution]) -> list[LabeledSolution]:
    return [
        LabeledSolution(SolutionText(f"{problem.external_id}-{i}", problem.external_id, problem.statement, s.steps), label(s).ratings)
        for i, s in enumerate(solutions[:PER_PROBLEM])
    ]


def preset(*, seed: int, is_smallest: bool) -> TrainConfig:
    """Return the settings of `tiny`; for the smallest form with as few optimizer steps as the data allow."""
    return TrainConfig.for_base(seed=seed, epochs=1, minimum_updates=1) if is_smallest else TrainConfig.for_base(seed=seed)


def run(training: list[LabeledSolution], judged_on: list[LabeledSolution], *, seed: int, is_smallest: bool) -> dict[str, Any]:
    """Train once and return the raw figures."""
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as home:
        started = time.monotonic()
        trained = train(training, config=preset(seed=seed, is_smallest=is_smallest), folder=Path(home) / "model")
        seconds = time.monotonic() - started
        model = load_prm(trained.folder)
        report = judge(
            model, judged_on, rates=model.base_rates, threshold=model.threshold, threshold_split="the run's own held-out problems"
        )
    own = trained.metrics["first_mistake"]
    assert own, "the held-out solutions are right and wrong"
    return figures(report) | {
        "seed": seed,
        "n_labeled": len(training),
        "seconds": round(seconds, 1),
        "own_held_out_auc": round(trained.metrics["step_auc"], 4),
        "own_held_out_f1": round(100 * own["f1"], 1),
    }


def judge_base(pool: list[LabeledSolution], judged_on: list[LabeledSolution]) -> dict[str, Any]:
    """Return the raw figures of the shipped base as it is. The base rates are those of the solutions it could have learned from."""
    rates = base_rates(rating for solution in pool for rating in solution.supervised)
    report = judge(load_tiny(context=TrainConfig.for_base().context), judged_on, rates=rates)
    return figures(report) | {"n_labeled": 0, "seconds": 0.0}


def figures(report: StepReport) -> dict[str, Any]:
    assert report.first_mistake and report.step_auc, "the judged solutions are right and wrong"
    return {
        "auc": round(report.step_auc, 4),
        "f1": round(100 * report.first_mistake.f1, 1),
        "log_loss": round(report.log_loss or 0, 4),
        "base_rate_log_loss": round(report.base_rate_log_loss or 0, 4),
        "n_judged_steps": report.n_rated_steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench tiny", description="Train the preset tiny in the simulated world and judge it.")
    parser.add_argument("n_labeled", type=int, nargs="*", help=f"labeled solutions (default: {N_LABELED}); 0: no training")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    numbers = options.n_labeled or [20 if options.smoke else N_LABELED]
    n_judged, seeds = (10, SEEDS[:1]) if options.smoke else (N_JUDGED, SEEDS)
    # The same problems are judged whatever the numbers are.
    n_problems = max(*numbers, 20 if options.smoke else N_LABELED) // PER_PROBLEM
    world = make_world(WORLD, n_problems=n_problems + n_judged, n_solutions=PER_PROBLEM)
    pool = [solution for pair in islice(world, n_problems) for solution in labeled(*pair)]
    judged_on = [solution for pair in world for solution in labeled(*pair)]
    for n_labeled in numbers:
        training = pool[:n_labeled]
        runs = (
            [run(training, judged_on, seed=seed, is_smallest=options.smoke) for seed in seeds]
            if n_labeled
            else [judge_base(pool, judged_on)]
        )
        seconds = max(figure["seconds"] for figure in runs)
        print(
            json.dumps(
                {
                    "ratio": round(LIMIT / seconds, 2) if seconds else None,
                    "limit": LIMIT,
                    "seconds": seconds,
                    "auc": round(sum(figure["auc"] for figure in runs) / len(runs), 4),
                    "f1": round(sum(figure["f1"] for figure in runs) / len(runs), 1),
                    "n_labeled": n_labeled,
                    "runs": runs,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
