"""Command: rate the steps of solutions with a trained model."""

import argparse
import json
from pathlib import Path

from trainer.lines import output, progress_bar, read_solutions


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `score`."""
    one = commands.add_parser("score", help="rate the steps of solutions")
    one.add_argument("--model", type=Path, required=True)
    one.add_argument("--solutions", type=Path, required=True, help="JSON lines; ratings are ignored")
    one.add_argument("--out", type=Path, help="JSON lines to write (default: standard output)")
    one.add_argument("--token-budget", type=int, default=16384, help="tokens of one forward")
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Write one line of step probabilities and score for each solution, in the order of the file."""
    from trainer.score import first_weak_step, load_prm, score_solutions

    model = load_prm(options.model)
    with progress_bar() as listen, output(options.out) as out:
        for one in score_solutions(
            model, (line.solution for line in read_solutions(options.solutions)), token_budget=options.token_budget, progress=listen
        ):
            out.write(
                json.dumps(
                    {
                        "key": one.key,
                        "score": one.score,
                        "first_weak_step": first_weak_step(one.probabilities, threshold=model.threshold),
                        "unread_steps": one.unread_steps,
                        "probabilities": [[round(float(p), 6) for p in row] for row in one.probabilities],
                    },
                    ensure_ascii=False,
                )
                + "\n"
            )
