"""Command: open the practice of a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import ingest, quality
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = (
        "Let newcomers label a few solutions with feedback before the screening, or before real work where there is none: solutions that "
        "a trusted person labeled. After each they see where the first mistake is. Nothing of it counts. Once more adds to it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--by", required=True, metavar="USER", help="whose labels are trusted")
        parser.add_argument("--size", type=int, metavar="N", help="solutions (default: 5)")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, project: str, by: str, size: int | None, seed: int, **options: Any) -> None:
        with drawn_progress():
            found = ingest.find_project(project)
        try:
            batch = quality.open_practice(found, by=by, size=size, seed=seed)
        except quality.BadScreening as bad:
            raise CommandError(str(bad), returncode=2) from None
        self.stdout.write(f"Opened the {batch} of {project}. Newcomers begin with it, and are told where each first mistake is.")
