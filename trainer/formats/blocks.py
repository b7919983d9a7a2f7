"""A file of JSON in blocks of whole lines or objects, so that several processes can read one file. Knows no format."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from trainer.formats.json_objects import is_by_line, read_line
from trainer.formats.objects import Fields
from trainer.formats.opening import ByteSource, opened
from trainer.formats.values import FILE_MEGABYTES, LINE_BYTES, BadFile, Item, Progress

BLOCK_BYTES = 1_000_000
PACKED = 6  # bytes of text in a byte of a usual compressed file
_BOM = b"\xef\xbb\xbf"
_DEPTH = 12  # of objects in one object; deeper ones are read without blocks
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _object(depth: int) -> bytes:
    inside = rb"[^{}\"]++|" + _STRING
    return rb"\{(?:" + inside + (b"|" + _object(depth - 1) if depth else b"") + rb")*+\}"


_OBJECT = re.compile(_object(_DEPTH), re.DOTALL)  # where an object ends; whether it is right, its reader says. Nothing is tried twice
_BLANKS = re.compile(rb"[ \t\r\n]*+")


class Block(NamedTuple):
    """Whole lines of a file, the number of the first one, and whether the file ends with them.

    Of an array: whole objects. `places` has the number of each and where it ends in the content, and `are_items` says that these are
    numbers of objects, because these share a line.
    """

    first: int
    content: bytes
    is_last: bool
    places: tuple[tuple[int, int], ...] = ()
    are_items: bool = False


class NotDivided(ValueError):
    """An array that cannot be divided into its objects. `read_lines` reads it, or says what is wrong with it."""


def has_blocks(path: Path, *, megabytes: int = FILE_MEGABYTES) -> bool:
    """Tell whether a file has one JSON object a line, or is an array. Raises BadFile if it cannot be read."""
    with opened(path, megabytes=megabytes) as source:
        head = source.peek().removeprefix(_BOM).lstrip()
        return head.startswith(b"[") or (head.startswith(b"{") and is_by_line(source))


def count_blocks(path: Path) -> int:
    """Return about how many blocks a file has. Raises BadFile if it cannot be read."""
    with opened(path, megabytes=path.stat().st_size // 1_000_000 + 1) as source:
        return source.size * (1 if source.stream is source.raw else PACKED) // BLOCK_BYTES + 1


def read_blocks(path: Path, *, megabytes: int = FILE_MEGABYTES, progress: Progress | None = None) -> Iterator[Block]:
    """Yield a file of JSON lines or an array in blocks of about BLOCK_BYTES. Raises BadFile as `read_lines` does, and NotDivided."""
    with opened(path, megabytes=megabytes) as source:
        if source.peek().removeprefix(_BOM).lstrip().startswith(b"["):
            yield from _blocks_of_array(source, progress)
            return
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


def _blocks_of_array(source: ByteSource, progress: Progress | None) -> Iterator[Block]:
    """Yield the objects of an array in blocks, each with the number that `read_lines` gives it."""
    content = source.read_rest()
    at = _skip(content, content.index(b"[") + 1)
    line, start, places, are_items = 1 + content.count(b"\n", 0, at), at, list[tuple[int, int]](), False
    count = 0
    while content[at : at + 1] != b"]":
        if (found := _OBJECT.match(content, at)) is None:
            raise NotDivided
        end, following = found.end(), _skip(content, found.end())
        end_line = line + content.count(b"\n", at, end)
        if content[following : following + 1] == b",":
            following = _skip(content, following + 1)
        elif content[following : following + 1] != b"]":
            raise NotDivided
        count += 1
        next_line = end_line + content.count(b"\n", end, following)
        is_last = content[following : following + 1] == b"]"
        shares = next_line == end_line and not is_last
        if count == 1:
            are_items = shares
        if (shares != are_items and not is_last) or (are_items and end_line != line):
            raise NotDivided  # some objects share lines, others do not
        places.append((count if are_items else line, end - start))
        if is_last or end - start > BLOCK_BYTES:
            yield Block(places[0][0], content[start:end], is_last, tuple(places), are_items)
            if progress:
                progress("reading", source.size * end // len(content), source.size)
            start, places = following, []
        at, line = following, next_line
    if content[at + 1 :].strip():
        raise NotDivided


def _skip(content: bytes, at: int) -> int:
    blanks = _BLANKS.match(content, at)
    return blanks.end() if blanks else at


def objects_in(block: Block, path: Path) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a block, as `read_lines` does. Raises BadFile."""
    if block.places:
        start, kind = 0, Item if block.are_items else int
        for number, end in block.places:
            text = block.content[start:end].lstrip(b", \t\r\n")
            yield kind(number), read_line(text, kind(number), path=path, is_last=False)
            start = end
        return
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
