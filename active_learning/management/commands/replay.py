"""Command: choose a round's batch again from its candidates, and show whether it is the same."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import rounds
from annotation import ingest


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Choose again from the candidates, recipe and seed that a round kept. Exit code 1 if the selection is not the same, byte for byte."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--generation", type=int, metavar="N", help="the round that published batch N (default: all)")

    def handle(self, *args: Any, project: str, generation: int | None, **options: Any) -> None:
        try:
            published = rounds.published(ingest.find_project(project), generation=generation)
        except (rounds.NoSuchRound, ingest.BadProject) as error:
            raise CommandError(str(error), returncode=2) from error
        replays = [(round_, rounds.replay(round_.project, round_.number)) for round_ in published]
        for round_, replay in replays:
            self.stdout.write(f"Round {round_.number}: {replay.message}")
        if not all(replay.same for _, replay in replays):
            raise CommandError("Not every selection is the same.", returncode=1)
