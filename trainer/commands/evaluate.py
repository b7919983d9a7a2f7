"""Command: judge a trained model on labeled solutions of problems it was not trained on."""

import argparse
import json
from pathlib import Path

from trainer.lines import BadLine, progress_bar, read_solutions


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `evaluate`."""
    one = commands.add_parser("evaluate", help="judge a model on labeled solutions")
    one.add_argument("--model", type=Path, required=True)
    one.add_argument("--labeled", type=Path, required=True)
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Print a report on the labeled solutions whose problems the model was not trained on."""
    from trainer.checkpoint import SPLIT_FILE
    from trainer.score import load_prm
    from trainer.train import judge

    model = load_prm(options.model)
    trained_on = set(json.loads((options.model / SPLIT_FILE).read_text())["training"])
    labeled = [one for one in read_solutions(options.labeled) if one.n_rated]
    unseen = [one for one in labeled if one.solution.problem_key not in trained_on]
    if not unseen:
        raise BadLine(
            f"{options.labeled}: the model was trained on the problems of all its {len(labeled)} rated solutions. Give other problems."
        )
    with progress_bar() as listen:
        report = judge(
            model,
            unseen,
            rates=model.base_rates,
            threshold=model.threshold,
            threshold_split="the model's held-out problems",
            progress=listen,
        )
    print(json.dumps({"left_out_as_trained_on": len(labeled) - len(unseen)} | report.as_dict(), indent=2))
