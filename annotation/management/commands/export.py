"""Command: export the labels of a project as a file."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import export, ingest
from annotation.management.progress import drawn_progress
from trainer.counting import counted

SPLITS = {"train": ("train",), "test": ("test",), "all": ("train", "test")}


class Command(BaseCommand):
    help = "Export the labels of a project: take a snapshot and write it to a file. Formats: docs/formats.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=["prm800k"], default="prm800k")
        parser.add_argument("--out", required=True, metavar="FILE", help="the file to write; it appears when it is complete")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
        parser.add_argument(
            "--split",
            choices=list(SPLITS),
            default="train",
            help="the split of the problems whose labels are exported (default: %(default)s)",
        )
        parser.add_argument(
            "--without-newcomers", action="store_true", help="leave out the screening answers of people who are not admitted"
        )

    def handle(
        self, *args: Any, project: str, out: str, split: str, overwrite: bool, without_newcomers: bool = False, **options: Any
    ) -> None:
        with drawn_progress() as progress:
            exported = ingest.find_project(project)
            snapshot = export.export_prm800k(
                exported, out, splits=SPLITS[split], newcomers=not without_newcomers, overwrite=overwrite, progress=progress
            )
        self.stdout.write(f"Wrote {counted(snapshot.count, 'annotation')} to {out} (snapshot {snapshot.number}, sha256 {snapshot.sha256}).")
