"""Command: load the solutions of a file, with their problems and labels."""

import time
from typing import Any

from django.core.management.base import CommandParser

from annotation import ingest
from annotation.management.commands import load_problems
from annotation.management.progress import drawn_progress
from trainer.display import duration


class Command(load_problems.Command):
    help = (
        "Load solutions from a file, with its problems and labels, and grade their final answers: all of them or none. "
        "Loading a file again changes nothing. Formats: docs/formats.md."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", default="", help="the generator's name, if the file does not give it")
        parser.add_argument(
            "--labels",
            choices=ingest.LABELS,
            default=ingest.LABELS[0],
            help="what the labels of the file become: annotations of people, or gold, by which labelers are checked (default: %(default)s)",
        )
        parser.add_argument(
            "--steps-by",
            choices=list(ingest.STEP_RULES),
            default=ingest.AUTO,
            help="how a solution that is one text is cut into steps (default: auto, which chooses for the whole file and says why)",
        )
        parser.add_argument(
            "--allow-broken-steps",
            action="store_true",
            help="load the file even if more than 1 %% of its steps are broken: they have no letter or digit, or half a formula",
        )

    def handle(
        self,
        *args: Any,
        file: str,
        project: str,
        format: str | None,
        split: str | None,
        megabytes: int,
        source: str = "",
        labels: str = ingest.LABELS[0],
        steps_by: str = ingest.AUTO,
        allow_broken_steps: bool = False,
        **options: Any,
    ) -> None:
        began = time.monotonic()
        with drawn_progress() as progress:
            report = ingest.load_solutions(
                file,
                project=ingest.find_project(project),
                format=format,
                source=source,
                labels=labels,
                split=split,
                steps_by=steps_by,
                allow_broken=allow_broken_steps,
                mapping=ingest.read_mapping(options.get("map") or [], items=options.get("items")),
                megabytes=megabytes,
                progress=progress,
            )
        self.stdout.write(str(report))
        took = time.monotonic() - began
        self.stdout.write(f"The load took {duration(took)}, of which the grading of answers took {report.grading_seconds:.1f} s.")
