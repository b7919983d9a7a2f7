"""Command: publish problems without a solution, each with first steps from the generator."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import completions, ingest, queue
from annotation.management.progress import drawn_progress
from trainer.counting import counted


class Command(BaseCommand):
    help = (
        "Publish problems that have no solution. The generator (STEPMARK_GENERATOR) proposes first steps, and labelers continue from them. "
        "A stopped run continues where it stopped. See docs/interactive.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--size", type=int, metavar="N", help="number of problems to publish (default: the project's batch size)")

    def handle(self, *args: Any, project: str, size: int | None, **options: Any) -> None:
        if size is not None and not 1 <= size <= queue.MAX_BATCH:
            raise CommandError(f"--size is {size}. Choose 1 to {queue.MAX_BATCH:,} problems.", returncode=2)
        try:
            with drawn_progress() as progress:
                batch, failed = completions.open_interactive(ingest.find_project(project), size=size, progress=progress)
        except queue.BadBatch as bad:
            raise CommandError(str(bad), returncode=2) from None
        left = f" The generator failed on {counted(failed, 'problem')}. Run this command again to try them again." if failed else ""
        self.stdout.write(f"Opened the {batch} of {project}.{left}")
