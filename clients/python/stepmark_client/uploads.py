"""Uploads of any size: lines go out in chunks that the site accepts, each of them once, however often the upload is run."""

import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stepmark_client.errors import BadLines
from stepmark_client.frames import is_table, rows_of
from stepmark_client.generated.models.loaded import Loaded
from stepmark_client.generated.models.skipped_line import SkippedLine
from stepmark_client.generated.types import File, Response
from stepmark_client.work import Progress

CHUNK_LINES = 10_000  # the site's limit for one request
# Below the site's limit of a packed body, so that even text that no packing makes smaller fits.
CHUNK_BYTES = 19_900_000
Wrong = Literal["refuse", "skip"]


class Chunk(NamedTuple):
    """Lines for one request, and the number of each in the whole upload, from 1."""

    content: bytes
    numbers: list[int]


@dataclass(slots=True)
class Uploaded:
    """What an upload held, and what was new. The difference was stored before, or stood twice in the lines.

    skipped: the first 100 wrong lines of each request. n_repeated: requests that an earlier run of the same upload had done; their
    counts are those of that run.
    """

    lines: int = 0
    problems: int = 0
    new_problems: int = 0
    solutions: int = 0
    new_solutions: int = 0
    annotations: int = 0
    new_annotations: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    n_skipped: int = 0
    skipped: list[SkippedLine] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_requests: int = 0
    n_repeated: int = 0

    def add(self, loaded: Loaded, chunk: Chunk, *, is_repeated: bool) -> None:
        """Add what one request stored."""
        counts = ("lines", "problems", "new_problems", "solutions", "new_solutions", "annotations", "new_annotations", "n_skipped")
        for name in counts:
            setattr(self, name, getattr(self, name) + getattr(loaded, name))
        self.outcomes.update(loaded.outcomes.additional_properties)
        self.skipped += [SkippedLine(line=chunk.numbers[one.line - 1], detail=one.detail) for one in loaded.skipped]
        self.notes += [note for note in loaded.notes if note not in self.notes]
        self.n_requests += 1
        self.n_repeated += is_repeated


def upload(send: Callable[[File, str], Response[Loaded]], lines: Any, *, named: str, progress: Progress | None = None) -> Uploaded:
    """Send lines in chunks, and return what was stored.

    `send` sends one body, packed with gzip, under an Idempotency-Key. The key is made of the content and of `named`, which says what is
    done with it: an upload that is run again sends the same requests, and the site answers those that it knows without doing anything.
    Raises BadLines for the first chunk that the site refuses; the chunks before it are stored.
    """
    done, total = Uploaded(), count(lines)
    for chunk in chunks(encoded(lines)):
        body = gzip.compress(chunk.content, compresslevel=3)
        key = hashlib.sha256(named.encode() + b"\0" + chunk.content).hexdigest()
        try:
            answer = send(File(body), f"upload-{key}")  # bytes, so that they can be sent again
        except BadLines as bad:
            raise in_file(bad, chunk, done) from None
        done.add(answer.parsed, chunk, is_repeated="idempotency-replayed" in answer.headers)
        if progress is not None:
            progress("upload", chunk.numbers[-1], total)
    return done


def in_file(bad: BadLines, chunk: Chunk, done: Uploaded) -> BadLines:
    """Return the same refusal with the lines as they are counted in the whole upload."""
    faults = [{**fault, "line": chunk.numbers[fault["line"] - 1]} if "line" in fault else fault for fault in bad.errors]
    # The site's sentence names a line by its place in the chunk.
    named = ["1 of them is" if bad.n_errors == 1 else f"{bad.n_errors:,} of them are", "wrong, so none of them is stored."]
    words = [f"Lines {chunk.numbers[0]:,} to {chunk.numbers[-1]:,}:", *named]
    if done.n_requests:
        words.append(f"The {done.lines:,} lines before are stored. Correct these, and upload the whole again.")
    refused = BadLines(bad.status, {**bad.document, "errors": faults, "detail": " ".join(words)}, request_id=bad.request_id)
    refused.uploaded = done
    return refused


def encoded(lines: Any) -> Iterator[tuple[int, bytes]]:
    """Return the number and the bytes of each line that is not blank: of a file (also packed with gzip), of objects, or of a table.

    Raises TypeError for anything else, and ValueError for an object that JSON cannot hold, with its number.
    """
    if isinstance(lines, str | os.PathLike):
        path = Path(lines)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n") + b"\n"
        return
    if isinstance(lines, dict | bytes) or not isinstance(lines, Iterable):
        raise TypeError("Give a path, a table, or objects in a list or another iterable.")
    for number, one in enumerate(rows_of(lines, at_once=CHUNK_LINES) if is_table(lines) else lines, start=1):
        try:
            yield number, json.dumps(one, ensure_ascii=False, allow_nan=False, default=plain).encode("utf-8", "surrogatepass") + b"\n"
        except (TypeError, ValueError) as wrong:
            raise ValueError(f"Line {number} cannot be written as JSON: {wrong}") from None


def plain(value: Any) -> Any:
    """Return an array or a number of numpy as JSON has it. Raises TypeError."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no kind of value that JSON knows.")


def chunks(lines: Iterable[tuple[int, bytes]]) -> Iterator[Chunk]:
    """Return lines in chunks that the site accepts. Where they are cut depends on nothing but the lines."""
    content: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for number, line in lines:
        if numbers and (len(numbers) == CHUNK_LINES or size + len(line) > CHUNK_BYTES):
            yield Chunk(b"".join(content), numbers)
            content, numbers, size = [], [], 0
        content.append(line)
        numbers.append(number)
        size += len(line)
    if numbers:
        yield Chunk(b"".join(content), numbers)


def count(lines: Any) -> int | None:
    """Return how many lines there are, or None where only unpacking them all would tell. Raises ValueError for another kind of file."""
    if isinstance(lines, str | os.PathLike):
        path = Path(lines)
        if path.suffix == ".parquet":
            raise ValueError(f"{path} is a Parquet file. Give its table: upload(pandas.read_parquet({str(path)!r})).")
        if path.suffix == ".gz":
            return None
        with path.open("rb") as file:
            return sum(1 for _ in file)
    return len(lines) if hasattr(lines, "__len__") else None
