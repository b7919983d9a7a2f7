"""Command: let a person who gave too many wrong passwords try again at once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import people


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Forget the wrong passwords that were given for a name, so that the person can try again at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the name, as it was typed on the sign-in page")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        count = people.unlock(name)
        self.stdout.write(f"{name} can try again now." if count else f"There are no wrong passwords for {name}. Nothing was changed.")
