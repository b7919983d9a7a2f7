"""Command: print a link that lets somebody in: the first owner of a site, or a person into a project."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import ingest, people
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Print a link that lets somebody in. With NAME: into a project, once, within 72 hours. With --owner: the set-up link of a site "
        "that nobody runs yet, as script/server prints it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", nargs="?", help="whom the link is for: a name or an e-mail address")
        parser.add_argument("--project", metavar="SLUG", help="the project to invite to")
        parser.add_argument("--role", choices=people.RANKS, default="labeler", help="the role in the project (default: %(default)s)")
        parser.add_argument("--by", metavar="USER", help="the manager who invites; without it, an owner of the project")
        parser.add_argument("--owner", action="store_true", help="invite the first owner of this site")
        parser.add_argument(
            "--address",
            default=settings.SITE_ADDRESS,
            help="the address of this site, such as https://label.example.org (default: %(default)s)",
        )

    def handle(
        self, *args: Any, name: str | None, project: str | None, role: str, by: str | None, owner: bool, address: str, **options: Any
    ) -> None:
        if owner == (name is not None) or owner == (project is not None):
            raise CommandError("Give NAME and --project to invite to a project, or --owner alone for the first owner.", returncode=2)
        self.stdout.write(address.rstrip("/") + (_set_up_link() if owner else _invitation(name or "", project or "", role=role, by=by)))


def _set_up_link() -> str:
    if people.is_set_up():
        raise CommandError(
            "This site has an owner already. Somebody who cannot sign in gets a link from manage.py sign_in_link NAME.", returncode=2
        )
    return people.link_to_set_up()


def _invitation(name: str, slug: str, *, role: str, by: str | None) -> str:
    with drawn_progress():
        project = ingest.find_project(slug)
        actor = people.find_account(by) if by else people.owner_of(project)
    try:
        (invitation,) = people.invite(project, actor=actor, role=role, text=" ".join(name.split()))
    except people.BadInvitations as bad:
        raise CommandError(" ".join(bad.faults.values()), returncode=2) from bad
    return invitation.path
