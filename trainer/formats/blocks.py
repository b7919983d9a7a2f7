"""A file of JSON lines in blocks of whole lines, so that several processes can read one file. Knows no format."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from trainer.formats.json_objects import is_by_line, read_line
from trainer.formats.objects import Fields
from trainer.formats.opening import ByteSource, opened
from trainer.formats.values import FILE_MEGABYTES, LINE_BYTES, BadFile, Progress

BLOCK_BYTES = 1_000_000
_BOM = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Whole lines of a file, the number of the first one, and whether the file ends with them."""

    first: int
    content: bytes
    is_last: bool


def has_blocks(path: Path, *, megabytes: int = FILE_MEGABYTES) -> bool:
    """Tell whether a file has one JSON object a line. Raises BadFile if it cannot be read."""
    with opened(path, megabytes=megabytes) as source:
        return source.peek().removeprefix(_BOM).lstrip().startswith(b"{") and is_by_line(source)


def read_blocks(path: Path, *, megabytes: int = FILE_MEGABYTES, progress: Progress | None = None) -> Iterator[Block]:
    """Yield a file of JSON lines in blocks of about BLOCK_BYTES. Raises BadFile as `read_lines` does."""
    with opened(path, megabytes=megabytes) as source:
        following = _whole_lines(source)
        block = next(following, None)
        while block is not None:
            after = next(following, None)
            yield Block(*block, is_last=after is None)
            if progress:
                progress("reading", min(source.raw.tell(), source.size), source.size)
            block = after


def _whole_lines(source: ByteSource) -> Iterator[tuple[int, bytes]]:
    """Yield the number of a line and the bytes of all lines from there on that were read at once."""
    first, rest = 1, b""
    while chunk := source.read_part(BLOCK_BYTES):
        content = rest + chunk
        end = content.rfind(b"\n") + 1
        content, rest = content[:end], content[end:]
        if content:
            yield first, content
            first += content.count(b"\n")
            source.line = first - 1
        if len(rest) > LINE_BYTES:
            raise _too_long(source.path, first)
    if rest:
        yield first, rest


def objects_in(block: Block, path: Path) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a block, as `read_lines` does. Raises BadFile."""
    last = block.first + block.content.count(b"\n") - block.content.endswith(b"\n")
    for number, line in enumerate(BytesIO(block.content), block.first):
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) > LINE_BYTES:
            raise _too_long(path, number)
        if not line.isspace():
            yield number, read_line(line, number, path=path, is_last=block.is_last and number == last)


def _too_long(path: Path, line: int) -> BadFile:
    return BadFile(path, line, f"the line has more than {LINE_BYTES:,} bytes", "Write one object per line")
