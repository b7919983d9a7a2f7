"""Command: print the link that makes the first owner of a site."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import people


class Command(BaseCommand):
    help = "Print the set-up link of a site that nobody runs yet. Its page makes the first owner. script/server prints the same link."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", action="store_true", required=True, help="invite the first owner of this site")
        parser.add_argument(
            "--address",
            default=settings.SITE_ADDRESS,
            help="the address of this site, such as https://label.example.org (default: %(default)s)",
        )

    def handle(self, *args: Any, address: str, **options: Any) -> None:
        if people.is_set_up():
            raise CommandError(
                "This site has an owner already. Somebody who cannot sign in gets a link from manage.py sign_in_link NAME.", returncode=2
            )
        self.stdout.write(address.rstrip("/") + people.link_to_set_up())
