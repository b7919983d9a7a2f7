"""Command: open the screening of a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import ingest, quality
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = (
        "Let newcomers answer screening questions before real work: solutions that a trusted person labeled. Who sees the first mistake "
        "where that person saw it, often enough (qualify rate of the project), is admitted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--by", required=True, metavar="USER", help="whose labels are trusted")
        parser.add_argument("--size", type=int, metavar="N", help="questions (default: the project's)")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, project: str, by: str, size: int | None, seed: int, **options: Any) -> None:
        with drawn_progress():
            found = ingest.find_project(project)
        try:
            batch = quality.open_screening(found, by=by, size=size, seed=seed)
        except quality.BadScreening as bad:
            raise CommandError(str(bad), returncode=2) from None
        self.stdout.write(f"Opened the {batch} of {project}. Newcomers answer it first; whoever is qualified already goes on as before.")
