"""Command: restore a backup into an empty database and home."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.progress import drawn_progress
from labelapp.backups import BackupRefused, restore
from trainer.counting import counted


class Command(BaseCommand):
    help = (
        "Restore a backup of `manage.py backup`. The database must be empty, and STEPMARK_HOME must hold no models: use a new folder. The "
        "whole backup is checked before anything is written. Then the database is migrated. Everybody signs in again."
    )
    requires_system_checks: list[str] = []  # there are no tables yet

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the file that `manage.py backup` wrote")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        with drawn_progress() as progress:
            try:
                restored = restore(file, progress=progress)
            except BackupRefused as error:
                raise CommandError(str(error), returncode=2) from error
        counts = ", ".join(counted(count, name) for name, count in restored.counts.items())
        self.stdout.write(f"Restored {file} of {restored.made_at}: {counts}, {counted(restored.n_files, 'file')}.")
        for name in restored.missing:
            self.stderr.write(f"Warning: {name} was missing when the backup was made.")
