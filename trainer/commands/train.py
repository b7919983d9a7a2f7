"""Command: train a model folder from labeled solutions, or an ORM from graded ones."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config import BadConfig, TrainConfig
from trainer.folders import check_output_folder
from trainer.lines import BadLine, progress_bar, read_solutions

if TYPE_CHECKING:
    from trainer.data import GradedSolution

NUMBERS = (
    ("epochs", int, "passes over the labeled solutions"),
    ("language-model-epochs", int, "passes over all text before that"),
    ("learning-rate", float, "its peak"),
    ("token-budget", int, "tokens of one forward, padding included"),
    ("batches-per-update", int, "forwards of one optimizer step, of all processes together"),
    ("context", int, "longer solutions are cut at a step boundary"),
    ("held-out", float, "share of the problems that judge the model"),
    ("lora-rank", int, "train low-rank adapters instead of every weight"),
    ("uncertainty-heads", int, "heads that tell how sure the model is"),
    ("seed", int, "of weights and order"),
    ("split-seed", int, "of the held-out problems"),
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `train`."""
    one = commands.add_parser("train", help="train a model from labeled solutions")
    one.add_argument("--labeled", type=Path, required=True, help='JSON lines with ratings; of an orm, with "right": true or false')
    one.add_argument("--unlabeled", type=Path, help="JSON lines whose text the language-model stage also reads")
    one.add_argument("--out", type=Path, required=True, help="folder to write the model to: new or empty")
    one.add_argument("--overwrite", action="store_true", help="replace the model that --out already holds")
    one.add_argument("--kind", choices=("prm", "orm"), help="process (default) or outcome reward model")
    one.add_argument("--base", help='"tiny" (default), a model folder or a hub id')
    one.add_argument("--revision", help="commit of the hub id")
    one.add_argument("--config", type=Path, help="JSON file of settings, as in a model's stepmark.json under config")
    one.add_argument("--checkpoint", type=Path, help="folder to go on from after an interruption")
    one.add_argument("--gradient-checkpointing", action="store_true", default=None, help="less memory, a third more time")
    for name, kind, what in NUMBERS:
        one.add_argument(f"--{name}", type=kind, help=what)
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Train a model folder from labeled solutions and print its metrics as JSON."""
    check_output_folder(options.out, overwrite=options.overwrite, checkpoint=options.checkpoint)
    changes = read_settings(options.config) if options.config else {}
    names = ("kind", "base", "revision", "gradient_checkpointing", *(name.replace("-", "_") for name, _, _ in NUMBERS))
    config = TrainConfig.from_settings(changes | {name: getattr(options, name) for name in names if getattr(options, name) is not None})
    labeled: list[Any] = list(read_graded(options.labeled) if config.kind == "orm" else read_solutions(options.labeled))
    unlabeled = (one.solution for one in read_solutions(options.unlabeled)) if options.unlabeled else ()
    from trainer.processes import Processes
    from trainer.train import train

    is_first = Processes().is_first
    with progress_bar() as listen:
        trained = train(
            labeled,
            unlabeled=unlabeled,
            config=config,
            folder=options.out,
            progress=listen,
            checkpoint=options.checkpoint,
            overwrite=options.overwrite,
        )
    if is_first:
        print(json.dumps({"folder": str(trained.folder), "sha256": trained.sha256, "metrics": trained.metrics}, indent=2))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file of settings. Raises BadConfig."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadConfig(f"{path} is not JSON: {error}.") from error
    if not isinstance(settings, dict):
        raise BadConfig(f"{path} must hold a JSON mapping of settings.")
    return settings


def read_graded(path: Path) -> "Iterator[GradedSolution]":
    """Yield each line with its "right" as a graded solution. Raises BadLine."""
    from trainer.data import GradedSolution

    with path.open("rb") as file:
        lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        for one, (number, line) in zip(read_solutions(path), lines, strict=True):
            right = json.loads(line).get("right")
            if not isinstance(right, bool):
                raise BadLine(
                    f"{path}, line {number}: right must be true or false, the grade of the final answer, not {json.dumps(right)}."
                )
            yield GradedSolution(one.solution, right)
