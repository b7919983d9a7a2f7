"""Command: score the steps of solutions with a trained model."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.files import check_output_file
from trainer.lines import add_format_option, is_device, output, progress_bar, read_solutions, say_on_stderr

if TYPE_CHECKING:
    from trainer.score import ScoredSolution


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `score`."""
    parser = commands.add_parser("score", help="score the steps of solutions")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--solutions", type=Path, required=True, help="a file of solutions; ratings are ignored")
    add_format_option(parser, "--solutions")
    parser.add_argument("--out", type=Path, help="new file for the scores, as JSON lines (default: standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out if it exists")
    parser.add_argument("--token-budget", type=int, help="tokens in one forward pass (default: what suits the device)")
    parser.add_argument(
        "--bf16", action="store_true", help="compute in bfloat16: faster if the device supports it; scores change in the third digit"
    )
    parser.add_argument("--packed", action="store_true", help="put solutions end to end instead of padding them; needs a GPU and --bf16")
    parser.add_argument("--states", type=Path, help="folder where the states of a frozen base are kept, to score them again in no time")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Write one line of step probabilities and score for each solution, in the order of the file."""
    from trainer.score import load_prm, on_fastest_device, score_solutions

    if options.out and not is_device(options.out):
        check_output_file(options.out, overwrite=options.overwrite, inputs=[options.solutions])
    model = on_fastest_device(load_prm(options.model))
    if options.states:
        model = model.keeping_states(options.states)
    with progress_bar() as progress, output(options.out, overwrite=options.overwrite) as out:
        for scored in score_solutions(
            model,
            (line.solution for line in read_solutions(options.solutions, format=options.format, say=say_on_stderr)),
            token_budget=options.token_budget,
            bfloat16=options.bf16,
            packing=options.packed,
            progress=progress,
        ):
            out.write(json.dumps(fields(scored, threshold=model.threshold), ensure_ascii=False) + "\n")


def fields(scored: "ScoredSolution", *, threshold: float) -> dict[str, Any]:
    """Return one line of the file. An outcome reward model has no weak steps: each only says how the solution will end."""
    from trainer.score import first_weak_step

    heads = {"mean_negative": scored.means, "deviation_negative": scored.deviations}
    return {
        "key": scored.key,
        "score": scored.score,
        "first_weak_step": None if scored.kind == "orm" else first_weak_step(scored.probabilities, threshold=threshold),
        "unread_steps": scored.unread_steps,
        "probabilities": [[round(float(p), 6) for p in row] for row in scored.probabilities],
    } | {name: [round(float(value), 6) for value in values] for name, values in heads.items() if values is not None}
