"""A file as bytes: opened, unpacked if it is compressed with gzip or zstd, within limits. What can never be read gets its own sentence."""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from trainer.formats.values import FILE_MEGABYTES, GZIP_RATIO, LINE_BYTES, BadFile, Progress

_ZSTD = b"\x28\xb5\x2f\xfd"
HEAD = 1024  # bytes at the beginning that show what a file is
# The first bytes of what people name .json by mistake, why it cannot be read, and what to do.
_UNREADABLE: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK\x03\x04(?=.{26}(?s:.){0,200}(\[Content_Types\]|xl/|_rels/))", "is an Excel file", "Save its sheet as CSV in UTF-8"),
    (rb"\xd0\xcf\x11\xe0", "is an Excel file", "Save its sheet as CSV in UTF-8"),
    (rb"PK(\x03\x04|\x05\x06)", "is a zip archive", "Unpack it and name a file in it"),
    (rb"\x1f\x8b", "is gzipped twice", "Unpack it once, for example with gunzip"),
    (rb"\x28\xb5\x2f\xfd", "is compressed twice", "Unpack it once, for example with unzstd"),
    (rb"BZh[1-9]", "is compressed with bzip2", "Unpack it with bunzip2"),
    (rb"\xfd7zXZ\x00", "is compressed with xz", "Unpack it with unxz"),
    (rb"7z\xbc\xaf\x27\x1c", "is a 7z archive", "Unpack it and name a file in it"),
    (rb"Rar!", "is a rar archive", "Unpack it and name a file in it"),
    (rb"(?s:.){257}ustar", "is a tar archive", "Unpack it and name a file in it"),
    (rb"ARROW1|\xff\xff\xff\xff(?s:.){4}", "is an Arrow file", "Save it as Parquet or as JSON lines"),
    (rb"SQLite format 3\x00", "is an SQLite database", "Save the table as CSV or as JSON lines"),
    (rb"%PDF", "is a PDF", "Give the data as JSON lines, CSV or Parquet"),
    (rb"\x80[\x02-\x05]", "is a Python pickle, which is never opened", "Save the data as JSON lines, CSV or Parquet"),
    (rb"\x89HDF|\x93NUMPY", "holds numbers in a binary format", "Save the data as JSON lines, CSV or Parquet"),
    (rb"(\xff\xfe|\xfe\xff)", "is UTF-16 or UTF-32, not UTF-8", "Save it as UTF-8"),
    (rb"[\x09\x0a\x0d\x20-\x7e]\x00[\x09\x0a\x0d\x20-\x7e]\x00|\x00[\x20-\x7e]\x00[\x20-\x7e]", "is UTF-16, not UTF-8", "Save it as UTF-8"),
    (rb"version https://git-lfs\.github\.com", "is a pointer of Git LFS, not the data", "Fetch the data with git lfs pull"),
    (rb"(?i:\s*(<!--(?s:.)*?-->\s*)?<(!doctype\s+html|html|head|body))", "is an HTML page, not data", "Download the data itself"),
    (rb"\s*<", "is XML, not JSON", "Save the data as JSON lines, CSV or Parquet"),
)  # fmt: skip


class ByteSource:
    """The unpacked bytes of an open file. Reading beyond a limit raises BadFile."""

    def __init__(self, path: Path, stream: BinaryIO, raw: BinaryIO, *, size: int, megabytes: int) -> None:
        self.path, self.stream, self.raw, self.size, self.megabytes = path, stream, raw, size, megabytes
        self.line = 0  # of the last line that was read
        self.unpacked = 0

    def peek(self) -> bytes:
        """Return the first bytes without reading them."""
        with self._unpacking():
            return self.stream.peek(HEAD)[:HEAD]  # type: ignore[attr-defined]

    def read_line(self, *, whole: bool = True) -> bytes:
        """Return the next line, empty at the end of the file. A line beyond the limit raises BadFile; if not `whole`, its end is left."""
        with self._unpacking():
            line = self.stream.readline(LINE_BYTES + 1)
        self.line += bool(line)
        self.check_unpacked(len(line))
        if whole and len(line) > LINE_BYTES:
            raise BadFile(self.path, self.line, f"the line has more than {LINE_BYTES:,} bytes", "Write one object per line")
        return line.removeprefix(b"\xef\xbb\xbf") if self.line == 1 else line

    def read_part(self, size: int) -> bytes:
        """Return the next bytes, at most so many, and none at the end of the file."""
        with self._unpacking():
            part = self.stream.read(size)
        self.check_unpacked(len(part))
        return part

    def read_rest(self) -> bytes:
        """Return all that has not been read."""
        chunks: list[bytes] = []
        while True:
            if not (chunk := self.read_part(LINE_BYTES)):
                return b"".join(chunks)
            chunks.append(chunk)

    def check_unpacked(self, more: int) -> None:
        """Count bytes that were unpacked. Raises BadFile above the limit or the ratio."""
        self.unpacked += more
        if self.unpacked > max(GZIP_RATIO * self.size, LINE_BYTES) or self.unpacked > self.megabytes * 1_000_000:
            raise BadFile(
                self.path,
                self.line or None,
                f"unpacks to more than {GZIP_RATIO} times its size or {self.megabytes:,} MB",
                "Unpack the file and check what it contains, or raise the limit with --megabytes",
            )

    def is_at_end(self) -> bool:
        """Tell whether all lines were read."""
        return not self.peek()

    def show(self, progress: Progress | None, *, every: int = 500, count: int | None = None) -> None:
        """Report how much of the file is read, once every `every` lines."""
        if progress and (self.line if count is None else count) % every == 0:
            progress("reading", min(self.raw.tell(), self.size), self.size)

    @contextmanager
    def _unpacking(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ValueError, zlib.error) as error:
            form = "is compressed with zstd and " if isinstance(self.stream, BufferedReader) and self.stream is not self.raw else ""
            raise BadFile(self.path, self.line + 1, f"{form}cannot be unpacked ({error})", "Download or compress the file again") from None


@contextmanager
def opened(path: Path, *, megabytes: int = FILE_MEGABYTES) -> Iterator[ByteSource]:
    """Open a plain or compressed file. Raises BadFile if it cannot be opened, is too large, or is of a kind that is never read."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise BadFile(path, None, "is a folder", "Name a file in it")
        if not path.is_file():
            raise BadFile(path, None, "is a pipe or a device, and a load reads a file twice", "Save the data to a file and name that")
        raw = path.open("rb")
    except OSError as error:
        raise BadFile(path, None, f"cannot be read ({error.strerror})", "Name a file that exists") from None
    with raw:
        if size > megabytes * 1_000_000:
            raise BadFile(
                path, None, f"has {size:,} bytes, the limit is {megabytes:,} MB", "Split the file, or raise the limit with --megabytes"
            )
        head = raw.peek(4)[:4]
        with gzip.open(raw) if head.startswith(b"\x1f\x8b") else _unpacked(raw) if head == _ZSTD else nullcontext(raw) as stream:
            source = ByteSource(path, cast(BinaryIO, stream), raw, size=size, megabytes=megabytes)
            _refuse_unreadable(source)
            yield source


def _unpacked(raw: BinaryIO) -> BufferedReader:
    """Return the bytes of a file that is compressed with zstd."""
    import pyarrow as pa

    return BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"), LINE_BYTES // 50)


def _refuse_unreadable(source: ByteSource) -> None:
    head = source.peek()
    for pattern, reason, remedy in _UNREADABLE:
        if re.match(pattern, head, re.DOTALL):
            raise BadFile(source.path, None, reason, remedy)
