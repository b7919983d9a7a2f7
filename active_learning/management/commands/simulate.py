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
        "Run the paper's section 4 in the simulated world with the oracle as labeler: process labels beside outcome labels, each strategy "
        "beside uniform labels, PRM beside ORM and majority voting. Figures, a table and every trained point are kept under "
        "STEPMARK_HOME/experiments/NAME; started again it goes on where it stopped. The quick form takes at most 3 minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", metavar="PREFIX", help="put before the names of the experiments, to keep them apart from others")
        form = parser.add_mutually_exclusive_group()
        form.add_argument(
            "--form", choices=list(experiment.FORMS), default="quick", help="quick shows that all works; its figures are noise"
        )
        form.add_argument(
            "--full", action="store_const", const="full", dest="form", help="the form whose figures stand in docs/experiment.md"
        )
        parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="other seeds than the form's")
        parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes that train side by side")

    def handle(self, *args: Any, name: str | None, form: str, seeds: list[int] | None, workers: int, **options: Any) -> None:
        if workers < 1:
            raise CommandError(f"--workers is at least 1, not {workers}.", returncode=2)
        for own, plan in experiment.FORMS[form].items():
            try:
                plan = plan.changed(**({"seeds": tuple(seeds)} if seeds else {}))
                with drawn_progress() as progress:
                    told = f"{name}-{own}" if name is not None else own
                    folder = experiment.run(told, plan, home=Path(settings.STEPMARK_HOME), workers=workers, progress=progress)
                results = experiment.summarise(folder)
            except experiment.BadPlan as error:
                raise CommandError(str(error), returncode=2) from error
            self.stdout.write(f"{folder}:")
            for line in experiment.told(results):
                self.stdout.write(f"  {line}")
