"""Command: let the oracle of the demonstration label what waits in its queue."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import demonstration
from annotation import ingest, queue
from annotation.management.progress import drawn_progress
from trainer.counting import counted


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Let the oracle of the simulated world label the solutions that wait in the queue of the demonstration, so that you see several "
        "rounds within minutes. It works in no other project: nobody knows the mistakes of real solutions beforehand."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", default=demonstration.DEMONSTRATION, metavar="SLUG", help="default: %(default)s")
        parser.add_argument("--size", type=int, metavar="N", help="label at most N solutions (default: all that wait)")

    def handle(self, *args: Any, project: str, size: int | None, **options: Any) -> None:
        if size is not None and size < 1:
            raise CommandError(f"--size must be at least 1, not {size}.")
        try:
            simulated = ingest.find_project(project)
            with drawn_progress(when_stopped="The labels that were submitted are kept. The same command continues.") as progress:
                done = demonstration.label_as_oracle(simulated, most=size, progress=progress)
        except queue.NothingToLabel as nothing:
            self.stdout.write(str(nothing))
        except (ingest.BadProject, queue.NotQualified, queue.LeaseLost) as error:
            raise CommandError(str(error)) from error
        else:
            self.stdout.write(f"The oracle labeled {counted(done, 'solution')}.")
