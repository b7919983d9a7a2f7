"""Command: check a file of PRM800K records, from this project or from elsewhere."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import export
from annotation.management.progress import drawn_progress

SHOWN = 10


class Command(BaseCommand):
    help = "Check that every line of a file is a PRM800K record. Needs no project."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="JSONL, one record per line")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        with drawn_progress():
            checked = export.check_prm800k(file)
        for kind, count in checked.gaps.items():
            self.stdout.write(f"{count:,} x {kind}")
        if checked.violations:
            lines = [f"{file} line {line}: {reason}." for line, reason in checked.violations[:SHOWN]]
            left = len(checked.violations) - len(lines)
            raise CommandError("\n".join([*lines, *([f"... and {left:,} more."] if left else [])]), returncode=2)
        self.stdout.write(f"{file}: {checked.count:,} PRM800K records, all valid.")
