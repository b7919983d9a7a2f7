"""Command: create a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import projects
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Create a project to load problems and solutions into."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="short name for addresses and commands, for example gsm8k")
        parser.add_argument("--name", required=True, help="name shown on the pages")
        parser.add_argument(
            "--owner", action="append", default=[], metavar="USER", help="an account that owns the project; repeat for several owners"
        )
        parser.add_argument(
            "--accept-unreduced",
            action="store_true",
            help="accept fractions that are not in lowest terms: 2/4 for 1/2",
        )
        parser.add_argument("--accept-percent", action="store_true", help="accept a percentage for its value: 10%% for 0.1")
        parser.add_argument(
            "--text",
            choices=["plain", "markdown"],
            default="",
            help="how the pages show problems and steps; without it the first load with solutions decides",
        )

    def handle(
        self,
        *args: Any,
        slug: str,
        name: str,
        owner: list[str],
        accept_unreduced: bool,
        accept_percent: bool,
        text: str = "",
        **options: Any,
    ) -> None:
        with drawn_progress():
            rules: dict[str, Any] = {"accept_unreduced": accept_unreduced, "accept_percent": accept_percent}
            project = projects.create_project(slug, name=name, owners=owner, text_kind=text, **rules)
        self.stdout.write(f"Created the project {project.slug} ({project.name}).")
