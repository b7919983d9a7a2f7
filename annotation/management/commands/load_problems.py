"""Command: load the problems of a file."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import corrections, ingest
from annotation.ingest import FILE_MEGABYTES
from annotation.management.commands.regrade import add_apply_arguments, check_options, find_actor, show_or_apply
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = "Load problems from a file: all of them or none. Loading a file again changes nothing. Formats: docs/formats.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="JSON lines, a JSON array, CSV or Parquet, also compressed with gzip or zstd")
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=list(ingest.FORMATS), help="the format, if the first objects do not show it")
        parser.add_argument(
            "--split", choices=["train", "test"], help="overrides the split in the file; test problems are never labeled or trained on"
        )
        parser.add_argument("--megabytes", type=int, default=FILE_MEGABYTES, help="the largest file to accept (default: %(default)s)")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="what a field or value of Label Studio or Potato means, such as steps=chain or bad=Flawed; repeatable",
        )
        parser.add_argument("--items", metavar="FILE", help="the items that Potato showed, for its files that have labels only")
        self.add_own_arguments(parser)

    def add_own_arguments(self, parser: CommandParser) -> None:
        """Add the options that only this command has."""
        parser.add_argument(
            "--update", action="store_true", help="correct known problems by the file, and show first what changes: docs/corrections.md"
        )
        add_apply_arguments(parser)

    def handle(self, *args: Any, file: str, project: str, format: str | None, split: str | None, megabytes: int, **options: Any) -> None:
        if options["update"]:
            self._update(file, project=project, format=format, split=split, megabytes=megabytes, **options)
            return
        if named := [name for name in ("apply", "withdraw", "by") if options[name]]:
            raise CommandError(f"--{named[0]} goes only with --update. Add --update, or leave --{named[0]} out.", returncode=2)
        with drawn_progress() as progress:
            report = ingest.load_problems(
                file,
                project=ingest.find_project(project),
                format=format,
                split=split,
                mapping=ingest.read_mapping(options.get("map") or [], items=options.get("items")),
                megabytes=megabytes,
                progress=progress,
            )
        self.stdout.write(str(report))

    def _update(
        self,
        file: str,
        *,
        project: str,
        format: str | None,
        split: str | None,
        megabytes: int,
        apply: bool,
        withdraw: bool,
        by: str | None,
        **options: Any,
    ) -> None:
        if split is not None:
            raise CommandError("--update changes no split. Leave --split out.", returncode=2)
        check_options(apply=apply, withdraw=withdraw)
        with drawn_progress() as progress:
            actor, found = find_actor(by), ingest.find_project(project)
            changes, about = corrections.read_changes(file, project=found, format=format, megabytes=megabytes, progress=progress)
            with corrections.prepared(found, changes, progress=progress) as plan:
                for sentence in about:
                    self.stdout.write(sentence)
                show_or_apply(plan, out=self.stdout, apply=apply, withdraw=withdraw, actor=actor)
