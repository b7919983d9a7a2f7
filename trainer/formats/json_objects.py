"""JSON: one object per line, one array of objects, or objects over several lines. Yields (line number, object).

Numbers keep their text. An object with a key twice, with NaN, or nested too deep is refused with its line.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.formats.objects import Fields, Numeral, type_in_words
from trainer.formats.opening import ByteSource
from trainer.formats.values import JSON_DEPTH, LINE_BYTES, BadFile, BadLine, Item, Progress, in_words

_NESTING = {Fields, list}
_BLANKS = re.compile(r"[ \t\r\n]*")
_CUT = ("the file ends inside the object", "The file is cut off or an object is not closed. Copy or download the file again")
_REMEDY = "Every line must be one JSON object"
_TURNS = {"conversations", "messages"}  # a list of objects that is one solution
_OWN = {"problem", "question", "prompt", "input"}  # keys of an object that is itself a line
_WRAPPERS = {"data", "examples", "instances", "items", "problems", "records", "results", "rows", "samples", "solutions", "test", "train"}


def read_json(source: ByteSource, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    """Yield (line number, object) of a file that begins with { or [."""
    while line := source.read_line(whole=False):
        if not line.strip():
            continue
        if line.lstrip().startswith(b"["):
            yield from _read_array(source, line + source.read_rest(), progress)
        elif len(line) > LINE_BYTES or not source.peek().strip() or _goes_on(line):
            yield from _read_over_lines(source, line, progress)
        else:
            yield from _read_by_line(source, line, progress)
        return


def read_object(line: bytes) -> Fields:
    """Return the object of one line. Raises BadLine."""
    try:
        with placed(Path("line"), 1):
            return _checked(_DECODER.decode(line.decode()), line)
    except BadFile as bad:
        raise BadLine(bad.reason, bad.remedy) from None


def is_by_line(source: ByteSource) -> bool:
    """Tell whether a file has one object a line, and read up to the end of its first one."""
    while line := source.read_line(whole=False):
        if line.strip():
            return not (line.lstrip().startswith(b"[") or len(line) > LINE_BYTES or not source.peek().strip() or _goes_on(line))
    return False


def _read_by_line(source: ByteSource, line: bytes, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    while line:
        if line.strip():
            yield source.line, read_line(line, source.line, path=source.path, is_last=source.is_at_end)
        source.show(progress)
        line = source.read_line()


def read_line(line: bytes, number: int, *, path: Path, is_last: bool | Callable[[], bool]) -> Fields:
    """Return the object of a line. Raises BadFile with the number of the line. `is_last`: the file ends with it."""
    try:
        return _checked(_DECODER.decode(line.decode()), line)
    except (ValueError, RecursionError):
        pass  # it is read once more, to say where and why
    with placed(path, number):
        try:
            value = _DECODER.decode(line.decode())
        except json.JSONDecodeError as error:
            if _is_cut(error) and (is_last if isinstance(is_last, bool) else is_last()):
                raise BadLine(*_CUT) from None
            raise
        return _checked(value, line)


def _is_cut(error: json.JSONDecodeError) -> bool:
    """Tell whether the text ends where more should follow."""
    return error.msg.startswith("Unterminated string") or not error.doc[error.pos :].strip()


def _goes_on(line: bytes) -> bool:
    """Tell whether a line is the beginning of an object that goes on in the next line, or holds several objects."""
    try:
        _DECODER.decode(line.decode())
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        return not rest or (error.msg == "Extra data" and rest.startswith("{"))
    except (UnicodeDecodeError, RecursionError, BadLine):
        pass
    return False


def _read_over_lines(source: ByteSource, line: bytes, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    """Read objects that each stand on several lines, or one object that holds the others in a list."""
    first, content = source.line, line + source.read_rest()
    with placed(source.path, first):
        text = content.decode()
    start = _skip(text, 0)
    with placed(source.path, first, start=start):
        try:
            value, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            before = text[: error.pos].rstrip(" \t")
            if text.startswith("{", error.pos) and before.endswith("\n"):
                reason = "not JSON (the line ends inside an object)"
                raise BadFile(source.path, first + before.rstrip().count("\n"), reason, _REMEDY) from None
            if _is_cut(error):
                raise BadLine(*_CUT) from None
            raise
    if text[end:].strip() or not isinstance(value, Fields):
        yield from _read_each(source, text, 0, first, progress)
        return
    with placed(source.path, first):
        key = _list_of_objects(value)
    if key is None:
        with placed(source.path, first):
            yield first, _checked(value, content)
        return
    opening = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[').match(text)
    assert opening  # the object has one key, whose value is a list
    yield from _read_each(source, text, opening.end(), first + text.count("\n", 0, opening.end()), progress, closing="]}")


def _list_of_objects(value: Fields) -> str | None:
    """Return the only key of an object that holds a list of objects, as {"data": [..]} does. Raises BadLine for what looks like it."""
    lists = [key for key, inner in value.items() if isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner)]
    if len(value) == 1 and lists:
        return None if lists[0] in _TURNS else lists[0]
    if not _OWN & value.keys() and (wrappers := [key for key in lists if key in _WRAPPERS]):
        raise BadLine(
            f"the file is one object with a list under {wrappers[0]!r} and {len(value) - 1} more keys",
            "Save this list alone, as a JSON array",
        )
    if value and all(isinstance(column, dict) and column and all(key.isdecimal() for key in column) for column in value.values()):
        raise BadLine("the file is one object of columns, as pandas writes it", 'Write it with to_json(orient="records", lines=True)')
    return None


def _read_array(source: ByteSource, content: bytes, progress: Progress | None) -> Iterator[tuple[int, Fields]]:
    first = source.line
    with placed(source.path, first):
        text = content.decode()
    yield from _read_each(source, text, text.index("[") + 1, first, progress, closing="]")


def _read_each(
    source: ByteSource, text: str, at: int, line: int, progress: Progress | None, *, closing: str = ""
) -> Iterator[tuple[int, Fields]]:
    """Yield the objects of a text from a position on: one after the other, or with commas, up to the brackets that close their list.

    An object that shares a line with another one is numbered as an object of the file, so that no two have the same number.
    """
    count, shares = 0, False
    start = _skip(text, at)
    line += text.count("\n", at, start)
    while not (start == len(text) or (closing and text.startswith("]", start))):
        count += 1
        with placed(source.path, line, start=start, item=Item(count) if shares else None):
            value, at = _DECODER.raw_decode(text, start)
        end_line = line + text.count("\n", start, at)
        following = _skip(text, at)
        if closing and text.startswith(",", following):
            following = _skip(text, following + 1)
        next_line = end_line + text.count("\n", at, following)
        is_last = following == len(text) or text.startswith("]", following)
        number = Item(count) if shares or (next_line == line and not is_last) else line
        with placed(source.path, number):
            yield number, _checked(value, text[start:at].encode())
        start, line, shares = following, next_line, next_line == end_line
        if progress and count % 500 == 0:
            progress("reading", source.size * at // len(text), source.size)
    if "".join(text[start:].split()) != closing:
        raise BadFile(
            source.path, line, "the array is not closed, or something follows it", "Close it with ], or write one object per line"
        )


def _skip(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


@contextmanager
def placed(path: Path, number: int, *, start: int | None = None, item: Item | None = None) -> Iterator[None]:
    """Add the file and the line, or the object `item`, to an error. With `start`, the object begins there in its text, and an error
    inside it has a later line.
    """
    try:
        yield
    except BadLine as bad:
        raise BadFile(path, item or number, bad.reason, bad.remedy) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        number, column = number + before.count(b"\n"), error.start - before.rfind(b"\n")
        raise BadFile(
            path, number, f"not UTF-8 (byte 0x{error.object[error.start]:02x} at position {column})", "Save the file as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        if start is None:  # a line that breaks off: the error stands after its end, which would be position 1 of the next one
            line, column = number, min(error.pos, len(error.doc.rstrip())) + 1
        else:
            line, column = number + error.doc.count("\n", start, error.pos), error.colno
        raise BadFile(path, line, f"not JSON ({error.msg.removesuffix(' at')} at position {column})", _REMEDY) from None
    except RecursionError:
        raise BadFile(path, number, f"nested deeper than {JSON_DEPTH} levels", _REMEDY) from None


def _checked(value: object, line: bytes) -> Fields:
    if not isinstance(value, Fields):
        raise BadLine(f"{type_in_words(value)} where an object is expected", _REMEDY)
    if len(line) > LINE_BYTES:
        raise BadLine(f"the object has more than {LINE_BYTES:,} bytes", "Write one object per line, or leave this one out")
    # Most lines have few brackets and pass at once. The others are looked through level by level.
    if line.count(b"{") + line.count(b"[") > JSON_DEPTH:
        level: list[Any] = [value]
        for _ in range(JSON_DEPTH):
            level = [
                inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer) if type(inner) in _NESTING
            ]
            if not level:
                return value
        raise BadLine(f"nested deeper than {JSON_DEPTH} levels", _REMEDY)
    return value


def parse_cell(text: str, key: str, wanted: str, example: str) -> Any:
    """Return the list or object that a cell of a CSV file holds as JSON. Raises BadLine."""
    try:
        value = _DECODER.decode(text)
        _checked(Fields([(key, value)]), text.encode())
    except (json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, list if wanted == "a list" else dict):
        raise BadLine(f"{key!r} is not {wanted} in JSON", f"Write it like {example}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    fields = Fields(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        raise BadLine(
            f"the key {in_words(next(key for key in keys if keys.count(key) > 1))} occurs twice in one object", "Remove one of the two"
        )
    return fields


def _no_number(name: str) -> float:
    raise BadLine(f"{name} is not a number", "Write null, or leave the key out")


# orjson silently keeps the last of two equal keys and turns 0.10 into 0.1. With these hooks the standard parser reads PRM800K at 31 MB/s.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=Numeral, parse_int=Numeral, parse_constant=_no_number)
