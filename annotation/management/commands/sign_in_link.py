"""Command: print a one-time sign-in link."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import people


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Print a link that signs a person in once, within a day. A second factor is still asked for."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the name of the account")
        parser.add_argument(
            "--address",
            default=settings.SITE_ADDRESS,
            help="the address of this site, such as https://label.example.org (default: %(default)s)",
        )
        parser.add_argument(
            "--forget-password", action="store_true", help="the person forgot the password: remove it, and end all sessions of the person"
        )

    def handle(self, *args: Any, name: str, address: str, forget_password: bool, **options: Any) -> None:
        try:
            person = people.find_account(name)
            if not person.is_active:
                raise people.NoSuchAccount(f"The account {name} is closed. Open it again in the administration first.")
        except people.NoSuchAccount as error:
            raise CommandError(str(error), returncode=2) from error
        if forget_password:
            people.forget_password(person, actor=None)
        self.stdout.write(address.rstrip("/") + people.link_to_sign_in(person))
