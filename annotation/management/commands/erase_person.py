"""Command: erase a person. The name goes; the labels and their pseudonym stay."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import people


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Erase a person: name, e-mail, password, second factor and sessions. The account is closed for good, and every membership ends. "
        "Labels, messages and the pseudonym stay, so every export stays as it is. This cannot be undone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the name of the account")
        parser.add_argument("--yes", action="store_true", help="erase without asking")

    def handle(self, *args: Any, name: str, yes: bool, **options: Any) -> None:
        try:
            person = people.find_account(name)
            if not yes and input(f"Erase {name} for good? Type the name again: ") != name:
                raise CommandError("The names differ. Nothing was changed.", returncode=2)
            people.erase(person, actor=None)
        except (people.NoSuchAccount, people.CannotErase) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"{name} is erased. The labels stay, under {people.erased_name(person)}.")
