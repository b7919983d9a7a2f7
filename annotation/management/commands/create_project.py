"""Command: create a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import ingest
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = "Create a project to load problems and solutions into."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="short name for addresses and commands, for example gsm8k")
        parser.add_argument("--name", required=True, help="name shown on the pages")
        parser.add_argument(
            "--owner", action="append", default=[], metavar="USER", help="an account that owns the project; repeat for several owners"
        )

    def handle(self, *args: Any, slug: str, name: str, owner: list[str], **options: Any) -> None:
        with drawn_progress():
            project = ingest.create_project(slug, name=name, owners=owner)
        self.stdout.write(f"Created the project {project.slug} ({project.name}).")
