"""Command: remove the second factor of a person who has lost it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import people


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Remove the second factor and the recovery codes of a person who has lost both, and end all sessions of the person. In production "
        "owners, managers and staff set it up again at their next sign-in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the name of the account")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            was_set = people.reset_second_factor(people.find_account(name), actor=None)
        except people.NoSuchAccount as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"The second factor of {name} is removed." if was_set else f"{name} has no second factor. Nothing was changed.")
