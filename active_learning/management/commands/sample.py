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
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Draw N new solutions for each training problem, from a model that runs here (--model) or behind an endpoint (--url and --model), "
        "grade and load them. The same command continues where it stopped, drawing nothing twice. Another --seed or --name: a new run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "--model",
            required=True,
            help="smollm2, a model folder or a hub id, to run here; with --url, the endpoint's name of the model",
        )
        parser.add_argument("--url", metavar="URL", help="an endpoint's address, ending in /v1 (key: OPENAI_API_KEY in the environment)")
        parser.add_argument("--n", type=int, required=True, help="new solutions per problem")
        parser.add_argument("--budget", type=int, metavar="TOKENS", help="the most tokens the run can use in all calls, prompts included")
        parser.add_argument("--budget-requests", type=int, metavar="TEXTS", help="the most texts the run can draw")
        parser.add_argument("--temperature", type=float)
        parser.add_argument("--top-p", type=float)
        parser.add_argument("--max-tokens", type=int, help="longest solution (1024)")
        parser.add_argument("--width", type=int, help="texts at a time (16 here, 8 from an endpoint)")
        parser.add_argument("--seed", type=int)
        parser.add_argument("--name", help="the run's name (default: from model, temperature and seed)")
        parser.add_argument("--source", help="the generator's name in the project (default: the model's)")
        parser.add_argument("--prompt", type=Path, metavar="FILE", help="text file with {problem} in it (default: two worked examples)")
        parser.add_argument("--revision", help="commit of the hub id")
        parser.add_argument("--chat", action="store_true", default=None, help="write the prompt in the model's chat template")
        parser.add_argument("--timeout", type=float, help="seconds that one request can take (120)")
        parser.add_argument("--retries", type=int, help="how often a failed request is tried again (6)")
        parser.add_argument("--request", type=mapping, metavar="JSON", help="changes to the body of each request; null removes a key")

    def handle(self, *args: Any, project: str, name: str | None, prompt: Path | None, **options: Any) -> None:
        settings = {setting: options[setting] for setting in SETTINGS if options[setting] is not None}
        with drawn_progress() as progress:
            try:
                settings |= {"prompt": _text(prompt)} if prompt else {}
                drawn = sampling.sample(ingest.find_project(project), settings=settings, name=name, progress=progress)
            except sampling.BadSampling as bad:
                raise CommandError(str(bad), returncode=2) from None
            except KeyboardInterrupt:
                raise CommandError("Stopped. The drawn solutions are kept. The same command continues.", returncode=130) from None
        self.stdout.write(str(drawn))


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
