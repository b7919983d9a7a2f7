"""Command: run an experiment in the simulated world, where the oracle labels."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import experiment
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = (
        "Run the paper's section 4 in the simulated world with the oracle as labeler. It compares process labels with outcome labels, "
        "each strategy with random labels, and the PRM with ORM and majority voting. Figures, a table and the results of every trained "
        "model are written under STEPMARK_HOME/experiments/NAME. Started again, it continues where it stopped. The quick form takes at "
        "most 3 minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", metavar="PREFIX", help="prefix for the names of the experiments")
        form = parser.add_mutually_exclusive_group()
        form.add_argument(
            "--form", choices=list(experiment.FORMS), default="quick", help="quick only shows that everything works; its figures are noise"
        )
        form.add_argument("--full", action="store_const", const="full", dest="form", help="the form with the figures of docs/experiment.md")
        parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="seeds to use instead of those of the form")
        parser.add_argument(
            "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes that train at the same time"
        )

    def handle(self, *args: Any, name: str | None, form: str, seeds: list[int] | None, workers: int, **options: Any) -> None:
        if workers < 1:
            raise CommandError(f"--workers must be at least 1, not {workers}.", returncode=2)
        for own, plan in experiment.FORMS[form].items():
            try:
                plan = plan.changed(**({"seeds": tuple(seeds)} if seeds else {}))
                with drawn_progress() as progress:
                    full_name = f"{name}-{own}" if name is not None else own
                    folder = experiment.run(full_name, plan, home=Path(settings.STEPMARK_HOME), workers=workers, progress=progress)
                results = experiment.summarise(folder)
            except experiment.BadPlan as error:
                raise CommandError(str(error), returncode=2) from error
            self.stdout.write(f"{folder}:")
            for line in experiment.summary_lines(results):
                self.stdout.write(f"  {line}")
