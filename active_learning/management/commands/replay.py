"""Command: choose a round's batch again from what it kept, and say whether it is the same."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import rounds
from annotation import ingest


class Command(BaseCommand):
    help = "Choose again from the candidates, recipe and seed that a round kept. Ends with 1 if the selection is not the same to the byte."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--generation", type=int, metavar="N", help="one round (default: every round that published a batch)")

    def handle(self, *args: Any, project: str, generation: int | None, **options: Any) -> None:
        try:
            published = rounds.published(ingest.find_project(project), generation=generation)
        except (rounds.NoSuchRound, ingest.BadProject) as error:
            raise CommandError(str(error), returncode=2) from error
        replays = [(one, rounds.replay(one.project, one.pk)) for one in published]
        for one, replay in replays:
            self.stdout.write(f"Round {one.generation}: {replay.message}")
        if not all(replay.same for _, replay in replays):
            raise CommandError("Not every selection could be replayed.", returncode=1)
