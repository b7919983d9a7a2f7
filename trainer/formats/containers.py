"""The lines of a file. Reads JSONL (also gzipped) and JSON arrays, each byte once and within limits; yields
(line number, object). Knows no format.
"""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from trainer.formats.objects import Fields, Numeral
from trainer.formats.values import FILE_MEGABYTES, GZIP_RATIO, JSON_DEPTH, LINE_BYTES, BadFile, BadLine, Progress

_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_REMEDY = "Every line must be one JSON object"


@contextmanager
def opened(path: Path, *, megabytes: int = FILE_MEGABYTES) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a plain or gzipped file. Yield the stream of its unpacked bytes and the file itself, whose position shows the progress."""
    try:
        size = path.stat().st_size
        raw = path.open("rb")
    except OSError as error:
        raise BadFile(path, None, f"cannot be read ({error.strerror})", "Name a file that exists") from None
    with raw:
        if path.is_dir() or size > megabytes * 1_000_000:
            raise BadFile(
                path, None, f"has {size:,} bytes, the limit is {megabytes:,} MB", "Split the file, or raise the limit with --megabytes"
            )
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(raw) as unpacked:
                yield cast(BinaryIO, unpacked), raw
        else:
            yield raw, raw


def read_lines(path: Path, *, megabytes: int = FILE_MEGABYTES, progress: Progress | None = None) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a file of JSON objects, which has one per line or is one array.

    Raises BadFile with the line that is not UTF-8, not JSON or not an object, that has a key twice, or that is above a limit: its
    length, its depth, or its size once unpacked.
    """
    number, total = 0, path.stat().st_size if path.is_file() else 0
    with opened(path, megabytes=megabytes) as (stream, raw):
        unpacked = 0
        while True:
            try:
                line = stream.readline(LINE_BYTES + 1)
            except (OSError, EOFError, ValueError) as error:
                raise BadFile(path, number + 1, f"cannot be unpacked ({error})", "Compress the file again") from None
            if not line:
                break
            number += 1
            unpacked += len(line)
            if unpacked > max(GZIP_RATIO * total, LINE_BYTES) or unpacked > megabytes * 1_000_000:
                raise BadFile(
                    path,
                    number,
                    f"unpacks to more than {GZIP_RATIO} times its size or {megabytes:,} MB",
                    "Unpack the file and check what it contains",
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                if line.lstrip().startswith(b"["):
                    yield from _read_array(path, line + stream.read(megabytes * 1_000_000 + 1), progress)
                    return
            if len(line) > LINE_BYTES:
                raise BadFile(path, number, f"the line has more than {LINE_BYTES:,} bytes", "Write one object per line")
            if line.strip():
                with _placed(path, number):
                    yield number, _parse(_decode(line), line)
            if progress and number % 500 == 0:
                progress("reading", raw.tell(), total)
        if progress:
            progress("reading", total, total)


def _read_array(path: Path, content: bytes, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    with _placed(path, 1):
        text = _decode(content)
    at, line = text.index("[") + 1, 1
    closed = False
    for count in range(1, len(text)):
        start = _skip(text, at, " \t\r\n,")
        line += text.count("\n", at, start)
        if text[start : start + 1] == "]":
            closed = not text[start + 1 :].strip()
            break
        with _placed(path, line):
            value, at = _DECODER.raw_decode(text, start)
            yield line, _checked(value, text[start:at].encode())
        line += text.count("\n", start, at)
        if progress and count % 500 == 0:
            progress("reading", at, len(text))
    if not closed:
        raise BadFile(path, line, "the array is not closed, or something follows it", "Close it with ], or write one object per line")


def _skip(text: str, at: int, blanks: str) -> int:
    while text[at : at + 1] and text[at] in blanks:
        at += 1
    return at


@contextmanager
def _placed(path: Path, number: int) -> Iterator[None]:
    """Add the file and the line to an error."""
    try:
        yield
    except BadLine as bad:
        raise BadFile(path, number, bad.reason, bad.remedy) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        number, column = number + before.count(b"\n"), error.start - before.rfind(b"\n")
        raise BadFile(
            path, number, f"not UTF-8 (byte 0x{error.object[error.start]:02x} at position {column})", "Save the file as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise BadFile(path, number, f"not JSON ({error.msg} at position {error.pos + 1})", _REMEDY) from None
    except RecursionError:
        raise BadFile(path, number, f"nested deeper than {JSON_DEPTH} levels", _REMEDY) from None


def _decode(line: bytes) -> str:
    return line.decode("utf-8")


def _parse(text: str, line: bytes) -> Fields:
    return _checked(_DECODER.decode(text), line)


def _checked(value: object, line: bytes) -> Fields:
    if not isinstance(value, Fields):
        raise BadLine(f"{type_in_words(value)} where an object is expected", _REMEDY)
    # Most lines have few brackets and pass at once. From the others the innermost pairs are removed level by level, which is fast.
    if line.count(b"{") + line.count(b"[") > JSON_DEPTH:
        brackets = _JSON_STRING.sub(b"", line).translate(None, _NOT_BRACKETS)
        for _ in range(JSON_DEPTH):
            brackets = re.sub(rb"(?:\{\}|\[\])+", b"", brackets)
        if brackets:
            raise BadLine(f"nested deeper than {JSON_DEPTH} levels", _REMEDY)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    fields = Fields(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        raise BadLine(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in one object", "Remove one of the two")
    return fields


def _no_number(name: str) -> float:
    raise BadLine(f"{name} is not a number", "Write null, or leave the key out")


def parse_cell(text: str, key: str, wanted: str, example: str) -> Any:
    """Return the list or object that a cell of a CSV file holds as JSON. Raises BadLine."""
    try:
        value = _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, list if wanted == "a list" else dict):
        raise BadLine(f"{key!r} is not {wanted} in JSON", f"Write it like {example}")
    return value


def type_in_words(value: object) -> str:
    """Return what a value is, as a person would say it."""
    words: dict[type | tuple[type, ...], str] = {
        str: "a text",
        bool: "true or false",
        (Numeral, int, float): "a number",
        list: "a list",
        dict: "an object",
    }
    return next((word for types, word in words.items() if isinstance(value, types)), "null")


# orjson silently keeps the last of two equal keys. The standard parser with this hook takes twice the time (99 MB/s instead of 190).
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=Numeral, parse_int=Numeral, parse_constant=_no_number)
