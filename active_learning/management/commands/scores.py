"""Command: where the scores of a project's models lie, and to move them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from active_learning import registry, scoring
from annotation import ingest


class Command(BaseCommand):
    help = (
        "List the models of a project that have scores, where these lie and how large they are. With --drop: write the scores of an old "
        "model to a file and free the database of them; with --restore: load them again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--drop", type=int, metavar="N", help="number of the model whose scores go to a file")
        what.add_argument("--restore", type=int, metavar="N", help="number of the model whose scores come back")

    def handle(self, *args: Any, project: str, drop: int | None, restore: int | None, **options: Any) -> None:
        try:
            found = ingest.find_project(project)
            if drop is not None:
                path = scoring.drop_to_file(registry.find(found, drop))
                self.stdout.write(f"The scores of model {drop} lie in {path} now.")
            elif restore is not None:
                n_scores = scoring.restore(registry.find(found, restore))
                self.stdout.write(f"The {n_scores:,} scores of model {restore} are in the database again.")
            else:
                self._list(scoring.kept(found))
        except (ingest.BadProject, registry.NoSuchVersion, scoring.ScoresRefused) as refused:
            raise CommandError(str(refused), returncode=2) from refused

    def _list(self, kept: list[scoring.Kept]) -> None:
        if not kept:
            self.stdout.write("No model has scored this project yet.")
        for one in kept:
            serves = ", in service" if one.version.champion else ""
            count = "" if one.n_scores is None else f"{one.n_scores:,} scores, "
            place = one.version.scores_file if one.place == "file" else one.place
            size = filesizeformat(one.n_bytes).replace("\xa0", " ")
            self.stdout.write(f"model {one.version.number} ({one.version.kind.upper()}{serves}): {count}{size}, {place}")
