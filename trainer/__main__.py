"""The command line, `python -m trainer train | score | evaluate | sample | convert | fetch`: JSON lines in and out, without the web site.

A wrong input ends with one sentence that says what to do, and exit code 2. Each command is a module of `trainer.commands`.
"""

import argparse
import sys

from trainer import __version__
from trainer.answers import GraderUnavailable
from trainer.commands import convert, evaluate, fetch, sample, score, train
from trainer.config import BadConfig
from trainer.data import BadLabels
from trainer.files import OutputRefused
from trainer.generators import GeneratorFailed
from trainer.lines import BadInput

COMMANDS = (train, score, evaluate, sample, convert, fetch)
BAD_INPUT = 2
STOPPED = 130  # by Ctrl-C


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(prog="python -m trainer", description="Train, run and judge reward models on JSON lines.")
    top.add_argument("--version", action="version", version=f"stepmark {__version__}")
    top.add_argument("--threads", type=int, help="number of processor threads to use (default: all)")
    commands = top.add_subparsers(required=True, metavar=" | ".join(command.__name__.rpartition(".")[2] for command in COMMANDS))
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, or 2 after printing what is wrong with the input."""
    options = parser().parse_args(arguments)
    try:
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        options.command(options)
    except (BadInput, BadLabels, BadConfig, GeneratorFailed, GraderUnavailable, OutputRefused, OSError) as error:
        return _print_error(error)
    except KeyboardInterrupt:
        print(_stopped(options), file=sys.stderr)
        return STOPPED
    except (ValueError, ArithmeticError) as error:
        from trainer.config import BadBase
        from trainer.train import LossNotFinite, TooLittleToLearn

        if isinstance(error, (BadBase, TooLittleToLearn, LossNotFinite)):
            return _print_error(error)
        raise
    return 0


def _stopped(options: argparse.Namespace) -> str:
    if checkpoint := getattr(options, "checkpoint", None):
        return f"Stopped. No model was written. The same command continues from the newest checkpoint in {checkpoint}, if there is one."
    if "checkpoint" in options:
        return "Stopped. No model was written. With --checkpoint FOLDER, a run that was stopped can be continued."
    return "Stopped. No file was written."


def _print_error(error: Exception) -> int:
    print(f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else error, file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
