"""Command: ask one more person for an opinion where labels are doubtful, as beat does every minute."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import opinions
from annotation import ingest, quality
from trainer.counting import counted


class Command(BaseCommand):
    help = "Ask one more person for each solution of the open batches whose labels are doubtful, by the thresholds of the project."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")

    def handle(self, *args: Any, project: str, **options: Any) -> None:
        try:
            labeled = ingest.find_project(project)
        except ingest.BadProject as refused:
            raise CommandError(str(refused), returncode=2) from refused
        if not quality.thresholds_of(labeled).is_on:
            raise CommandError(
                f"{labeled.slug} asks for no more opinions than its overlap. Set a limit on the page Redundancy first.", returncode=2
            )
        asked = opinions.ask(labeled, everything=True)
        self.stdout.write(f"{counted(asked, 'more person was', 'more people were')} asked for an opinion.")
        if notice := quality.nobody_left(labeled):
            self.stdout.write(notice)
