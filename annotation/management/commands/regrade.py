"""Command: grade solutions again, and show first what that changes."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import corrections, ingest, people
from annotation.management.progress import drawn_progress
from trainer.counting import counted


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Grade solutions again: those that an older version of the grader graded, and those that have got a reference answer since. "
        "Without --apply it shows what would change, and changes nothing. See docs/corrections.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--all", action="store_true", help="also those that the present version of the grader graded")
        parser.add_argument(
            "--read-again", action="store_true", help="also read the answers again that an older version stored without noting their origin"
        )
        add_apply_arguments(parser)

    def handle(
        self, *args: Any, project: str, all: bool, read_again: bool, apply: bool, withdraw: bool, by: str | None, **options: Any
    ) -> None:
        check_options(apply=apply, withdraw=withdraw)
        with drawn_progress() as progress:
            actor, found = find_actor(by), ingest.find_project(project)
            with corrections.prepared_again(found, everything=all, reads_unknown=read_again, progress=progress) as plan:
                show_or_apply(plan, out=self.stdout, apply=apply, withdraw=withdraw, actor=actor)


def add_apply_arguments(parser: CommandParser) -> None:
    """Add the options of a command that shows what changes before it does it."""
    parser.add_argument("--apply", action="store_true", help="do what is shown; without it nothing is changed")
    parser.add_argument("--withdraw", action="store_true", help="with --apply: withdraw what is in the queue for a false reason")
    parser.add_argument("--by", metavar="NAME", help="the account that the event names; without it, the event names nobody")


def check_options(*, apply: bool, withdraw: bool) -> None:
    """Refuse options that do nothing."""
    if withdraw and not apply:
        raise CommandError("--withdraw does something only with --apply. Add --apply, or leave --withdraw out.", returncode=2)


def find_actor(by: str | None) -> User | None:
    """Return the account that events name. Raises NoSuchAccount."""
    return None if by is None else people.find_account(by)


def show_or_apply(plan: corrections.CorrectionPlan, *, out: Any, apply: bool, withdraw: bool, actor: User | None) -> None:
    """Write what a plan changes, and apply it if that is wanted."""
    if plan.is_empty:
        out.write("Nothing changes.")
        return
    for sentence in plan.sentences():
        out.write(sentence)
    if not apply:
        remedy = " To withdraw what is queued for a false reason, also add --withdraw." if plan.queued else ""
        if plan.n_unknown and plan.is_regrade:
            remedy += " To read those stated answers again too, also add --read-again."
        out.write(f"Nothing was changed. To do this, run the same command with --apply.{remedy}")
        return
    withdrawn = plan.apply(actor=actor, withdraw=withdraw)
    out.write("Done." + (f" Withdrawn: {counted(withdrawn, 'solution')}." if withdrawn else ""))
