"""Command: settle what several people say of the same solutions."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import registry
from annotation import ingest, quality


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Find the most likely first mistake of each solution from all verdicts on it, and estimate how well each labeler sees mistakes. "
        "A worker does the same each minute for what is new. With --prior: take what a PRM says as the prior. Then no model can be trained "
        "on the consensus, because it would be judged by a model's opinion. Without --prior, people alone decide."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--prior", type=int, metavar="N", help="number of a PRM whose step scores are the prior (default: none)")

    def handle(self, *args: Any, project: str, prior: int | None, **options: Any) -> None:
        try:
            target = ingest.find_project(project)
            settled = registry.settle(target, prior=prior)
        except (ingest.BadProject, registry.NoPrior) as refused:
            raise CommandError(str(refused), returncode=2) from refused
        for sentence in quality.settled_in_words(target, settled):
            self.stdout.write(sentence)
