"""Command: ask one more person for an opinion where labels are doubtful, as beat does every minute."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import opinions
from annotation import ingest, quality
from trainer.counting import counted


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Ask one more person for each solution of the open batches whose labels are doubtful, by the thresholds of the project."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "--past-month", action="store_true", help="ask nobody; say what the thresholds would have asked for in the past 30 days"
        )

    def handle(self, *args: Any, project: str, past_month: bool, **options: Any) -> None:
        try:
            labeled = ingest.find_project(project)
        except ingest.BadProject as refused:
            raise CommandError(str(refused), returncode=2) from refused
        thresholds = quality.thresholds_of(labeled)
        if not thresholds.is_on:
            raise CommandError(
                f"{labeled.slug} asks for no more opinions than its overlap. Set a limit on the page Redundancy first.", returncode=2
            )
        if past_month:
            self._say_cost(quality.preview(quality.count_month(labeled, opinions.judge_of(labeled)), thresholds))
            return
        asked = opinions.ask(labeled, everything=True)
        self.stdout.write(f"{counted(asked, 'more person was', 'more people were')} asked for an opinion.")
        if notice := quality.nobody_left(labeled):
            self.stdout.write(notice)

    def _say_cost(self, preview: quality.Preview) -> None:
        solutions = counted(preview.month.solutions, "solution")
        self.stdout.write(
            f"{solutions} of work labeled in the past 30 days. {counted(preview.more, 'more label')} would have been asked for."
        )
        for words, count in preview.reasons:
            self.stdout.write(f"  {count:,}: {words}")
        third = f"{preview.third:,}" if preview.third is not None else "unknown, because too few solutions were judged by two people"
        if preview.third is None and preview.certain:
            third = f"at least {preview.certain:,}. More is {third}"
        self.stdout.write(f"Second labels: {preview.second:,}. Labels after a conflict: {third}.")
        if preview.hours is not None:
            self.stdout.write(f"Work: {preview.hours:.1f} hours, at {preview.month.minutes:.1f} minutes for one solution.")
