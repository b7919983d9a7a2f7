"""Command: write a backup of the whole site while people work."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.progress import drawn_progress
from labelapp.backups import BackupRefused, back_up
from trainer.counting import counted


class Command(BaseCommand):
    help = (
        "Write a backup of the whole site as one file, while people work: the database at one moment, and the models and other files that "
        "it names. SECRET_KEY and the sessions are not in it. Keep the file on another machine. `manage.py restore` reads it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the file to write, such as stepmark.tar")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")

    def handle(self, *args: Any, file: Path, overwrite: bool, **options: Any) -> None:
        with drawn_progress() as progress:
            try:
                written = back_up(file, overwrite=overwrite, progress=progress)
            except BackupRefused as error:
                raise CommandError(str(error), returncode=2) from error
        self.stdout.write(
            f"Wrote {file}: {written.size / 1e6:,.1f} MB with {counted(written.n_annotations, 'annotation')} and "
            f"{counted(written.n_files + 1, 'file')}, the database among them."
        )
        for name in written.missing:
            self.stderr.write(f"Warning: {name} was not there, though the database names it. The backup is complete without it.")
