"""Command: load the problems of a file."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import ingest
from annotation.ingest import FILE_MEGABYTES
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = "Load problems from a file: all of them or none. Loading a file again changes nothing. Formats: docs/formats.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="JSONL (also gzipped) or a JSON array")
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=list(ingest.FORMATS), help="the format, if the first line does not show it")
        parser.add_argument(
            "--split", choices=["train", "test"], help="overrides the split in the file; test problems are never labeled or trained on"
        )
        parser.add_argument("--megabytes", type=int, default=FILE_MEGABYTES, help="the largest file to accept (default: %(default)s)")

    def handle(self, *args: Any, file: str, project: str, format: str | None, split: str | None, megabytes: int, **options: Any) -> None:
        with drawn_progress() as progress:
            report = ingest.load_problems(
                file, project=ingest.find_project(project), format=format, split=split, megabytes=megabytes, progress=progress
            )
        self.stdout.write(str(report))
