"""Command: write a snapshot as a data set folder that is ready to publish."""

import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import export, ingest
from annotation.management.progress import drawn_progress
from annotation.management.shares import add_shares, chosen_rule
from trainer.contamination import Fingerprint
from trainer.counting import counted
from trainer.writers import WRITERS


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages
    help = (
        "Write a snapshot as a folder that others can use: data files, README.md with figures, licence and limits, and croissant.json. "
        "manage.py push hands it to a hub. Data sets: docs/datasets.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--snapshot", type=int, required=True, metavar="NUMBER", help="manage.py snapshot takes one")
        parser.add_argument("--out", required=True, metavar="FOLDER", help="the folder to write; it appears when it is complete")
        parser.add_argument("--licence", required=True, metavar="ID", help="of the labels, such as cc-by-4.0, mit or apache-2.0")
        parser.add_argument("--title", help="of the data set (default: the project's name)")
        parser.add_argument("--language", default="en", metavar="CODE", help="of the texts (default: %(default)s)")
        parser.add_argument(
            "--format",
            dest="formats",
            action="append",
            choices=list(WRITERS),
            help=f"repeatable; each is a configuration of the data set (default: {', '.join(export.FOLDER_FORMATS)})",
        )
        parser.add_argument(
            "--option", action="append", default=[], metavar="FORMAT.NAME=VALUE", help="of a format, such as trl.neutral=bad; repeatable"
        )
        parser.add_argument(
            "--benchmark",
            action="append",
            default=[],
            metavar="NAME=FILE",
            help="look for the problems of this file too (any format that load_problems reads); repeatable",
        )
        parser.add_argument("--overwrite", action="store_true", help="replace FOLDER if it is a data set folder")
        add_shares(parser)

    def handle(self, *args: Any, project: str, snapshot: int, out: str, licence: str, **options: Any) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
            raise CommandError(
                f"--licence {licence}: write an identifier such as cc-by-4.0, mit or apache-2.0. For another licence write other.",
                returncode=2,
            )
        with drawn_progress() as progress:
            found = ingest.find_project(project)
            taken = export.find_snapshot(found, snapshot)
            facts = export.CardFacts(options["title"] or found.name or found.slug, licence, options["language"])
            folder = export.write_dataset_folder(
                taken,
                out,
                facts,
                formats=options["formats"] or export.FOLDER_FORMATS,
                options=_options(options["option"]),
                rule=chosen_rule(options),
                benchmarks=dict(_benchmark(word) for word in options["benchmark"]),
                overwrite=options["overwrite"],
                progress=progress,
            )
        for file in folder.files:
            wrote = f"Wrote {counted(file.written.n_records, 'row')} to {out}/{file.path} (sha256 {file.written.sha256})."
            self.stdout.write(wrote if file.written.n_records else f"No file {file.path}: it would have no row.")
            for sentence in file.losses:
                self.stdout.write(f"  {sentence}")
        matches = folder.description.matches
        if matches:
            exact = sum(match.is_exact for match in matches)
            self.stdout.write(
                f"{counted(exact, 'problem of a benchmark is', 'problems of benchmarks are')} inside, and {len(matches) - exact:,} "
                f"are near. {out}/contamination.csv lists them."
            )
        self.stdout.write(f"Read {out}/README.md before others do: the figures are computed, and the licence is your choice.")


def _options(words: list[str]) -> dict[str, dict[str, str]]:
    """Return the options of each format. Raises CommandError."""
    chosen: dict[str, dict[str, str]] = {}
    for word in words:
        name, _, value = word.partition("=")
        format, _, option = name.partition(".")
        if format not in WRITERS or not option or not value:
            raise CommandError(f"--option {word}: write FORMAT.NAME=VALUE, such as trl.neutral=bad.", returncode=2)
        chosen.setdefault(format, {})[option] = value
    return chosen


def _benchmark(word: str) -> tuple[str, Fingerprint]:
    name, _, file = word.partition("=")
    if not name or not file:
        raise CommandError(f"--benchmark {word}: write NAME=FILE, such as AIME=aime.jsonl.", returncode=2)
    return name, Fingerprint.of(ingest.read_problems(file))
