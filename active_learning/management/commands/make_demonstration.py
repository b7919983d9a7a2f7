"""Command: make the demonstration project."""

from typing import Any

from django.core.management.base import BaseCommand

from active_learning import demonstration
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Make the demonstration project of simulated word problems, its people and its first batch. A second call changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        with drawn_progress(when_stopped="What was made is kept. The same command continues.") as progress:
            project = demonstration.make_demonstration(progress=progress)
        self.stdout.write(f"The project {project.slug} is ready. Its people: {', '.join(demonstration.PEOPLE)}.")
