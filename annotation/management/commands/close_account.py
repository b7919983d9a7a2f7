"""Command: close an account, or open it again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import people


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Close an account: nobody can sign in with it, and its sessions end. Everything else stays. With --open: open it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the name of the account")
        parser.add_argument("--open", action="store_true", dest="is_opened", help="open a closed account again")

    def handle(self, *args: Any, name: str, is_opened: bool = False, **options: Any) -> None:
        try:
            person = people.find_account(name)
            (people.open_account if is_opened else people.close_account)(person, actor=None)
        except (people.NoSuchAccount, people.CannotClose) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(
            f"The account of {name} is open again." if is_opened else f"The account of {name} is closed. Labels and memberships stay."
        )
