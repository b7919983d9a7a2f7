"""Command: show where the scores of a project's models are, and move them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from active_learning import registry, scoring
from annotation import ingest
from trainer.counting import counted


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "List the models of a project that have scores, with place and size of the scores. With --drop: move the scores of an old model "
        "from the database to a file. With --restore: load them again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--drop", type=int, metavar="N", help="number of the model whose scores are moved to a file")
        what.add_argument("--restore", type=int, metavar="N", help="number of the model whose scores are loaded again")

    def handle(self, *args: Any, project: str, drop: int | None, restore: int | None, **options: Any) -> None:
        try:
            target = ingest.find_project(project)
            if drop is not None:
                path = scoring.drop_to_file(registry.find(target, drop))
                self.stdout.write(f"The scores of model {drop} are in {path} now.")
            elif restore is not None:
                n_scores = scoring.restore(registry.find(target, restore))
                self.stdout.write(f"The scores of model {restore} are in the database again: {n_scores:,}.")
            else:
                self._list(scoring.stored(target))
        except (ingest.BadProject, registry.NoSuchVersion, scoring.ScoresRefused) as refused:
            raise CommandError(str(refused), returncode=2) from refused

    def _list(self, stored: list[scoring.StoredScores]) -> None:
        if not stored:
            self.stdout.write("No model has scored this project yet.")
        for scores in stored:
            serves = ", serves" if scores.version.champion else ""
            count = "" if scores.n_scores is None else f"{counted(scores.n_scores, 'score')}, "
            place = scores.version.scores_file if scores.place == "file" else scores.place
            size = filesizeformat(scores.n_bytes).replace("\xa0", " ")
            self.stdout.write(f"model {scores.version.number} ({scores.version.kind.upper()}{serves}): {count}{size}, {place}")
