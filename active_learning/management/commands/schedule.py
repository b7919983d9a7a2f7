"""Command: show or change when a project's rounds start by themselves."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import rounds, schedules
from active_learning.models import Labels
from active_learning.selection import EXPLORE_MIX, MIXES, STRATEGIES
from annotation import ingest


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Show when the next round of a project starts by itself. Options change that; conditions that are not given are switched off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--every-labels", type=int, metavar="N", help="after N new labels")
        parser.add_argument("--every-hours", type=int, metavar="N", help="after N hours, if there is a new label")
        parser.add_argument("--daily-at", metavar="HH:MM", help="at this time (UTC), if there is a new label")
        parser.add_argument("--off", action="store_true", help="start no round")
        names = ", ".join([*STRATEGIES, *MIXES])
        parser.add_argument("--strategy", default=EXPLORE_MIX.name, help=f"one of {names}; or a mix such as convincing:0.7,uniform:0.3")
        parser.add_argument(
            "--labels",
            choices=Labels.values,
            default=Labels.EACH,
            help="what models learn where several people labeled a solution: each person's labels (default), their consensus, or soft: the "
            "probabilities of the consensus",
        )
        parser.add_argument("--size", type=int, metavar="N", help="solutions of a batch (default: the project's)")

    def handle(
        self,
        *args: Any,
        project: str,
        every_labels: int | None,
        every_hours: int | None,
        daily_at: str | None,
        off: bool,
        strategy: str,
        size: int | None,
        labels: str,
        **options: Any,
    ) -> None:
        try:
            labeled = ingest.find_project(project)
            if off or every_labels is not None or every_hours is not None or daily_at is not None:
                chosen = rounds.recipe_for(labeled, strategy=strategy, size=size)
                if lacks := chosen.without_floor:
                    self.stderr.write(lacks)
                recipe = chosen.as_dict()
                schedules.change(
                    labeled,
                    is_on=not off,
                    every_labels=every_labels,
                    every_hours=every_hours,
                    daily_at=None if daily_at is None else schedules.read_time(daily_at),
                    recipe=recipe,
                    sample=schedules.find(labeled).sample,
                    labels=labels,
                    actor=None,
                )
            self.stdout.write(schedules.next_due(labeled))
        except (rounds.RoundRefused, schedules.BadSchedule, ingest.BadProject) as refused:
            raise CommandError(str(refused), returncode=2) from refused
