"""Figure: the preset `tiny` on 1,000 labeled solutions of the demonstration's world, two seeds; goal: 300 s, AUC 0.90, first-mistake F1 70.

Trains as the product does (a fifth of the problems held out, the oracle's labels), and judges on 500 further problems of the same world
that nothing was trained or chosen on. `seconds` is the slower run, `auc` and `f1` are means, `ratio` is the limit over the seconds.
`script/bench tiny 100 400 1000` gives one line for each number of labeled solutions instead: the curve in docs/trainer.md.
"""

import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from active_learning.world import SimulatedProblem, SimulatedSolution, label, make_world  # noqa: E402
from trainer.config import TrainConfig  # noqa: E402
from trainer.data import LabeledSolution, Solution  # noqa: E402
from trainer.score import load_prm  # noqa: E402
from trainer.train import judge, train  # noqa: E402

LIMIT, WORLD, SEEDS = 300, 2305, (0, 1)
N_LABELED, PER_PROBLEM, N_JUDGED = 1000, 2, 500  # two solutions of a problem, as the demonstration


def labeled(problem: SimulatedProblem, solutions: list[SimulatedSolution]) -> list[LabeledSolution]:
    return [
        LabeledSolution(Solution(f"{problem.external_id}-{i}", problem.external_id, problem.statement, s.steps), label(s).ratings)
        for i, s in enumerate(solutions[:PER_PROBLEM])
    ]


def run(training: list[LabeledSolution], judged_on: list[LabeledSolution], *, seed: int) -> dict[str, float]:
    """Train once and return the raw figures."""
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as home:
        started = time.monotonic()
        trained = train(training, config=TrainConfig.for_base(seed=seed), folder=Path(home) / "model")
        seconds = time.monotonic() - started
        model = load_prm(trained.folder)
        report = judge(
            model, judged_on, rates=model.base_rates, threshold=model.threshold, threshold_split="the run's own held-out problems"
        )
    first, own = report.first_mistake, trained.metrics["first_mistake"]
    assert first and own and report.step_auc, "the judged solutions are right and wrong"
    return {
        "seed": seed,
        "n_labeled": len(training),
        "seconds": round(seconds, 1),
        "auc": round(report.step_auc, 4),
        "f1": round(100 * first.f1, 1),
        "log_loss": round(report.log_loss or 0, 4),
        "base_rate_log_loss": round(report.base_rate_log_loss or 0, 4),
        "n_judged_steps": report.n_rated_steps,
        "own_held_out_auc": round(trained.metrics["step_auc"], 4),
        "own_held_out_f1": round(100 * own["f1"], 1),
    }


def main() -> None:
    wanted = [int(word) for word in sys.argv[1:]] or [N_LABELED]
    n_problems = max(wanted) // PER_PROBLEM
    world = make_world(WORLD, n_problems=n_problems + N_JUDGED, n_solutions=PER_PROBLEM)
    training = [one for pair in islice(world, n_problems) for one in labeled(*pair)]
    judged_on = [one for pair in world for one in labeled(*pair)]
    for n_labeled in wanted:
        runs = [run(training[:n_labeled], judged_on, seed=seed) for seed in SEEDS]
        seconds = max(one["seconds"] for one in runs)
        print(
            json.dumps(
                {
                    "ratio": round(LIMIT / seconds, 2),
                    "limit": LIMIT,
                    "seconds": seconds,
                    "auc": round(sum(one["auc"] for one in runs) / len(runs), 4),
                    "f1": round(sum(one["f1"] for one in runs) / len(runs), 1),
                    "n_labeled": n_labeled,
                    "runs": runs,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
