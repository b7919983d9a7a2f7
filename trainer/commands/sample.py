"""Command: sample solutions of problems from a local model or an endpoint."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from trainer.config import BadConfig
from trainer.lines import progress_bar


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `sample`."""
    one = commands.add_parser("sample", help="sample solutions from a language model")
    one.add_argument("--problems", type=Path, required=True, help="JSON lines: problem, and id, answer, subject, level, split if known")
    one.add_argument("--out", type=Path, required=True, help="JSON lines to append to; the same command goes on where it stopped")
    one.add_argument("--per-problem", type=int, required=True, help="solutions of each problem")
    one.add_argument("--base", help="a model folder or a hub id, run here")
    one.add_argument("--revision", help="commit of the hub id")
    one.add_argument("--chat", action="store_true", help="give the prompt in the chat template of --base")
    one.add_argument("--model", help="the model to ask an endpoint for (key: OPENAI_API_KEY)")
    one.add_argument("--endpoint", help="its address, ending in /v1 (default: OpenAI's)")
    one.add_argument("--request", type=_mapping, default={}, help="JSON mapping of changes to each request's body; null takes a key out")
    one.add_argument("--timeout", type=float, default=120.0, help="seconds of one try")
    one.add_argument("--retries", type=int, default=6, help="further tries of a request")
    one.add_argument("--prompt", type=Path, help="text file with {problem} in it (default: two worked examples)")
    one.add_argument("--temperature", type=float, default=1.0)
    one.add_argument("--top-p", type=float, default=1.0)
    one.add_argument("--max-tokens", type=int, default=1024, help="longest solution")
    one.add_argument("--width", type=int, help="texts at a time (default: 16 here, 8 from an endpoint)")
    one.add_argument("--budget-tokens", type=int, help="stop before this many tokens, prompts included, are used")
    one.add_argument("--budget-requests", type=int, help="stop after this many texts")
    one.add_argument("--keep-equal", action="store_true", help="keep solutions that are equal word for word: a uniform sample")
    one.add_argument("--source", default="", help="the generator's name in the lines (default: the model's)")
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Sample into the file and print what was done as JSON."""
    from trainer.sample import PROMPT, Budget, read_problems, sample

    problems = read_problems(options.problems)
    prompt = options.prompt.read_text(encoding="utf-8") if options.prompt else PROMPT
    budget = Budget(options.budget_tokens, options.budget_requests)
    generator = _generator(options)
    try:
        with progress_bar() as listen:
            report = sample(
                problems,
                generator=generator,
                per_problem=options.per_problem,
                out=options.out,
                budget=budget,
                seed=options.seed,
                prompt=prompt,
                source=options.source,
                keep_equal=options.keep_equal,
                progress=listen,
            )
    except KeyboardInterrupt:
        print(f"Stopped. What was drawn is kept in {options.out}; the same command goes on.", file=sys.stderr)
        sys.exit(130)
    print(json.dumps({"out": str(options.out)} | report.as_dict(), indent=2))


def _generator(options: argparse.Namespace) -> Any:
    from trainer.generators import EndpointGenerator, LocalGenerator

    if bool(options.base) == bool(options.model):
        raise BadConfig("Say what to sample from: --base FOLDER for a model run here, or --model NAME for one behind an endpoint.")
    if options.max_tokens < 1 or (options.width is not None and options.width < 1):
        raise BadConfig("--max-tokens and --width must be at least 1.")
    if options.temperature < 0 or not 0 < options.top_p <= 1:
        raise BadConfig("--temperature must be 0 or more, and --top-p above 0 and at most 1.")
    how = {name: getattr(options, name) for name in ("temperature", "top_p", "max_tokens")}
    if options.width:
        how["width"] = options.width
    if options.base:
        return LocalGenerator(options.base, revision=options.revision, chat=options.chat, **how)
    where = {"endpoint": options.endpoint} if options.endpoint else {}
    return EndpointGenerator(
        options.model, **where, timeout=options.timeout, retries=max(0, options.retries), request=options.request, **how
    )


def _mapping(text: str) -> dict[str, Any]:
    try:
        changes = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(changes, dict):
        raise argparse.ArgumentTypeError("give a JSON mapping")
    return changes
