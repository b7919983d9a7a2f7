"""Command: take a snapshot of the labels of a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import export, ingest
from annotation.management.filters import add_filters, chosen_filter
from annotation.management.progress import drawn_progress
from trainer.counting import counted


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages: 20 MB, and as long as an export of 10,000 labels
    help = (
        "Take a snapshot of the labels of a project: a numbered data set that never changes. manage.py export writes it to a file. "
        "With --list, --diff or --changed-since, it takes none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--list", action="store_true", help="list the snapshots of the project instead")
        parser.add_argument("--diff", nargs=2, type=int, metavar=("OLD", "NEW"), help="compare two snapshots by their numbers instead")
        parser.add_argument(
            "--changed-since", type=int, metavar="NUMBER", help="say what has changed since a snapshot instead; none is stored"
        )
        add_filters(parser)

    def handle(self, *args: Any, project: str, **options: Any) -> None:
        with drawn_progress() as progress:
            found = ingest.find_project(project)
            if sum(map(bool, (options["list"], options["diff"], options["changed_since"] is not None))) > 1:
                raise CommandError("Give one of --list, --diff and --changed-since.", returncode=2)
            if options["list"]:
                return self.list_them(found)
            if options["diff"]:
                old, new = (export.find_snapshot(found, number) for number in options["diff"])
                return self.compare(export.compare_snapshots(old, new), f"from snapshot {old.number} to {new.number}")
            if options["changed_since"] is not None:
                old = export.find_snapshot(found, options["changed_since"])
                return self.compare(export.changed_since(old), f"since snapshot {old.number}")
            chosen = chosen_filter(options)
            snapshot = export.take_dataset(found, chosen, progress=progress)
        counts = snapshot.counts
        self.stdout.write(
            f"Snapshot {snapshot.number}: {counted(snapshot.count, 'annotation')} of {counted(counts['solutions'], 'solution')} and "
            f"{counted(counts['problems'], 'problem')} by {counted(counts['people'], 'person', 'people')} (sha256 {snapshot.sha256})."
        )

    def list_them(self, project: Any) -> None:
        for snapshot in export.snapshots_of(project):
            content = "" if snapshot.content else ", without content"
            self.stdout.write(
                f"{snapshot.number}: {snapshot.created_at:%Y-%m-%d %H:%M} UTC, {counted(snapshot.count, 'annotation')}"
                f"{f', sha256 {snapshot.sha256}' if snapshot.sha256 else ''}{content}"
            )

    def compare(self, difference: export.SnapshotDifference, span: str) -> None:
        self.stdout.write(
            f"What changed {span}: {counted(len(difference.added), 'annotation')} added, {len(difference.removed):,} removed, "
            f"{difference.unchanged:,} unchanged."
        )
        for name, problems in (("added", difference.problems_added), ("removed", difference.problems_removed)):
            if problems:
                shown = ", ".join(problems[:20]) + (f" and {len(problems) - 20:,} more" if len(problems) > 20 else "")
                self.stdout.write(f"Problems with labels {name}: {shown}")
