"""Command: rate the steps of solutions with a trained model."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.files import check_output_file
from trainer.lines import is_device, output, progress_bar, read_solutions

if TYPE_CHECKING:
    from trainer.score import StepScores


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `score`."""
    one = commands.add_parser("score", help="rate the steps of solutions")
    one.add_argument("--model", type=Path, required=True)
    one.add_argument("--solutions", type=Path, required=True, help="JSON lines; ratings are ignored")
    one.add_argument("--out", type=Path, help="JSON lines to write (default: standard output); must not exist yet")
    one.add_argument("--overwrite", action="store_true", help="replace the file that --out names")
    one.add_argument("--token-budget", type=int, help="tokens of one forward (default: what suits the device)")
    one.add_argument(
        "--bf16", action="store_true", help="multiply in bfloat16: faster where the device can; scores change in the third digit"
    )
    one.add_argument("--packed", action="store_true", help="put solutions end to end instead of padding them: GPU only, with --bf16")
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Write one line of step probabilities and score for each solution, in the order of the file."""
    from trainer.score import load_prm, on_fastest_device, score_solutions

    if options.out and not is_device(options.out):
        check_output_file(options.out, overwrite=options.overwrite, inputs=[options.solutions])
    model = on_fastest_device(load_prm(options.model))
    with progress_bar() as listen, output(options.out, overwrite=options.overwrite) as out:
        for one in score_solutions(
            model,
            (line.solution for line in read_solutions(options.solutions)),
            token_budget=options.token_budget,
            bfloat16=options.bf16,
            packing=options.packed,
            progress=listen,
        ):
            out.write(json.dumps(fields(one, threshold=model.threshold), ensure_ascii=False) + "\n")


def fields(scores: "StepScores", *, threshold: float) -> dict[str, Any]:
    """Return what is written of one solution; the steps of an outcome model are never weak: each says only how it will end."""
    from trainer.score import first_weak_step

    heads = {"mean_negative": scores.means, "deviation_negative": scores.deviations}
    return {
        "key": scores.key,
        "score": scores.score,
        "first_weak_step": None if scores.kind == "orm" else first_weak_step(scores.probabilities, threshold=threshold),
        "unread_steps": scores.unread_steps,
        "probabilities": [[round(float(p), 6) for p in row] for row in scores.probabilities],
    } | {name: [round(float(value), 6) for value in values] for name, values in heads.items() if values is not None}
