"""A file as objects: JSON lines, a JSON array or object, CSV or Parquet, each plain or compressed with gzip or zstd. Knows no format."""

from collections.abc import Iterator
from pathlib import Path

from trainer.formats.json_objects import read_json
from trainer.formats.objects import Fields
from trainer.formats.opening import opened
from trainer.formats.tables import read_csv, read_parquet
from trainer.formats.values import FILE_MEGABYTES, BadFile, Progress

_TABLES = (".csv", ".tsv")


def read_lines(path: Path, *, megabytes: int = FILE_MEGABYTES, progress: Progress | None = None) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a file; of a Parquet file, the number of the row. The content tells what the file is; CSV is told
    by its name.

    Raises BadFile for a file that is none of these, with the sentence that fits it, and for a line that cannot be read or is above a
    limit: its length, its depth, or its size once unpacked.
    """
    with opened(path, megabytes=megabytes) as source:
        head = source.peek().removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(b"PAR1"):
            yield from read_parquet(source, progress)
        elif head.startswith((b"{", b"[")) or not head:
            yield from read_json(source, progress)
        elif path.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(_TABLES):
            yield from read_csv(source, progress)
        else:
            raise _neither(path, head)
        if progress:
            progress("reading", source.size, source.size)


def _neither(path: Path, head: bytes) -> BadFile:
    beginning = head.splitlines()[0][:40]
    if not beginning.isascii() or not beginning.decode("ascii").isprintable():
        return BadFile(path, 1, "is neither JSON nor Parquet", "Save the data as JSON lines, CSV (named .csv) or Parquet")
    return BadFile(
        path, 1, f"is not JSON: it begins with {beginning.decode()!r}", "Every line must be one JSON object. Name a CSV file .csv or .tsv"
    )
