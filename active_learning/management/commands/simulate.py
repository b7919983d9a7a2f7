"""Command: run an experiment in the simulated world, with the oracle as the labeler."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import demonstration, experiment
from annotation import ingest
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Run the experiment of the paper's section 4 in the simulated world, with the oracle as the labeler. It compares process labels "
        "with outcome labels, each strategy with uniform labels, and a PRM with an ORM and majority voting. Figures, a table and the "
        "results of every trained model are written to STEPMARK_HOME/experiments/NAME. The same command continues a run that stopped. "
        "The quick form takes at most 3 minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--name", metavar="PREFIX", help="start the names of the experiments with PREFIX, to keep them apart from others"
        )
        parser.add_argument(
            "--project",
            metavar="SLUG",
            help="researchers, managers and owners of this project see the experiment on the page Experiments (default: the demonstration)",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument(
            "--form",
            choices=list(experiment.FORMS),
            default="quick",
            help="quick shows that everything works, but its figures are too noisy to use",
        )
        form.add_argument(
            "--full", action="store_const", const="full", dest="form", help="run the protocols that gave the figures in docs/experiment.md"
        )
        parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="use these seeds instead of the seeds of the form")
        parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes that train at once")

    def handle(
        self, *args: Any, name: str | None, project: str | None, form: str, seeds: list[int] | None, workers: int, **options: Any
    ) -> None:
        if workers < 1:
            raise CommandError(f"--workers must be at least 1, not {workers}.", returncode=2)
        try:
            owner = ingest.find_project(project) if project else demonstration.find_demonstration()
        except ingest.BadProject as error:
            raise CommandError(str(error), returncode=2) from error
        for own_name, plan in experiment.FORMS[form].items():
            full_name = f"{name}-{own_name}" if name is not None else own_name
            try:
                if seeds:
                    plan = plan.changed(seeds=tuple(seeds))
                protocol = experiment.PROTOCOLS.get(own_name)
                if protocol is not None and protocol.plan.fingerprint == plan.fingerprint:
                    self.stdout.write(f"Protocol {protocol.name}, SHA-256 {protocol.sha256}.")
                with drawn_progress(when_stopped="Finished models are kept. The same command continues.") as progress:
                    folder = experiment.run(
                        full_name,
                        plan,
                        home=Path(settings.STEPMARK_HOME),
                        project=owner.pk if owner else None,
                        workers=workers,
                        progress=progress,
                    )
                results = experiment.summarise(folder)
            except experiment.BadPlan as error:
                raise CommandError(str(error), returncode=2) from error
            self.stdout.write(f"{folder}:")
            for line in experiment.result_lines(results):
                self.stdout.write(f"  {line}")
