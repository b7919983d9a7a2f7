"""Command: create a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import ingest
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = "Create a project to load problems and solutions into."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="its short name in addresses and commands, for instance gsm8k")
        parser.add_argument("--name", required=True, help="its name on the pages")
        parser.add_argument(
            "--owner", action="append", default=[], metavar="USER", help="an account that owns it; may be given several times"
        )

    def handle(self, *args: Any, slug: str, name: str, owner: list[str], **options: Any) -> None:
        with drawn_progress():
            project = ingest.create_project(slug, name=name, owners=owner)
        self.stdout.write(f"Created the project {project.slug} ({project.name}).")
