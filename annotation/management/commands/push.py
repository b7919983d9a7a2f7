"""Command: hand a data set folder to a hub."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import export
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages
    help = (
        "Upload a data set folder, as manage.py make_folder writes it, to a hub. The token is that of HF_TOKEN or of hf auth login. "
        "HF_ENDPOINT names another hub than huggingface.co."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="FOLDER")
        parser.add_argument("--to", required=True, metavar="OWNER/NAME", help="the repository; one that is not there is made")
        parser.add_argument("--public", action="store_true", help="make a new repository public (default: private)")

    def handle(self, *args: Any, folder: str, to: str, public: bool, **options: Any) -> None:
        with drawn_progress(when_stopped="The repository is as it was.") as progress:
            address = export.push_dataset_folder(folder, to, public=public, progress=progress)
        self.stdout.write(f"Pushed {folder} to {to}: {address}")
