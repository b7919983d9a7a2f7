"""Command: open the screening of a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import ingest, quality
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Let newcomers answer screening questions before real work. The questions are solutions that a trusted person labeled. Newcomers "
        "who find the same first mistake often enough (the project's qualify rate) are admitted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--by", required=True, metavar="USER", help="the person whose labels are trusted")
        parser.add_argument("--size", type=int, metavar="N", help="number of questions (default: the project's screening size)")
        parser.add_argument("--seed", type=int, default=0, help="for the random choice of solutions (default: %(default)s)")

    def handle(self, *args: Any, project: str, by: str, size: int | None, seed: int, **options: Any) -> None:
        with drawn_progress():
            opened_in = ingest.find_project(project)
        try:
            batch = quality.open_screening(opened_in, by=by, size=size, seed=seed)
        except quality.BadScreening as bad:
            raise CommandError(str(bad), returncode=2) from None
        self.stdout.write(
            f"Opened the {batch} of {project}. Newcomers answer it first. Nothing changes for people who are already qualified."
        )
