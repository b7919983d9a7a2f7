"""Command: train a process reward model from labeled solutions, or an outcome reward model from graded solutions."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.cautions import cautions, pace_sentences
from trainer.config import BadConfig, TrainConfig
from trainer.folders import check_output_folder
from trainer.lines import (
    BadInput,
    add_format_option,
    progress_bar,
    read_graded_lines,
    read_solution_lines,
    read_solutions,
    say_on_stderr,
    with_ratings,
)

if TYPE_CHECKING:
    from trainer.data import GradedSolution

NUMBERS = (
    ("epochs", int, "passes over the labeled solutions"),
    ("language-model-epochs", int, "passes over all text before the labeled solutions"),
    ("learning-rate", float, "peak learning rate"),
    ("token-budget", int, "tokens in one forward pass, padding included"),
    ("batches-per-update", int, "forward passes in one optimizer step, over all processes"),
    ("minimum-updates", int, "least optimizer steps of a phase: with little data, batches are smaller and passes more"),
    ("context", int, "longest solution in tokens; a longer one is cut at the end of a step"),
    ("held-out", float, "share of the problems that are held out to judge the model"),
    ("lora-rank", int, "rank of low-rank adapters, trained instead of every weight"),
    ("uncertainty-heads", int, "number of heads that show how sure the model is"),
    ("seed", int, "seed of weights, order and dropout"),
    ("split-seed", int, "seed of the choice of held-out problems"),
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `train`."""
    parser = commands.add_parser("train", help="train a model from labeled solutions")
    parser.add_argument(
        "--labeled", type=Path, required=True, help='solutions with ratings; for an orm, with "right" or an answer to grade'
    )
    add_format_option(parser, "--labeled")
    parser.add_argument("--unlabeled", type=Path, help="solutions whose text is also read in the language-model phase")
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder for the model")
    parser.add_argument("--overwrite", action="store_true", help="replace the model that --out already holds")
    parser.add_argument("--kind", choices=("prm", "orm"), help="process (default) or outcome reward model")
    parser.add_argument("--base", help='"tiny" (default), a fetched base such as "smollm2", a model folder or a hub id')
    parser.add_argument("--revision", help="commit of the hub id")
    parser.add_argument("--config", type=Path, help="JSON file of settings, as under config in a model's stepmark.json")
    parser.add_argument("--checkpoint", type=Path, help="folder for checkpoints, from which an interrupted run continues")
    parser.add_argument("--gradient-checkpointing", action="store_true", default=None, help="use less memory and a third more time")
    parser.add_argument("--frozen", action="store_true", default=None, help="train small heads on the states of a base that stays as it is")
    parser.add_argument("--frozen-layers", type=int, nargs="+", metavar="N", help="layers that the heads read (default: two in the middle)")
    parser.add_argument("--frozen-head", choices=("linear", "mlp"), help="kind of the heads (default: what cross-validation chooses)")
    parser.add_argument("--states", type=Path, help="folder where the states of a frozen base are kept (default: in your folder of caches)")
    for name, kind, meaning in NUMBERS:
        parser.add_argument(f"--{name}", type=kind, help=meaning)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Train a model from labeled solutions and print its metrics as JSON."""
    check_output_folder(options.out, overwrite=options.overwrite, checkpoint=options.checkpoint)
    changes = read_settings(options.config) if options.config else {}
    names = (
        "kind",
        "base",
        "revision",
        "gradient_checkpointing",
        "frozen",
        "frozen_layers",
        "frozen_head",
        *(name.replace("-", "_") for name, _, _ in NUMBERS),
    )
    config = TrainConfig.from_settings(changes | {name: getattr(options, name) for name in names if getattr(options, name) is not None})
    if config.kind == "orm":
        labeled: list[Any] = list(read_graded(options.labeled, format=options.format))
        if not labeled:
            raise BadInput(f"{options.labeled} holds no solution. Give one JSON mapping per line, with problem, steps and right.")
    else:
        solutions = read_solutions(options.labeled, format=options.format, say=say_on_stderr)
        labeled = with_ratings(list(solutions), path=options.labeled)
    unlabeled = (line.solution for line in read_solutions(options.unlabeled)) if options.unlabeled else ()
    from trainer.processes import Processes
    from trainer.states import default_folder
    from trainer.train import train

    is_first = Processes().is_first
    with progress_bar() as progress:
        trained = train(
            labeled,
            unlabeled=unlabeled,
            config=config,
            folder=options.out,
            progress=progress,
            checkpoint=options.checkpoint,
            overwrite=options.overwrite,
            states=options.states or default_folder(),
        )
    if is_first:
        for sentence in [*pace_sentences(trained.metrics), *cautions(trained.metrics)]:
            print(sentence, file=sys.stderr)
        print(json.dumps({"folder": str(trained.folder), "sha256": trained.sha256, "metrics": trained.metrics}, indent=2))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file of settings. Raises BadConfig."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadConfig(f"{path} is not JSON: {error}. Give a JSON mapping of settings.") from error
    if not isinstance(settings, dict):
        raise BadConfig(f"{path} must hold a JSON mapping of settings.")
    return settings


def read_graded(path: Path, *, format: str | None = None) -> "Iterator[GradedSolution]":
    """Yield each solution as a graded one, by its key "right" or by its answer. Raises BadInput."""
    from trainer.data import GradedSolution

    lines = read_solution_lines(path, format=format, say=say_on_stderr)
    for solution, right, _ in read_graded_lines(path, lines, say=say_on_stderr, needs_answer=False):
        yield GradedSolution(solution, right)
