"""Command: sample solutions of problems from a local model or an endpoint."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from trainer.config import BadConfig
from trainer.lines import add_format_option, progress_bar


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `sample`."""
    parser = commands.add_parser("sample", help="sample solutions from a language model")
    parser.add_argument(
        "--problems", type=Path, required=True, help="a file of problems, for example JSON lines with problem, id and answer"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON lines, to which solutions are appended; the same command continues where it stopped"
    )
    add_format_option(parser, "--problems", of_problems=True)
    parser.add_argument("--per-problem", type=int, required=True, help="number of solutions of each problem")
    parser.add_argument("--base", help="a fetched base such as smollm2, a model folder or a hub id, to run here")
    parser.add_argument("--revision", help="commit of the hub id")
    parser.add_argument("--chat", action="store_true", help="use the chat template of --base")
    parser.add_argument("--model", help="name of a model behind an endpoint (key: OPENAI_API_KEY)")
    parser.add_argument("--endpoint", help="address of the endpoint, which ends in /v1 (default: OpenAI's)")
    parser.add_argument(
        "--request", type=_mapping, default={}, help="JSON mapping of changes to the body of each request; null removes a key"
    )
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds until a request is given up")
    parser.add_argument("--retries", type=int, default=6, help="how often a failed request is repeated")
    parser.add_argument("--prompt", type=Path, help="text file that contains {problem} (default: two worked examples)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, default=1024, help="most tokens of a solution")
    parser.add_argument("--width", type=int, help="number of texts at a time (default: 16 here, 8 from an endpoint)")
    parser.add_argument("--budget-tokens", type=int, help="most tokens to use, prompts included")
    parser.add_argument("--budget-requests", type=int, help="most texts to draw")
    parser.add_argument("--keep-equal", action="store_true", help="keep solutions that are equal word for word, as a uniform sample needs")
    parser.add_argument("--source", default="", help="name of the generator in the lines (default: the model's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Sample into the file and print a report as JSON."""
    from trainer.sample import PROMPT, Budget, read_problems, sample

    problems = read_problems(options.problems, format=options.format)
    prompt = options.prompt.read_text(encoding="utf-8") if options.prompt else PROMPT
    budget = Budget(options.budget_tokens, options.budget_requests)
    generator = _generator(options)
    try:
        with progress_bar() as progress:
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
                progress=progress,
            )
    except KeyboardInterrupt:
        print(f"Stopped. All solutions so far are in {options.out}. The same command continues.", file=sys.stderr)
        sys.exit(130)
    print(json.dumps({"out": str(options.out)} | report.as_dict(), indent=2))


def _generator(options: argparse.Namespace) -> Any:
    from trainer.generators import EndpointGenerator, LocalGenerator

    if bool(options.base) == bool(options.model):
        raise BadConfig("Choose one generator: --base FOLDER for a model run here, or --model NAME for a model behind an endpoint.")
    if options.max_tokens < 1 or (options.width is not None and options.width < 1):
        raise BadConfig("--max-tokens and --width must be at least 1.")
    if options.temperature < 0 or not 0 < options.top_p <= 1:
        raise BadConfig("--temperature must be 0 or more, and --top-p above 0 and at most 1.")
    settings = {name: getattr(options, name) for name in ("temperature", "top_p", "max_tokens")}
    if options.width:
        settings["width"] = options.width
    if options.base:
        return LocalGenerator(options.base, revision=options.revision, chat=options.chat, **settings)
    address = {"endpoint": options.endpoint} if options.endpoint else {}
    return EndpointGenerator(
        options.model, **address, timeout=options.timeout, retries=max(0, options.retries), request=options.request, **settings
    )


def _mapping(text: str) -> dict[str, Any]:
    try:
        changes = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}. Give a JSON mapping.") from error
    if not isinstance(changes, dict):
        raise argparse.ArgumentTypeError("give a JSON mapping")
    return changes
