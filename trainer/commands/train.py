"""Command: train a model folder from labeled solutions."""

import argparse
import json
from pathlib import Path

from trainer.config import TrainConfig
from trainer.lines import progress_bar, read_solutions


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `train`."""
    one = commands.add_parser("train", help="train a model from labeled solutions")
    one.add_argument("--labeled", type=Path, required=True, help="JSON lines with ratings")
    one.add_argument("--unlabeled", type=Path, help="JSON lines whose text the language-model stage also reads")
    one.add_argument("--out", type=Path, required=True, help="the model folder to write")
    one.add_argument("--base", help='"tiny" (default), a model folder or a hub id')
    one.add_argument("--revision", help="commit of the hub id")
    one.add_argument("--config", type=Path, help="JSON file of settings, as in a model's stepmark.json under config")
    one.add_argument("--checkpoint", type=Path, help="folder to go on from after an interruption")
    for name, kind in (
        ("epochs", int),
        ("language-model-epochs", int),
        ("learning-rate", float),
        ("token-budget", int),
        ("context", int),
        ("held-out", float),
        ("seed", int),
    ):
        one.add_argument(f"--{name}", type=kind)
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Train a model folder from labeled solutions and print its metrics as JSON."""
    changes = json.loads(options.config.read_text()) if options.config else {}
    named = {
        name: getattr(options, name)
        for name in ("revision", "epochs", "language_model_epochs", "learning_rate", "token_budget", "context", "held_out", "seed")
    }
    changes |= {name: value for name, value in named.items() if value is not None}
    config = TrainConfig.from_settings(changes | ({"base": options.base} if options.base else {}))
    labeled = list(read_solutions(options.labeled))
    unlabeled = (one.solution for one in read_solutions(options.unlabeled)) if options.unlabeled else ()
    from trainer.train import train

    with progress_bar() as listen:
        trained = train(labeled, unlabeled=unlabeled, config=config, folder=options.out, progress=listen, checkpoint=options.checkpoint)
    print(json.dumps({"folder": str(trained.folder), "sha256": trained.sha256, "metrics": trained.metrics}, indent=2))
