"""The command line: `python -m trainer train | score | evaluate`, on JSON lines, for a researcher without the web site.

Reads one solution per line: {"problem": .., "steps": [..], "ratings": [..], "problem_key": .., "key": .., "alternatives": [..]}.
A wrong input is a sentence that names the line, with exit code 2. docs/trainer.md describes the formats.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from trainer.config import BadConfig, TrainConfig
from trainer.data import Alternative, BadLabels, LabeledSolution, Solution
from trainer.progress import Progress

BAD_INPUT = 2


class BadLine(ValueError):
    """A line of an input file that cannot be used; the message names the file, the line and the remedy."""


def read_solutions(path: Path) -> Iterator[LabeledSolution]:
    """Yield each line as a labeled solution (with no ratings if it has none). Raises BadLine."""
    keys: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                one = _solution(line, number)
            except (ValueError, TypeError, KeyError) as error:
                reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
                raise BadLine(f"{path}, line {number}: {reason}") from error
            if (first := keys.setdefault(one.solution.key, number)) != number:
                raise BadLine(
                    f"{path}, line {number}: the key {one.solution.key!r} was already used in line {first}. Give each solution its own key."
                )
            yield one


def _solution(line: bytes, number: int) -> LabeledSolution:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}. Save the file as UTF-8.") from error
    try:
        fields = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}). Each line holds one JSON mapping.") from error
    if not isinstance(fields, dict):
        raise ValueError("a line must hold a JSON mapping with at least problem and steps.")
    problem, steps, ratings = fields["problem"], fields["steps"], fields.get("ratings", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step.strip() for step in steps):
        raise ValueError("steps must be a list of at least one non-empty text.")
    if not isinstance(problem, str) or not problem.strip():
        raise ValueError("problem must be a non-empty text.")
    if not isinstance(ratings, list):
        raise ValueError("ratings must be a list of -1, 0, 1 or null, one for each step, from the first step on.")
    for name in (problem, *steps):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError("the text holds half a surrogate pair, which is no character. Repair the text.") from error
    alternatives = tuple(Alternative(one["step_index"], one["text"], one["rating"]) for one in fields.get("alternatives") or [])
    solution = Solution(str(fields.get("key", f"line {number}")), str(fields.get("problem_key", problem)), problem, tuple(steps))
    return LabeledSolution(solution, tuple(ratings), alternatives)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one mapping. Keep one of them.")
    return fields


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Give a listener that draws one tqdm bar per stage on standard error."""
    bar: tqdm[Any] | None = None
    stage = ""

    def listen(now: Progress) -> None:
        nonlocal bar, stage
        if bar is None or stage != now.stage:
            if bar is not None:
                bar.close()
            stage = now.stage
            bar = tqdm(desc=stage, total=now.total, file=sys.stderr)
        if now.loss is not None:
            bar.set_postfix(loss=f"{now.loss:.3f}", refresh=False)
        bar.update(now.done - bar.n)

    try:
        yield listen
    finally:
        if bar is not None:
            bar.close()


def train_command(options: argparse.Namespace) -> None:
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


def score_command(options: argparse.Namespace) -> None:
    """Write one line of step probabilities and score for each solution, in the order of the file."""
    from trainer.score import first_weak_step, load_prm, score_solutions

    model = load_prm(options.model)
    with progress_bar() as listen, _output(options.out) as out:
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


def evaluate_command(options: argparse.Namespace) -> None:
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


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
    else:
        with path.open("w", encoding="utf-8") as file:
            yield file


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(prog="python -m trainer", description="Train, run and judge process reward models on JSON lines.")
    top.add_argument("--threads", type=int, help="processor threads (default: all)")
    commands = top.add_subparsers(required=True, metavar="train | score | evaluate")

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
    one.set_defaults(command=train_command)

    one = commands.add_parser("score", help="rate the steps of solutions")
    one.add_argument("--model", type=Path, required=True)
    one.add_argument("--solutions", type=Path, required=True, help="JSON lines; ratings are ignored")
    one.add_argument("--out", type=Path, help="JSON lines to write (default: standard output)")
    one.add_argument("--token-budget", type=int, default=16384, help="tokens of one forward")
    one.set_defaults(command=score_command)

    one = commands.add_parser("evaluate", help="judge a model on labeled solutions")
    one.add_argument("--model", type=Path, required=True)
    one.add_argument("--labeled", type=Path, required=True)
    one.set_defaults(command=evaluate_command)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, or 2 after a sentence about bad input."""
    options = parser().parse_args(arguments)
    try:
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        options.command(options)
    except (BadLine, BadLabels, BadConfig, OSError) as error:
        return _say(error)
    except (ValueError, ArithmeticError) as error:
        from trainer.config import BadBase
        from trainer.train import LossNotFinite, TooLittleToLearn

        if isinstance(error, (BadBase, TooLittleToLearn, LossNotFinite)):
            return _say(error)
        raise
    return 0


def _say(error: Exception) -> int:
    print(f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else error, file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
