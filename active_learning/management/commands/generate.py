"""Command: draw new solutions for a project's training problems."""

import json
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import sampling
from annotation import ingest
from annotation.management.progress import drawn_progress

SETTINGS = (
    "model",
    "url",
    "n",
    "budget",
    "budget_requests",
    "temperature",
    "top_p",
    "max_tokens",
    "width",
    "seed",
    "source",
    "revision",
    "chat",
    "timeout",
    "retries",
    "request",
)


class Command(BaseCommand):
    help = (
        "Draw N new solutions for each training problem, from a model run here (--model) or behind an endpoint (--url and --model), and "
        "load them, graded. The same command goes on where it stopped and draws nothing twice; another --seed or --name begins anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--model", required=True, help="a model folder or a hub id, run here; with --url, the model to ask for")
        parser.add_argument("--url", metavar="URL", help="an endpoint's address, ending in /v1 (key: OPENAI_API_KEY in the environment)")
        parser.add_argument("--n", type=int, required=True, help="new solutions of each problem")
        parser.add_argument("--budget", type=int, metavar="TOKENS", help="the most tokens the run may use, prompts included, in all calls")
        parser.add_argument("--budget-requests", type=int, metavar="TEXTS", help="the most texts the run may draw")
        parser.add_argument("--temperature", type=float)
        parser.add_argument("--top-p", type=float)
        parser.add_argument("--max-tokens", type=int, help="longest solution (1024)")
        parser.add_argument("--width", type=int, help="texts at a time (16 here, 8 from an endpoint)")
        parser.add_argument("--seed", type=int)
        parser.add_argument("--name", help="of the run (default: after model, temperature and seed)")
        parser.add_argument("--source", help="the generator's name in the project (default: the model's)")
        parser.add_argument("--prompt", type=Path, metavar="FILE", help="text file with {problem} in it (default: two worked examples)")
        parser.add_argument("--revision", help="commit of the hub id")
        parser.add_argument("--chat", action="store_true", default=None, help="give the prompt in the model's chat template")
        parser.add_argument("--timeout", type=float, help="seconds of one try of a request (120)")
        parser.add_argument("--retries", type=int, help="further tries of a request (6)")
        parser.add_argument("--request", type=mapping, metavar="JSON", help="changes to the body of each request; null takes a key out")

    def handle(self, *args: Any, project: str, name: str | None, prompt: Path | None, **options: Any) -> None:
        told = {setting: options[setting] for setting in SETTINGS if options[setting] is not None}
        with drawn_progress() as bar:
            try:
                told |= {"prompt": _text(prompt)} if prompt else {}
                made = sampling.sample(ingest.find_project(project), settings=told, name=name, progress=bar)
            except sampling.BadSampling as bad:
                raise CommandError(str(bad), returncode=2) from None
            except KeyboardInterrupt:
                raise CommandError("Stopped. What was drawn is kept; the same command goes on.", returncode=130) from None
        self.stdout.write(str(made))


def mapping(text: str) -> Any:
    """Read an option that is JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not JSON: {error}") from None


def _text(prompt: Path) -> str:
    try:
        return prompt.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise sampling.BadSampling(f"The prompt {prompt} cannot be read ({error}). Give a text file in UTF-8.") from None
