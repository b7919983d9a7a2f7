"""Command: export the labels of a project as a file."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import export, ingest
from annotation.management.filters import add_filters, chosen_filter
from annotation.management.progress import drawn_progress
from annotation.management.shares import add_shares, chosen_rule
from trainer.counting import counted
from trainer.writers import COMPRESSIONS, CONTAINERS, WRITERS, Losses


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages: 20 MB, and as long as an export of 10,000 labels
    help = (
        "Export the labels of a project: take a snapshot and write it to a file, or write a snapshot that was taken before. "
        "Data sets: docs/datasets.md. Formats: docs/formats.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--snapshot", type=int, metavar="NUMBER", help="write this snapshot; its bytes are the same each time")
        parser.add_argument("--format", choices=list(WRITERS), default="prm800k", help="docs/datasets.md (default: %(default)s)")
        parser.add_argument(
            "--option", action="append", default=[], metavar="NAME=VALUE", help="of the format, such as neutral=bad; repeatable"
        )
        parser.add_argument("--container", choices=list(CONTAINERS), help="default: as the name of FILE ends, else jsonl")
        parser.add_argument("--compress", choices=list(COMPRESSIONS), help="default: as the name of FILE ends; of Parquet zstd")
        parser.add_argument("--out", required=True, metavar="FILE", help="the file to write; it appears when it is complete")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
        parser.add_argument(
            "--max-records", type=int, metavar="N", help="write several files, none with more records: FILE-00000-of-00004 .."
        )
        parser.add_argument("--max-bytes", type=int, metavar="N", help="write several files, none with more bytes of rows before packing")
        add_shares(parser)
        add_filters(parser)

    def handle(self, *args: Any, project: str, out: str, overwrite: bool, snapshot: int | None = None, **options: Any) -> None:
        with drawn_progress() as progress:
            exported = ingest.find_project(project)
            rule = chosen_rule(options)
            chosen = chosen_filter(options)
            if snapshot is not None and chosen != export.SnapshotFilter():
                raise CommandError(
                    "--snapshot names a snapshot that was taken, with its own filters. Leave out the other filters.", returncode=2
                )
            format, written = options.get("format") or "prm800k", _as_written(out, options)
            limits = {name: options.get(name) for name in ("max_records", "max_bytes")}
            if (
                snapshot is None
                and rule is None
                and limits == dict.fromkeys(limits)
                and format == "prm800k"
                and written == ("jsonl", "none")
            ):
                _options(options.get("option") or [], format)
                taken = export.export_prm800k(exported, out, chosen=chosen, overwrite=overwrite, progress=progress)
                self.stdout.write(f"Wrote {counted(taken.count, 'annotation')} to {out} (snapshot {taken.number}, sha256 {taken.sha256}).")
                return
            chosen_options, losses = _options(options.get("option") or [], format), Losses()
            taken = (
                export.take_dataset(exported, chosen, progress=progress) if snapshot is None else export.find_snapshot(exported, snapshot)
            )
            files = export.export_snapshot(
                taken,
                out,
                format=format,
                options=chosen_options,
                container=written[0],
                compression=written[1],
                rule=rule,
                **limits,
                overwrite=overwrite,
                progress=progress,
                losses=losses,
            )
        noun = "annotation" if format == "prm800k" else "row"
        for file in files:
            self.stdout.write(f"Wrote {counted(file.n_records, noun)} to {file.name} (snapshot {taken.number}, sha256 {file.sha256}).")
        for sentence in losses.sentences():
            self.stdout.write(sentence)


def _as_written(out: str, options: dict[str, Any]) -> tuple[str, str]:
    """Return container and compression: as the options say, or as the name of the file ends."""
    ending = next((name for name, suffix in COMPRESSIONS.items() if suffix and out.endswith(suffix)), "none")
    unpacked = out.removesuffix(COMPRESSIONS[ending])
    container = options.get("container") or next((name for name, suffix in CONTAINERS.items() if unpacked.endswith(suffix)), "jsonl")
    return container, options.get("compress") or ("zstd" if container == "parquet" else ending)


def _options(words: list[str], format: str) -> dict[str, str]:
    """Return the options of the format. Raises BadOption."""
    for word in words:
        if "=" not in word:
            raise CommandError(f"--option {word}: write NAME=VALUE, such as neutral=bad.", returncode=2)
    return WRITERS[format].choose(dict(word.split("=", 1) for word in words))
